import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicaAssignmentException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.LogDirNotFoundException;
import org.apache.kafka.common.errors.NoReassignmentInProgressException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Topics, configs and the cluster. */
final class AdminCases {
    private AdminCases() {}

    private static Object create(Cluster cluster, NewTopic topic) throws Exception {
        return cluster.admin.createTopics(List.of(topic)).all().get();
    }

    public static void topics_that_cannot_be_are_refused(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String other = cluster.name("t");
        Check.refused(() -> create(cluster, new NewTopic(topic, 1, (short) 1)), TopicExistsException.class);
        Check.refused(() -> create(cluster, new NewTopic("a b", 1, (short) 1)), InvalidTopicException.class);
        Check.refused(() -> create(cluster, new NewTopic(other, 0, (short) 1)), InvalidPartitionsException.class);
        Check.refused(
                () -> create(cluster, new NewTopic(other, 1, (short) 3)), InvalidReplicationFactorException.class);
        Check.refused(
                () -> create(cluster, new NewTopic(other, 1, (short) 1).configs(Map.of("nope", "1"))),
                InvalidConfigurationException.class);
        Check.holds(!cluster.admin.listTopics().names().get().contains(other), "a refused topic isn't there");
    }

    public static void creation_answers_with_what_was_made(Cluster cluster) throws Exception {
        String name = cluster.name("t");
        NewTopic topic = new NewTopic(name, Optional.of(3), Optional.empty()).configs(Map.of("retention.ms", "5000"));
        var validated = cluster.admin.createTopics(List.of(topic), new CreateTopicsOptions().validateOnly(true));
        Check.equal(3, validated.numPartitions(name).get(), "partitions when only validated");
        Check.holds(!cluster.admin.listTopics().names().get().contains(name), "it isn't there");
        var created = cluster.admin.createTopics(List.of(topic));
        Check.equal(3, created.numPartitions(name).get(), "partitions");
        Check.equal(1, created.replicationFactor(name).get(), "replicas");
        Check.equal("5000", created.config(name).get().get("retention.ms").value(), "a config");
        Uuid id = created.topicId(name).get();
        TopicDescription described = cluster.admin.describeTopics(List.of(name)).allTopicNames().get().get(name);
        Check.equal(id, described.topicId(), "id");
        Check.equal(3, described.partitions().size(), "partitions described");
    }

    public static void topics_are_found_and_deleted_by_id(Cluster cluster) throws Exception {
        String name = cluster.topic(1);
        Uuid id = cluster.admin.describeTopics(List.of(name)).allTopicNames().get().get(name).topicId();
        var byId = cluster.admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds().get();
        Check.equal(name, byId.get(id).name(), "name");
        cluster.admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all().get();
        Check.eventually("it is gone", () -> !cluster.admin.listTopics().names().get().contains(name));
        Check.refused(
                () -> cluster.admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all().get(),
                UnknownTopicIdException.class);
        Check.refused(
                () -> cluster.admin.deleteTopics(List.of(name)).all().get(), UnknownTopicOrPartitionException.class);
    }

