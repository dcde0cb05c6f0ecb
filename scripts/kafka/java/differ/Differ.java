import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.kafka.common.message.ApiVersionsResponseData;
import org.apache.kafka.common.protocol.ApiKeys;

/**
 * Compares the embedded log with Apache Kafka by random sequences of requests:
 *
 * <pre>Differ KAFKA EMBEDDED [SEED|FIRST-LAST] [length=N] [steps=1,2,7-9] [seconds=N] [shrink=no]</pre>
 *
 * <p>A seed gives a sequence of steps ({@link Generator}). Each is a request in one of the versions that both
 * brokers serve; both get it, and both answers must be equal in all their fields ({@link NormalForm} has the rules,
 * each with its reason). The first difference ends the sequence; then steps are left out one after the other as long
 * as that difference stays, and the command that replays what is left is printed.
 */
public final class Differ {
    private static final int RUNS_TO_SHRINK = 150;

    private final Side kafka;
    private final Side embedded;
    private final Map<ApiKeys, short[]> versions = new EnumMap<>(ApiKeys.class);
    private final Map<ApiKeys, Integer> taken = new TreeMap<>();
    private final long nowMs = System.currentTimeMillis();
    private final String run = Long.toString(nowMs, 36);
    private final String addresses;
    private int runs;

    private Differ(String kafka, String embedded) throws Exception {
        this.addresses = kafka + " " + embedded;
        this.kafka = new Side("kafka", kafka);
        this.embedded = new Side("embedded", embedded);
        Map<Short, short[]> theirs = served(this.kafka.versions());
        served(this.embedded.versions()).forEach((key, ours) -> {
            short[] other = theirs.get(key);
            if (other != null) {
                short low = (short) Math.max(ours[0], other[0]);
                short high = (short) Math.min(ours[1], other[1]);
                versions.put(ApiKeys.forId(key), new short[] {low, high});
            }
        });
        // Announced from 0 on for the sake of old clients, and refused below 3.
        versions.get(ApiKeys.PRODUCE)[0] = 3;
    }

    private static Map<Short, short[]> served(ApiVersionsResponseData answer) {
        Map<Short, short[]> served = new HashMap<>();
        answer.apiKeys().forEach(one -> served.put(one.apiKey(), new short[] {one.minVersion(), one.maxVersion()}));
        return served;
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        String seeds = "1-40";
        for (String argument : Arrays.asList(arguments).subList(2, arguments.length)) {
            String[] parts = argument.split("=", 2);
            if (parts.length == 2) {
                options.put(parts[0], parts[1]);
            } else {
                seeds = argument;
            }
        }
        Differ differ = new Differ(arguments[0], arguments[1]);
        System.exit(differ.runAll(seeds, options) == 0 ? 0 : 1);
    }

    private int runAll(String seeds, Map<String, String> options) throws Exception {
        int length = Integer.parseInt(options.getOrDefault("length", "60"));
        long seconds = Long.parseLong(options.getOrDefault("seconds", "1000000"));
        String[] bounds = seeds.split("-");
        long last = Long.parseLong(bounds[bounds.length - 1]);
        long beganNs = System.nanoTime();
        int differing = 0;
        long seed = Long.parseLong(bounds[0]);
        for (; seed <= last && System.nanoTime() - beganNs < seconds * 1_000_000_000L; seed++) {
            TreeSet<Integer> chosen = options.containsKey("steps") ? numbers(options.get("steps")) : null;
            Sequence.Finding found = run(seed, length, chosen, true);
            if (found != null) {
                differing++;
                boolean shrinks = chosen == null && !options.getOrDefault("shrink", "yes").equals("no");
                tell(seed, length, found, shrinks);
            }
        }
        System.out.printf(
                "differ: %d seeds from %s, %d differ; %d requests of %d kinds in %d s%n",
                seed - Long.parseLong(bounds[0]),
                bounds[0],
                differing,
                taken.values().stream().mapToInt(Integer::intValue).sum(),
                taken.size(),
                (System.nanoTime() - beganNs) / 1_000_000_000L);
        if (options.getOrDefault("kinds", "no").equals("yes")) {
            System.out.println("differ: " + taken);
        }
        return differing;
    }

