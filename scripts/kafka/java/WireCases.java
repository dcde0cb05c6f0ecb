import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.AddPartitionsToTxnRequestData;
import org.apache.kafka.common.message.AddPartitionsToTxnResponseData;
import org.apache.kafka.common.message.ApiVersionsRequestData;
import org.apache.kafka.common.message.ApiVersionsResponseData;
import org.apache.kafka.common.message.EndTxnRequestData;
import org.apache.kafka.common.message.EndTxnResponseData;
import org.apache.kafka.common.message.FetchRequestData;
import org.apache.kafka.common.message.FetchResponseData;
import org.apache.kafka.common.message.HeartbeatRequestData;
import org.apache.kafka.common.message.HeartbeatResponseData;
import org.apache.kafka.common.message.InitProducerIdRequestData;
import org.apache.kafka.common.message.InitProducerIdResponseData;
import org.apache.kafka.common.message.JoinGroupRequestData;
import org.apache.kafka.common.message.JoinGroupResponseData;
import org.apache.kafka.common.message.LeaderChangeMessage;
import org.apache.kafka.common.message.LeaveGroupRequestData;
import org.apache.kafka.common.message.LeaveGroupResponseData;
import org.apache.kafka.common.message.ListOffsetsRequestData;
import org.apache.kafka.common.message.ListOffsetsResponseData;
import org.apache.kafka.common.message.MetadataRequestData;
import org.apache.kafka.common.message.MetadataResponseData;
import org.apache.kafka.common.message.OffsetCommitRequestData;
import org.apache.kafka.common.message.OffsetCommitResponseData;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.message.ProduceResponseData;
import org.apache.kafka.common.message.SyncGroupRequestData;
import org.apache.kafka.common.message.SyncGroupResponseData;
import org.apache.kafka.common.message.TxnOffsetCommitRequestData;
import org.apache.kafka.common.message.TxnOffsetCommitResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.SimpleRecord;

/** Answers to requests that clients send only when something went wrong. */
final class WireCases {
    private WireCases() {}

    private static Errors error(int code) {
        return Errors.forCode((short) code);
    }

    // Groups.

    private static JoinGroupResponseData join(Wire wire, String group, String member, String type, String strategy)
            throws Exception {
        JoinGroupRequestData request = new JoinGroupRequestData()
                .setGroupId(group)
                .setMemberId(member)
                .setSessionTimeoutMs(10_000)
                .setRebalanceTimeoutMs(10_000)
                .setProtocolType(type);
        request.protocols()
                .add(new JoinGroupRequestData.JoinGroupRequestProtocol().setName(strategy).setMetadata(new byte[] {1}));
        return wire.send(ApiKeys.JOIN_GROUP, 7, request);
    }

    /** A stable group of one member. */
    private static JoinGroupResponseData joined(Wire wire, String group) throws Exception {
        JoinGroupResponseData first = join(wire, group, "", "consumer", "range");
        Check.equal(Errors.MEMBER_ID_REQUIRED, error(first.errorCode()), "a member without an id");
        JoinGroupResponseData second = join(wire, group, first.memberId(), "consumer", "range");
        Check.equal(Errors.NONE, error(second.errorCode()), "with its id");
        Check.equal(second.leader(), second.memberId(), "leader");
        SyncGroupRequestData.SyncGroupRequestAssignment assignment =
                new SyncGroupRequestData.SyncGroupRequestAssignment()
                        .setMemberId(second.memberId())
                        .setAssignment(new byte[] {7});
        SyncGroupResponseData synced = wire.send(
                ApiKeys.SYNC_GROUP,
                5,
                new SyncGroupRequestData()
                        .setGroupId(group)
                        .setMemberId(second.memberId())
                        .setGenerationId(second.generationId())
                        .setProtocolType("consumer")
                        .setProtocolName("range")
                        .setAssignments(List.of(assignment)));
        Check.equal(Errors.NONE, error(synced.errorCode()), "sync");
        Check.holds(Arrays.equals(new byte[] {7}, synced.assignment()), "the leader's assignment comes back");
        return second;
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
        OffsetCommitRequestData.OffsetCommitRequestTopic asked =
                new OffsetCommitRequestData.OffsetCommitRequestTopic().setName(topic).setPartitions(List.of(partition));
        OffsetCommitResponseData answer = wire.send(
                ApiKeys.OFFSET_COMMIT,
                8,
                new OffsetCommitRequestData()
                        .setGroupId(group)
                        .setMemberId(member)
                        .setGenerationIdOrMemberEpoch(generation)
                        .setTopics(List.of(asked)));
        return error(answer.topics().get(0).partitions().get(0).errorCode());
    }

