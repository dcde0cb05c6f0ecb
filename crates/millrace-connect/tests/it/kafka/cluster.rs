//! A broker to test against, and clients that fill it.

use std::time::Duration;

use arrow_schema::DataType;
use millrace_connect::{MetadataColumn, TableSpec};
use millrace_core::seam::Seams;
use millrace_core::{Read, Source, Split};
use millrace_log::{Broker, BrokerConfig, Server};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::harness::{Content, context, rows_as_text, table};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A broker's address.
pub struct Cluster {
    pub bootstrap: String,
    _embedded: Option<(Server, tempfile::TempDir)>,
}

impl Cluster {
    /// The broker that `MILLRACE_KAFKA_BOOTSTRAP` names, or else an embedded log.
    pub async fn start() -> Self {
        if let Ok(bootstrap) = std::env::var("MILLRACE_KAFKA_BOOTSTRAP") {
            return Cluster { bootstrap, _embedded: None };
        }
        let directory = tempfile::tempdir().unwrap();
        let broker = Broker::open(BrokerConfig::new(directory.path()), Seams::system()).unwrap();
        let server = Server::start(broker).await.unwrap();
        let bootstrap = server.address().to_string();
        Cluster { bootstrap, _embedded: Some((server, directory)) }
    }

    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    /// A new topic whose name begins with `name`.
    pub async fn topic(&self, name: &str, partitions: i32) -> String {
        let nanos = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let name = format!("{name}-{}-{nanos}", std::process::id());
        // Records with time stamps of long ago are to stay.
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let topic = topic.set("retention.ms", "-1");
        let made = self.admin().create_topics(&[topic], &AdminOptions::new()).await.unwrap();
        made.into_iter().for_each(|one| drop(one.unwrap()));
        name
    }

    pub async fn grow(&self, topic: &str, partitions: usize) {
        let more = NewPartitions::new(topic, partitions);
        let made = self.admin().create_partitions(&[more], &AdminOptions::new()).await.unwrap();
        made.into_iter().for_each(|one| drop(one.unwrap()));
    }

    pub fn producer(&self) -> BaseProducer {
        self.config().set("linger.ms", "0").create().unwrap()
    }

    pub fn transactional(&self, id: &str) -> BaseProducer {
        let producer: BaseProducer = self.config().set("transactional.id", id).create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer
    }

    /// A table over `topic` with these columns; options may be overridden.
    pub fn table(
        &self,
        topic: &str,
        columns: &[(&str, DataType)],
        options: &[(&str, &str)],
    ) -> TableSpec {
        let given = |name: &str| options.iter().any(|(option, _)| *option == name);
        let mut all = vec![("properties.bootstrap.servers", self.bootstrap.as_str())];
        if !given("topic-pattern") {
            all.push(("topic", topic));
        }
        for (name, value) in [
            ("format", "json"),
            ("scan.startup.mode", "earliest-offset"),
            ("scan.bounded.mode", "latest-offset"),
        ] {
            if !given(name) {
                all.push((name, value));
            }
        }
        all.extend(options.iter().filter(|(_, value)| *value != "unbounded"));
        table(columns, all)
    }
}

/// Adds a column of metadata.
pub fn with_metadata(mut table: TableSpec, key: &str, data_type: DataType) -> TableSpec {
    let field = arrow_schema::Field::new(format!("m_{key}"), data_type, false);
    table.metadata.push(MetadataColumn { field, key: key.to_owned(), is_virtual: true });
    table
}

/// A record to write.
#[derive(Default)]
pub struct Record<'a> {
    pub partition: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub timestamp: Option<i64>,
}

pub fn send(producer: &BaseProducer, topic: &str, record: Record<'_>) {
    let mut message = BaseRecord::<[u8], [u8]>::to(topic).partition(record.partition);
    message = message.headers(OwnedHeaders::new().insert(Header { key: "h", value: Some("v") }));
    message.key = record.key;
    message.payload = record.value;
    message.timestamp = record.timestamp;
    producer.send(message).map_err(|(error, _)| error).unwrap();
}

/// JSON rows `{"n": …}` in one partition.
pub fn send_numbers(
    producer: &BaseProducer,
    topic: &str,
    partition: i32,
    numbers: std::ops::Range<i64>,
) {
    for number in numbers {
        let value = format!("{{\"n\": {number}}}");
        send(
            producer,
            topic,
            Record { partition, value: Some(value.as_bytes()), ..Record::default() },
        );
    }
    producer.flush(PATIENCE).unwrap();
}

/// Reads a split until it has `rows` or ends, and gives the split as it stands then.
pub async fn read_some(source: &dyn Source, split: &Split, rows: usize) -> (Content, Split) {
    let mut content = Content::default();
    let mut reader = source.open(split, &context(100)).await.unwrap();
    let reading = async {
        while content.rows.len() < rows {
            match reader.next().await.unwrap() {
                Read::Rows(batch) => {
                    content.bad.extend(batch.bad);
                    if let Some(rows) = batch.rows {
                        let columns: millrace_core::Columns = rows.downcast().unwrap();
                        content.rows.extend(rows_as_text(&columns.rows));
                    }
                }
                Read::Pending => {
                    reader.ready().await;
                }
                Read::End => break,
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the rows come in time");
    let split = Split { id: split.id.clone(), position: reader.position() };
    (content, split)
}
