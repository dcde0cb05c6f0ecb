import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.SimpleRecord;

/** One request of each kind, about the things of one user; those that take them away come last. */
final class AccessRequests {
    static final class Request {
        final String name;
        final ApiKeys key;
        final int version;
        final ApiMessage body;
        /** What of the answer matters beside its errors. */
        final Function<ApiMessage, String> detail;

        Request(String name, ApiKeys key, int version, ApiMessage body, Function<ApiMessage, String> detail) {
            this.name = name;
            this.key = key;
            this.version = version;
            this.body = body;
            this.detail = detail;
        }
    }

    private final List<Request> requests = new ArrayList<>();
    private final String topic;
    private final String group;
    private final String share;
    private final String transactional;
    private final String prefix;
    private final Uuid id;
    private final Uuid deleted;

    private AccessRequests(String prefix, Uuid id, Uuid deleted) {
        this.prefix = prefix;
        this.topic = prefix + "t";
        this.group = prefix + "g";
        this.share = prefix + "s";
        this.transactional = prefix + "x";
        this.id = id;
        this.deleted = deleted;
    }

    /** With topics {@code t} and {@code d} behind the prefix, which have these ids. */
    static List<Request> all(String prefix, Uuid id, Uuid deleted) {
        AccessRequests all = new AccessRequests(prefix, id, deleted);
        all.metadata();
        all.records();
        all.transactions();
        all.groups();
        all.shares();
        all.administration();
        all.taking();
        return all.requests;
    }

    private void add(String name, ApiKeys key, int version, ApiMessage body) {
        add(name, key, version, body, data -> "");
    }

    private <T extends ApiMessage> void add(
            String name, ApiKeys key, int version, ApiMessage body, Function<T, String> detail) {
        @SuppressWarnings("unchecked")
        Function<ApiMessage, String> untyped = data -> detail.apply((T) data);
        requests.add(new Request(name, key, version, body, untyped));
    }

    private static String bits(int operations) {
        return operations == Integer.MIN_VALUE ? "" : String.format(" may %x", operations);
    }

    private void metadata() {
        add("metadata of all", ApiKeys.METADATA, 13, new MetadataRequestData().setTopics(null),
                (MetadataResponseData data) -> " shows " + data.topics().stream()
                        .filter(one -> one.name().startsWith(prefix)).map(one -> one.name()).sorted()
                        .collect(Collectors.toList()));
        add("metadata", ApiKeys.METADATA, 13,
                new MetadataRequestData()
                        .setIncludeTopicAuthorizedOperations(true)
                        .setTopics(List.of(new MetadataRequestData.MetadataRequestTopic().setName(topic))),
                (MetadataResponseData data) -> bits(data.topics().iterator().next().topicAuthorizedOperations()));
        add("metadata by id", ApiKeys.METADATA, 13,
                new MetadataRequestData().setTopics(
                        List.of(new MetadataRequestData.MetadataRequestTopic().setTopicId(id).setName(null))));
        add("metadata of an unknown topic", ApiKeys.METADATA, 13,
                new MetadataRequestData().setAllowAutoTopicCreation(false).setTopics(
                        List.of(new MetadataRequestData.MetadataRequestTopic().setName(prefix + "unknown"))));
        add("describe topic partitions", ApiKeys.DESCRIBE_TOPIC_PARTITIONS, 0,
                new DescribeTopicPartitionsRequestData().setTopics(
                        List.of(new DescribeTopicPartitionsRequestData.TopicRequest().setName(topic))),
                (DescribeTopicPartitionsResponseData data) ->
                        bits(data.topics().iterator().next().topicAuthorizedOperations()));
        add("describe cluster", ApiKeys.DESCRIBE_CLUSTER, 2,
                new DescribeClusterRequestData().setIncludeClusterAuthorizedOperations(true),
                (DescribeClusterResponseData data) -> bits(data.clusterAuthorizedOperations()));
        add("describe log dirs", ApiKeys.DESCRIBE_LOG_DIRS, 4, new DescribeLogDirsRequestData().setTopics(null),
                (DescribeLogDirsResponseData data) ->
                        data.results().stream().anyMatch(dir -> !dir.topics().isEmpty()) ? " shows" : "");
        add("list offsets", ApiKeys.LIST_OFFSETS, 10,
                new ListOffsetsRequestData().setReplicaId(-1).setTopics(
                        List.of(new ListOffsetsRequestData.ListOffsetsTopic().setName(topic).setPartitions(
                                List.of(new ListOffsetsRequestData.ListOffsetsPartition().setTimestamp(-1))))));
        OffsetForLeaderEpochRequestData.OffsetForLeaderTopicCollection epochs =
                new OffsetForLeaderEpochRequestData.OffsetForLeaderTopicCollection();
        epochs.add(new OffsetForLeaderEpochRequestData.OffsetForLeaderTopic().setTopic(topic).setPartitions(
                List.of(new OffsetForLeaderEpochRequestData.OffsetForLeaderPartition().setLeaderEpoch(0))));
        add("offset for leader epoch", ApiKeys.OFFSET_FOR_LEADER_EPOCH, 4,
                new OffsetForLeaderEpochRequestData().setReplicaId(-1).setTopics(epochs));
    }