    public static void stale_members_are_refused(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String group = cluster.name("g");
        try (Wire wire = new Wire(cluster)) {
            JoinGroupResponseData me = joined(wire, group);
            int now = me.generationId();
            Check.equal(Errors.NONE, heartbeat(wire, group, me.memberId(), now), "heartbeat");
            Check.equal(
                    Errors.ILLEGAL_GENERATION, heartbeat(wire, group, me.memberId(), now - 1), "of an old generation");
            Check.equal(Errors.UNKNOWN_MEMBER_ID, heartbeat(wire, group, "stranger", now), "of a stranger");
            Check.equal(
                    Errors.UNKNOWN_MEMBER_ID, heartbeat(wire, cluster.name("none"), "stranger", 1), "of no group");
            Check.equal(Errors.NONE, commit(wire, group, me.memberId(), now, topic), "commit");
            Check.equal(
                    Errors.ILLEGAL_GENERATION, commit(wire, group, me.memberId(), now - 1, topic), "an old generation's");
            Check.equal(
                    Errors.ILLEGAL_GENERATION, commit(wire, group, me.memberId(), now + 1, topic), "a future one's");
            Check.equal(Errors.UNKNOWN_MEMBER_ID, commit(wire, group, "stranger", now, topic), "a stranger's");
            Check.equal(Errors.UNKNOWN_MEMBER_ID, commit(wire, group, "", -1, topic), "one without a member");
            Check.equal(
                    Errors.UNKNOWN_TOPIC_OR_PARTITION,
                    commit(wire, group, me.memberId(), now, cluster.name("missing")),
                    "of an unknown topic");
            LeaveGroupRequestData.MemberIdentity leaving =
                    new LeaveGroupRequestData.MemberIdentity().setMemberId(me.memberId());
            for (Errors expected : List.of(Errors.NONE, Errors.UNKNOWN_MEMBER_ID)) {
                LeaveGroupResponseData left = wire.send(
                        ApiKeys.LEAVE_GROUP, 5, new LeaveGroupRequestData().setGroupId(group).setMembers(List.of(leaving)));
                Check.equal(expected, error(left.members().get(0).errorCode()), "leaving");
            }
            Check.equal(Errors.UNKNOWN_MEMBER_ID, heartbeat(wire, group, me.memberId(), now), "after leaving");
            Check.equal(
                    Errors.NONE, commit(wire, cluster.name("simple"), "", -1, topic), "a commit without a group");
        }
    }

    public static void joins_that_do_not_fit_are_refused(Cluster cluster) throws Exception {
        String group = cluster.name("g");
        try (Wire wire = new Wire(cluster)) {
            joined(wire, group);
            Check.equal(
                    Errors.INCONSISTENT_GROUP_PROTOCOL,
                    error(join(wire, group, "", "connect", "range").errorCode()),
                    "another type");
            Check.equal(
                    Errors.INCONSISTENT_GROUP_PROTOCOL,
                    error(join(wire, group, "", "consumer", "other").errorCode()),
                    "another strategy");
            Check.equal(
                    Errors.UNKNOWN_MEMBER_ID,
                    error(join(wire, group, "stranger", "consumer", "range").errorCode()),
                    "an unknown member");
            Check.equal(
                    Errors.INVALID_GROUP_ID, error(join(wire, "", "", "consumer", "range").errorCode()), "an empty name");
        }
    }

    // Producing.

    private static ProduceResponseData.PartitionProduceResponse produce(
            Wire wire, String topic, int partition, int acks, String transaction, MemoryRecords records) throws Exception {
        ProduceRequestData.PartitionProduceData data =
                new ProduceRequestData.PartitionProduceData().setIndex(partition).setRecords(records);
        ProduceRequestData request =
                new ProduceRequestData().setAcks((short) acks).setTimeoutMs(5000).setTransactionalId(transaction);
        request.topicData()
                .add(new ProduceRequestData.TopicProduceData().setName(topic).setPartitionData(List.of(data)));
        ProduceResponseData answer = wire.send(ApiKeys.PRODUCE, 9, request);
        return answer.responses().iterator().next().partitionResponses().get(0);
    }

