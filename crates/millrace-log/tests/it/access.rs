//! What clients may do, where access control lists say so.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::share_fetch_request::{
    FetchPartition as SharePartition, FetchTopic as ShareTopic,
};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, CreateAclsRequest, CreateTopicsRequest, DeleteAclsRequest,
    DescribeAclsRequest, FetchRequest, FindCoordinatorRequest, GroupId, InitProducerIdRequest,
    JoinGroupRequest, ListGroupsRequest, MetadataRequest, OffsetFetchRequest, ProduceRequest,
    SaslAuthenticateRequest, SaslHandshakeRequest, ShareFetchRequest, ShareGroupHeartbeatRequest,
    TopicName, TransactionalId,
};
use millrace_core::seam::Seams;
use millrace_log::storage::Origin;
use millrace_log::storage::records::BatchBuilder;
use millrace_log::{BrokerConfig, SaslMechanism, Users};

use crate::client::{Client, Log, text};

const TOPIC: i8 = 2;
const GROUP: i8 = 3;
const CLUSTER: i8 = 4;
const TRANSACTIONAL_ID: i8 = 5;
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;
const READ: i8 = 3;
const WRITE: i8 = 4;
const DESCRIBE: i8 = 8;
const DENY: i8 = 2;
const ALLOW: i8 = 3;

/// A log where `root` may do everything, and `ann` what is allowed.
async fn guarded() -> Log {
    Log::start_with(|config: &mut BrokerConfig| {
        let mut users = Users::open(&config.data_dir).unwrap();
        for name in ["root", "ann"] {
            users.set_password(name, "secret").unwrap();
        }
        config.sasl_mechanisms = vec![SaslMechanism::Plain];
        config.acls = true;
        config.super_users = vec!["root".to_owned()];
    })
    .await
}

async fn client(log: &Log, user: &str) -> Client {
    let mut client = log.client().await;
    client.send(1, SaslHandshakeRequest::default().with_mechanism(text("PLAIN"))).await;
    let token = Bytes::from(format!("\0{user}\0secret"));
    let request = SaslAuthenticateRequest::default().with_auth_bytes(token);
    assert_eq!(client.send(2, request).await.error_code, 0);
    client
}

fn entry(kind: i8, name: &str, pattern: i8, operation: i8, permission: i8) -> AclCreation {
    AclCreation::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_resource_pattern_type(pattern)
        .with_principal(text("User:ann"))
        .with_host(text("*"))
        .with_operation(operation)
        .with_permission_type(permission)
}

async fn create(client: &mut Client, entries: Vec<AclCreation>) -> Vec<Option<ResponseError>> {
    let response = client.send(3, CreateAclsRequest::default().with_creations(entries)).await;
    response.results.iter().map(|r| ResponseError::try_from_code(r.error_code)).collect()
}

async fn create_topic(client: &mut Client, name: &str) -> Option<ResponseError> {
    let topic = CreatableTopic::default()
        .with_name(TopicName(text(name)))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(1_000);
    ResponseError::try_from_code(client.send(6, request).await.topics[0].error_code)
}

async fn produce(client: &mut Client, topic: &str) -> Option<ResponseError> {
    let data = PartitionProduceData::default().with_records(Some(Bytes::from_static(b"noise")));
    let topic = TopicProduceData::default()
        .with_name(TopicName(text(topic)))
        .with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic]);
    let response = client.send(9, request).await;
    ResponseError::try_from_code(response.responses[0].partition_responses[0].error_code)
}

async fn fetch(client: &mut Client, topic: &str) -> Option<ResponseError> {
    let topic = FetchTopic::default()
        .with_topic(TopicName(text(topic)))
        .with_partitions(vec![FetchPartition::default().with_partition_max_bytes(1_000)]);
    let request = FetchRequest::default().with_max_bytes(1_000).with_topics(vec![topic]);
    let response = client.send(11, request).await;
    ResponseError::try_from_code(response.responses[0].partitions[0].error_code)
}

async fn visible(client: &mut Client) -> Vec<String> {
    let request = MetadataRequest::default().with_topics(None);
    let topics = client.send(9, request).await.topics;
    topics.iter().map(|topic| topic.name.as_ref().unwrap().to_string()).collect()
}