    private void records() {
        FetchRequestData.FetchPartition partition =
                new FetchRequestData.FetchPartition().setPartitionMaxBytes(1000).setCurrentLeaderEpoch(-1);
        Function<FetchRequestData.FetchTopic, FetchRequestData> fetch = wanted -> new FetchRequestData()
                .setMaxWaitMs(0).setMaxBytes(1000).setTopics(List.of(wanted.setPartitions(List.of(partition))));
        // The error of a partition is no error of the response.
        Function<FetchResponseData, String> fetched = data -> " " + data.responses().stream()
                .flatMap(one -> one.partitions().stream())
                .map(one -> org.apache.kafka.common.protocol.Errors.forCode(one.errorCode()).name())
                .collect(Collectors.toList());
        add("fetch", ApiKeys.FETCH, 12, fetch.apply(new FetchRequestData.FetchTopic().setTopic(topic)), fetched);
        add("fetch by id", ApiKeys.FETCH, 17, fetch.apply(new FetchRequestData.FetchTopic().setTopicId(id)), fetched);
        add("produce", ApiKeys.PRODUCE, 12, produce(new ProduceRequestData.TopicProduceData().setName(topic), plain()));
        add("produce by id", ApiKeys.PRODUCE, 13,
                produce(new ProduceRequestData.TopicProduceData().setTopicId(id), plain()));
        add("produce with an id", ApiKeys.PRODUCE, 12,
                produce(new ProduceRequestData.TopicProduceData().setName(topic), numbered(false)));
        add("produce in a transaction", ApiKeys.PRODUCE, 12,
                produce(new ProduceRequestData.TopicProduceData().setName(topic), numbered(true))
                        .setTransactionalId(transactional));
        add("produce to an unknown topic", ApiKeys.PRODUCE, 12,
                produce(new ProduceRequestData.TopicProduceData().setName(prefix + "unknown"), plain()));
    }

    private static MemoryRecords plain() {
        return MemoryRecords.withRecords(Compression.NONE, new SimpleRecord("v".getBytes()));
    }

    private static MemoryRecords numbered(boolean inTransaction) {
        long producer = 1_000_000;
        return inTransaction
                ? MemoryRecords.withTransactionalRecords(
                        Compression.NONE, producer, (short) 0, 0, new SimpleRecord("v".getBytes()))
                : MemoryRecords.withIdempotentRecords(
                        Compression.NONE, producer, (short) 0, 0, new SimpleRecord("v".getBytes()));
    }

    private static ProduceRequestData produce(ProduceRequestData.TopicProduceData to, MemoryRecords records) {
        ProduceRequestData.TopicProduceDataCollection topics = new ProduceRequestData.TopicProduceDataCollection();
        topics.add(to.setPartitionData(List.of(new ProduceRequestData.PartitionProduceData().setRecords(records))));
        return new ProduceRequestData().setAcks((short) -1).setTimeoutMs(10_000).setTopicData(topics);
    }

