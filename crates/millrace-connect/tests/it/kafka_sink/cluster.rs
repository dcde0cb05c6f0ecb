//! A cluster to write to, and what it holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use millrace_connect::TableSpec;
use millrace_core::Batch;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::harness;

/// The brokers to test against; says that a test is skipped where there are none.
pub fn brokers() -> Option<String> {
    let brokers = std::env::var("MILLRACE_KAFKA_BOOTSTRAP").ok().filter(|text| !text.is_empty());
    if brokers.is_none() {
        eprintln!("skipped: MILLRACE_KAFKA_BOOTSTRAP names no Kafka cluster");
    }
    brokers
}

/// A topic's name that no other test and no other run has.
pub fn fresh(name: &str) -> String {
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("{name}-{}-{nanos}", std::process::id())
}

/// A table of one number, written as JSON to `topic`.
pub fn numbers<'a>(
    brokers: &'a str,
    topic: &'a str,
    more: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> TableSpec {
    let options = [("topic", topic), ("properties.bootstrap.servers", brokers), ("format", "json")];
    harness::table(&[("n", DataType::Int64)], options.into_iter().chain(more))
}

pub fn batch_of(numbers: impl IntoIterator<Item = i64>) -> Batch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
    harness::batch(&RecordBatch::try_from_iter([("n", numbers)]).unwrap())
}

/// The number in a row of [`numbers`].
pub fn number(record: &Written) -> i64 {
    let value = record.value.as_deref().unwrap();
    serde_json::from_slice::<serde_json::Value>(value).unwrap()["n"].as_i64().unwrap()
}

/// A record as its reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub timestamp_ms: Option<i64>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// All committed records of `topic`, once no transaction is open there any more.
#[expect(clippy::disallowed_methods, reason = "a test of the real thing")]
pub fn committed(brokers: &str, topic: &str) -> Vec<Written> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "nobody")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let limit = Duration::from_secs(10);
    let metadata = consumer.fetch_metadata(Some(topic), limit).unwrap();
    let partitions = metadata.topics()[0].partitions().len();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions as i32 {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut records = Vec::new();
    let mut read_to: BTreeMap<i32, bool> = BTreeMap::new();
    let begun = Instant::now();
    while read_to.values().filter(|&&end| end).count() < partitions {
        assert!(begun.elapsed() < Duration::from_secs(60), "a transaction on `{topic}` stays open");
        match consumer.poll(Duration::from_millis(200)) {
            None => {}
            Some(Ok(record)) => {
                read_to.insert(record.partition(), false);
                records.push(written(&record));
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                let (_, end) = consumer.fetch_watermarks(topic, partition, limit).unwrap();
                let position = consumer.position().unwrap();
                let position = position.find_partition(topic, partition).unwrap().offset();
                // An empty partition has no position.
                let at_end = position == Offset::Offset(end) || end == 0;
                read_to.insert(partition, at_end);
                if !at_end {
                    // Something is open there still: ask again from where reading stopped.
                    consumer.seek(topic, partition, position, limit).ok();
                }
            }
            Some(Err(error)) => panic!("reading `{topic}`: {error}"),
        }
    }
    records
}

fn written(record: &rdkafka::message::BorrowedMessage<'_>) -> Written {
    let headers = record.headers().map(|headers| {
        let header = |header: rdkafka::message::Header<'_, &[u8]>| {
            (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
        };
        headers.iter().map(header).collect()
    });
    Written {
        partition: record.partition(),
        key: record.key().map(<[u8]>::to_vec),
        value: record.payload().map(<[u8]>::to_vec),
        timestamp_ms: record.timestamp().to_millis(),
        headers: headers.unwrap_or_default(),
    }
}
