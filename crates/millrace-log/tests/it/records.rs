use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{DeleteRecordsRequest, ListOffsetsRequest};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ProduceRequest, TopicName};
use kafka_protocol::records::RecordBatchDecoder;
use millrace_log::FsyncPolicy;
use millrace_log::broker::NewTopic;
use millrace_log::storage::records::BatchBuilder;

use crate::client::{Client, Log, text};

fn batch(values: &[&str]) -> Bytes {
    let mut batch = BatchBuilder::new();
    for value in values {
        batch.push(1_700_000_000_000, None, Some(value.as_bytes()));
    }
    batch.build()
}

fn produce(topic: &str, partition: i32, acks: i16, values: &[&str]) -> ProduceRequest {
    let data =
        PartitionProduceData::default().with_index(partition).with_records(Some(batch(values)));
    let topic = TopicProduceData::default()
        .with_name(TopicName(text(topic)))
        .with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(acks)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![topic])
}

fn fetch(topic: &str, partitions: &[(i32, i64)], max_wait_ms: i32) -> FetchRequest {
    let partitions = partitions.iter().map(|(partition, offset)| {
        FetchPartition::default()
            .with_partition(*partition)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(1 << 20)
    });
    let topic = FetchTopic::default()
        .with_topic(TopicName(text(topic)))
        .with_partitions(partitions.collect());
    FetchRequest::default()
        .with_max_wait_ms(max_wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_topics(vec![topic])
}

/// The values of one partition of an answer.
fn values(response: &FetchResponse, place: usize) -> Vec<String> {
    let partition = &response.responses[0].partitions[place];
    assert_eq!(partition.error_code, 0);
    let mut records = partition.records.clone().unwrap();
    let sets = RecordBatchDecoder::decode_all(&mut records).unwrap();
    let records = sets.into_iter().flat_map(|set| set.records);
    records.map(|r| String::from_utf8(r.value.unwrap().to_vec()).unwrap()).collect()
}

async fn with_topic(log: &Log, name: &str, partitions: i32) -> Client {
    let new = NewTopic { name: name.to_owned(), partitions, ..NewTopic::default() };
    log.server.broker().topics().create(new).unwrap();
    log.client().await
}

#[tokio::test]
async fn what_was_produced_in_any_version_is_fetched_in_any_version() {
    let log = Log::start().await;
    let mut client = with_topic(&log, "orders", 1).await;
    let id = log.server.broker().topics().get("orders").unwrap().id;
    for version in 3..=13 {
        let mut request = produce("orders", 0, -1, &["a", "b"]);
        if version >= 13 {
            request.topic_data[0].name = TopicName::default();
            request.topic_data[0].topic_id = id;
        }
        let response = client.send(version, request).await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!((answer.error_code, answer.base_offset), (0, i64::from(version - 3) * 2));
    }
    for version in 4..=18 {
        let mut request = fetch("orders", &[(0, 20)], 0);
        if version >= 13 {
            request.topics[0].topic = TopicName::default();
            request.topics[0].topic_id = id;
        }
        let response = client.send(version, request).await;
        assert_eq!(values(&response, 0), ["a", "b"], "version {version}");
        assert_eq!(response.responses[0].partitions[0].high_watermark, 22);
    }
}

#[tokio::test]
async fn acknowledged_records_are_there_after_a_restart_under_each_policy() {
    let policies =
        [FsyncPolicy::Always, FsyncPolicy::Never, FsyncPolicy::Interval(Duration::from_secs(1))];
    for fsync in policies {
        let log = Log::start_with(|config| config.fsync = fsync).await;
        let mut client = with_topic(&log, "orders", 1).await;
        for acks in [-1, 1] {
            let response = client.send(9, produce("orders", 0, acks, &["a"])).await;
            assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
        }
        let log = log.restart().await;
        let mut client = log.client().await;
        assert_eq!(values(&client.send(4, fetch("orders", &[(0, 0)], 0)).await, 0), ["a", "a"]);
    }
}

#[tokio::test]
async fn requests_in_flight_on_one_connection_are_appended_and_answered_in_order() {
    let log = Log::start_with(|config| config.fsync = FsyncPolicy::Always).await;
    let mut client = with_topic(&log, "orders", 1).await;
    let mut ids = Vec::new();
    for place in 0..100 {
        let acks = if place % 3 == 2 { 0 } else { -1 };
        let request = produce("orders", 0, acks, &[&place.to_string()]);
        let id = client.write(9, &request).await;
        ids.extend((acks != 0).then_some((place, id)));
    }
    for (place, id) in ids {
        let response = client.read::<ProduceRequest>(9, id).await.unwrap();
        assert_eq!(response.responses[0].partition_responses[0].base_offset, place);
    }
    let expected: Vec<String> = (0..100).map(|place| place.to_string()).collect();
    assert_eq!(values(&client.send(4, fetch("orders", &[(0, 0)], 0)).await, 0), expected);
}

#[tokio::test]
async fn a_waiting_fetch_wakes_on_an_append_to_any_of_its_partitions() {
    let log = Log::start().await;
    let mut producer = with_topic(&log, "orders", 3).await;
    let mut consumer = log.client().await;
    for partition in [0, 2, 1] {
        let id = consumer.write(11, &fetch("orders", &[(0, 0), (1, 0), (2, 0)], 60_000)).await;
        if partition == 0 {
            // The request may come before or after the append: both must be seen.
            producer.send(9, produce("orders", 0, -1, &["first"])).await;
            let response = consumer.read::<FetchRequest>(11, id).await.unwrap();
            assert_eq!(values(&response, 0), ["first"]);
            continue;
        }
        consumer.read::<FetchRequest>(11, id).await.unwrap();
    }
    let id = consumer.write(11, &fetch("orders", &[(0, 1), (1, 0)], 60_000)).await;
    assert!(is_silent(&mut consumer).await, "there is nothing to be seen yet");
    producer.send(9, produce("orders", 1, -1, &["woken"])).await;
    let response = consumer.read::<FetchRequest>(11, id).await.unwrap();
    assert_eq!(values(&response, 1), ["woken"]);
}

/// Whether nothing comes for a moment.
async fn is_silent(client: &mut Client) -> bool {
    let mut byte = [0];
    tokio::select! {
        read = client.stream.peek(&mut byte) => panic!("something came: {read:?}"),
        () = millrace_core::seam::Seams::system().clock.sleep(Duration::from_millis(50)) => true,
    }
}

#[tokio::test]
async fn a_fetch_waits_for_its_minimum_and_no_longer_than_it_says() {
    let log = Log::start().await;
    let mut producer = with_topic(&log, "orders", 1).await;
    let mut consumer = log.client().await;
    producer.send(9, produce("orders", 0, -1, &["a"])).await;
    let id = consumer.write(4, &fetch("orders", &[(0, 0)], 60_000).with_min_bytes(200)).await;
    assert!(is_silent(&mut consumer).await);
    for value in ["b", "c", "d"] {
        producer.send(9, produce("orders", 0, -1, &[value])).await;
    }
    let response = consumer.read::<FetchRequest>(4, id).await.unwrap();
    assert!(values(&response, 0).len() >= 3);

    #[expect(clippy::disallowed_methods, reason = "the test measures real time")]
    let start = Instant::now();
    let short = fetch("orders", &[(0, 0)], 100).with_min_bytes(1 << 20);
    assert_eq!(values(&consumer.send(4, short).await, 0), ["a", "b", "c", "d"]);
    assert!(start.elapsed() >= Duration::from_millis(100));
}

/// Under this policy an append is seen later than it is written.
#[tokio::test]
async fn a_waiting_fetch_wakes_when_an_append_has_reached_the_disk() {
    let log = Log::start_with(|config| config.fsync = FsyncPolicy::Always).await;
    let mut producer = with_topic(&log, "orders", 1).await;
    let mut consumer = log.client().await;
    for offset in 0..50 {
        let id = consumer.write(11, &fetch("orders", &[(0, offset)], 60_000)).await;
        producer.send(9, produce("orders", 0, -1, &["a"])).await;
        let response = consumer.read::<FetchRequest>(11, id).await.unwrap();
        assert_eq!(values(&response, 0), ["a"]);
    }
}

#[tokio::test]
async fn a_fetch_whose_topic_is_deleted_ends() {
    let log = Log::start().await;
    let mut client = with_topic(&log, "orders", 1).await;
    let id = client.write(11, &fetch("orders", &[(0, 0)], 60_000)).await;
    assert!(is_silent(&mut client).await);
    log.server.broker().topics().delete("orders").unwrap();
    let response = client.read::<FetchRequest>(11, id).await.unwrap();
    assert_ne!(response.responses[0].partitions[0].error_code, 0);
}

#[tokio::test]
async fn readers_that_do_not_take_their_answers_bound_what_is_read_and_others_wait() {
    let log = Log::start_with(|config| config.max_in_flight_bytes = 3_000_000).await;
    let mut client = with_topic(&log, "orders", 1).await;
    let large = "x".repeat(900_000);
    client.send(9, produce("orders", 0, -1, &[&large])).await;
    let mut lazy = Vec::new();
    for _ in 0..20 {
        let mut reader = log.client().await;
        for _ in 0..10 {
            reader.write(11, &fetch("orders", &[(0, 0)], 60_000)).await;
        }
        lazy.push(reader);
    }
    let id = client.write(11, &fetch("orders", &[(0, 0)], 60_000)).await;
    drop(lazy);
    assert_eq!(values(&client.read::<FetchRequest>(11, id).await.unwrap(), 0), [large]);
}

#[tokio::test]
async fn the_bytes_of_a_fetch_are_bounded_but_the_first_batch_comes_whole() {
    let log = Log::start().await;
    let mut client = with_topic(&log, "orders", 2).await;
    let large = "x".repeat(1_000);
    for partition in [0, 0, 1, 1] {
        client.send(9, produce("orders", partition, -1, &[&large])).await;
    }
    let request = |max_bytes| fetch("orders", &[(0, 0), (1, 0)], 0).with_max_bytes(max_bytes);
    let lengths = |response: &FetchResponse| [values(response, 0).len(), values(response, 1).len()];
    assert_eq!(lengths(&client.send(4, request(1)).await), [1, 0]);
    assert_eq!(lengths(&client.send(4, request(2_500)).await), [2, 0]);
    assert_eq!(lengths(&client.send(4, request(3_500)).await), [2, 1]);
    assert_eq!(lengths(&client.send(4, request(1 << 20)).await), [2, 2]);
}

#[tokio::test]
async fn errors_are_told_for_their_partition_alone() {
    let log = Log::start().await;
    let mut client = with_topic(&log, "orders", 1).await;
    let response = client.send(9, produce("orders", 0, -1, &["a"])).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    let out_of_range = ResponseError::OffsetOutOfRange.code();
    let response = client.send(11, fetch("orders", &[(0, 0), (1, 0), (0, 5)], 60_000)).await;
    let partitions = &response.responses[0].partitions;
    let codes: Vec<i16> = partitions.iter().map(|partition| partition.error_code).collect();
    assert_eq!(codes, [0, unknown, out_of_range]);
    assert_eq!(values(&response, 0), ["a"]);

    for (request, code) in [
        (produce("orders", 7, -1, &["a"]), ResponseError::UnknownTopicOrPartition),
        (produce("nothing", 0, -1, &["a"]), ResponseError::UnknownTopicOrPartition),
        (produce("orders", 0, 2, &["a"]), ResponseError::InvalidRequiredAcks),
        (produce("__consumer_offsets", 0, -1, &["a"]), ResponseError::InvalidTopicException),
    ] {
        let answer =
            client.send(9, request).await.responses.remove(0).partition_responses.remove(0);
        assert_eq!((answer.error_code, answer.base_offset), (code.code(), -1));
    }
    let mut corrupt = produce("orders", 0, -1, &["a"]);
    let records = corrupt.topic_data[0].partition_data[0].records.take().unwrap();
    let mut bytes = BytesMut::from(&records[..]);
    *bytes.last_mut().unwrap() ^= 1;
    corrupt.topic_data[0].partition_data[0].records = Some(bytes.freeze());
    let response = client.send(9, corrupt).await;
    let code = response.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ResponseError::CorruptMessage.code());
}