    private static Object alter(Cluster cluster, ConfigResource resource, String name, String value) throws Exception {
        Collection<AlterConfigOp> operations =
                List.of(new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET));
        return cluster.admin.incrementalAlterConfigs(Map.of(resource, operations)).all().get();
    }

    public static void configs_say_where_they_come_from(Cluster cluster) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, cluster.topic(1));
        alter(cluster, resource, "segment.ms", "123456");
        Check.eventually("the new value", () -> {
            Config shown = cluster.admin.describeConfigs(Set.of(resource)).all().get().get(resource);
            return shown.get("segment.ms").value().equals("123456");
        });
        Config shown = cluster.admin.describeConfigs(Set.of(resource)).all().get().get(resource);
        Check.equal(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, shown.get("segment.ms").source(), "source");
        Check.equal(ConfigEntry.ConfigSource.DEFAULT_CONFIG, shown.get("cleanup.policy").source(), "source");
        Check.equal(ConfigEntry.ConfigType.LONG, shown.get("segment.ms").type(), "type");
        Check.equal(false, shown.get("segment.ms").isReadOnly(), "read only");
        Check.refused(() -> alter(cluster, resource, "segment.ms", "x"), InvalidConfigurationException.class);
    }

    /** Kafka gives at least these topic configs; a tool that copies them expects all. */
    public static void all_topic_configs_are_shown(Cluster cluster) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, cluster.topic(1));
        Map<String, String> defaults = Map.ofEntries(
                Map.entry("cleanup.policy", "delete"),
                Map.entry("compression.type", "producer"),
                Map.entry("delete.retention.ms", "86400000"),
                Map.entry("file.delete.delay.ms", "60000"),
                Map.entry("flush.messages", "9223372036854775807"),
                Map.entry("flush.ms", "9223372036854775807"),
                Map.entry("index.interval.bytes", "4096"),
                Map.entry("max.compaction.lag.ms", "9223372036854775807"),
                Map.entry("max.message.bytes", "1048588"),
                Map.entry("message.timestamp.after.max.ms", "3600000"),
                Map.entry("message.timestamp.before.max.ms", "9223372036854775807"),
                Map.entry("message.timestamp.type", "CreateTime"),
                Map.entry("min.cleanable.dirty.ratio", "0.5"),
                Map.entry("min.compaction.lag.ms", "0"),
                Map.entry("min.insync.replicas", "1"),
                Map.entry("preallocate", "false"),
                Map.entry("retention.bytes", "-1"),
                Map.entry("retention.ms", "604800000"),
                Map.entry("segment.bytes", "1073741824"),
                Map.entry("segment.index.bytes", "10485760"),
                Map.entry("segment.jitter.ms", "0"),
                Map.entry("segment.ms", "604800000"),
                Map.entry("unclean.leader.election.enable", "false"));
        Config shown = cluster.admin.describeConfigs(Set.of(resource)).all().get().get(resource);
        Map<String, String> found = shown.entries().stream()
                .filter(entry -> defaults.containsKey(entry.name()))
                .collect(Collectors.toMap(ConfigEntry::name, ConfigEntry::value));
        Check.equal(new java.util.TreeMap<>(defaults), new java.util.TreeMap<>(found), "defaults");
    }

    public static void partitions_are_added(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        cluster.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get();
        Check.eventually("4 partitions", () -> cluster.admin.describeTopics(List.of(topic)).allTopicNames().get()
                .get(topic).partitions().size() == 4);
        Check.refused(
                () -> cluster.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all().get(),
                InvalidPartitionsException.class);
    }

    public static void offsets_are_listed_and_records_deleted(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        TopicPartition partition = new TopicPartition(topic, 0);
        cluster.send(topic, "a", "b", "c");
        Check.equal(2L, delete(cluster, partition, 2), "low watermark");
        Check.equal(2L, offset(cluster, partition, OffsetSpec.earliest()), "earliest");
        Check.equal(3L, offset(cluster, partition, OffsetSpec.latest()), "latest");
        Check.equal(2L, offset(cluster, partition, OffsetSpec.maxTimestamp()), "greatest time");
        Check.equal(2L, offset(cluster, partition, OffsetSpec.earliestLocal()), "earliest on this disk");
        Check.refused(() -> delete(cluster, partition, 4), OffsetOutOfRangeException.class);
        Check.equal(3L, delete(cluster, partition, -1), "low watermark when all are deleted");
        Check.equal(List.of(), cluster.committed(topic), "records left");
    }

    private static Object delete(Cluster cluster, TopicPartition partition, long before) throws Exception {
        return cluster.admin
                .deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(before)))
                .lowWatermarks()
                .get(partition)
                .get()
                .lowWatermark();
    }

    private static Object offset(Cluster cluster, TopicPartition partition, OffsetSpec spec) throws Exception {
        ListOffsetsResult listed = cluster.admin.listOffsets(Map.of(partition, spec));
        return listed.partitionResult(partition).get().offset();
    }

    public static void the_cluster_and_its_disk_are_described(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        // Sent as key and as value.
        cluster.send(topic, "x".repeat(10_000));
        DescribeClusterResult described = cluster.admin.describeCluster();
        Check.equal(1, described.nodes().get().size(), "nodes");
        int node = described.nodes().get().iterator().next().id();
        Check.equal(node, described.controller().get().id(), "controller");
        var deciding = cluster.admin.describeMetadataQuorum().quorumInfo().get().nodes();
        Check.equal(Set.of(node), deciding.keySet(), "the nodes that decide");
        Check.equal(1, deciding.get(node).endpoints().size(), "where they are");
        var directories = cluster.admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node);
        long size = directories.values().stream()
                .flatMap(directory -> directory.replicaInfos().entrySet().stream())
                .filter(replica -> replica.getKey().topic().equals(topic))
                .mapToLong(replica -> replica.getValue().size())
                .sum();
        Check.holds(size > 20_000 && size < 21_000, "the topic's size is " + size);
    }

    public static void the_only_node_leads_and_keeps_what_it_has(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        TopicPartition there = new TopicPartition(topic, 0);
        TopicPartition unknown = new TopicPartition(cluster.name("none"), 0);
        var elected = cluster.admin
                .electLeaders(ElectionType.PREFERRED, Set.of(there, unknown))
                .partitions()
                .get();
        Check.holds(elected.get(there).get() instanceof ElectionNotNeededException, "no election is needed");
        Check.holds(
                elected.get(unknown).get() instanceof UnknownTopicOrPartitionException, "an unknown topic is told");
        Check.equal(Map.of(), cluster.admin.electLeaders(ElectionType.PREFERRED, null).partitions().get(), "elected");

        cluster.admin.alterPartitionReassignments(Map.of(there, moveTo(1))).all().get();
        Check.equal(Map.of(), cluster.admin.listPartitionReassignments().reassignments().get(), "moving");
        Check.refused(
                () -> cluster.admin.alterPartitionReassignments(Map.of(there, moveTo(2))).all().get(),
                InvalidReplicaAssignmentException.class);
        Check.refused(
                () -> cluster.admin.alterPartitionReassignments(Map.of(there, Optional.empty())).all().get(),
                NoReassignmentInProgressException.class);
        Check.refused(
                () -> cluster.admin.alterPartitionReassignments(Map.of(unknown, moveTo(1))).all().get(),
                UnknownTopicOrPartitionException.class);

        TopicPartitionReplica replica = new TopicPartitionReplica(topic, 0, 1);
        Check.refused(
                () -> cluster.admin.alterReplicaLogDirs(Map.of(replica, "/nowhere")).all().get(),
                LogDirNotFoundException.class);
    }

    private static Optional<NewPartitionReassignment> moveTo(int node) {
        return Optional.of(new NewPartitionReassignment(List.of(node)));
    }

    public static void nodes_disks_and_configurable_things_are_listed(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        var quorum = cluster.admin.describeMetadataQuorum().quorumInfo().get();
        Check.equal(1, quorum.leaderId(), "the leader");
        Check.equal(1, quorum.voters().size(), "voters");
        var disks = cluster.admin.describeLogDirs(List.of(1)).allDescriptions().get().get(1).values();
        for (var disk : disks) {
            long total = disk.totalBytes().orElse(0);
            long usable = disk.usableBytes().orElse(-1);
            Check.holds(usable >= 0 && usable < total, usable + " of " + total + " bytes are free");
        }
        var types = Set.of(ConfigResource.Type.TOPIC, ConfigResource.Type.BROKER);
        var listed = cluster.admin.listConfigResources(types, new ListConfigResourcesOptions()).all().get();
        Check.holds(listed.contains(new ConfigResource(ConfigResource.Type.TOPIC, topic)), "the topic is listed");
        Check.holds(listed.contains(new ConfigResource(ConfigResource.Type.BROKER, "1")), "the broker is listed");
    }
}
