import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.requests.AbstractResponse;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/**
 * What each right opens: users who have one right, or a few, send every request there is, and what they are
 * answered is compared with access.txt, which real Kafka wrote (-Dkafka.test.access.write=true).
 */
final class AccessCases {
    /** A user's rights: {@code KIND OPERATION}, or {@code !KIND OPERATION} for what is denied. */
    private static final List<String> GRANTS = List.of(
            "",
            "TOPIC READ",
            "TOPIC WRITE",
            "TOPIC CREATE",
            "TOPIC DELETE",
            "TOPIC ALTER",
            "TOPIC DESCRIBE",
            "TOPIC DESCRIBE_CONFIGS",
            "TOPIC ALTER_CONFIGS",
            "TOPIC ALL",
            "TOPIC ALL, !TOPIC READ",
            "TOPIC ALL, !TOPIC DESCRIBE",
            "GROUP READ",
            "GROUP DESCRIBE",
            "GROUP DELETE",
            "GROUP DESCRIBE_CONFIGS",
            "GROUP ALTER_CONFIGS",
            "GROUP ALL",
            "TRANSACTIONAL_ID WRITE",
            "TRANSACTIONAL_ID DESCRIBE",
            "TRANSACTIONAL_ID ALL",
            "CLUSTER CREATE",
            "CLUSTER ALTER",
            "CLUSTER DESCRIBE",
            "CLUSTER CLUSTER_ACTION",
            "CLUSTER DESCRIBE_CONFIGS",
            "CLUSTER ALTER_CONFIGS",
            "CLUSTER IDEMPOTENT_WRITE",
            "CLUSTER ALL",
            "TOPIC READ, GROUP READ",
            "TOPIC DESCRIBE, GROUP DESCRIBE",
            "TOPIC READ, GROUP DELETE",
            "TOPIC WRITE, TRANSACTIONAL_ID WRITE",
            "TOPIC WRITE, CLUSTER IDEMPOTENT_WRITE",
            "TOPIC READ, GROUP READ, TRANSACTIONAL_ID WRITE");

    private static final int GRANTS_AT_ONCE = 6;

    private AccessCases() {}

    /** Requests that differ from those of a user without rights, by grant. */
    public static void each_right_opens_what_it_opens_in_kafka(Cluster cluster) throws Exception {
        QueueCases.enable(cluster);
        ExecutorService pool = Executors.newFixedThreadPool(GRANTS_AT_ONCE);
        Map<String, Future<Map<String, String>>> running = new LinkedHashMap<>();
        GRANTS.forEach(grant -> running.put(grant, pool.submit(() -> answers(cluster, grant))));
        pool.shutdown();
        Map<String, Map<String, String>> all = new LinkedHashMap<>();
        for (String grant : GRANTS) {
            all.put(grant, running.get(grant).get());
        }
        Path file = Path.of(System.getProperty("kafka.test.access"));
        String found = text(all);
        if (Boolean.getBoolean("kafka.test.access.write")) {
            Files.writeString(file, found);
        }
        List<String> expected = Files.readAllLines(file);
        List<String> lines = found.lines().collect(Collectors.toList());
        List<String> differing = new ArrayList<>();
        lines.stream().filter(line -> !expected.contains(line)).forEach(line -> differing.add("is       " + line));
        expected.stream().filter(line -> !lines.contains(line)).forEach(line -> differing.add("expected " + line));
        differing.sort((a, b) -> a.substring(9).compareTo(b.substring(9)));
        Check.holds(differing.isEmpty(), "access differs:\n" + String.join("\n", differing));
    }

    private static String text(Map<String, Map<String, String>> all) {
        StringBuilder text = new StringBuilder();
        Map<String, String> nothing = all.get("");
        all.forEach((grant, answers) -> answers.forEach((request, answer) -> {
            if (grant.isEmpty() || !answer.equals(nothing.get(request))) {
                text.append(String.format("%s | %s | %s%n", grant, request, answer));
            }
        }));
        return text.toString();
    }

    /** What a new user with these rights is answered. */
    private static Map<String, String> answers(Cluster cluster, String grant) throws Exception {
        String user = Secrets.user(cluster);
        // Topics, groups and ids of this user begin so.
        String prefix = cluster.name("a") + "-";
        allow(cluster, user, prefix, grant);
        NewTopic first = new NewTopic(prefix + "t", 1, (short) 1);
        NewTopic second = new NewTopic(prefix + "d", 1, (short) 1);
        var created = cluster.admin.createTopics(List.of(first, second));
        created.all().get();
        cluster.send(first.name(), "a", "b");
        cluster.admin
                .alterConsumerGroupOffsets(
                        prefix + "g", Map.of(new TopicPartition(first.name(), 0), new OffsetAndMetadata(1)))
                .all()
                .get();
        cluster.transactional(prefix + "x").close();
        Map<String, String> answers = new LinkedHashMap<>();
        Uuid id = created.topicId(first.name()).get();
        Uuid deleted = created.topicId(second.name()).get();
        Wire wire = Secrets.wire(cluster, user);
        for (AccessRequests.Request request : AccessRequests.all(prefix, id, deleted)) {
            String answer;
            try {
                AbstractResponse response = wire.ask(request.key, request.version, request.body);
                answer = errors(response) + request.detail.apply(response.data());
            } catch (java.io.EOFException | java.net.SocketException closed) {
                answer = "closed";
                wire.close();
                wire = Secrets.wire(cluster, user);
            } catch (java.net.SocketTimeoutException silent) {
                throw new AssertionError("no answer to `" + request.name + "`", silent);
            }
            answers.put(request.name, answer.replace(prefix, ""));
        }
        wire.close();
        return answers;
    }

    private static String errors(AbstractResponse response) {
        Map<Errors, Integer> counts = new TreeMap<>(response.errorCounts());
        // A request that has no place for an error without items.
        return counts.isEmpty() ? "-" : counts.keySet().stream().map(Errors::name).collect(Collectors.joining("+"));
    }

    private static void allow(Cluster cluster, String user, String prefix, String grant) throws Exception {
        List<AclBinding> bindings = new ArrayList<>();
        for (String right : grant.isEmpty() ? new String[0] : grant.split(", ")) {
            String[] words = right.replace("!", "").split(" ");
            ResourceType kind = ResourceType.valueOf(words[0]);
            ResourcePattern pattern = kind == ResourceType.CLUSTER
                    ? new ResourcePattern(kind, "kafka-cluster", PatternType.LITERAL)
                    : new ResourcePattern(kind, prefix, PatternType.PREFIXED);
            AclPermissionType permission = right.startsWith("!") ? AclPermissionType.DENY : AclPermissionType.ALLOW;
            bindings.add(new AclBinding(
                    pattern,
                    new AccessControlEntry("User:" + user, "*", AclOperation.valueOf(words[1]), permission)));
        }
        cluster.admin.createAcls(bindings).all().get();
        Check.eventually("the entries hold", () -> {
            List<AclBinding> held = new ArrayList<>(cluster.admin.describeAcls(AclBindingFilter.ANY).values().get());
            return held.containsAll(bindings);
        });
    }
}
