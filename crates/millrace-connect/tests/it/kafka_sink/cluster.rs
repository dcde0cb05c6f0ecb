//! A cluster to write to, and what it holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use millrace_connect::TableSpec;
use millrace_core::Batch;
use millrace_core::seam::Seams;
use millrace_log::{Broker, BrokerConfig, Server};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::harness;

/// The brokers to test against: those of `MILLRACE_KAFKA_BOOTSTRAP`, or else an embedded log that
/// lives as long as this process.
pub fn brokers() -> String {
    static EMBEDDED: OnceLock<String> = OnceLock::new();
    match std::env::var("MILLRACE_KAFKA_BOOTSTRAP") {
        Ok(brokers) if !brokers.is_empty() => brokers,
        _ => EMBEDDED.get_or_init(embedded_log).clone(),
    }
}

#[expect(clippy::disallowed_methods, reason = "it serves tests, which block runtimes of their own")]
fn embedded_log() -> String {
    // Nothing runs at the end of a process of tests; what the one before left is removed here.
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kafka-sink");
    let _ = std::fs::remove_dir_all(&all);
    let directory = all.join(std::process::id().to_string());
    std::fs::create_dir_all(&directory).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut config = BrokerConfig::new(directory);
            config.default_partitions = 3;
            let broker = Broker::open(config, Seams::system()).unwrap();
            let server = Server::start(broker).await.unwrap();
            sender.send(server.address().to_string()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    receiver.recv().unwrap()
}

/// A topic's name that no other test and no other run has.
pub fn fresh(name: &str) -> String {
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("{name}-{}-{nanos}", std::process::id())
}

/// Writes a record to the first partition of a topic.
pub fn produce(brokers: &str, topic: &str, key: Option<&str>, value: Option<&str>) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let record = BaseRecord::<str, str>::to(topic).partition(0);
    let record = key.into_iter().fold(record, BaseRecord::key);
    let record = value.into_iter().fold(record, BaseRecord::payload);
    producer.send(record).unwrap();
    producer.flush(Duration::from_secs(20)).unwrap();
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
pub fn committed(brokers: &str, topic: &str) -> Vec<Written> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    committed_by::<DefaultConsumerContext>(topic, config, |config| config.create().unwrap())
}

/// The same, by the consumer that `make` makes of a configuration.
#[expect(clippy::disallowed_methods, reason = "a test of the real thing")]
pub fn committed_by<C: ConsumerContext>(
    topic: &str,
    mut config: ClientConfig,
    make: impl FnOnce(&ClientConfig) -> BaseConsumer<C>,
) -> Vec<Written> {
    config
        .set("group.id", "nobody")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false");
    let consumer = make(&config);
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