    private void transactions() {
        add("init producer id", ApiKeys.INIT_PRODUCER_ID, 5,
                new InitProducerIdRequestData().setTransactionalId(null).setTransactionTimeoutMs(60_000));
        add("init producer id of a transactional id", ApiKeys.INIT_PRODUCER_ID, 5,
                new InitProducerIdRequestData().setTransactionalId(transactional).setTransactionTimeoutMs(60_000));
        AddPartitionsToTxnRequestData.AddPartitionsToTxnTopicCollection added =
                new AddPartitionsToTxnRequestData.AddPartitionsToTxnTopicCollection();
        added.add(new AddPartitionsToTxnRequestData.AddPartitionsToTxnTopic().setName(topic).setPartitions(List.of(0)));
        add("add partitions", ApiKeys.ADD_PARTITIONS_TO_TXN, 3,
                new AddPartitionsToTxnRequestData().setV3AndBelowTransactionalId(transactional)
                        .setV3AndBelowProducerId(1_000_000).setV3AndBelowTopics(added));
        AddPartitionsToTxnRequestData ofBroker = new AddPartitionsToTxnRequestData();
        ofBroker.transactions()
                .add(new AddPartitionsToTxnRequestData.AddPartitionsToTxnTransaction()
                        .setTransactionalId(transactional).setProducerId(1_000_000).setTopics(added.duplicate()));
        add("add partitions as a broker", ApiKeys.ADD_PARTITIONS_TO_TXN, 5, ofBroker);
        add("add offsets", ApiKeys.ADD_OFFSETS_TO_TXN, 4,
                new AddOffsetsToTxnRequestData().setTransactionalId(transactional).setProducerId(1_000_000)
                        .setGroupId(group));
        for (int version = 4; version <= 5; version++) {
            String suffix = version == 4 ? "" : ", version 5";
            add("commit offsets in a transaction" + suffix, ApiKeys.TXN_OFFSET_COMMIT, version,
                    new TxnOffsetCommitRequestData().setTransactionalId(transactional).setProducerId(1_000_000)
                            .setGroupId(group).setTopics(List.of(new TxnOffsetCommitRequestData.TxnOffsetCommitRequestTopic()
                                    .setName(topic).setPartitions(List.of(
                                            new TxnOffsetCommitRequestData.TxnOffsetCommitRequestPartition())))));
            add("end transaction" + suffix, ApiKeys.END_TXN, version,
                    new EndTxnRequestData().setTransactionalId(transactional).setProducerId(1_000_000));
        }
        add("describe transactions", ApiKeys.DESCRIBE_TRANSACTIONS, 0,
                new DescribeTransactionsRequestData().setTransactionalIds(List.of(transactional)));
        add("list transactions", ApiKeys.LIST_TRANSACTIONS, 1, new ListTransactionsRequestData(),
                (ListTransactionsResponseData data) -> data.transactionStates().stream()
                        .anyMatch(one -> one.transactionalId().equals(transactional)) ? " shows" : "");
        add("describe producers", ApiKeys.DESCRIBE_PRODUCERS, 0,
                new DescribeProducersRequestData().setTopics(List.of(
                        new DescribeProducersRequestData.TopicRequest().setName(topic).setPartitionIndexes(List.of(0)))));
        add("write markers", ApiKeys.WRITE_TXN_MARKERS, 1,
                new WriteTxnMarkersRequestData().setMarkers(List.of(new WriteTxnMarkersRequestData.WritableTxnMarker()
                        .setProducerId(1_000_000).setTopics(List.of(new WriteTxnMarkersRequestData.WritableTxnMarkerTopic()
                                .setName(topic).setPartitionIndexes(List.of(0)))))));
        for (int type = 0; type < 2; type++) {
            add("find coordinator of " + (type == 0 ? "a group" : "a transactional id"), ApiKeys.FIND_COORDINATOR, 5,
                    new FindCoordinatorRequestData().setKeyType((byte) type)
                            .setCoordinatorKeys(List.of(type == 0 ? group : transactional)));
        }
    }

