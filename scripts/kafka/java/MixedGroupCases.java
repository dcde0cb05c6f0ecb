import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ConsumerGroupHeartbeatRequestData;
import org.apache.kafka.common.message.ConsumerGroupHeartbeatResponseData;
import org.apache.kafka.common.message.HeartbeatRequestData;
import org.apache.kafka.common.message.HeartbeatResponseData;
import org.apache.kafka.common.message.JoinGroupRequestData;
import org.apache.kafka.common.message.JoinGroupResponseData;
import org.apache.kafka.common.message.OffsetCommitRequestData;
import org.apache.kafka.common.message.OffsetCommitResponseData;
import org.apache.kafka.common.message.SyncGroupRequestData;
import org.apache.kafka.common.message.SyncGroupResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;

/** Groups with members of the classic and of the newer protocol, and on their way between the two. */
final class MixedGroupCases {
    private MixedGroupCases() {}

    private static final Object[] NEWER = {"group.protocol", "consumer"};

    /** Polls all until each has so many partitions, none has one of another's, and all are had. */
    private static void divide(int partitions, List<Consumer<String, String>> members) throws Exception {
        Check.eventually("all have their part", () -> {
            Set<TopicPartition> all = new HashSet<>();
            int sum = 0;
            for (Consumer<String, String> member : members) {
                member.poll(Duration.ofMillis(50));
                all.addAll(member.assignment());
                sum += member.assignment().size();
            }
            int least = members.stream().mapToInt(member -> member.assignment().size()).min().getAsInt();
            return all.size() == partitions && sum == partitions && least >= partitions / members.size();
        });
    }

    private static ConsumerGroupDescription describe(Cluster cluster, String group) throws Exception {
        return cluster.admin.describeConsumerGroups(List.of(group)).all().get().get(group);
    }

    private static void there_and_back(Cluster cluster, String strategy) throws Exception {
        String topic = cluster.topic(6);
        TopicPartition partition = new TopicPartition(topic, 3);
        String group = cluster.name("g");
        Object[] classic = {"partition.assignment.strategy", strategy};
        List<Consumer<String, String>> members = new ArrayList<>();
        try {
            for (int i = 0; i < 2; i++) {
                members.add(cluster.consumer(group, classic));
                members.get(i).subscribe(List.of(topic));
            }
            divide(6, members);
            Check.equal(GroupType.CLASSIC, describe(cluster, group).type(), "at first");
            Consumer<String, String> owner = members.stream()
                    .filter(member -> member.assignment().contains(partition)).findFirst().get();
            owner.commitSync(Map.of(partition, new OffsetAndMetadata(7)));

            members.add(cluster.consumer(group, NEWER));
            members.get(2).subscribe(List.of(topic));
            divide(6, members);
            ConsumerGroupDescription mixed = describe(cluster, group);
            Check.equal(GroupType.CONSUMER, mixed.type(), "with a member of the newer protocol");
            Check.equal(
                    Set.of(false, true),
                    mixed.members().stream().map(member -> member.upgraded().get()).collect(Collectors.toSet()),
                    "its members");
            owner = members.stream().filter(member -> member.assignment().contains(partition)).findFirst().get();
            owner.commitSync(Map.of(partition, new OffsetAndMetadata(8)));

            members.remove(0).close();
            divide(6, members);
            members.remove(1).close();
            divide(6, members);
            Check.equal(GroupType.CLASSIC, describe(cluster, group).type(), "with the last of them gone");
            members.get(0).commitSync(Map.of(partition, new OffsetAndMetadata(9)));

            members.add(cluster.consumer(group, NEWER));
            members.get(1).subscribe(List.of(topic));
            divide(6, members);
            members.remove(0).close();
            divide(6, members);
            Check.equal(GroupType.CONSUMER, describe(cluster, group).type(), "of the newer protocol alone");
            Check.equal(9L, members.get(0).committed(Set.of(partition)).get(partition).offset(), "offset");
        } finally {
            members.forEach(Consumer::close);
        }
    }

    public static void a_group_goes_to_the_newer_protocol_and_back(Cluster cluster) throws Exception {
        there_and_back(cluster, RangeAssignor.class.getName());
    }

    public static void a_cooperative_group_goes_to_the_newer_protocol_and_back(Cluster cluster) throws Exception {
        there_and_back(cluster, CooperativeStickyAssignor.class.getName());
    }

    private static Errors error(int code) {
        return Errors.forCode((short) code);
    }

    /** The coordinator of a broker that was just started. */
    private static boolean isStarting(int code) {
        return Set.of(Errors.NOT_COORDINATOR, Errors.COORDINATOR_NOT_AVAILABLE, Errors.COORDINATOR_LOAD_IN_PROGRESS)
                .contains(error(code));
    }

