//! A valid request of each kind, about the things of the attacker, for the fuzzer to spoil.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};
use millrace_log::storage::records::BatchBuilder;
use uuid::Uuid;

use crate::client::{text, try_frame};

/// The topic that the requests are about.
pub const TOPIC: &str = "prey";

/// A request, with its header and length, in any version.
pub struct Seed {
    pub key: i16,
    encode: Box<dyn Fn(i16) -> BytesMut + Send + Sync>,
}

impl Seed {
    fn of<T: Request + Default + Send + Sync + 'static>(request: T) -> Seed {
        let encode = move |version| {
            // What a version has no field for is left to the other seeds of its kind.
            try_frame(version, 7, &request)
                .or_else(|| try_frame(version, 7, &T::default()))
                .expect("a request without contents can be encoded")
        };
        Seed { key: T::KEY, encode: Box::new(encode) }
    }

    pub fn frame(&self, version: i16) -> BytesMut {
        (self.encode)(version)
    }
}

/// A batch as a producer sends it.
pub fn batch() -> Bytes {
    let mut batch = BatchBuilder::new();
    for value in ["a", "bb", "ccc"] {
        let headers = [("name", Some(&b"value"[..]))];
        batch.push_with_headers(1_700_000_000_000, Some(b"key"), Some(value.as_bytes()), &headers);
    }
    batch.build()
}

fn name() -> TopicName {
    TopicName(text(TOPIC))
}

fn group() -> GroupId {
    GroupId(text("group"))
}

fn id() -> TransactionalId {
    TransactionalId(text("transactional"))
}

fn some(value: &str) -> Option<StrBytes> {
    Some(text(value))
}

/// With the id of [`TOPIC`], where requests name it so.
pub fn seeds(topic: Uuid) -> Vec<Seed> {
    let all = [
        records(topic),
        transactions(),
        groups(),
        shares(topic),
        share_offsets(),
        consumers(topic),
        topics(topic),
        nodes(),
        settings(),
        access(),
    ];
    all.into_iter().flatten().collect()
}

/// A batch that takes its partition into the transaction of the first producer.
fn transactional_batch() -> Bytes {
    let mut batch = BatchBuilder::new().producer(0, 0, 0).transactional();
    batch.push(1_700_000_000_000, None, Some(b"value"));
    batch.build()
}

fn produce(
    topic: Uuid,
    by_id: bool,
    transactional_id: Option<TransactionalId>,
    records: Bytes,
) -> Seed {
    use produce_request::{PartitionProduceData, TopicProduceData};
    let data = PartitionProduceData::default().with_records(Some(records));
    let named = TopicProduceData::default();
    let named = if by_id { named.with_topic_id(topic) } else { named.with_name(name()) };
    Seed::of(
        ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(1_000)
            .with_transactional_id(transactional_id)
            .with_topic_data(vec![named.with_partition_data(vec![data])]),
    )
}

fn fetch(topic: Uuid, by_id: bool) -> Seed {
    use fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
    let partition = FetchPartition::default().with_partition_max_bytes(1_000);
    let (named, forgotten) = (FetchTopic::default(), ForgottenTopic::default());
    let (named, forgotten) = match by_id {
        true => (named.with_topic_id(topic), forgotten.with_topic_id(topic)),
        false => (named.with_topic(name()), forgotten.with_topic(name())),
    };
    let request = FetchRequest::default()
        .with_max_bytes(1_000)
        .with_min_bytes(1)
        .with_topics(vec![named.with_partitions(vec![partition])]);
    Seed::of(match by_id {
        true => request,
        false => request.with_forgotten_topics_data(vec![forgotten.with_partitions(vec![1])]),
    })
}

fn records(topic: Uuid) -> Vec<Seed> {
    use delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    use list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    use offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    let wanted = ListOffsetsTopic::default().with_name(name()).with_partitions(vec![
        ListOffsetsPartition::default().with_timestamp(-1),
        ListOffsetsPartition::default().with_timestamp(1_700_000_000_000),
    ]);
    let epochs = OffsetForLeaderTopic::default()
        .with_topic(name())
        .with_partitions(vec![OffsetForLeaderPartition::default()]);
    let deleted = DeleteRecordsTopic::default()
        .with_name(name())
        .with_partitions(vec![DeleteRecordsPartition::default()]);
    vec![
        produce(topic, false, None, batch()),
        produce(topic, true, None, batch()),
        produce(topic, false, Some(id()), batch()),
        produce(topic, false, Some(id()), transactional_batch()),
        produce(topic, true, Some(id()), transactional_batch()),
        fetch(topic, false),
        fetch(topic, true),
        Seed::of(ListOffsetsRequest::default().with_topics(vec![wanted])),
        Seed::of(OffsetForLeaderEpochRequest::default().with_topics(vec![epochs])),
        Seed::of(DeleteRecordsRequest::default().with_topics(vec![deleted])),
    ]
}

