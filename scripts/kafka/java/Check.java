import java.time.Duration;
import java.util.Arrays;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;

/** What a case claims. */
final class Check {
    private static final Duration PATIENCE = Duration.ofSeconds(30);

    private Check() {}

    static void equal(Object expected, Object actual, String what) {
        if (!Objects.equals(expected, actual)) {
            throw new AssertionError(what + ": " + actual + " instead of " + expected);
        }
    }

    static void holds(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }

    /** Waits until the probe says yes. */
    static void eventually(String what, Callable<Boolean> probe) throws Exception {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (!probe.call()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError(what + ": not within " + PATIENCE.toSeconds() + " s");
            }
            Thread.sleep(50);
        }
    }

    /** The action must fail by one of these exceptions, itself or as a cause; returns it. */
    static Throwable refused(Callable<?> action, Class<?>... expected) throws Exception {
        String wanted = Arrays.toString(expected);
        Object result;
        try {
            result = action.call();
        } catch (Exception thrown) {
            Throwable cause = thrown instanceof ExecutionException ? thrown.getCause() : thrown;
            for (; cause != null; cause = cause.getCause()) {
                for (Class<?> one : expected) {
                    if (one.isInstance(cause)) {
                        return cause;
                    }
                }
            }
            throw new AssertionError("refused otherwise than by " + wanted, thrown);
        }
        throw new AssertionError("accepted with " + result + " instead of " + wanted);
    }
}
