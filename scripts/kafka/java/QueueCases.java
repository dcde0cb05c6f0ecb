import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.ShareConsumer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Share groups: records of ordinary topics, each to one of many workers. */
final class QueueCases {
    private static final Duration NOTHING_MORE = Duration.ofSeconds(3);

    private QueueCases() {}

    /** Share groups are a preview in Apache Kafka 4.1, and must be switched on. */
    static synchronized void enable(Cluster cluster) throws Exception {
        var features = cluster.admin.describeFeatures().featureMetadata().get();
        var finalized = features.finalizedFeatures().get("share.version");
        boolean known = features.supportedFeatures().containsKey("share.version");
        if (known && (finalized == null || finalized.maxVersionLevel() < 1)) {
            FeatureUpdate update = new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE);
            cluster.admin.updateFeatures(Map.of("share.version", update), new UpdateFeaturesOptions()).all().get();
        }
    }

    /** A new group that begins with the first record. */
    private static String group(Cluster cluster, String... settings) throws Exception {
        enable(cluster);
        String group = cluster.name("q");
        set(cluster, group, "share.auto.offset.reset=earliest");
        set(cluster, group, settings);
        return group;
    }

    private static void set(Cluster cluster, String group, String... settings) throws Exception {
        List<AlterConfigOp> changes = new ArrayList<>();
        for (String setting : settings) {
            String[] parts = setting.split("=", 2);
            changes.add(new AlterConfigOp(new ConfigEntry(parts[0], parts[1]), AlterConfigOp.OpType.SET));
        }
        ConfigResource resource = new ConfigResource(ConfigResource.Type.GROUP, group);
        Map<ConfigResource, Collection<AlterConfigOp>> all = Map.of(resource, changes);
        if (!changes.isEmpty()) {
            cluster.admin.incrementalAlterConfigs(all).all().get();
        }
    }

    private static ShareConsumer<String, String> worker(Cluster cluster, String group, String topic, String mode) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", cluster.bootstrap);
        config.put("group.id", group);
        config.put("share.acknowledgement.mode", mode);
        ShareConsumer<String, String> worker =
                new KafkaShareConsumer<>(config, new StringDeserializer(), new StringDeserializer());
        worker.subscribe(List.of(topic));
        return worker;
    }

    /** Polls until there are so many records, each of which is said something about; then commits. */
    private static List<ConsumerRecord<String, String>> work(
            ShareConsumer<String, String> worker,
            int count,
            Function<ConsumerRecord<String, String>, AcknowledgeType> word) {
        List<ConsumerRecord<String, String>> all = new ArrayList<>();
        long until = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        while (all.size() < count && System.nanoTime() < until) {
            for (ConsumerRecord<String, String> record : worker.poll(Duration.ofMillis(500))) {
                all.add(record);
                worker.acknowledge(record, word.apply(record));
            }
            worker.commitSync().forEach((place, failure) -> failure.ifPresent(thrown -> {
                throw thrown;
            }));
        }
        return all;
    }

    private static List<String> values(List<ConsumerRecord<String, String>> records) {
        return records.stream().map(ConsumerRecord::value).sorted().toList();
    }

    private static void nothingComes(ShareConsumer<String, String> worker) {
        long until = System.nanoTime() + NOTHING_MORE.toNanos();
        while (System.nanoTime() < until) {
            for (ConsumerRecord<String, String> record : worker.poll(Duration.ofMillis(300))) {
                throw new AssertionError("came again: " + record.value());
            }
        }
    }

    public static void eachRecordGoesToOneOfManyWorkers(Cluster cluster) throws Exception {
        String topic = cluster.topic(2);
        String group = group(cluster);
        String[] sent = IntStream.range(0, 200).mapToObj(i -> "v" + i).toArray(String[]::new);
        Map<String, Integer> seen = new TreeMap<>();
        try (var a = worker(cluster, group, topic, "implicit");
                var b = worker(cluster, group, topic, "implicit")) {
            cluster.send(topic, sent);
            long until = System.nanoTime() + Duration.ofSeconds(60).toNanos();
            while (seen.size() < sent.length && System.nanoTime() < until) {
                for (var worker : List.of(a, b)) {
                    worker.poll(Duration.ofMillis(200)).forEach(record -> seen.merge(record.value(), 1, Integer::sum));
                }
            }
            Check.equal(sent.length, seen.size(), "records that came");
            a.commitSync();
            b.commitSync();
        }
        Check.holds(seen.values().stream().allMatch(times -> times == 1), "each came once: " + seen);
        try (var late = worker(cluster, group, topic, "implicit")) {
            nothingComes(late);
        }
    }

    public static void releasedRecordComesAgainAndOthersDoNot(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        cluster.send(topic, "accept", "release", "reject");
        try (var worker = worker(cluster, group(cluster), topic, "explicit")) {
            var first = work(worker, 3, record -> AcknowledgeType.valueOf(record.value().toUpperCase()));
            Check.equal(List.of("accept", "reject", "release"), values(first), "the first time");
            var again = work(worker, 1, record -> AcknowledgeType.ACCEPT);
            Check.equal(List.of("release"), values(again), "the second time");
            Check.equal((short) 2, again.get(0).deliveryCount().get(), "times handed out");
            nothingComes(worker);
        }
    }

    public static void recordIsGivenUpAfterFiveTries(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        cluster.send(topic, "poison");
        try (var worker = worker(cluster, group(cluster), topic, "explicit")) {
            var tries = work(worker, 5, record -> AcknowledgeType.RELEASE);
            Check.equal(5, tries.size(), "tries");
            Check.equal((short) 5, tries.get(4).deliveryCount().get(), "times handed out");
            nothingComes(worker);
            cluster.send(topic, "next");
            Check.equal(List.of("next"), values(work(worker, 1, record -> AcknowledgeType.ACCEPT)), "what follows");
        }
    }

    public static void recordOfAWorkerThatLeftGoesToAnother(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String group = group(cluster);
        cluster.send(topic, "a", "b");
        try (var first = worker(cluster, group, topic, "explicit")) {
            Check.eventually("the first has them", () -> first.poll(Duration.ofMillis(500)).count() == 2);
        }
        try (var second = worker(cluster, group, topic, "explicit")) {
            Check.equal(List.of("a", "b"), values(work(second, 2, record -> AcknowledgeType.ACCEPT)), "again");
        }
    }

    public static void recordOfAWorkerThatHangsGoesToAnother(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String group = group(cluster, "share.record.lock.duration.ms=15000");
        cluster.send(topic, "a");
        try (var hanging = worker(cluster, group, topic, "explicit");
                var other = worker(cluster, group, topic, "explicit")) {
            Check.eventually("it has the record", () -> hanging.poll(Duration.ofMillis(500)).count() == 1);
            long began = System.nanoTime();
            var again = work(other, 1, record -> AcknowledgeType.ACCEPT);
            double took = (System.nanoTime() - began) / 1e9;
            Check.equal((short) 2, again.get(0).deliveryCount().get(), "times handed out");
            Check.holds(took > 10 && took < 30, "it came in its time: after " + took + " s");
        }
    }

    public static void workersSeeNothingOfAbortedTransactions(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String group = group(cluster, "share.isolation.level=read_committed");
        try (Producer<String, String> producer = cluster.transactional(cluster.name("tx"))) {
            for (String value : List.of("aborted", "committed")) {
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(topic, value));
                producer.flush();
                if (value.equals("aborted")) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
        try (var worker = worker(cluster, group, topic, "explicit")) {
            Check.equal(List.of("committed"), values(work(worker, 1, record -> AcknowledgeType.ACCEPT)), "records");
            nothingComes(worker);
        }
    }

    /** Apache Kafka 4.1 has no dead-letter topics for share groups, and refuses the setting. */
    public static void recordThatIsGivenUpGoesToTheDeadLetterTopic(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String deadLetters = cluster.topic(1);
        String group = group(cluster);
        try {
            set(cluster, group, "errors.deadletterqueue.topic.name=" + deadLetters, "share.delivery.count.limit=2");
        } catch (ExecutionException refused) {
            Check.holds(refused.getCause() instanceof InvalidConfigurationException, "refused: " + refused);
            return;
        }
        cluster.send(topic, "poison", "reject");
        try (var worker = worker(cluster, group, topic, "explicit")) {
            work(worker, 3, record -> record.value().equals("reject") ? AcknowledgeType.REJECT : AcknowledgeType.RELEASE);
            nothingComes(worker);
        }
        var dead = cluster.read(deadLetters, "read_committed");
        Check.equal(List.of("poison", "reject"), values(dead), "dead letters");
        for (var record : dead) {
            Check.equal(topic, new String(record.headers().lastHeader("__dlq.errors.topic").value()), "its topic");
        }
    }

    public static void groupIsListedAndDeletedWithItsOffsets(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String group = group(cluster);
        cluster.send(topic, "a", "b");
        TopicPartition place = new TopicPartition(topic, 0);
        try (var worker = worker(cluster, group, topic, "explicit")) {
            work(worker, 2, record -> AcknowledgeType.ACCEPT);
            var listed = cluster.admin.listGroups(ListGroupsOptions.forShareGroups()).all().get();
            Check.holds(listed.stream().anyMatch(one -> one.groupId().equals(group)), "the group is listed");
            Check.refused(
                    () -> cluster.admin.deleteShareGroups(List.of(group)).all().get(),
                    GroupNotEmptyException.class);
            Check.refused(
                    () -> cluster.admin.deleteShareGroupOffsets(group, Set.of(topic)).all().get(),
                    GroupNotEmptyException.class);
        }
        // Kafka may know later how far the group is.
        Check.eventually("the partition is listed", () -> {
            var offsets = cluster.admin
                    .listShareGroupOffsets(Map.of(group, new ListShareGroupOffsetsSpec()))
                    .partitionsToOffsetAndMetadata(group)
                    .get();
            return offsets.get(place) != null;
        });
        cluster.admin.deleteShareGroupOffsets(group, Set.of(topic)).all().get();
        cluster.admin.deleteShareGroups(List.of(group)).all().get();
        Check.refused(
                () -> cluster.admin.describeShareGroups(List.of(group)).all().get(), GroupIdNotFoundException.class);
    }
}