    private void groups() {
        JoinGroupRequestData join = new JoinGroupRequestData().setGroupId(group).setProtocolType("consumer")
                .setSessionTimeoutMs(10_000).setRebalanceTimeoutMs(10_000);
        join.protocols().add(new JoinGroupRequestData.JoinGroupRequestProtocol().setName("range"));
        add("join group", ApiKeys.JOIN_GROUP, 9, join);
        add("sync group", ApiKeys.SYNC_GROUP, 5,
                new SyncGroupRequestData().setGroupId(group).setMemberId("m").setProtocolType("consumer")
                        .setProtocolName("range"));
        add("heartbeat", ApiKeys.HEARTBEAT, 4, new HeartbeatRequestData().setGroupId(group).setMemberId("m"));
        add("leave group", ApiKeys.LEAVE_GROUP, 5,
                new LeaveGroupRequestData().setGroupId(group).setMembers(
                        List.of(new LeaveGroupRequestData.MemberIdentity().setMemberId("m"))));
        add("commit offsets", ApiKeys.OFFSET_COMMIT, 9,
                new OffsetCommitRequestData().setGroupId(group).setTopics(List.of(
                        new OffsetCommitRequestData.OffsetCommitRequestTopic().setName(topic).setPartitions(
                                List.of(new OffsetCommitRequestData.OffsetCommitRequestPartition())))));
        OffsetFetchRequestData.OffsetFetchRequestTopics wanted =
                new OffsetFetchRequestData.OffsetFetchRequestTopics().setName(topic).setPartitionIndexes(List.of(0));
        add("fetch offsets", ApiKeys.OFFSET_FETCH, 9,
                new OffsetFetchRequestData().setGroups(List.of(new OffsetFetchRequestData.OffsetFetchRequestGroup()
                        .setGroupId(group).setTopics(List.of(wanted)))));
        add("fetch all offsets", ApiKeys.OFFSET_FETCH, 9,
                new OffsetFetchRequestData().setGroups(List.of(
                        new OffsetFetchRequestData.OffsetFetchRequestGroup().setGroupId(group).setTopics(null))),
                (OffsetFetchResponseData data) -> data.groups().get(0).topics().isEmpty() ? "" : " shows");
        add("describe groups", ApiKeys.DESCRIBE_GROUPS, 6,
                new DescribeGroupsRequestData().setGroups(List.of(group)).setIncludeAuthorizedOperations(true),
                (DescribeGroupsResponseData data) -> bits(data.groups().get(0).authorizedOperations()));
        add("list groups", ApiKeys.LIST_GROUPS, 5, new ListGroupsRequestData(),
                (ListGroupsResponseData data) ->
                        data.groups().stream().anyMatch(one -> one.groupId().equals(group)) ? " shows" : "");
    }

    private void shares() {
        String member = Uuid.randomUuid().toString();
        add("share group heartbeat", ApiKeys.SHARE_GROUP_HEARTBEAT, 1,
                new ShareGroupHeartbeatRequestData().setGroupId(share).setMemberId(member)
                        .setSubscribedTopicNames(List.of(topic)));
        add("share group describe", ApiKeys.SHARE_GROUP_DESCRIBE, 1,
                new ShareGroupDescribeRequestData().setGroupIds(List.of(share)).setIncludeAuthorizedOperations(true),
                (ShareGroupDescribeResponseData data) -> bits(data.groups().get(0).authorizedOperations()));
        ShareFetchRequestData.FetchTopicCollection fetched = new ShareFetchRequestData.FetchTopicCollection();
        ShareFetchRequestData.FetchPartitionCollection partitions = new ShareFetchRequestData.FetchPartitionCollection();
        partitions.add(new ShareFetchRequestData.FetchPartition());
        fetched.add(new ShareFetchRequestData.FetchTopic().setTopicId(id).setPartitions(partitions));
        add("share fetch", ApiKeys.SHARE_FETCH, 1,
                new ShareFetchRequestData().setGroupId(share).setMemberId(member).setMaxBytes(1000).setMaxRecords(10)
                        .setBatchSize(10).setTopics(fetched));
        ShareAcknowledgeRequestData.AcknowledgeTopicCollection done =
                new ShareAcknowledgeRequestData.AcknowledgeTopicCollection();
        ShareAcknowledgeRequestData.AcknowledgePartitionCollection of =
                new ShareAcknowledgeRequestData.AcknowledgePartitionCollection();
        of.add(new ShareAcknowledgeRequestData.AcknowledgePartition().setAcknowledgementBatches(List.of(
                new ShareAcknowledgeRequestData.AcknowledgementBatch().setAcknowledgeTypes(List.of((byte) 1)))));
        done.add(new ShareAcknowledgeRequestData.AcknowledgeTopic().setTopicId(id).setPartitions(of));
        // A session that there is not, so that the answer does not depend on who won a race.
        add("share acknowledge", ApiKeys.SHARE_ACKNOWLEDGE, 1,
                new ShareAcknowledgeRequestData().setGroupId(share).setMemberId(Uuid.randomUuid().toString())
                        .setShareSessionEpoch(1).setTopics(done));
    }