    private static SimpleRecord record(String value) {
        return new SimpleRecord(System.currentTimeMillis(), value.getBytes(), value.getBytes());
    }

    private static MemoryRecords idempotent(long id, int epoch, int sequence, String... values) {
        SimpleRecord[] records = Arrays.stream(values).map(WireCases::record).toArray(SimpleRecord[]::new);
        return MemoryRecords.withIdempotentRecords(Compression.NONE, id, (short) epoch, sequence, records);
    }

    private static InitProducerIdResponseData initProducer(Wire wire, String transaction, int timeoutMs)
            throws Exception {
        return wire.send(
                ApiKeys.INIT_PRODUCER_ID,
                4,
                new InitProducerIdRequestData().setTransactionalId(transaction).setTransactionTimeoutMs(timeoutMs));
    }

    public static void sequences_are_checked(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        try (Wire wire = new Wire(cluster)) {
            long id = initProducer(wire, null, 1000).producerId();
            for (int turn = 0; turn < 2; turn++) {
                var answer = produce(wire, topic, 0, -1, null, idempotent(id, 0, 0, "a", "b"));
                Check.equal(Errors.NONE, error(answer.errorCode()), "a first batch, sent " + turn + " times before");
                Check.equal(0L, answer.baseOffset(), "its offset");
            }
            var answer = produce(wire, topic, 0, -1, null, idempotent(id, 0, 3, "d"));
            Check.equal(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER, error(answer.errorCode()), "a batch after a gap");
            answer = produce(wire, topic, 0, -1, null, idempotent(id, 0, 2, "c"));
            Check.equal(2L, answer.baseOffset(), "the next batch's offset");
            answer = produce(wire, topic, 0, -1, null, idempotent(id, 1, 0, "new epoch"));
            Check.equal(3L, answer.baseOffset(), "a new epoch's offset");
            answer = produce(wire, topic, 0, -1, null, idempotent(id, 0, 3, "old epoch"));
            Check.equal(Errors.INVALID_PRODUCER_EPOCH, error(answer.errorCode()), "an old epoch");
            answer = produce(wire, topic, 0, -1, null, idempotent(id, 2, 5, "new epoch"));
            Check.equal(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER, error(answer.errorCode()), "a new epoch not from 0");
            Check.equal(4, cluster.committed(topic).size(), "records");
        }
    }

    public static void batches_that_are_wrong_are_refused(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        MemoryRecords good = MemoryRecords.withRecords(Compression.NONE, record("v"));
        try (Wire wire = new Wire(cluster)) {
            ByteBuffer damaged = ByteBuffer.allocate(good.sizeInBytes());
            damaged.put(good.buffer().duplicate()).flip();
            damaged.put(damaged.limit() - 3, (byte) 0x55);
            Check.equal(
                    Errors.CORRUPT_MESSAGE,
                    error(produce(wire, topic, 0, -1, null, MemoryRecords.readableRecords(damaged)).errorCode()),
                    "damaged");
            Check.equal(
                    Errors.UNKNOWN_TOPIC_OR_PARTITION,
                    error(produce(wire, topic, 5, -1, null, good).errorCode()),
                    "an unknown partition");
            Check.equal(
                    Errors.UNKNOWN_TOPIC_OR_PARTITION,
                    error(produce(wire, cluster.name("missing"), 0, -1, null, good).errorCode()),
                    "an unknown topic");
            Check.equal(
                    Errors.INVALID_REQUIRED_ACKS, error(produce(wire, topic, 0, 5, null, good).errorCode()), "acks=5");
            MemoryRecords control =
                    MemoryRecords.withLeaderChangeMessage(0, 0, 0, ByteBuffer.allocate(100), new LeaderChangeMessage());
            Check.equal(
                    Errors.INVALID_RECORD,
                    error(produce(wire, topic, 0, -1, null, control).errorCode()),
                    "a control record from a client");
            Check.equal(Errors.NONE, error(produce(wire, topic, 0, -1, null, good).errorCode()), "a good one");
            Check.equal(1, cluster.committed(topic).size(), "records");
        }
    }

    // Transactions.