fn transactions() -> Vec<Seed> {
    use add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
    use txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
    use write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
    let added = AddPartitionsToTxnTopic::default().with_name(name()).with_partitions(vec![0]);
    let of_broker = |verify_only| {
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(id())
            .with_verify_only(verify_only)
            .with_topics(vec![added.clone()]);
        Seed::of(AddPartitionsToTxnRequest::default().with_transactions(vec![transaction]))
    };
    let committed = TxnOffsetCommitRequestTopic::default().with_name(name()).with_partitions(vec![
        TxnOffsetCommitRequestPartition::default().with_committed_metadata(some("metadata")),
    ]);
    let marked =
        WritableTxnMarkerTopic::default().with_name(name()).with_partition_indexes(vec![0]);
    let marker = WritableTxnMarker::default().with_topics(vec![marked]);
    let asked = describe_producers_request::TopicRequest::default()
        .with_name(name())
        .with_partition_indexes(vec![0]);
    vec![
        Seed::of(InitProducerIdRequest::default().with_transaction_timeout_ms(1_000)),
        Seed::of(
            InitProducerIdRequest::default()
                .with_transactional_id(Some(id()))
                .with_transaction_timeout_ms(60_000),
        ),
        Seed::of(
            AddPartitionsToTxnRequest::default()
                .with_v3_and_below_transactional_id(id())
                .with_v3_and_below_topics(vec![added.clone()]),
        ),
        of_broker(true),
        of_broker(false),
        Seed::of(
            AddOffsetsToTxnRequest::default().with_transactional_id(id()).with_group_id(group()),
        ),
        Seed::of(
            TxnOffsetCommitRequest::default()
                .with_transactional_id(id())
                .with_group_id(group())
                .with_topics(vec![committed]),
        ),
        Seed::of(EndTxnRequest::default().with_transactional_id(id()).with_committed(true)),
        Seed::of(WriteTxnMarkersRequest::default().with_markers(vec![marker])),
        Seed::of(DescribeProducersRequest::default().with_topics(vec![asked])),
        Seed::of(DescribeTransactionsRequest::default().with_transactional_ids(vec![id()])),
        Seed::of(ListTransactionsRequest::default().with_state_filters(vec![text("Ongoing")])),
    ]
}

fn groups() -> Vec<Seed> {
    use join_group_request::JoinGroupRequestProtocol;
    use leave_group_request::MemberIdentity;
    use offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    use offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
    use offset_fetch_request::{
        OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    };
    use sync_group_request::SyncGroupRequestAssignment;
    // A consumer's subscription: version, topics, user data.
    let metadata = Bytes::from_static(b"\0\x01\0\0\0\x01\0\x04prey\0\0\0\0\0\0\0\0");
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    let assignment = SyncGroupRequestAssignment::default().with_member_id(text("member"));
    let committed = OffsetCommitRequestTopic::default().with_name(name()).with_partitions(vec![
        OffsetCommitRequestPartition::default().with_committed_metadata(some("metadata")),
    ]);
    let wanted = OffsetFetchRequestTopic::default().with_name(name());
    let also =
        OffsetFetchRequestTopics::default().with_name(name()).with_partition_indexes(vec![0]);
    let asked =
        OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![also]));
    let deleted = OffsetDeleteRequestTopic::default()
        .with_name(name())
        .with_partitions(vec![OffsetDeleteRequestPartition::default()]);
    let member = MemberIdentity::default().with_member_id(text("member"));
    let find = FindCoordinatorRequest::default();
    vec![
        Seed::of(find.clone().with_key(text("group"))),
        Seed::of(find.with_key_type(1).with_coordinator_keys(vec![text("transactional")])),
        Seed::of(
            JoinGroupRequest::default()
                .with_group_id(group())
                .with_session_timeout_ms(6_000)
                .with_rebalance_timeout_ms(1_000)
                .with_protocol_type(text("consumer"))
                .with_protocols(vec![protocol.with_metadata(metadata)]),
        ),
        Seed::of(
            SyncGroupRequest::default()
                .with_group_id(group())
                .with_member_id(text("member"))
                .with_assignments(vec![assignment.with_assignment(Bytes::from_static(b"mine"))]),
        ),
        Seed::of(HeartbeatRequest::default().with_group_id(group()).with_member_id(text("member"))),
        Seed::of(
            LeaveGroupRequest::default().with_group_id(group()).with_member_id(text("member")),
        ),
        Seed::of(LeaveGroupRequest::default().with_group_id(group()).with_members(vec![member])),
        Seed::of(
            OffsetCommitRequest::default()
                .with_group_id(group())
                .with_generation_id_or_member_epoch(-1)
                .with_topics(vec![committed]),
        ),
        Seed::of(
            OffsetFetchRequest::default()
                .with_group_id(group())
                .with_topics(Some(vec![wanted.with_partition_indexes(vec![0])])),
        ),
        Seed::of(OffsetFetchRequest::default().with_groups(vec![asked])),
        Seed::of(OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![deleted])),
        Seed::of(DescribeGroupsRequest::default().with_groups(vec![group()])),
        Seed::of(ListGroupsRequest::default().with_states_filter(vec![text("Stable")])),
        Seed::of(DeleteGroupsRequest::default().with_groups_names(vec![group()])),
    ]
}

