//! What is refused, and how the answer says so, where random requests to Kafka showed another answer.

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    CreateTopicsRequest, DescribeTopicPartitionsRequest, FetchRequest,
    IncrementalAlterConfigsRequest, ListOffsetsRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use millrace_log::broker::NewTopic;
use millrace_log::storage::records::BatchBuilder;

use crate::client::{Client, Log, text};

const STAMP_MS: i64 = 1_700_000_000_000;

async fn with_topic(log: &Log) -> Client {
    let new = NewTopic { name: "orders".to_owned(), partitions: 1, ..NewTopic::default() };
    log.server.broker().topics().create(new).unwrap();
    log.client().await
}

fn name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn batch(builder: BatchBuilder, stamp_ms: i64) -> BytesMut {
    let mut builder = builder;
    builder.push(stamp_ms, None, Some(b"a"));
    BytesMut::from(&builder.build()[..])
}

async fn produce(
    client: &mut Client,
    version: i16,
    (topic, acks): (&str, i16),
    records: &[u8],
) -> PartitionProduceResponse {
    let data = PartitionProduceData::default().with_records(Some(Bytes::copy_from_slice(records)));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(acks)
        .with_topic_data(vec![topic]);
    client.send(version, request).await.responses.remove(0).partition_responses.remove(0)
}

/// Where the attributes of a batch stand.
const ATTRIBUTES: usize = 21;

#[tokio::test]
async fn a_request_has_one_batch_in_a_codec_of_its_version() {
    let log = Log::start().await;
    let mut client = with_topic(&log).await;
    let orders = ("orders", -1);
    let mut code = async |version, to, records: &[u8]| {
        produce(&mut client, version, to, records).await.error_code
    };
    let good = batch(BatchBuilder::new(), STAMP_MS);
    let mut zstd = good.clone();
    zstd[ATTRIBUTES + 1] |= 4;
    let unsupported = ResponseError::UnsupportedCompressionType.code();
    assert_eq!(code(6, orders, &zstd).await, unsupported);
    let invalid = ResponseError::InvalidRecord.code();
    assert_eq!(code(9, orders, &[&good[..], &good[..]].concat()).await, invalid);
    assert_eq!(code(9, orders, &good[..good.len() - 1]).await, invalid, "no whole batch");
    assert_eq!(code(9, orders, &[]).await, invalid);
    assert_eq!(code(9, orders, &[&good[..], &[0; 5]].concat()).await, 0, "what is cut off behind");
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(code(9, ("none", -2), &good).await, unknown, "before the acknowledgements");
    assert_eq!(code(9, ("orders", -2), &good).await, ResponseError::InvalidRequiredAcks.code());
}

#[tokio::test]
async fn what_was_looked_into_is_refused_with_the_start_of_the_log() {
    let log = Log::start().await;
    let mut client = with_topic(&log).await;
    let orders = ("orders", -1);
    let late = batch(BatchBuilder::new(), i64::MAX / 2);
    let refused = produce(&mut client, 9, orders, &late).await;
    let code = ResponseError::InvalidTimestamp.code();
    assert_eq!((refused.error_code, refused.log_start_offset), (code, 0));
    let refused = produce(&mut client, 9, orders, &[]).await;
    assert_eq!(refused.log_start_offset, -1);
    let numbered = batch(BatchBuilder::new().producer(5, 0, 0), STAMP_MS);
    let first = produce(&mut client, 9, orders, &numbered).await;
    assert_eq!((first.base_offset, first.log_append_time_ms), (0, -1));
    let again = produce(&mut client, 9, orders, &numbered).await;
    assert_eq!((again.base_offset, again.log_append_time_ms), (0, STAMP_MS));
}

#[tokio::test]
async fn fetches_are_refused_for_a_session_and_for_partitions_before_epochs() {
    let log = Log::start().await;
    let mut client = with_topic(&log).await;
    let mut fetch = async |session_id, session_epoch| {
        let partition = FetchPartition::default().with_partition(3).with_current_leader_epoch(9);
        let topic =
            FetchTopic::default().with_topic(name("orders")).with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_session_id(session_id)
            .with_session_epoch(session_epoch)
            .with_topics(vec![topic]);
        client.send(12, request).await
    };
    let lost = ResponseError::FetchSessionIdNotFound.code();
    assert_eq!(fetch(0, 3).await.error_code, lost);
    assert_eq!(fetch(77, 1).await.error_code, lost);
    let answer = fetch(77, -1).await;
    let partition = &answer.responses[0].partitions[0];
    assert_eq!(partition.error_code, ResponseError::UnknownTopicOrPartition.code());
    assert_eq!(partition.aborted_transactions, Some(Vec::new()));
}

#[tokio::test]
async fn a_topic_that_exists_is_the_first_reason_not_to_make_it() {
    let log = Log::start().await;
    let mut client = with_topic(&log).await;
    for (topic, code) in [
        ("orders", ResponseError::TopicAlreadyExists),
        ("others", ResponseError::InvalidPartitions),
    ] {
        let topic = CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(0)
            .with_replication_factor(2);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]);
        assert_eq!(client.send(7, request).await.topics[0].error_code, code.code());
    }
}

#[tokio::test]
async fn places_of_other_versions_are_refused_before_the_partition_is_looked_for() {
    let log = Log::start().await;
    let mut client = with_topic(&log).await;
    let partition = ListOffsetsPartition::default().with_partition_index(7).with_timestamp(-3);
    let topic =
        ListOffsetsTopic::default().with_name(name("orders")).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_topics(vec![topic]);
    for (version, code) in
        [(6, ResponseError::UnsupportedVersion), (7, ResponseError::UnknownTopicOrPartition)]
    {
        let answer = client.send(version, request.clone()).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, code.code());
    }
}

#[tokio::test]
async fn a_cursor_must_stand_at_a_topic_that_is_asked_for() {
    let log = Log::start().await;
    let mut client = with_topic(&log).await;
    for (at, partition) in [("others", 0), ("orders", -1)] {
        let cursor = Cursor::default().with_topic_name(name(at)).with_partition_index(partition);
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(vec![TopicRequest::default().with_name(name("orders"))])
            .with_cursor(Some(cursor));
        let answer = client.send(0, request).await;
        assert_eq!(answer.topics[0].error_code, ResponseError::InvalidRequest.code());
    }
}

#[tokio::test]
async fn changes_of_settings_are_looked_at_before_the_topic() {
    let log = Log::start().await;
    let mut client = with_topic(&log).await;
    let mut alter = async |topic: &str, changes: &[(&'static str, i8, Option<&'static str>)]| {
        let changes = changes.iter().map(|(name, operation, value)| {
            AlterableConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_config_operation(*operation)
                .with_value(value.map(StrBytes::from_static_str))
        });
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(topic))
            .with_configs(changes.collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        client.send(1, request).await.responses[0].error_code
    };
    let append = ("segment.bytes", 2, Some("13"));
    assert_eq!(alter("none", &[append]).await, ResponseError::InvalidConfig.code());
    let invalid = ResponseError::InvalidRequest.code();
    assert_eq!(alter("orders", &[append, ("retention.ms", 0, None)]).await, invalid);
    assert_eq!(alter("orders", &[append, append]).await, invalid);
}
