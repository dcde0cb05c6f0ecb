import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.message.CreatePartitionsRequestData;
import org.apache.kafka.common.message.CreateTopicsRequestData;
import org.apache.kafka.common.message.DeleteTopicsRequestData;
import org.apache.kafka.common.message.DescribeConfigsRequestData;
import org.apache.kafka.common.message.IncrementalAlterConfigsRequestData;
import org.apache.kafka.common.message.MetadataRequestData;
import org.apache.kafka.common.message.DescribeTopicPartitionsRequestData;
import org.apache.kafka.common.protocol.ApiKeys;

/** Topics and their settings. */
final class TopicSteps {
    private static final byte TOPIC = 2;

    private TopicSteps() {}

    /** Settings whose effect can be seen at once or never in a sequence's time; some are wrong. */
    private static String[] setting(World world) {
        return world.any(
                new String[] {"message.timestamp.type", world.any("CreateTime", "LogAppendTime", "Never")},
                new String[] {"compression.type", world.any("producer", "uncompressed", "gzip", "lz4", "snappy", "zstd", "best")},
                new String[] {"max.message.bytes", world.any("1000", "0", "-1", "200", "1048588")},
                new String[] {"cleanup.policy", world.any("delete", "compact", "compact,delete", "delete,compact", "", "none")},
                new String[] {"retention.ms", world.any("-1", "86400000", "-2", "x", "604800000")},
                new String[] {"retention.bytes", world.any("-1", "1000000000", "-2", "1.5")},
                new String[] {"segment.bytes", world.any("1048576", "1073741824", "13", "2147483648")},
                new String[] {"message.timestamp.before.max.ms", world.any("100000", "9223372036854775807", "-1")},
                new String[] {"message.timestamp.after.max.ms", world.any("3600000", "9223372036854775807", "-5")},
                new String[] {"min.insync.replicas", world.any("1", "2", "0")},
                new String[] {"min.cleanable.dirty.ratio", world.any("0.1", "1.5", "0.5")},
                new String[] {"unclean.leader.election.enable", world.any("true", "false", "maybe")},
                new String[] {"delete.retention.ms", world.any("1000", "-1", "86400000")},
                new String[] {"index.interval.bytes", world.any("4096", "0", "-1")},
                new String[] {"no.such.setting", "1"},
                new String[] {"flush.messages", world.any("1", "0", "9223372036854775807")},
                new String[] {"segment.ms", world.any("604800000", "0", "86400000")},
                new String[] {"preallocate", world.any("true", "false", "TRUE")},
                new String[] {"file.delete.delay.ms", world.any("60000", "-1")},
                new String[] {"local.retention.ms", world.any("-2", "1000")},
                new String[] {"follower.replication.throttled.replicas", world.any("", "*", "0:1", "x")});
    }

    static Step create(World world) {
        CreateTopicsRequestData request =
                new CreateTopicsRequestData().setTimeoutMs(5000).setValidateOnly(world.chance(8));
        int version = world.version(ApiKeys.CREATE_TOPICS);
        for (int i = world.chance(15) ? 2 : 1; i > 0; i--) {
            World.Topic topic = world.any(world.topics);
            CreateTopicsRequestData.CreatableTopic made = new CreateTopicsRequestData.CreatableTopic()
                    .setName(world.chance(4) ? world.any("", ".", "a b", "x".repeat(250), topic.name + "/") : topic.name)
                    .setNumPartitions(world.chance(8) ? world.any(0, -1, -2) : world.between(1, 3))
                    .setReplicationFactor((short) (world.chance(6) ? world.any(0, 2, -2, -1) : 1));
            if (world.chance(6)) {
                assign(world, made);
            }
            for (int more = world.any(0, 0, 0, 1, 2); more > 0; more--) {
                String[] setting = setting(world);
                made.configs()
                        .add(new CreateTopicsRequestData.CreatableTopicConfig().setName(setting[0]).setValue(setting[1]));
                topic.recompresses |= setting[0].startsWith("compression");
            }
            request.topics().add(made);
            if (!topic.exists && !request.validateOnly()) {
                topic.exists = true;
                topic.partitions = made.assignments().isEmpty() ? Math.max(1, made.numPartitions()) : made.assignments().size();
            }
        }
        return new Step(ApiKeys.CREATE_TOPICS, version, known -> request).spreads();
    }

    private static void assign(World world, CreateTopicsRequestData.CreatableTopic made) {
        if (world.chance(80)) {
            made.setNumPartitions(-1).setReplicationFactor((short) -1);
        }
        for (int partition = 0; partition < 2; partition++) {
            made.assignments()
                    .add(new CreateTopicsRequestData.CreatableReplicaAssignment()
                            .setPartitionIndex(world.chance(10) ? 5 : partition)
                            .setBrokerIds(world.chance(10) ? world.any(List.of(), List.of(1, 1), List.of(9)) : List.of(1)));
        }
    }

    /** A topic that surely is there, to begin with. */
    static Step createPlain(World world, World.Topic topic, int partitions) {
        CreateTopicsRequestData request = new CreateTopicsRequestData().setTimeoutMs(5000);
        request.topics()
                .add(new CreateTopicsRequestData.CreatableTopic()
                        .setName(topic.name)
                        .setNumPartitions(partitions)
                        .setReplicationFactor((short) 1));
        topic.exists = true;
        topic.partitions = partitions;
        return new Step(ApiKeys.CREATE_TOPICS, world.version(ApiKeys.CREATE_TOPICS), known -> request).spreads();
    }