fn shares(topic: Uuid) -> Vec<Seed> {
    use share_acknowledge_request as acknowledge;
    use share_fetch_request as fetch;
    let member = some("AAAAAAAAAAAAAAAAAAAAAQ");
    let (first, last, done) = (0, 2, vec![1, 2, 0]);
    let batch = fetch::AcknowledgementBatch::default()
        .with_first_offset(first)
        .with_last_offset(last)
        .with_acknowledge_types(done.clone());
    let fetched = fetch::FetchTopic::default().with_topic_id(topic).with_partitions(vec![
        fetch::FetchPartition::default().with_acknowledgement_batches(vec![batch]),
    ]);
    let begun = fetch::FetchTopic::default()
        .with_topic_id(topic)
        .with_partitions(vec![fetch::FetchPartition::default()]);
    let batch = acknowledge::AcknowledgementBatch::default()
        .with_first_offset(first)
        .with_last_offset(last)
        .with_acknowledge_types(done);
    let partition = acknowledge::AcknowledgePartition::default();
    let acknowledged = acknowledge::AcknowledgeTopic::default()
        .with_topic_id(topic)
        .with_partitions(vec![partition.with_acknowledgement_batches(vec![batch])]);
    let group = GroupId(text("workers"));
    let request = ShareFetchRequest::default()
        .with_group_id(Some(group.clone()))
        .with_member_id(member.clone())
        .with_max_bytes(1_000)
        .with_max_records(10)
        .with_batch_size(10);
    vec![
        Seed::of(
            ShareGroupHeartbeatRequest::default()
                .with_group_id(group.clone())
                .with_member_id(text("AAAAAAAAAAAAAAAAAAAAAQ"))
                .with_subscribed_topic_names(Some(vec![name()])),
        ),
        Seed::of(ShareGroupDescribeRequest::default().with_group_ids(vec![group.clone()])),
        Seed::of(request.clone().with_topics(vec![begun])),
        Seed::of(request.with_share_session_epoch(1).with_topics(vec![fetched])),
        Seed::of(
            ShareAcknowledgeRequest::default()
                .with_group_id(Some(group))
                .with_member_id(member)
                .with_share_session_epoch(1)
                .with_topics(vec![acknowledged]),
        ),
    ]
}

/// What administrators ask about the offsets of share groups.
fn share_offsets() -> Vec<Seed> {
    use alter_share_group_offsets_request as alter;
    use delete_share_group_offsets_request as delete;
    use describe_share_group_offsets_request as describe;
    let described = describe::DescribeShareGroupOffsetsRequestTopic::default()
        .with_topic_name(name())
        .with_partitions(vec![0]);
    let described = describe::DescribeShareGroupOffsetsRequestGroup::default()
        .with_group_id(group())
        .with_topics(Some(vec![described]));
    let altered = alter::AlterShareGroupOffsetsRequestPartition::default().with_start_offset(1);
    let altered = alter::AlterShareGroupOffsetsRequestTopic::default()
        .with_topic_name(name())
        .with_partitions(vec![altered]);
    let deleted = delete::DeleteShareGroupOffsetsRequestTopic::default().with_topic_name(name());
    vec![
        Seed::of(DescribeShareGroupOffsetsRequest::default().with_groups(vec![described])),
        Seed::of(
            AlterShareGroupOffsetsRequest::default()
                .with_group_id(group())
                .with_topics(vec![altered]),
        ),
        Seed::of(
            DeleteShareGroupOffsetsRequest::default()
                .with_group_id(group())
                .with_topics(vec![deleted]),
        ),
    ]
}

