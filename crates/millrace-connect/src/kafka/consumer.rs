//! The consumers of a source: one for each subtask, shared by the partitions that it reads.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use millrace_core::Result;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::client::{LoggedClient, client_error};
use super::options::Topics;
use super::position::TopicPartition;
use super::properties::ClientProperties;
use super::relay::create;

/// The client library's consumer. It is told what to read, and never asks a group for it.
pub(crate) type SourceConsumer = BaseConsumer<LoggedClient>;

/// The group of consumers that have none: librdkafka wants a name, and nothing is ever committed to
/// it.
const NO_GROUP: &str = "millrace-without-group";

/// How much may be fetched ahead for one partition, in KiB.
const FETCHED_AHEAD_KIB: &str = "16384";

/// The consumers of one source, one for each subtask. They live as long as the source, so that
/// offsets can be committed after the last partition was read to its end.
///
/// A consumer is never assigned a partition twice. What it had fetched ahead for the first time may
/// still be in the partition's queue when it is assigned again, and if reading goes back (a restart
/// from a checkpoint), records that lie between would be passed over. A partition that is opened
/// again gets a new consumer, which takes over for the others too when they are opened again.
#[derive(Default)]
pub(crate) struct Consumers {
    by_subtask: Mutex<HashMap<usize, Assigned>>,
}

struct Assigned {
    consumer: Arc<SourceConsumer>,
    /// Where it looks for the cluster.
    bootstrap_servers: String,
    /// All that it was ever assigned.
    partitions: HashSet<TopicPartition>,
}

/// Who makes a consumer, and for whom.
#[derive(Clone)]
pub(crate) struct ConsumerSettings {
    pub table: String,
    pub client: ClientProperties,
    pub bootstrap_servers: String,
}

impl Consumers {
    /// A consumer of the subtask, for questions and commits.
    ///
    /// # Errors
    /// `FixInput` when the client refuses its configuration.
    pub fn of_subtask(
        &self,
        subtask: usize,
        settings: &ConsumerSettings,
    ) -> Result<Arc<SourceConsumer>> {
        let mut consumers = self.by_subtask.lock().expect("no holder panics");
        if let Some(assigned) = consumers.get(&subtask).filter(|one| one.is_for(settings)) {
            return Ok(Arc::clone(&assigned.consumer));
        }
        let assigned = Assigned::new(settings, HashSet::new())?;
        let consumer = Arc::clone(&assigned.consumer);
        consumers.insert(subtask, assigned);
        Ok(consumer)
    }

    /// A consumer of the subtask that has never been assigned `partition`.
    ///
    /// # Errors
    /// As for [`Consumers::of_subtask`].
    pub fn for_partition(
        &self,
        subtask: usize,
        settings: &ConsumerSettings,
        partition: &TopicPartition,
    ) -> Result<Arc<SourceConsumer>> {
        let mut consumers = self.by_subtask.lock().expect("no holder panics");
        if let Some(assigned) = consumers.get_mut(&subtask).filter(|one| one.is_for(settings))
            && assigned.partitions.insert(partition.clone())
        {
            return Ok(Arc::clone(&assigned.consumer));
        }
        let assigned = Assigned::new(settings, HashSet::from([partition.clone()]))?;
        let consumer = Arc::clone(&assigned.consumer);
        consumers.insert(subtask, assigned);
        Ok(consumer)
    }
}

impl Assigned {
    fn new(settings: &ConsumerSettings, partitions: HashSet<TopicPartition>) -> Result<Self> {
        let bootstrap_servers = settings.bootstrap_servers.clone();
        Ok(Assigned { consumer: Arc::new(connect(settings)?), bootstrap_servers, partitions })
    }

    /// The embedded log may listen elsewhere than when the consumer was made.
    fn is_for(&self, settings: &ConsumerSettings) -> bool {
        self.bootstrap_servers == settings.bootstrap_servers
    }
}

/// A consumer that is assigned nothing yet. It connects in the background.
fn connect(settings: &ConsumerSettings) -> Result<SourceConsumer> {
    let ConsumerSettings { table, client, bootstrap_servers } = settings;
    let mut config = client.config(bootstrap_servers);
    let commits_itself = client.get("enable.auto.commit").is_some_and(|value| value == "true");
    let mut default = |name: &str, value: &str| {
        if client.get(name).is_none() {
            config.set(name, value);
        }
    };
    default("enable.auto.commit", "false");
    // Flink's default, and that of the Java client.
    default("isolation.level", "read_uncommitted");
    default("queued.max.messages.kbytes", FETCHED_AHEAD_KIB);
    // Brokers close idle connections all the time.
    default("log.connection.close", "false");
    config.set("group.id", client.group_id.as_deref().unwrap_or(NO_GROUP));
    config.set("enable.auto.offset.store", if commits_itself { "true" } else { "false" });
    config.set("enable.partition.eof", "true");
    // An offset that is not there is for the reader to judge.
    config.set("auto.offset.reset", "error");
    let context = LoggedClient::new(format!("table `{table}`"), client.relay().cloned());
    create(&config, context).map_err(|cause| {
        client_error(format!("the Kafka client of table `{table}` cannot be made"), cause)
    })
}

/// All partitions of `topics`, in order. Blocks up to the client's time-out.
///
/// # Errors
/// `FixInput` for a topic that does not exist, `Retry` when no broker answers.
pub(crate) fn partitions(
    consumer: &SourceConsumer,
    client: &ClientProperties,
    topics: &Topics,
) -> Result<Vec<TopicPartition>> {
    let mut found = Vec::new();
    let ask = |topic: Option<&str>| {
        let doing = || match topic {
            None => "the topics cannot be looked up".to_owned(),
            Some(topic) => format!("topic `{topic}` cannot be looked up"),
        };
        client.ask(doing, |limit| consumer.fetch_metadata(topic, limit))
    };
    match topics {
        Topics::List(names) => {
            for name in names {
                let metadata = ask(Some(name))?;
                for topic in metadata.topics() {
                    if let Some(error) = topic.error() {
                        let code = rdkafka::types::RDKafkaErrorCode::from(error);
                        return Err(client_error(
                            format!("topic `{name}` cannot be read"),
                            rdkafka::error::KafkaError::MetadataFetch(code),
                        ));
                    }
                    found.extend(ids(topic));
                }
            }
        }
        Topics::Pattern(pattern) => {
            let metadata = ask(None)?;
            let matching = metadata.topics().iter().filter(|topic| {
                let internal = topic.name().starts_with("__");
                topic.error().is_none() && !internal && pattern.is_match(topic.name())
            });
            found.extend(matching.flat_map(ids));
        }
    }
    found.sort();
    Ok(found)
}

fn ids(topic: &rdkafka::metadata::MetadataTopic) -> impl Iterator<Item = TopicPartition> + '_ {
    topic.partitions().iter().map(|partition| TopicPartition {
        topic: topic.name().to_owned(),
        partition: partition.id(),
    })
}
