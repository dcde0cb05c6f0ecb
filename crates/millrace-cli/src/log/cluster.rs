//! The log that a command talks to.

use std::sync::Arc;
use std::time::Duration;

use millrace_connect::kafka::{
    Refusal, Relay, Relayed, TopicChange, change_topic, create, try_out,
};
use millrace_core::seam::Seams;
use millrace_core::{Error, ErrorKind};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use tokio::net::TcpStream;

use super::client::{LogContext, REQUEST_TIMEOUT, failed, refused, refused_with};
use super::position::Range;
use crate::failure::Failure;

/// Where a log listens unless told otherwise.
const DEFAULT_BOOTSTRAP: &str = "127.0.0.1:9092";

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The address that the environment names, or the usual one.
pub(super) fn default_bootstrap() -> String {
    std::env::var("MILLRACE_BOOTSTRAP")
        .ok()
        .filter(|address| !address.is_empty())
        .unwrap_or_else(|| DEFAULT_BOOTSTRAP.to_owned())
}

/// An address, and the properties that its clients get.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    bootstrap: String,
    /// But those of encryption and login.
    properties: Vec<(String, String)>,
    context: LogContext,
}

/// A topic, as the log describes it.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    /// By their number.
    pub(super) partitions: Vec<Partition>,
}

/// A partition, as the log describes it.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    pub(super) number: i32,
    pub(super) leader: i32,
    pub(super) replicas: Vec<i32>,
    pub(super) in_sync: Vec<i32>,
}

impl Topic {
    /// Whether the log keeps it for itself.
    pub(super) fn is_internal(&self) -> bool {
        self.name.starts_with("__")
    }

    /// Its partitions with its name.
    pub(super) fn places(&self) -> impl Iterator<Item = (String, i32)> {
        self.partitions.iter().map(|partition| (self.name.clone(), partition.number))
    }
}

impl Cluster {
    /// The log at this address, if somebody listens there.
    pub(super) async fn reach(
        bootstrap: String,
        properties: Vec<(String, String)>,
        seams: &Seams,
    ) -> Result<Cluster, Failure> {
        let taken = Relay::of_properties(properties);
        let (relay, properties) = taken.map_err(|error| Failure::misuse(error.full_report()))?;
        connect(&bootstrap, seams).await?;
        // Whoever is turned away is told now, and does not wait for a client that tries on.
        if let Err(error) = try_out(&bootstrap, relay.as_ref()).await
            && error.kind() == ErrorKind::FixInput
        {
            return Err(Failure::operation(&error));
        }
        Ok(Cluster { bootstrap, properties, context: LogContext::new(relay) })
    }

    /// Its address, for messages.
    pub(super) fn address(&self) -> &str {
        &self.bootstrap
    }

    /// The failure of a change of a topic that the log refused, with its reason where the code does
    /// not say all.
    pub(super) async fn refused(
        &self,
        doing: String,
        code: RDKafkaErrorCode,
        topic: &str,
        change: TopicChange<'_>,
    ) -> Failure {
        use RDKafkaErrorCode as Code;
        let said = match code {
            Code::InvalidConfig
            | Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::InvalidRequest
            | Code::InvalidTopic
            | Code::PolicyViolation => self.change(topic, change, true).await.ok().flatten(),
            _ => None,
        };
        refused_with(doing, code, said.and_then(|refusal| refusal.text).as_deref())
    }

    /// Replaces all settings of a topic. The client would not say if they were refused.
    pub(super) async fn configure(
        &self,
        doing: String,
        topic: &str,
        configs: &[(&str, &str)],
    ) -> Result<(), Failure> {
        let change = TopicChange::Configure(configs);
        let refusal = self.change(topic, change, false).await;
        let Refusal { code, text } = match refusal {
            Ok(None) => return Ok(()),
            Ok(Some(refusal)) => refusal,
            Err(error) => return Err(Failure::operation(&error.context(doing))),
        };
        const INVALID_CONFIG: i16 = 40;
        if code == INVALID_CONFIG {
            return Err(refused_with(doing, RDKafkaErrorCode::InvalidConfig, text.as_deref()));
        }
        let cause = text.unwrap_or_else(|| format!("the log answered with code {code}"));
        Err(Failure::operation(&Error::retry(doing).caused_by(cause)))
    }

    async fn change(
        &self,
        topic: &str,
        change: TopicChange<'_>,
        validate_only: bool,
    ) -> millrace_core::Result<Option<Refusal>> {
        let relay = self.context.relay();
        change_topic(&self.bootstrap, relay, topic, change, validate_only).await
    }

    /// What its clients hear, and how they are encrypted and logged in.
    pub(super) fn context(&self) -> LogContext {
        self.context.clone()
    }

    /// The configuration of a client: `more`, with the user's properties over it.
    pub(super) fn config(&self, more: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("client.id", "millrace");
        for (key, value) in more {
            config.set(*key, *value);
        }
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config
    }