const DENIED: Option<ResponseError> = Some(ResponseError::TopicAuthorizationFailed);

#[tokio::test]
async fn topics_are_seen_read_and_written_by_those_who_may() {
    let log = guarded().await;
    let (mut root, mut ann) = (client(&log, "root").await, client(&log, "ann").await);
    assert_eq!(create_topic(&mut ann, "t-1").await, DENIED);
    for name in ["t-1", "u"] {
        assert_eq!(create_topic(&mut root, name).await, None);
    }
    assert_eq!(visible(&mut ann).await, [""; 0]);
    assert_eq!(produce(&mut ann, "t-1").await, DENIED);
    assert_eq!(fetch(&mut ann, "t-1").await, DENIED);
    // Whether there is a topic is not said either.
    for name in ["t-1", "nowhere"] {
        let topic = MetadataRequestTopic::default().with_name(Some(TopicName(text(name))));
        let request = MetadataRequest::default().with_topics(Some(vec![topic]));
        let code = ann.send(9, request).await.topics[0].error_code;
        assert_eq!(ResponseError::try_from_code(code), DENIED, "{name}");
    }
    assert_eq!(create(&mut root, vec![entry(TOPIC, "t-", PREFIXED, READ, ALLOW)]).await, [None]);
    assert_eq!(visible(&mut ann).await, ["t-1"]);
    assert_eq!(fetch(&mut ann, "t-1").await, None);
    assert_eq!(produce(&mut ann, "t-1").await, DENIED);
    create(&mut root, vec![entry(TOPIC, "t-1", LITERAL, WRITE, ALLOW)]).await;
    assert_ne!(produce(&mut ann, "t-1").await, DENIED, "what is refused is the noise");
    create(&mut root, vec![entry(TOPIC, "*", LITERAL, READ, DENY)]).await;
    assert_eq!(fetch(&mut ann, "t-1").await, DENIED);
    assert_eq!(visible(&mut ann).await, ["t-1"], "who may write may see");
}

#[tokio::test]
async fn groups_and_transactional_ids_are_for_those_who_may() {
    let log = guarded().await;
    let (mut root, mut ann) = (client(&log, "root").await, client(&log, "ann").await);
    create_topic(&mut root, "t").await;
    let group_denied = ResponseError::GroupAuthorizationFailed.code();
    let id_denied = ResponseError::TransactionalIdAuthorizationFailed.code();
    for (kind, code) in [(0, group_denied), (1, id_denied)] {
        let request = FindCoordinatorRequest::default()
            .with_key_type(kind)
            .with_coordinator_keys(vec![text("x")]);
        assert_eq!(ann.send(4, request).await.coordinators[0].error_code, code);
    }
    let join = JoinGroupRequest::default()
        .with_group_id(GroupId(text("x")))
        .with_session_timeout_ms(10_000);
    assert_eq!(ann.send(5, join).await.error_code, group_denied);
    let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(text("x")));
    let offsets = OffsetFetchRequest::default().with_groups(vec![group.with_topics(None)]);
    assert_eq!(ann.send(8, offsets.clone()).await.groups[0].error_code, group_denied);
    assert_eq!(ann.send(4, ListGroupsRequest::default()).await.groups.len(), 0);

    let init = |id: Option<&str>| {
        InitProducerIdRequest::default()
            .with_transactional_id(id.map(|id| TransactionalId(text(id))))
            .with_transaction_timeout_ms(10_000)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1)
    };
    assert_eq!(ann.send(4, init(Some("x"))).await.error_code, id_denied);
    let cluster_denied = ResponseError::ClusterAuthorizationFailed.code();
    assert_eq!(ann.send(4, init(None)).await.error_code, cluster_denied);

    let allow = [(GROUP, READ), (TRANSACTIONAL_ID, WRITE)];
    let entries = allow.map(|(kind, operation)| entry(kind, "x", LITERAL, operation, ALLOW));
    create(&mut root, entries.to_vec()).await;
    assert_eq!(ann.send(8, offsets).await.groups[0].error_code, 0);
    let producer = ann.send(4, init(Some("x"))).await;
    assert_eq!(producer.error_code, 0);
    let mut add = async || {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(TopicName(text("t")))
            .with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text("x")))
            .with_v3_and_below_producer_id(producer.producer_id)
            .with_v3_and_below_producer_epoch(producer.producer_epoch)
            .with_v3_and_below_topics(vec![topic]);
        let response = ann.send(3, request).await;
        let results = &response.results_by_topic_v3_and_below[0].results_by_partition;
        ResponseError::try_from_code(results[0].partition_error_code)
    };
    assert_eq!(add().await, DENIED);
    create(&mut root, vec![entry(TOPIC, "t", LITERAL, WRITE, ALLOW)]).await;
    assert_eq!(add().await, None);
    assert_eq!(ann.send(4, init(None)).await.error_code, 0, "who writes may do so idempotently");
}

