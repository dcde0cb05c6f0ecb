import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Runs cases against a broker through Apache Kafka's own Java client: {@code Suite BOOTSTRAP [CASE…]}. A name
 * selects all cases that it is a part of. Prints a line for each case; exits with 1 if one failed.
 *
 * <p>A case is a public static method of the classes below that takes a {@link Cluster} and throws when the
 * broker behaves otherwise than Apache Kafka does. Cases run beside each other.
 */
public final class Suite {
    private static final List<Class<?>> CASES =
            List.of(RecordCases.class, GroupCases.class, QueueCases.class, TransactionCases.class, AdminCases.class,
                    WireCases.class);
    /** Most cases wait for time-outs, not for the processor. */
    private static final int CASES_AT_ONCE = 6;

    private Suite() {}

    public static void main(String[] arguments) throws Exception {
        List<String> wanted = Arrays.asList(arguments).subList(1, arguments.length);
        List<Boolean> passed = new ArrayList<>();
        try (Cluster cluster = new Cluster(arguments[0])) {
            ExecutorService pool = Executors.newFixedThreadPool(CASES_AT_ONCE);
            List<Future<Boolean>> running = new ArrayList<>();
            for (Method method : cases()) {
                if (wanted.isEmpty() || wanted.stream().anyMatch(method.getName()::contains)) {
                    running.add(pool.submit(() -> holds(method, cluster)));
                }
            }
            for (Future<Boolean> one : running) {
                passed.add(one.get());
            }
            pool.shutdown();
        }
        long failed = passed.stream().filter(one -> !one).count();
        System.out.printf("%d passed, %d failed (%s)%n", passed.size() - failed, failed, arguments[0]);
        System.exit(failed == 0 ? 0 : 1);
    }

    private static List<Method> cases() {
        List<Method> found = new ArrayList<>();
        for (Class<?> type : CASES) {
            Arrays.stream(type.getDeclaredMethods())
                    .filter(m -> Modifier.isPublic(m.getModifiers()) && Modifier.isStatic(m.getModifiers()))
                    .sorted(Comparator.comparing(Method::getName))
                    .forEach(found::add);
        }
        return found;
    }

    private static boolean holds(Method method, Cluster cluster) {
        long began = System.nanoTime();
        Throwable failure = null;
        try {
            method.invoke(null, cluster);
        } catch (InvocationTargetException thrown) {
            failure = thrown.getCause();
        } catch (IllegalAccessException thrown) {
            failure = thrown;
        }
        double took = (System.nanoTime() - began) / 1e9;
        synchronized (System.out) {
            System.out.printf("%s  %s (%.1f s)%n", failure == null ? "pass" : "FAIL", method.getName(), took);
            if (failure != null) {
                failure.printStackTrace(System.out);
            }
        }
        return failure == null;
    }
}