    private static TreeSet<Integer> numbers(String text) {
        TreeSet<Integer> numbers = new TreeSet<>();
        for (String part : text.split(",")) {
            String[] bounds = part.split("-");
            for (int i = Integer.parseInt(bounds[0]); i <= Integer.parseInt(bounds[bounds.length - 1]); i++) {
                numbers.add(i);
            }
        }
        return numbers;
    }

    /** Runs a sequence, or those steps of it that are chosen, under names that are new to both brokers. */
    private Sequence.Finding run(long seed, int length, TreeSet<Integer> chosen, boolean counts) throws Exception {
        World world = new World(seed, "d" + run + "-" + runs++ + "-", nowMs, versions);
        List<Step> steps = new ArrayList<>(Generator.draw(world, seed, length));
        if (chosen != null) {
            steps.removeIf(step -> !chosen.contains(step.number));
        }
        if (counts) {
            steps.forEach(step -> taken.merge(step.key, 1, Integer::sum));
        }
        return new Sequence(kafka, embedded).run(world.topicNames(), steps);
    }

    // Shrinking.

    private void tell(long seed, int length, Sequence.Finding first, boolean shrinks) throws Exception {
        Sequence.Finding found = first;
        TreeSet<Integer> left = new TreeSet<>();
        for (int i = 1; i <= first.step().number; i++) {
            left.add(i);
        }
        boolean repeats = true;
        if (shrinks) {
            Sequence.Finding again = run(seed, length, left, false);
            repeats = again != null && again.step().number == first.step().number;
            found = repeats ? shrink(seed, length, left, again) : first;
        }
        System.out.println("=== seed " + seed + " differs at " + found.step() + (repeats ? "" : ", but not when it is repeated"));
        System.out.println("  request:  " + bare(found.request()));
        System.out.println("  kafka:    " + brief(found.kafka()));
        System.out.println("  embedded: " + brief(found.embedded()));
        System.out.print(bare(NormalForm.difference(found.kafka(), found.embedded())));
        System.out.println("  replay:   scripts/kafka/differ.sh " + seed + " length=" + length
                + (repeats && shrinks ? " steps=" + left.stream().map(String::valueOf).collect(Collectors.joining(",")) : ""));
        System.out.flush();
    }

    /** Leaves out as many steps as it can before the one that differs, larger parts first. */
    private Sequence.Finding shrink(long seed, int length, TreeSet<Integer> left, Sequence.Finding first) throws Exception {
        Sequence.Finding found = first;
        int budget = RUNS_TO_SHRINK;
        for (int part = Math.max(1, left.size() / 2); part >= 1 && budget > 0; part /= 2) {
            List<Integer> numbers = new ArrayList<>(left);
            for (int from = numbers.size() - 1; from > 0 && budget > 0; from -= part) {
                List<Integer> out = numbers.subList(Math.max(0, from - part), from);
                TreeSet<Integer> fewer = new TreeSet<>(left);
                fewer.removeAll(out);
                budget--;
                Sequence.Finding again = run(seed, length, fewer, false);
                if (again != null && again.step().number == first.step().number && alike(again, first)) {
                    found = again;
                    left.removeAll(out);
                }
            }
        }
        return found;
    }

    /** The same difference, as far as its places tell. */
    private static boolean alike(Sequence.Finding one, Sequence.Finding other) {
        return places(one).equals(places(other));
    }

    private static String places(Sequence.Finding found) {
        return NormalForm.difference(found.kafka(), found.embedded())
                .lines()
                .map(line -> line.substring(0, line.indexOf(": kafka")))
                .collect(Collectors.joining());
    }

    private String brief(Object text) {
        String whole = bare(text);
        return whole.length() <= 1500 ? whole : whole.substring(0, 1500) + "… (" + whole.length() + " characters)";
    }

    /** Without the names' first part, which is another in each run. */
    private String bare(Object text) {
        return text.toString().replaceAll("d" + run + "-\\d+-", "");
    }
}