    private static Errors end(Wire wire, String transaction, long id, int epoch, boolean commit) throws Exception {
        EndTxnResponseData answer = wire.send(
                ApiKeys.END_TXN,
                3,
                new EndTxnRequestData()
                        .setTransactionalId(transaction)
                        .setProducerId(id)
                        .setProducerEpoch((short) epoch)
                        .setCommitted(commit));
        return error(answer.errorCode());
    }

    private static Errors add(Wire wire, String transaction, long id, int epoch, String topic, int partition)
            throws Exception {
        AddPartitionsToTxnRequestData request = new AddPartitionsToTxnRequestData()
                .setV3AndBelowTransactionalId(transaction)
                .setV3AndBelowProducerId(id)
                .setV3AndBelowProducerEpoch((short) epoch);
        request.v3AndBelowTopics()
                .add(new AddPartitionsToTxnRequestData.AddPartitionsToTxnTopic()
                        .setName(topic)
                        .setPartitions(List.of(partition)));
        AddPartitionsToTxnResponseData answer = wire.send(ApiKeys.ADD_PARTITIONS_TO_TXN, 3, request);
        return error(answer.resultsByTopicV3AndBelow().iterator().next().resultsByPartition().iterator().next()
                .partitionErrorCode());
    }

    public static void producers_that_may_not_end_a_transaction_are_refused(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String transaction = cluster.name("tx");
        try (Wire wire = new Wire(cluster)) {
            Check.equal(
                    Errors.INVALID_TRANSACTION_TIMEOUT,
                    error(initProducer(wire, transaction, 0).errorCode()),
                    "a time-out of 0");
            Check.equal(
                    Errors.INVALID_TRANSACTION_TIMEOUT,
                    error(initProducer(wire, transaction, 900_001).errorCode()),
                    "a time-out above the broker's");
            Check.equal(Errors.INVALID_REQUEST, error(initProducer(wire, "", 1000).errorCode()), "an empty id");
            InitProducerIdResponseData me = initProducer(wire, transaction, 60_000);
            Check.equal(Errors.NONE, error(me.errorCode()), "a good one");
            long id = me.producerId();
            int epoch = me.producerEpoch();
            Check.equal(
                    Errors.INVALID_PRODUCER_ID_MAPPING, end(wire, cluster.name("none"), id, epoch, true), "unknown id");
            Check.equal(
                    Errors.INVALID_PRODUCER_ID_MAPPING, end(wire, transaction, id + 1000, epoch, true), "another's id");
            Check.equal(Errors.INVALID_TXN_STATE, end(wire, transaction, id, epoch, true), "nothing was begun");
            Check.equal(
                    Errors.UNKNOWN_TOPIC_OR_PARTITION, add(wire, transaction, id, epoch, topic, 9), "unknown partition");
            Check.equal(Errors.NONE, add(wire, transaction, id, epoch, topic, 0), "a partition");
            Check.equal(Errors.PRODUCER_FENCED, end(wire, transaction, id, epoch + 1, true), "another epoch");
            Check.equal(Errors.NONE, end(wire, transaction, id, epoch, true), "the end");
            Check.equal(Errors.NONE, end(wire, transaction, id, epoch, true), "the end again");
            Check.equal(Errors.INVALID_TXN_STATE, end(wire, transaction, id, epoch, false), "another end");
        }
    }

    public static void records_outside_their_transaction_are_refused(Cluster cluster) throws Exception {
        String topic = cluster.topic(2);
        String transaction = cluster.name("tx");
        try (Wire wire = new Wire(cluster)) {
            InitProducerIdResponseData me = initProducer(wire, transaction, 60_000);
            Check.equal(
                    Errors.NONE, add(wire, transaction, me.producerId(), me.producerEpoch(), topic, 0), "a partition");
            MemoryRecords records = MemoryRecords.withTransactionalRecords(
                    Compression.NONE, me.producerId(), me.producerEpoch(), 0, record("v"));
            Check.equal(
                    Errors.INVALID_TXN_STATE,
                    error(produce(wire, topic, 1, -1, transaction, records).errorCode()),
                    "to a partition that isn't in the transaction");
            Check.equal(
                    Errors.NONE, error(produce(wire, topic, 0, -1, transaction, records).errorCode()), "to one that is");
            Check.equal(
                    Errors.NONE, end(wire, transaction, me.producerId(), me.producerEpoch(), true), "the commit");
            Check.equal(List.of("v"), cluster.committed(topic), "read committed");
        }
    }