#[tokio::test]
async fn entries_are_described_and_deleted_by_those_who_may() {
    let log = guarded().await;
    let (mut root, mut ann) = (client(&log, "root").await, client(&log, "ann").await);
    let denied = Some(ResponseError::ClusterAuthorizationFailed);
    let good = entry(TOPIC, "t", LITERAL, READ, ALLOW);
    assert_eq!(create(&mut ann, vec![good.clone()]).await, [denied]);
    let invalid = Some(ResponseError::InvalidRequest);
    let bad = [
        entry(1, "t", LITERAL, READ, ALLOW),
        entry(TOPIC, "", LITERAL, READ, ALLOW),
        entry(TOPIC, "t", 2, READ, ALLOW),
        entry(TOPIC, "t", LITERAL, 99, ALLOW),
        entry(TOPIC, "t", LITERAL, READ, 1),
        entry(CLUSTER, "mine", LITERAL, DESCRIBE, ALLOW),
        entry(TOPIC, "t", LITERAL, READ, ALLOW).with_principal(text("ann")),
    ];
    assert_eq!(create(&mut root, bad.to_vec()).await, [invalid; 7]);
    let more = entry(TOPIC, "t", LITERAL, WRITE, ALLOW);
    assert_eq!(create(&mut root, vec![good.clone(), good, more]).await, [None; 3]);
    let all = DescribeAclsRequest::default()
        .with_resource_type_filter(1)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(1)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(1)
        .with_permission_type(1);
    let refused = ann.send(3, all.clone()).await.error_code;
    assert_eq!(ResponseError::try_from_code(refused), denied);
    let described = root.send(3, all.clone()).await;
    assert_eq!(described.resources.len(), 1);
    assert_eq!(described.resources[0].acls.len(), 2);
    let filter = DeleteAclsFilter::default()
        .with_resource_type_filter(TOPIC)
        .with_resource_name_filter(Some(text("t")))
        .with_pattern_type_filter(LITERAL)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(READ)
        .with_permission_type(1);
    let request = DeleteAclsRequest::default().with_filters(vec![filter]);
    let deleted = root.send(3, request).await;
    assert_eq!(deleted.filter_results[0].matching_acls.len(), 1);
    let left = root.send(3, all).await;
    assert_eq!(left.resources[0].acls.iter().map(|a| a.operation).collect::<Vec<_>>(), [WRITE]);
}

#[tokio::test]
async fn without_lists_there_are_no_entries() {
    let log = Log::start().await;
    let mut client = log.client().await;
    let disabled = Some(ResponseError::SecurityDisabled);
    let entries = vec![entry(TOPIC, "t", LITERAL, READ, ALLOW)];
    assert_eq!(create(&mut client, entries).await, [disabled]);
    let request = DescribeAclsRequest::default().with_resource_type_filter(1);
    let code = client.send(3, request).await.error_code;
    assert_eq!(ResponseError::try_from_code(code), disabled);
}