    static Step delete(World world) {
        int version = world.version(ApiKeys.DELETE_TOPICS);
        World.Topic topic = world.topic();
        boolean byId = version >= 6 && world.chance(50);
        topic.exists = false;
        topic.recompresses = false;
        return new Step(ApiKeys.DELETE_TOPICS, version, known -> {
            DeleteTopicsRequestData request = new DeleteTopicsRequestData().setTimeoutMs(5000);
            if (version < 6) {
                return request.setTopicNames(List.of(topic.name));
            }
            DeleteTopicsRequestData.DeleteTopicState state = new DeleteTopicsRequestData.DeleteTopicState();
            return request.setTopics(List.of(
                    byId ? state.setName(null).setTopicId(known.topicId(topic.name)) : state.setName(topic.name)));
        }).spreads();
    }

    static Step grow(World world) {
        World.Topic topic = world.topic();
        int count = world.chance(25) ? world.any(0, -1, 1, topic.partitions) : topic.partitions + 1;
        CreatePartitionsRequestData.CreatePartitionsTopic grown =
                new CreatePartitionsRequestData.CreatePartitionsTopic().setName(topic.name).setCount(count).setAssignments(null);
        if (world.chance(15)) {
            grown.setAssignments(List.of(new CreatePartitionsRequestData.CreatePartitionsAssignment()
                    .setBrokerIds(world.any(List.of(1), List.of(2), List.of(), List.of(1, 1)))));
        }
        CreatePartitionsRequestData request =
                new CreatePartitionsRequestData().setTimeoutMs(5000).setValidateOnly(world.chance(10));
        request.topics().add(grown);
        if (topic.exists && count > topic.partitions && !request.validateOnly()) {
            topic.partitions = count;
        }
        return new Step(ApiKeys.CREATE_PARTITIONS, world.version(ApiKeys.CREATE_PARTITIONS), known -> request).spreads();
    }

    static Step alter(World world) {
        World.Topic topic = world.topic();
        IncrementalAlterConfigsRequestData.AlterConfigsResource resource =
                new IncrementalAlterConfigsRequestData.AlterConfigsResource()
                        .setResourceType(TOPIC)
                        .setResourceName(topic.name);
        for (int more = world.any(1, 1, 2); more > 0; more--) {
            String[] setting = setting(world);
            topic.recompresses |= setting[0].startsWith("compression");
            int operation = world.any(0, 0, 0, 1, 2, 3);
            resource.configs()
                    .add(new IncrementalAlterConfigsRequestData.AlterableConfig()
                            .setName(setting[0])
                            .setConfigOperation((byte) operation)
                            .setValue(operation == 1 || world.chance(3) ? null : setting[1]));
        }
        IncrementalAlterConfigsRequestData request =
                new IncrementalAlterConfigsRequestData().setValidateOnly(world.chance(10));
        request.resources().add(resource);
        int version = world.version(ApiKeys.INCREMENTAL_ALTER_CONFIGS);
        return new Step(ApiKeys.INCREMENTAL_ALTER_CONFIGS, version, known -> request).spreads();
    }

    static Step describeConfigs(World world) {
        List<String> keys = world.chance(50) ? null : new ArrayList<>(List.of(setting(world)[0], setting(world)[0]));
        DescribeConfigsRequestData request = new DescribeConfigsRequestData()
                .setIncludeSynonyms(world.chance(50))
                .setIncludeDocumentation(false)
                .setResources(List.of(new DescribeConfigsRequestData.DescribeConfigsResource()
                        .setResourceType(TOPIC)
                        .setResourceName(world.topic().name)
                        .setConfigurationKeys(keys)));
        return new Step(ApiKeys.DESCRIBE_CONFIGS, world.version(ApiKeys.DESCRIBE_CONFIGS), known -> request).reads();
    }

    static Step metadata(World world) {
        int version = world.version(ApiKeys.METADATA);
        World.Topic topic = world.any(world.topics);
        boolean byId = version >= 12 && world.chance(50);
        boolean operations = world.chance(30);
        return new Step(ApiKeys.METADATA, version, known -> {
            MetadataRequestData.MetadataRequestTopic asked = new MetadataRequestData.MetadataRequestTopic();
            MetadataRequestData request = new MetadataRequestData()
                    .setTopics(List.of(byId ? asked.setName(null).setTopicId(known.topicId(topic.name)) : asked.setName(topic.name)));
            if (version >= 8) {
                request.setIncludeTopicAuthorizedOperations(operations);
            }
            // Older versions make the topic.
            return version >= 4 ? request.setAllowAutoTopicCreation(false) : request;
        }).reads().spreads();
    }

    static Step describePartitions(World world) {
        World.Topic topic = world.any(world.topics);
        DescribeTopicPartitionsRequestData request = new DescribeTopicPartitionsRequestData()
                .setResponsePartitionLimit(world.any(2000, 1, 2, 0))
                .setTopics(List.of(new DescribeTopicPartitionsRequestData.TopicRequest().setName(topic.name)));
        if (world.chance(30)) {
            request.setCursor(new DescribeTopicPartitionsRequestData.Cursor()
                    .setTopicName(world.any(world.topics).name)
                    .setPartitionIndex(world.any(0, 1, 9, -1)));
        }
        return new Step(ApiKeys.DESCRIBE_TOPIC_PARTITIONS, world.version(ApiKeys.DESCRIBE_TOPIC_PARTITIONS), known -> request)
                .reads();
    }
}