    private static DescribeConfigsRequestData configs(int type, String name) {
        return new DescribeConfigsRequestData().setResources(List.of(new DescribeConfigsRequestData
                .DescribeConfigsResource().setResourceType((byte) type).setResourceName(name)
                .setConfigurationKeys(null)));
    }

    private static IncrementalAlterConfigsRequestData alter(int type, String name, String config) {
        IncrementalAlterConfigsRequestData.AlterConfigsResourceCollection resources =
                new IncrementalAlterConfigsRequestData.AlterConfigsResourceCollection();
        IncrementalAlterConfigsRequestData.AlterableConfigCollection configs =
                new IncrementalAlterConfigsRequestData.AlterableConfigCollection();
        configs.add(new IncrementalAlterConfigsRequestData.AlterableConfig().setName(config).setValue("60000"));
        resources.add(new IncrementalAlterConfigsRequestData.AlterConfigsResource().setResourceType((byte) type)
                .setResourceName(name).setConfigs(configs));
        return new IncrementalAlterConfigsRequestData().setResources(resources).setValidateOnly(true);
    }

    private void administration() {
        add("describe configs of a topic", ApiKeys.DESCRIBE_CONFIGS, 4, configs(2, topic));
        add("describe configs of the broker", ApiKeys.DESCRIBE_CONFIGS, 4, configs(4, "1"));
        add("describe configs of a group", ApiKeys.DESCRIBE_CONFIGS, 4, configs(32, group));
        add("alter configs of a topic", ApiKeys.INCREMENTAL_ALTER_CONFIGS, 1, alter(2, topic, "segment.ms"));
        add("alter configs of a group", ApiKeys.INCREMENTAL_ALTER_CONFIGS, 1,
                alter(32, group, "share.record.lock.duration.ms"));
        AlterConfigsRequestData.AlterConfigsResourceCollection replaced =
                new AlterConfigsRequestData.AlterConfigsResourceCollection();
        replaced.add(new AlterConfigsRequestData.AlterConfigsResource().setResourceType((byte) 2).setResourceName(topic));
        add("replace configs of a topic", ApiKeys.ALTER_CONFIGS, 2,
                new AlterConfigsRequestData().setResources(replaced).setValidateOnly(true));
        add("create a topic", ApiKeys.CREATE_TOPICS, 7, create(prefix + "new"));
        add("create a topic that is there", ApiKeys.CREATE_TOPICS, 7, create(topic));
        CreatePartitionsRequestData.CreatePartitionsTopicCollection grown =
                new CreatePartitionsRequestData.CreatePartitionsTopicCollection();
        grown.add(new CreatePartitionsRequestData.CreatePartitionsTopic().setName(topic).setCount(2).setAssignments(null));
        add("create partitions", ApiKeys.CREATE_PARTITIONS, 3,
                new CreatePartitionsRequestData().setTopics(grown).setTimeoutMs(10_000).setValidateOnly(true));
        add("list reassignments", ApiKeys.LIST_PARTITION_REASSIGNMENTS, 0,
                new ListPartitionReassignmentsRequestData().setTimeoutMs(10_000).setTopics(null));
        add("describe quotas", ApiKeys.DESCRIBE_CLIENT_QUOTAS, 1,
                new DescribeClientQuotasRequestData().setComponents(List.of()));
        add("describe users", ApiKeys.DESCRIBE_USER_SCRAM_CREDENTIALS, 0,
                // Asked for all users by somebody without rights, Kafka 4.1 does not answer.
                new DescribeUserScramCredentialsRequestData().setUsers(
                        List.of(new DescribeUserScramCredentialsRequestData.UserName().setName(prefix))));
        add("alter users", ApiKeys.ALTER_USER_SCRAM_CREDENTIALS, 0,
                new AlterUserScramCredentialsRequestData().setDeletions(List.of(
                        new AlterUserScramCredentialsRequestData.ScramCredentialDeletion().setName(prefix)
                                .setMechanism((byte) 1))));
        add("describe entries", ApiKeys.DESCRIBE_ACLS, 3, new DescribeAclsRequestData().setResourceTypeFilter((byte) 1)
                .setPatternTypeFilter((byte) 1).setOperation((byte) 1).setPermissionType((byte) 1));
        add("create entries", ApiKeys.CREATE_ACLS, 3,
                new CreateAclsRequestData().setCreations(List.of(new CreateAclsRequestData.AclCreation()
                        .setResourceType((byte) 2).setResourceName(prefix + "other").setResourcePatternType((byte) 3)
                        .setPrincipal("User:nobody").setHost("*").setOperation((byte) 3).setPermissionType((byte) 3))));
        add("delete entries", ApiKeys.DELETE_ACLS, 3,
                new DeleteAclsRequestData().setFilters(List.of(new DeleteAclsRequestData.DeleteAclsFilter()
                        .setResourceTypeFilter((byte) 2).setResourceNameFilter(prefix + "other")
                        .setPatternTypeFilter((byte) 3).setPrincipalFilter("User:nobody").setHostFilter("*")
                        .setOperation((byte) 3).setPermissionType((byte) 3))));
    }