/// Members of groups whose partitions the server divides.
fn consumers(topic: Uuid) -> Vec<Seed> {
    use consumer_group_heartbeat_request::TopicPartitions;
    let joined = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(text("member"))
        .with_instance_id(some("instance"))
        .with_rack_id(some("rack"))
        .with_rebalance_timeout_ms(1_000)
        .with_server_assignor(some("uniform"))
        .with_topic_partitions(Some(Vec::new()));
    let owned = TopicPartitions::default().with_topic_id(topic).with_partitions(vec![0]);
    vec![
        Seed::of(joined.clone().with_subscribed_topic_names(Some(vec![name()]))),
        Seed::of(joined.with_subscribed_topic_regex(some("p(r|e)*y"))),
        Seed::of(
            ConsumerGroupHeartbeatRequest::default()
                .with_group_id(group())
                .with_member_id(text("member"))
                .with_member_epoch(1)
                .with_topic_partitions(Some(vec![owned])),
        ),
        Seed::of(ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()])),
    ]
}

/// What administrators of many nodes ask for.
fn nodes() -> Vec<Seed> {
    use alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
    use alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
    use describe_quorum_request::{PartitionData, TopicData};
    use elect_leaders_request::TopicPartitions;
    let moved = AlterReplicaLogDirTopic::default().with_name(name()).with_partitions(vec![0]);
    let moved =
        AlterReplicaLogDir::default().with_path(text("/elsewhere")).with_topics(vec![moved]);
    let reassigned = ReassignableTopic::default().with_name(name()).with_partitions(vec![
        ReassignablePartition::default().with_replicas(Some(vec![BrokerId(1)])),
    ]);
    let elected = TopicPartitions::default().with_topic(name()).with_partitions(vec![0]);
    let quorum = TopicData::default()
        .with_topic_name(TopicName(text("__cluster_metadata")))
        .with_partitions(vec![PartitionData::default()]);
    vec![
        Seed::of(AlterReplicaLogDirsRequest::default().with_dirs(vec![moved])),
        Seed::of(AlterPartitionReassignmentsRequest::default().with_topics(vec![reassigned])),
        Seed::of(ElectLeadersRequest::default().with_topic_partitions(Some(vec![elected]))),
        Seed::of(DescribeQuorumRequest::default().with_topics(vec![quorum])),
        Seed::of(ListConfigResourcesRequest::default().with_resource_types(vec![2])),
        Seed::of(ListConfigResourcesRequest::default()),
    ]
}

fn topics(topic: Uuid) -> Vec<Seed> {
    use create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
    use create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
    use delete_topics_request::DeleteTopicState;
    use describe_log_dirs_request::DescribableLogDirTopic;
    use describe_topic_partitions_request as describe;
    use list_partition_reassignments_request::ListPartitionReassignmentsTopics;
    use metadata_request::MetadataRequestTopic;
    let config = CreatableTopicConfig::default().with_name(text("retention.ms"));
    let created = CreatableTopic::default()
        .with_name(name())
        .with_num_partitions(2)
        .with_replication_factor(1)
        .with_configs(vec![config.with_value(some("60000"))]);
    let assigned = CreatableTopic::default()
        .with_name(TopicName(text("assigned")))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments(vec![
            CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(1)]),
        ]);
    let grown = CreatePartitionsTopic::default().with_name(name()).with_count(3).with_assignments(
        Some(vec![CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(1)])]),
    );
    let by_name = DeleteTopicState::default().with_name(Some(TopicName(text("assigned"))));
    let dirs = DescribableLogDirTopic::default().with_topic(name()).with_partitions(vec![0]);
    let moved = ListPartitionReassignmentsTopics::default().with_name(name());
    let cursor = describe::Cursor::default().with_topic_name(name()).with_partition_index(1);
    let metadata = |asked: MetadataRequestTopic| {
        MetadataRequest::default()
            .with_topics(Some(vec![asked]))
            .with_allow_auto_topic_creation(true)
    };
    vec![
        Seed::of(metadata(MetadataRequestTopic::default().with_name(Some(name())))),
        Seed::of(metadata(MetadataRequestTopic::default().with_topic_id(topic).with_name(None))),
        Seed::of(ApiVersionsRequest::default()),
        Seed::of(
            ApiVersionsRequest::default()
                .with_client_software_name(text("fuzz"))
                .with_client_software_version(text("1")),
        ),
        Seed::of(
            CreateTopicsRequest::default()
                .with_topics(vec![created, assigned])
                .with_timeout_ms(1_000),
        ),
        Seed::of(CreatePartitionsRequest::default().with_topics(vec![grown])),
        Seed::of(DeleteTopicsRequest::default().with_topics(vec![by_name])),
        Seed::of(
            DeleteTopicsRequest::default().with_topic_names(vec![TopicName(text("assigned"))]),
        ),
        Seed::of(DescribeLogDirsRequest::default().with_topics(Some(vec![dirs]))),
        Seed::of(
            ListPartitionReassignmentsRequest::default()
                .with_topics(Some(vec![moved.with_partition_indexes(vec![0])])),
        ),
        Seed::of(
            DescribeTopicPartitionsRequest::default()
                .with_topics(vec![describe::TopicRequest::default().with_name(name())])
                .with_response_partition_limit(10)
                .with_cursor(Some(cursor)),
        ),
        Seed::of(DescribeClusterRequest::default()),
    ]
}