#[tokio::test]
async fn a_refusal_that_nobody_waits_for_closes_the_connection() {
    let log = Log::start().await;
    let mut client = with_topic(&log, "orders", 1).await;
    client.write(9, &produce("nothing", 0, 0, &["a"])).await;
    assert_eq!(client.read_frame().await, None);
}

async fn list_offset(client: &mut Client, version: i16, time_ms: i64) -> (i16, i64, i64) {
    let partition = ListOffsetsPartition::default().with_timestamp(time_ms);
    let topic = ListOffsetsTopic::default()
        .with_name(TopicName(text("orders")))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_topics(vec![topic]);
    let response = client.send(version, request).await;
    let found = &response.topics[0].partitions[0];
    (found.error_code, found.offset, found.timestamp)
}

#[tokio::test]
async fn offsets_are_found_by_time_and_by_their_names() {
    let log = Log::start().await;
    let mut client = with_topic(&log, "orders", 1).await;
    assert_eq!(list_offset(&mut client, 7, -1).await, (0, 0, -1));
    assert_eq!(list_offset(&mut client, 7, -3).await, (0, -1, -1));
    for _ in 0..3 {
        client.send(9, produce("orders", 0, -1, &["a", "b"])).await;
    }
    let stamp = 1_700_000_000_000;
    for version in 1..=10 {
        assert_eq!(list_offset(&mut client, version, -2).await, (0, 0, -1));
        assert_eq!(list_offset(&mut client, version, -1).await, (0, 6, -1));
        assert_eq!(list_offset(&mut client, version, stamp - 1).await, (0, 0, stamp));
        assert_eq!(list_offset(&mut client, version, stamp + 1).await, (0, -1, -1));
    }
    assert_eq!(list_offset(&mut client, 10, -3).await, (0, 0, stamp));
    assert_eq!(list_offset(&mut client, 10, -4).await, (0, 0, -1));
    assert_eq!(list_offset(&mut client, 10, -5).await, (0, -1, -1));
    let unknown = ResponseError::UnsupportedVersion.code();
    assert_eq!(list_offset(&mut client, 10, -9).await, (unknown, -1, -1));
}