    private static JoinGroupResponseData join(Wire wire, String group, String member, String type, byte[] metadata)
            throws Exception {
        JoinGroupRequestData request = new JoinGroupRequestData()
                .setGroupId(group)
                .setMemberId(member)
                .setSessionTimeoutMs(10_000)
                .setRebalanceTimeoutMs(10_000)
                .setProtocolType(type);
        request.protocols()
                .add(new JoinGroupRequestData.JoinGroupRequestProtocol().setName("range").setMetadata(metadata));
        JoinGroupResponseData answer;
        do {
            answer = wire.send(ApiKeys.JOIN_GROUP, 9, request);
        } while (isStarting(answer.errorCode()));
        return answer;
    }

    private static SyncGroupResponseData sync(Wire wire, String group, String member, int generation, String protocol)
            throws Exception {
        return wire.send(
                ApiKeys.SYNC_GROUP,
                5,
                new SyncGroupRequestData()
                        .setGroupId(group)
                        .setMemberId(member)
                        .setGenerationId(generation)
                        .setProtocolType("consumer")
                        .setProtocolName(protocol));
    }

    private static Errors heartbeat(Wire wire, String group, String member, int generation) throws Exception {
        HeartbeatResponseData answer = wire.send(
                ApiKeys.HEARTBEAT,
                4,
                new HeartbeatRequestData().setGroupId(group).setMemberId(member).setGenerationId(generation));
        return error(answer.errorCode());
    }

    private static Errors commit(Wire wire, String group, String member, int generation, String topic) throws Exception {
        OffsetCommitRequestData.OffsetCommitRequestPartition partition =
                new OffsetCommitRequestData.OffsetCommitRequestPartition().setPartitionIndex(0).setCommittedOffset(3);
        OffsetCommitResponseData answer = wire.send(
                ApiKeys.OFFSET_COMMIT,
                8,
                new OffsetCommitRequestData()
                        .setGroupId(group)
                        .setMemberId(member)
                        .setGenerationIdOrMemberEpoch(generation)
                        .setTopics(List.of(new OffsetCommitRequestData.OffsetCommitRequestTopic()
                                .setName(topic)
                                .setPartitions(List.of(partition)))));
        return error(answer.topics().get(0).partitions().get(0).errorCode());
    }

    private static ConsumerGroupHeartbeatResponseData beat(Wire wire, String group, String member, int epoch, String topic)
            throws Exception {
        ConsumerGroupHeartbeatRequestData request = new ConsumerGroupHeartbeatRequestData()
                .setGroupId(group)
                .setMemberId(member)
                .setMemberEpoch(epoch);
        if (epoch == 0) {
            request.setRebalanceTimeoutMs(10_000).setSubscribedTopicNames(List.of(topic)).setTopicPartitions(List.of());
        }
        ConsumerGroupHeartbeatResponseData answer;
        do {
            answer = wire.send(ApiKeys.CONSUMER_GROUP_HEARTBEAT, 1, request);
        } while (isStarting(answer.errorCode()));
        return answer;
    }

    private static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    private static byte[] subscription(String topic, List<TopicPartition> owned) {
        return bytes(ConsumerProtocol.serializeSubscription(
                new ConsumerPartitionAssignor.Subscription(List.of(topic), null, owned)));
    }

    private static List<Integer> assigned(SyncGroupResponseData answer) {
        return ConsumerProtocol.deserializeAssignment(ByteBuffer.wrap(answer.assignment())).partitions().stream()
                .map(TopicPartition::partition).sorted().toList();
    }