    /// A consumer; it is a member of no group until it subscribes.
    pub(super) fn consumer(
        &self,
        more: &[(&str, &str)],
    ) -> Result<Arc<BaseConsumer<LogContext>>, Failure> {
        let consumer = create(&self.config(more), self.context());
        consumer.map(Arc::new).map_err(|error| failed("cannot make a consumer", &error))
    }

    /// A client for what is not reading or writing.
    pub(super) fn admin(&self) -> Result<AdminClient<LogContext>, Failure> {
        create(&self.config(&[]), self.context())
            .map_err(|error| failed("cannot make a client", &error))
    }

    /// All topics by name, also those that the log keeps for itself.
    pub(super) fn topics(
        &self,
        consumer: &BaseConsumer<LogContext>,
    ) -> Result<Vec<Topic>, Failure> {
        let doing = || format!("cannot list the topics of `{}`", self.bootstrap);
        let metadata = consumer.fetch_metadata(None, REQUEST_TIMEOUT);
        let metadata = metadata.map_err(|error| failed(doing(), &error))?;
        let mut topics = Vec::new();
        for topic in metadata.topics() {
            if let Some(error) = topic.error() {
                return Err(refused(
                    format!("cannot look at topic `{}`", topic.name()),
                    code(error),
                ));
            }
            let mut partitions: Vec<Partition> = topic
                .partitions()
                .iter()
                .map(|partition| Partition {
                    number: partition.id(),
                    leader: partition.leader(),
                    replicas: partition.replicas().to_vec(),
                    in_sync: partition.isr().to_vec(),
                })
                .collect();
            partitions.sort_by_key(|partition| partition.number);
            topics.push(Topic { name: topic.name().to_owned(), partitions });
        }
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// The topics of these names, in this order.
    ///
    /// # Errors
    /// When one does not exist.
    pub(super) fn topics_named(
        &self,
        consumer: &BaseConsumer<LogContext>,
        names: &[String],
    ) -> Result<Vec<Topic>, Failure> {
        let topics = self.topics(consumer)?;
        let find = |name: &String| {
            topics.iter().find(|topic| topic.name == *name).cloned().ok_or_else(|| {
                Failure::operation(
                    &Error::fix_input(format!(
                        "topic `{name}` does not exist in `{}`",
                        self.bootstrap
                    ))
                    .hint("`millrace log topic list` shows the topics there are"),
                )
            })
        };
        names.iter().map(find).collect()
    }

    /// The offsets that partitions hold. For a consumer of committed records a partition ends where
    /// the first open transaction begins.
    pub(super) fn ranges(
        &self,
        consumer: &BaseConsumer<LogContext>,
        places: impl IntoIterator<Item = (String, i32)>,
    ) -> Result<Vec<(String, i32, Range)>, Failure> {
        let range = |(topic, partition): (String, i32)| {
            let marks = consumer.fetch_watermarks(&topic, partition, REQUEST_TIMEOUT);
            let (low, high) = marks.map_err(|error| {
                failed(
                    format!("cannot learn the offsets of `{topic}` partition {partition}"),
                    &error,
                )
            })?;
            Ok((topic, partition, Range { low, high }))
        };
        places.into_iter().map(range).collect()
    }
}

/// The options of a request for what is not reading or writing.
pub(super) fn admin_options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(REQUEST_TIMEOUT))
        .operation_timeout(Some(REQUEST_TIMEOUT))
}

fn code(error: RDKafkaRespErr) -> RDKafkaErrorCode {
    error.into()
}

/// Connects once to see whether somebody is there. The client would try again and again, and after
/// a while say that the time is over, but not why.
async fn connect(bootstrap: &str, seams: &Seams) -> Result<(), Failure> {
    let mut last = None;
    for address in bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty()) {
        // Protocols may stand before an address, as in `PLAINTEXT://host:port`.
        let address = address.rsplit_once("://").map_or(address, |(_, address)| address);
        let address = match address.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => address.to_owned(),
            _ => format!("{address}:9092"),
        };
        tokio::select! {
            connected = TcpStream::connect(&address) => match connected {
                Ok(_) => return Ok(()),
                Err(cause) => last = Some(cause),
            },
            () = seams.clock.sleep(CONNECT_TIMEOUT) => {
                last = Some(std::io::ErrorKind::TimedOut.into());
            }
        }
    }
    let hint = "start a log with `millrace log serve`, or name another one with --bootstrap";
    match last {
        Some(cause) => Err(Failure::operation(
            &Error::retry(format!("nobody answers at `{bootstrap}`")).caused_by(cause).hint(hint),
        )),
        None => Err(Failure::misuse(format!("`{bootstrap}` names no address\n  hint: {hint}"))),
    }
}