#[tokio::test]
async fn deleted_records_are_gone_and_stay_so() {
    let log = Log::start().await;
    let mut client = with_topic(&log, "orders", 1).await;
    for value in ["a", "b", "c"] {
        client.send(9, produce("orders", 0, -1, &[value])).await;
    }
    let delete = |topic: &str, offset| {
        let partition = DeleteRecordsPartition::default().with_offset(offset);
        let topic = DeleteRecordsTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(vec![partition]);
        DeleteRecordsRequest::default().with_topics(vec![topic])
    };
    for (version, topic, offset, expected) in [
        (0, "orders", 1, (0, 1)),
        (1, "orders", 2, (0, 2)),
        (2, "orders", 4, (ResponseError::OffsetOutOfRange.code(), -1)),
        (2, "nothing", 1, (ResponseError::UnknownTopicOrPartition.code(), -1)),
        (2, "__consumer_offsets", 0, (ResponseError::InvalidTopicException.code(), -1)),
    ] {
        let response = client.send(version, delete(topic, offset)).await;
        let result = &response.topics[0].partitions[0];
        assert_eq!((result.error_code, result.low_watermark), expected);
    }
    let log = log.restart().await;
    let mut client = log.client().await;
    assert_eq!(list_offset(&mut client, 7, -2).await, (0, 2, -1));
    assert_eq!(values(&client.send(4, fetch("orders", &[(0, 2)], 0)).await, 0), ["c"]);
    let response = client.send(2, delete("orders", -1)).await;
    assert_eq!(response.topics[0].partitions[0].low_watermark, 3);
}