    private static CreateTopicsRequestData create(String name) {
        CreateTopicsRequestData.CreatableTopicCollection topics = new CreateTopicsRequestData.CreatableTopicCollection();
        topics.add(new CreateTopicsRequestData.CreatableTopic().setName(name).setNumPartitions(1)
                .setReplicationFactor((short) 1));
        return new CreateTopicsRequestData().setTopics(topics).setTimeoutMs(10_000).setValidateOnly(true);
    }

    private void taking() {
        add("delete records", ApiKeys.DELETE_RECORDS, 2,
                new DeleteRecordsRequestData().setTimeoutMs(10_000).setTopics(List.of(
                        new DeleteRecordsRequestData.DeleteRecordsTopic().setName(topic).setPartitions(List.of(
                                new DeleteRecordsRequestData.DeleteRecordsPartition().setOffset(1))))));
        OffsetDeleteRequestData.OffsetDeleteRequestTopicCollection forgotten =
                new OffsetDeleteRequestData.OffsetDeleteRequestTopicCollection();
        forgotten.add(new OffsetDeleteRequestData.OffsetDeleteRequestTopic().setName(topic).setPartitions(
                List.of(new OffsetDeleteRequestData.OffsetDeleteRequestPartition())));
        add("delete offsets", ApiKeys.OFFSET_DELETE, 0,
                new OffsetDeleteRequestData().setGroupId(group).setTopics(forgotten));
        add("delete groups", ApiKeys.DELETE_GROUPS, 2, new DeleteGroupsRequestData().setGroupsNames(List.of(group)));
        add("delete an unknown topic", ApiKeys.DELETE_TOPICS, 6, delete(
                new DeleteTopicsRequestData.DeleteTopicState().setName(prefix + "unknown")));
        add("delete a topic", ApiKeys.DELETE_TOPICS, 6,
                delete(new DeleteTopicsRequestData.DeleteTopicState().setName(topic)));
        add("delete a topic by id", ApiKeys.DELETE_TOPICS, 6,
                delete(new DeleteTopicsRequestData.DeleteTopicState().setTopicId(deleted).setName(null)));
    }

    private static DeleteTopicsRequestData delete(DeleteTopicsRequestData.DeleteTopicState topic) {
        return new DeleteTopicsRequestData().setTopics(List.of(topic)).setTimeoutMs(10_000);
    }
}