/// Takes away what `ann` was allowed of topics, and appends a record to topic `t` then.
async fn revoke_and_append(log: &Log, root: &mut Client) {
    // What was asked before waits by now.
    Seams::system().clock.sleep(std::time::Duration::from_millis(200)).await;
    let filter = DeleteAclsFilter::default()
        .with_resource_type_filter(TOPIC)
        .with_pattern_type_filter(1)
        .with_operation(1)
        .with_permission_type(1)
        .with_resource_name_filter(None)
        .with_principal_filter(None)
        .with_host_filter(None);
    let deleted = root.send(3, DeleteAclsRequest::default().with_filters(vec![filter])).await;
    assert_eq!(deleted.filter_results[0].matching_acls.len(), 1);
    let mut batch = BatchBuilder::new();
    batch.push(0, None, Some(b"secret"));
    let partition = log.server.broker().partition("t", 0).unwrap();
    partition.append(batch.build(), Origin::Client).unwrap();
}

/// A fetch that waited when the right to read was taken away brought records all the same.
#[tokio::test]
async fn a_fetch_that_waits_brings_nothing_that_may_no_longer_be_read() {
    let log = guarded().await;
    let (mut root, mut ann) = (client(&log, "root").await, client(&log, "ann").await);
    create_topic(&mut root, "t").await;
    create(&mut root, vec![entry(TOPIC, "t", LITERAL, READ, ALLOW)]).await;
    let topic = FetchTopic::default()
        .with_topic(TopicName(text("t")))
        .with_partitions(vec![FetchPartition::default().with_partition_max_bytes(1_000)]);
    let request = FetchRequest::default()
        .with_max_bytes(1_000)
        .with_min_bytes(1)
        .with_max_wait_ms(60_000)
        .with_topics(vec![topic]);
    let id = ann.write(11, &request).await;
    revoke_and_append(&log, &mut root).await;
    let response = ann.read::<FetchRequest>(11, id).await.unwrap();
    let partition = &response.responses[0].partitions[0];
    assert_eq!(ResponseError::try_from_code(partition.error_code), DENIED);
    assert_eq!(partition.records.as_ref().map(Bytes::len), Some(0));
}

#[tokio::test]
async fn a_worker_that_waits_gets_nothing_that_it_may_no_longer_read_and_others_get_it() {
    let log = guarded().await;
    let (mut root, mut ann) = (client(&log, "root").await, client(&log, "ann").await);
    create_topic(&mut root, "t").await;
    let allowed =
        [entry(GROUP, "q", LITERAL, READ, ALLOW), entry(TOPIC, "t", LITERAL, READ, ALLOW)];
    create(&mut root, allowed.to_vec()).await;
    let topic_id = log.server.broker().topics().get("t").unwrap().id;
    let join = |member: &str| {
        ShareGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text("q")))
            .with_member_id(text(member))
            .with_member_epoch(0)
            .with_subscribed_topic_names(Some(vec![TopicName(text("t"))]))
    };
    let take = |member: &str| {
        let partition = SharePartition::default().with_partition_max_bytes(1_000);
        let topic = ShareTopic::default().with_topic_id(topic_id).with_partitions(vec![partition]);
        ShareFetchRequest::default()
            .with_group_id(Some(GroupId(text("q"))))
            .with_member_id(Some(text(member)))
            .with_max_wait_ms(60_000)
            .with_min_bytes(1)
            .with_max_bytes(1_000)
            .with_max_records(10)
            .with_batch_size(10)
            .with_topics(vec![topic])
    };
    for (client, member) in [(&mut ann, "ann"), (&mut root, "root")] {
        assert_eq!(client.send(1, join(member)).await.error_code, 0);
    }
    let id = ann.write(1, &take("ann")).await;
    revoke_and_append(&log, &mut root).await;
    let response = ann.read::<ShareFetchRequest>(1, id).await.unwrap();
    let partition = &response.responses[0].partitions[0];
    assert_eq!(ResponseError::try_from_code(partition.error_code), DENIED);
    assert!(partition.acquired_records.is_empty());
    assert_eq!(partition.records.as_ref().map(Bytes::len), Some(0));

    let response = root.send(1, take("root")).await;
    let acquired = &response.responses[0].partitions[0].acquired_records;
    assert_eq!((acquired[0].first_offset, acquired[0].last_offset), (0, 0));
}
