import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Deque;
import java.util.List;
import java.util.Map;

/**
 * Runs cases against a broker through Apache Kafka's own Java client: {@code Suite BOOTSTRAP [CASE…]}. A name
 * selects all cases that it is a part of. Prints a line for each case; exits with 1 if one failed.
 *
 * <p>A case is a public static method of the classes below that takes a {@link Cluster} and throws when the
 * broker behaves otherwise than Apache Kafka does. Cases run beside each other.
 */
public final class Suite {
    private static final List<Class<?>> CASES =
            List.of(RecordCases.class, GroupCases.class, MixedGroupCases.class, QueueCases.class, TransactionCases.class,
                    TransactionVersionCases.class, AdminCases.class, WireCases.class);
    /** Those of a broker that asks clients who they are. */
    private static final List<Class<?>> SECURITY_CASES = List.of(SecurityCases.class, AccessCases.class);
    /** Most cases wait for time-outs, not for the processor. */
    private static final int CASES_AT_ONCE = 6;
    /** A case that takes longer has failed; it is left behind. */
    private static final Duration CASE_TIMEOUT = Duration.ofSeconds(300);

    private Suite() {}

    public static void main(String[] arguments) throws Exception {
        List<String> wanted = Arrays.asList(arguments).subList(1, arguments.length);
        boolean secure = System.getProperty("kafka.test.secrets") != null;
        Map<String, Object> settings =
                secure ? Secrets.settings("PLAIN", Secrets.ROOT, Secrets.password(Secrets.ROOT)) : Map.of();
        List<Case> over = new ArrayList<>();
        Cluster cluster = new Cluster(arguments[0], settings);
        Deque<Method> waiting = new ArrayDeque<>();
        for (Method method : cases(secure ? SECURITY_CASES : CASES)) {
            if (wanted.isEmpty() || wanted.stream().anyMatch(method.getName()::contains)) {
                waiting.add(method);
            }
        }
        List<Case> running = new ArrayList<>();
        while (!waiting.isEmpty() || !running.isEmpty()) {
            for (Case one : List.copyOf(running)) {
                if (one.isOver()) {
                    running.remove(one);
                    over.add(one);
                }
            }
            while (!waiting.isEmpty() && running.size() < CASES_AT_ONCE) {
                running.add(new Case(waiting.remove(), cluster));
            }
            Thread.sleep(50);
        }
        cluster.close();
        long failed = over.stream().filter(one -> !one.passed).count();
        System.out.printf("%d passed, %d failed (%s)%n", over.size() - failed, failed, arguments[0]);
        System.exit(failed == 0 ? 0 : 1);
    }

    /** A case in a thread of its own, which nobody can end if it does not end itself. */
    private static final class Case {
        private final Method method;
        private final long beganNs = System.nanoTime();
        private final Thread thread;
        private volatile boolean told;
        private volatile boolean passed;

        Case(Method method, Cluster cluster) {
            this.method = method;
            this.thread = new Thread(() -> run(cluster), method.getName());
            thread.setDaemon(true);
            thread.start();
        }

        private void run(Cluster cluster) {
            Throwable failure = null;
            try {
                method.invoke(null, cluster);
            } catch (InvocationTargetException thrown) {
                failure = thrown.getCause();
            } catch (IllegalAccessException thrown) {
                failure = thrown;
            }
            tell(failure);
        }

        private synchronized void tell(Throwable failure) {
            if (told) {
                return;
            }
            told = true;
            passed = failure == null;
            synchronized (System.out) {
                double took = (System.nanoTime() - beganNs) / 1e9;
                System.out.printf("%s  %s (%.1f s)%n", passed ? "pass" : "FAIL", method.getName(), took);
                if (failure != null) {
                    failure.printStackTrace(System.out);
                }
            }
        }

        /** Gives the case up when its time is over. */
        boolean isOver() {
            if (!told && System.nanoTime() - beganNs > CASE_TIMEOUT.toNanos()) {
                AssertionError failure = new AssertionError("it is not over after " + CASE_TIMEOUT.toSeconds() + " s");
                failure.setStackTrace(thread.getStackTrace());
                tell(failure);
            }
            return told;
        }
    }

    private static List<Method> cases(List<Class<?>> types) {
        List<Method> found = new ArrayList<>();
        for (Class<?> type : types) {
            Arrays.stream(type.getDeclaredMethods())
                    .filter(m -> Modifier.isPublic(m.getModifiers()) && Modifier.isStatic(m.getModifiers()))
                    .sorted(Comparator.comparing(Method::getName))
                    .forEach(found::add);
        }
        return found;
    }
}
