//! The connector `kafka`: topics as tables, of Apache Kafka or of the embedded log.
//!
//! It is the only part of the crate that knows librdkafka (feature `kafka`).

mod client;
mod consumer;
mod decode;
mod embedded;
mod fetched;
mod headers;
mod metadata;
mod offsets;
mod options;
mod position;
mod properties;
mod queue;
mod reach;
mod reader;
mod relay;
mod rows;
mod sink;
mod source;
mod typed;
mod upsert;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use millrace_core::{BadRecordPolicy, Error, Result, Sink};

use self::consumer::Consumers;
use self::offsets::Bounds;
use self::options::TableOptions;
use self::properties::ClientProperties;
pub use self::relay::{ClientPairs, NativeClient, Relay, Relayed, change_topic, create, try_out};
use self::rows::{Reading, TableRows};
pub use self::sink::{DeliveryGuarantee, KafkaSink, KafkaSinkBuilder};
use self::source::TopicSource;
pub use self::typed::{KafkaRecord, KafkaSource, KafkaSourceBuilder, Offsets};
pub use self::upsert::UpsertKafka;
pub use self::wire::{Refusal, TopicChange};
use crate::dead_letter::{DeadLetterSink, bad_record_policy};
use crate::filesystem::{RollingPolicy, local_path};
use crate::{Connector, MetadataKey, Options, SinkTable, SourceTable, TableSpec, duration};

/// Flink's default of `scan.topic-partition-discovery.interval`.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(300);

/// What only reading looks at.
const SOURCE_OPTIONS: &[&str] = &[
    "scan.startup.mode",
    "scan.startup.timestamp-millis",
    "scan.startup.specific-offsets",
    "scan.bounded.mode",
    "scan.bounded.timestamp-millis",
    "scan.bounded.specific-offsets",
    "scan.topic-partition-discovery.interval",
    "bad-records",
    "bad-records.path",
    "bad-records.topic",
    "bad-records.transactional-id-prefix",
    "sink.rolling-policy.file-size",
    "sink.rolling-policy.rollover-interval",
    "sink.rolling-policy.check-interval",
];

/// What only writing looks at.
const SINK_OPTIONS: &[&str] = &[
    "sink.parallelism",
    "sink.partitioner",
    "sink.delivery-guarantee",
    "sink.transactional-id-prefix",
];

/// Topics of Apache Kafka or of the embedded log.
#[derive(Debug)]
pub struct Kafka;

impl Connector for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn metadata(&self) -> Vec<MetadataKey> {
        metadata::keys()
    }

    fn missing_metadata(&self, key: &str) -> Option<&'static str> {
        metadata::why_missing(key)
    }

    fn source(&self, table: &TableSpec) -> Result<SourceTable> {
        let common = TableOptions::of(table)?;
        let bounds = Bounds::from_options(&table.options, &common.topics, &common.client)?;
        table_source(table, common, bounds, Reading::Append)
    }

    fn sink(&self, table: &TableSpec) -> Result<SinkTable> {
        let common = TableOptions::of(table)?;
        let sink = sink::table_sink(table, common, false)?;
        pass_over(&table.options, SOURCE_OPTIONS);
        table.options.finish(&table.name)?;
        Ok(sink)
    }
}

/// Opens a table for reading. `common` are the options that reading and writing share.
///
/// # Errors
/// `FixInput` naming options that are missing, unknown or wrong.
fn table_source(
    table: &TableSpec,
    common: TableOptions,
    bounds: Bounds,
    reading: Reading,
) -> Result<SourceTable> {
    let options = &table.options;
    let TableOptions { topics, client, value, key } = common;
    let ignores = |part: &options::Part| part.format.ignores_parse_errors();
    let ignores = ignores(&value) || key.as_ref().is_some_and(ignores);
    let bad_records = bad_record_policy(options, ignores)?;
    let dead_letters = dead_letters(table, &client, bad_records)?;
    let discovery_interval = discovery_interval(options)?;
    let decode = TableRows::new(table, value, key, reading)?;
    pass_over(options, SINK_OPTIONS);
    options.finish(&table.name)?;
    let source = TopicSource {
        name: table.name.clone(),
        topics,
        client,
        bounds,
        discovery_interval,
        decode: Arc::new(decode),
        consumers: Arc::new(Consumers::default()),
        committing: Arc::default(),
    };
    Ok(SourceTable { source: Arc::new(source), bad_records, dead_letters })
}

fn discovery_interval(options: &Options) -> Result<Option<Duration>> {
    const NAME: &str = "scan.topic-partition-discovery.interval";
    let interval = options.text(NAME).map(|text| duration::parse(NAME, text)).transpose()?;
    Ok(Some(interval.unwrap_or(DISCOVERY_INTERVAL)).filter(|interval| !interval.is_zero()))
}

fn dead_letters(
    table: &TableSpec,
    client: &ClientProperties,
    policy: BadRecordPolicy,
) -> Result<Option<Arc<dyn Sink>>> {
    let options = &table.options;
    let path = options.text("bad-records.path");
    let topic = sink::dead_letter_topic(table, client)?;
    if policy != BadRecordPolicy::DeadLetter && (path.is_some() || topic.is_some()) {
        let name = if path.is_some() { "path" } else { "topic" };
        return Err(Error::fix_input(format!(
            "option `bad-records.{name}` needs `bad-records` = `dead-letter`"
        )));
    }
    match (policy, path, topic) {
        (BadRecordPolicy::DeadLetter, Some(path), None) => {
            let rolling = RollingPolicy::from_options(options)?;
            let sink = DeadLetterSink::new(&table.name, local_path(path)?, rolling)?;
            Ok(Some(Arc::new(sink)))
        }
        (BadRecordPolicy::DeadLetter, None, Some(topic)) => Ok(Some(topic)),
        (BadRecordPolicy::DeadLetter, Some(_), Some(_)) => Err(Error::fix_input(
            "options `bad-records.path` and `bad-records.topic` exclude each other",
        )),
        (BadRecordPolicy::DeadLetter, None, None) => {
            Err(Error::fix_input("option `bad-records.topic` is missing").hint(
                "`bad-records` = `dead-letter` needs a topic, or with `bad-records.path` a \
                 directory, to write to",
            ))
        }
        _ => Ok(None),
    }
}

/// Makes the options of the other direction known, so that one table can be read and written.
fn pass_over<'a>(options: &Options, names: impl IntoIterator<Item = &'a &'a str>) {
    for name in names {
        options.text(name);
    }
}