    public static void stale_generations_commit_nothing_in_transactions(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        String group = cluster.name("g");
        String transaction = cluster.name("tx");
        try (Wire wire = new Wire(cluster)) {
            JoinGroupResponseData member = joined(wire, group);
            InitProducerIdResponseData me = initProducer(wire, transaction, 60_000);
            wire.send(
                    ApiKeys.ADD_OFFSETS_TO_TXN,
                    3,
                    new org.apache.kafka.common.message.AddOffsetsToTxnRequestData()
                            .setTransactionalId(transaction)
                            .setProducerId(me.producerId())
                            .setProducerEpoch(me.producerEpoch())
                            .setGroupId(group));
            Map<Errors, TxnOffsetCommitRequestData> attempts = Map.of(
                    Errors.ILLEGAL_GENERATION,
                    new TxnOffsetCommitRequestData()
                            .setMemberId(member.memberId())
                            .setGenerationId(member.generationId() - 1),
                    Errors.UNKNOWN_MEMBER_ID,
                    new TxnOffsetCommitRequestData().setMemberId("stranger").setGenerationId(member.generationId()),
                    Errors.NONE,
                    new TxnOffsetCommitRequestData()
                            .setMemberId(member.memberId())
                            .setGenerationId(member.generationId()));
            for (Map.Entry<Errors, TxnOffsetCommitRequestData> attempt : attempts.entrySet()) {
                TxnOffsetCommitRequestData.TxnOffsetCommitRequestPartition partition =
                        new TxnOffsetCommitRequestData.TxnOffsetCommitRequestPartition()
                                .setPartitionIndex(0)
                                .setCommittedOffset(1);
                TxnOffsetCommitResponseData answer = wire.send(
                        ApiKeys.TXN_OFFSET_COMMIT,
                        3,
                        attempt.getValue()
                                .setTransactionalId(transaction)
                                .setGroupId(group)
                                .setProducerId(me.producerId())
                                .setProducerEpoch(me.producerEpoch())
                                .setTopics(List.of(new TxnOffsetCommitRequestData.TxnOffsetCommitRequestTopic()
                                        .setName(topic)
                                        .setPartitions(List.of(partition)))));
                Check.equal(
                        attempt.getKey(), error(answer.topics().get(0).partitions().get(0).errorCode()), "the commit");
            }
            Check.equal(Errors.NONE, end(wire, transaction, me.producerId(), me.producerEpoch(), true), "the end");
        }
    }

    // Fetching, and requests that are none.

    private static FetchResponseData fetch(Wire wire, String topic, int partition, long offset, int epoch, int session)
            throws Exception {
        FetchRequestData.FetchPartition asked = new FetchRequestData.FetchPartition()
                .setPartition(partition)
                .setFetchOffset(offset)
                .setCurrentLeaderEpoch(epoch)
                .setPartitionMaxBytes(1_000_000);
        FetchRequestData request = new FetchRequestData()
                .setMaxWaitMs(0)
                .setMinBytes(0)
                .setMaxBytes(1_000_000)
                .setReplicaId(-1)
                .setSessionId(session)
                .setSessionEpoch(session == 0 ? -1 : 1)
                .setTopics(List.of(
                        new FetchRequestData.FetchTopic().setTopic(topic).setPartitions(List.of(asked))));
        return wire.send(ApiKeys.FETCH, 12, request);
    }

    public static void fetches_outside_the_log_are_refused(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        cluster.send(topic, "a", "b");
        try (Wire wire = new Wire(cluster)) {
            record Attempt(int partition, long offset, int epoch, Errors expected) {}
            for (Attempt attempt : List.of(
                    new Attempt(0, 0, -1, Errors.NONE),
                    new Attempt(0, 0, 0, Errors.NONE),
                    new Attempt(0, 2, -1, Errors.NONE),
                    new Attempt(0, 3, -1, Errors.OFFSET_OUT_OF_RANGE),
                    new Attempt(0, 0, 7, Errors.UNKNOWN_LEADER_EPOCH),
                    new Attempt(4, 0, -1, Errors.UNKNOWN_TOPIC_OR_PARTITION))) {
                FetchResponseData answer =
                        fetch(wire, topic, attempt.partition(), attempt.offset(), attempt.epoch(), 0);
                Check.equal(
                        attempt.expected(),
                        error(answer.responses().get(0).partitions().get(0).errorCode()),
                        attempt.toString());
            }
            Check.equal(
                    Errors.FETCH_SESSION_ID_NOT_FOUND,
                    error(fetch(wire, topic, 0, 0, -1, 12345).errorCode()),
                    "an unknown session");
        }
    }