fn settings() -> Vec<Seed> {
    use alter_configs_request as alter;
    use describe_client_quotas_request::ComponentData;
    use describe_configs_request::DescribeConfigsResource;
    use incremental_alter_configs_request as incremental;
    let asked = |kind, name| {
        DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(text(name))
    };
    let replaced = alter::AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(TOPIC))
        .with_configs(vec![
            alter::AlterableConfig::default()
                .with_name(text("segment.bytes"))
                .with_value(some("1048576")),
        ]);
    let changed = |kind, name, config, value| {
        let config =
            incremental::AlterableConfig::default().with_name(text(config)).with_value(some(value));
        incremental::AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configs(vec![config])
    };
    vec![
        Seed::of(DescribeConfigsRequest::default().with_resources(vec![
            asked(2, TOPIC),
            asked(4, "1"),
            asked(32, "workers"),
        ])),
        Seed::of(AlterConfigsRequest::default().with_resources(vec![replaced])),
        Seed::of(IncrementalAlterConfigsRequest::default().with_resources(vec![
            changed(2, TOPIC, "cleanup.policy", "compact"),
            changed(32, "workers", "share.record.lock.duration.ms", "30000"),
        ])),
        Seed::of(
            DescribeClientQuotasRequest::default()
                .with_components(vec![ComponentData::default().with_entity_type(text("user"))]),
        ),
    ]
}

fn access() -> Vec<Seed> {
    use alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion};
    use create_acls_request::AclCreation;
    use delete_acls_request::DeleteAclsFilter;
    use describe_user_scram_credentials_request::UserName;
    let upsertion = ScramCredentialUpsertion::default()
        .with_name(text("ann"))
        .with_mechanism(1)
        .with_iterations(4_096)
        .with_salt(Bytes::from_static(b"salt"))
        .with_salted_password(Bytes::from_static(b"salted password"));
    let deletion = ScramCredentialDeletion::default().with_name(text("bob")).with_mechanism(1);
    let entry = AclCreation::default()
        .with_resource_type(2)
        .with_resource_name(text(TOPIC))
        .with_resource_pattern_type(3)
        .with_principal(text("User:ann"))
        .with_host(text("*"))
        .with_operation(3)
        .with_permission_type(3);
    let filter = DeleteAclsFilter::default()
        .with_resource_type_filter(2)
        .with_resource_name_filter(some(TOPIC))
        .with_pattern_type_filter(3)
        .with_operation(1)
        .with_permission_type(1);
    vec![
        Seed::of(SaslHandshakeRequest::default().with_mechanism(text("PLAIN"))),
        Seed::of(
            SaslAuthenticateRequest::default()
                .with_auth_bytes(Bytes::from_static(b"\0ann\0secret")),
        ),
        Seed::of(
            DescribeUserScramCredentialsRequest::default()
                .with_users(Some(vec![UserName::default().with_name(text("ann"))])),
        ),
        Seed::of(
            AlterUserScramCredentialsRequest::default()
                .with_upsertions(vec![upsertion])
                .with_deletions(vec![deletion]),
        ),
        Seed::of(CreateAclsRequest::default().with_creations(vec![entry])),
        Seed::of(
            DescribeAclsRequest::default()
                .with_resource_type_filter(1)
                .with_pattern_type_filter(1)
                .with_operation(1)
                .with_permission_type(1),
        ),
        Seed::of(DeleteAclsRequest::default().with_filters(vec![filter])),
    ]
}
