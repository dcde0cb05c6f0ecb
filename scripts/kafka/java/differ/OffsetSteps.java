import java.util.List;
import org.apache.kafka.common.message.DeleteGroupsRequestData;
import org.apache.kafka.common.message.DescribeGroupsRequestData;
import org.apache.kafka.common.message.OffsetCommitRequestData;
import org.apache.kafka.common.message.OffsetDeleteRequestData;
import org.apache.kafka.common.message.OffsetFetchRequestData;
import org.apache.kafka.common.protocol.ApiKeys;

/** Committed offsets of groups without members. */
final class OffsetSteps {
    /** From this version of fetching on a request names several groups. */
    private static final int GROUPS = 8;

    private OffsetSteps() {}

    static Step commit(World world) {
        String group = world.group();
        World.Topic topic = world.topic();
        int generation = world.chance(5) ? 3 : -1;
        String member = world.chance(5) ? "stranger" : "";
        OffsetCommitRequestData.OffsetCommitRequestPartition partition =
                new OffsetCommitRequestData.OffsetCommitRequestPartition()
                        .setPartitionIndex(world.partition(topic))
                        .setCommittedOffset(world.between(0, 30))
                        .setCommittedMetadata(world.any(null, "", "note", "x".repeat(5000)));
        int version = world.version(ApiKeys.OFFSET_COMMIT, 2, 9);
        if (version >= 6) {
            partition.setCommittedLeaderEpoch(world.any(-1, 0, 4));
        }
        OffsetCommitRequestData request = new OffsetCommitRequestData()
                .setGroupId(group)
                .setGenerationIdOrMemberEpoch(generation)
                .setMemberId(member)
                .setTopics(List.of(new OffsetCommitRequestData.OffsetCommitRequestTopic()
                        .setName(topic.name)
                        .setPartitions(List.of(partition))));
        return new Step(ApiKeys.OFFSET_COMMIT, version, known -> request);
    }

    static Step fetch(World world) {
        return fetch(world, world.group(), world.chance(50) ? null : world.topic());
    }

    /** All committed offsets of a group, or those of a topic. */
    static Step fetch(World world, String group, World.Topic topic) {
        int version = world.version(ApiKeys.OFFSET_FETCH, topic == null ? 2 : 1, 9);
        List<Integer> partitions = List.of(0, 1, 5);
        OffsetFetchRequestData request = new OffsetFetchRequestData();
        if (version >= 7) {
            request.setRequireStable(world.chance(20));
        }
        if (version >= GROUPS) {
            request.setGroups(List.of(new OffsetFetchRequestData.OffsetFetchRequestGroup()
                    .setGroupId(group)
                    .setTopics(topic == null
                            ? null
                            : List.of(new OffsetFetchRequestData.OffsetFetchRequestTopics()
                                    .setName(topic.name)
                                    .setPartitionIndexes(partitions)))));
        } else {
            request.setGroupId(group)
                    .setTopics(topic == null
                            ? null
                            : List.of(new OffsetFetchRequestData.OffsetFetchRequestTopic()
                                    .setName(topic.name)
                                    .setPartitionIndexes(partitions)));
        }
        return new Step(ApiKeys.OFFSET_FETCH, version, known -> request).reads();
    }

    static Step delete(World world) {
        World.Topic topic = world.topic();
        OffsetDeleteRequestData request = new OffsetDeleteRequestData().setGroupId(world.group());
        request.topics()
                .add(new OffsetDeleteRequestData.OffsetDeleteRequestTopic()
                        .setName(topic.name)
                        .setPartitions(List.of(new OffsetDeleteRequestData.OffsetDeleteRequestPartition()
                                .setPartitionIndex(world.partition(topic)))));
        return new Step(ApiKeys.OFFSET_DELETE, world.version(ApiKeys.OFFSET_DELETE), known -> request);
    }

    static Step deleteGroup(World world) {
        DeleteGroupsRequestData request = new DeleteGroupsRequestData().setGroupsNames(List.of(world.group()));
        return new Step(ApiKeys.DELETE_GROUPS, world.version(ApiKeys.DELETE_GROUPS), known -> request);
    }

    static Step describe(World world) {
        DescribeGroupsRequestData request = new DescribeGroupsRequestData().setGroups(List.of(world.group()));
        return new Step(ApiKeys.DESCRIBE_GROUPS, world.version(ApiKeys.DESCRIBE_GROUPS), known -> request).reads();
    }
}