    public static void a_classic_member_comes_to_its_part_in_a_group_of_the_newer_protocol(Cluster cluster)
            throws Exception {
        String topic = cluster.topic(4);
        String group = cluster.name("g");
        String newer = Uuid.randomUuid().toString();
        byte[] wants = subscription(topic, List.of());
        // The offsets' topic is made when somebody looks for the coordinator.
        cluster.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        try (Wire wire = new Wire(cluster)) {
            ConsumerGroupHeartbeatResponseData told = beat(wire, group, newer, 0, topic);
            Check.equal(Errors.NONE, error(told.errorCode()), "a member of the newer protocol");
            // Kafka's coordinator hears of a new topic a while after its maker does, and divides it then.
            while (told.assignment() == null || told.assignment().topicPartitions().isEmpty()) {
                Thread.sleep(50);
                told = beat(wire, group, newer, told.memberEpoch(), topic);
                Check.equal(Errors.NONE, error(told.errorCode()), "its heartbeat");
            }
            Check.equal(4, told.assignment().topicPartitions().get(0).partitions().size(), "it has all");
            int first = told.memberEpoch();

            Check.equal(
                    Errors.INCONSISTENT_GROUP_PROTOCOL,
                    error(join(wire, group, "", "connect", wants).errorCode()),
                    "one that is no consumer");
            JoinGroupResponseData joined = join(wire, group, "", "consumer", wants);
            Check.equal(Errors.MEMBER_ID_REQUIRED, error(joined.errorCode()), "a consumer without an id");
            joined = join(wire, group, joined.memberId(), "consumer", wants);
            Check.equal(Errors.NONE, error(joined.errorCode()), "with its id");
            String classic = joined.memberId();
            int second = joined.generationId();
            Check.equal(first + 1, second, "generation");
            Check.equal("", joined.leader(), "leader");
            Check.equal("range", joined.protocolName(), "protocol");
            Check.equal(
                    Errors.ILLEGAL_GENERATION, error(sync(wire, group, classic, first, "range").errorCode()), "old");
            Check.equal(
                    Errors.INCONSISTENT_GROUP_PROTOCOL,
                    error(sync(wire, group, classic, second, "other").errorCode()),
                    "another protocol");
            Check.equal(
                    Errors.UNKNOWN_MEMBER_ID, error(sync(wire, group, newer, first, "range").errorCode()), "the newer");
            SyncGroupResponseData part = sync(wire, group, classic, second, "range");
            Check.equal(Errors.NONE, error(part.errorCode()), "its part");
            Check.equal(List.of(), assigned(part), "nothing is free yet");
            Check.equal(Errors.NONE, heartbeat(wire, group, classic, second), "a heartbeat while it waits");
            Check.equal(Errors.ILLEGAL_GENERATION, heartbeat(wire, group, classic, first), "of an old generation");
            Check.equal(Errors.UNKNOWN_MEMBER_ID, heartbeat(wire, group, newer, first), "of the newer member");

            told = beat(wire, group, newer, first, topic);
            List<Integer> kept = told.assignment().topicPartitions().get(0).partitions();
            Check.equal(2, kept.size(), "the newer member is to keep half");
            Check.equal(first, told.memberEpoch(), "its epoch meanwhile");
            ConsumerGroupHeartbeatRequestData.TopicPartitions owned = new ConsumerGroupHeartbeatRequestData.TopicPartitions()
                    .setTopicId(told.assignment().topicPartitions().get(0).topicId())
                    .setPartitions(kept);
            told = wire.send(
                    ApiKeys.CONSUMER_GROUP_HEARTBEAT,
                    1,
                    new ConsumerGroupHeartbeatRequestData()
                            .setGroupId(group)
                            .setMemberId(newer)
                            .setMemberEpoch(first)
                            .setTopicPartitions(List.of(owned)));
            Check.equal(second, told.memberEpoch(), "its epoch when it has given up the rest");

            Check.equal(
                    Errors.REBALANCE_IN_PROGRESS, heartbeat(wire, group, classic, second), "a heartbeat when it is free");
            joined = join(wire, group, classic, "consumer", wants);
            Check.equal(second, joined.generationId(), "generation");
            part = sync(wire, group, classic, second, "range");
            Check.equal(2, assigned(part).size(), "the other half");
            Check.equal(Errors.NONE, heartbeat(wire, group, classic, second), "a heartbeat with it");
            Check.equal(Errors.NONE, commit(wire, group, classic, second, topic), "a commit");
            Check.equal(Errors.ILLEGAL_GENERATION, commit(wire, group, classic, first, topic), "an old commit");

            told = beat(wire, group, newer, -1, topic);
            Check.equal(Errors.NONE, error(told.errorCode()), "the newer member goes");
            Check.equal(GroupType.CLASSIC, describe(cluster, group).type(), "type");
            Errors alive = heartbeat(wire, group, classic, second);
            Check.holds(alive == Errors.ILLEGAL_GENERATION || alive == Errors.REBALANCE_IN_PROGRESS, "it is to join: " + alive);
            joined = join(wire, group, classic, "consumer", wants);
            Check.equal(Errors.NONE, error(joined.errorCode()), "it joins");
            Check.equal(classic, joined.leader(), "and leads");
        }
    }

    public static void a_group_that_is_not_of_consumers_stays_as_it_is(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String group = cluster.name("g");
        // The offsets' topic is made when somebody looks for the coordinator.
        cluster.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        try (Wire wire = new Wire(cluster)) {
            JoinGroupResponseData joined = join(wire, group, "", "connect", new byte[] {1});
            joined = join(wire, group, joined.memberId(), "connect", new byte[] {1});
            Check.equal(Errors.NONE, error(joined.errorCode()), "a worker");
            ConsumerGroupHeartbeatResponseData told = beat(wire, group, Uuid.randomUuid().toString(), 0, topic);
            Check.equal(Errors.GROUP_ID_NOT_FOUND, error(told.errorCode()), "a member of the newer protocol");
            Check.equal(Errors.NONE, heartbeat(wire, group, joined.memberId(), joined.generationId()), "the worker");
        }
    }
}