    /** Older librdkafka leaves compression out where Produce doesn't begin with version 0. */
    public static void what_old_clients_look_for_is_announced(Cluster cluster) throws Exception {
        try (Wire wire = new Wire(cluster)) {
            ApiVersionsResponseData served = wire.send(ApiKeys.API_VERSIONS, 0, new ApiVersionsRequestData());
            Check.equal((short) 0, served.apiKeys().find(ApiKeys.PRODUCE.id).minVersion(), "Produce");
        }
    }

    public static void topics_are_asked_for_by_id_only_where_answers_may_lack_a_name(Cluster cluster)
            throws Exception {
        try (Wire wire = new Wire(cluster)) {
            for (int version = 10; version <= 13; version++) {
                MetadataRequestData request = new MetadataRequestData().setAllowAutoTopicCreation(false);
                request.setTopics(List.of(new MetadataRequestData.MetadataRequestTopic()
                        .setName(null)
                        .setTopicId(Uuid.randomUuid())));
                MetadataResponseData answer = wire.send(ApiKeys.METADATA, version, request);
                Check.equal(
                        version < 12 ? Errors.INVALID_REQUEST : Errors.UNKNOWN_TOPIC_ID,
                        error(answer.topics().iterator().next().errorCode()),
                        "version " + version);
            }
        }
    }

    public static void places_of_later_versions_are_refused_in_earlier_ones(Cluster cluster) throws Exception {
        String topic = cluster.topic(1);
        Map<Long, Integer> since = Map.of(-3L, 7, -4L, 8, -5L, 9);
        try (Wire wire = new Wire(cluster)) {
            for (Map.Entry<Long, Integer> place : since.entrySet()) {
                for (int version = place.getValue() - 1; version <= place.getValue(); version++) {
                    ListOffsetsRequestData request = new ListOffsetsRequestData().setReplicaId(-1);
                    request.setTopics(List.of(new ListOffsetsRequestData.ListOffsetsTopic()
                            .setName(topic)
                            .setPartitions(List.of(new ListOffsetsRequestData.ListOffsetsPartition()
                                    .setTimestamp(place.getKey())))));
                    ListOffsetsResponseData answer = wire.send(ApiKeys.LIST_OFFSETS, version, request);
                    Check.equal(
                            version < place.getValue() ? Errors.UNSUPPORTED_VERSION : Errors.NONE,
                            error(answer.topics().get(0).partitions().get(0).errorCode()),
                            "place " + place.getKey() + " in version " + version);
                }
            }
        }
    }

    public static void requests_that_are_none_end_their_connection(Cluster cluster) throws Exception {
        byte[][] bad = {
            new byte[0], // No header at all.
            {0, 3, 0, 9}, // A header that is cut off.
            {0, 99, 0, 0, 0, 0, 0, 1, 0, 0}, // An unknown request.
            {0, 3, 0, 99, 0, 0, 0, 1, 0, 0}, // An unknown version.
            {0, 3, 0, 1, 0, 0, 0, 1, 0, 0, 127, -1, -1, -1}, // More topics than there are bytes.
        };
        for (byte[] bytes : bad) {
            try (Wire wire = new Wire(cluster)) {
                wire.sendBytes(bytes, 0, bytes.length);
                Check.holds(wire.isEnded(), Arrays.toString(bytes) + " ends its connection");
            }
        }
        // A client that is newer than the broker learns what it may send instead.
        try (Wire wire = new Wire(cluster)) {
            byte[] newer = {0, 18, 0, 99, 0, 0, 0, 5, 0, 0, 0};
            wire.sendBytes(newer, 0, newer.length);
            ByteBuffer answer = ByteBuffer.wrap(wire.receive());
            Check.equal(5, answer.getInt(), "the answer's number");
            Check.equal(Errors.UNSUPPORTED_VERSION, error(answer.getShort()), "its error");
        }
        Check.holds(cluster.admin.listTopics().names().get() != null, "others are served");
    }
}
