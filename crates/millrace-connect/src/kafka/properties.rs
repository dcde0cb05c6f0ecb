//! The options `properties.*`: what is handed on to the Kafka client.
//!
//! Flink hands them to the Java client, Millrace to librdkafka. Most names mean the same in both.
//! Names that only the Java client has are translated where librdkafka has the same thing under
//! another name, and refused with a reason where it has not, so that no option is passed over in
//! silence. What is about encryption and logins is not librdkafka's: see [`SecuritySettings`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use millrace_core::seam::{Clock, Seams};
use millrace_core::{Error, Result};
use rdkafka::ClientConfig;
use tokio::sync::Mutex;

use super::embedded::EmbeddedLog;
use super::relay::Relay;
use super::wire::{Called as CalledAs, Security, SecuritySettings, WireClient};
use crate::Options;

/// What begins the names of these options.
const PREFIX: &str = "properties.";

/// The default of `log.data-dir`.
const LOG_DIR: &str = ".millrace/log";

/// How long questions to a broker may take; the Java client's default.
pub(crate) const API_TIMEOUT_MS: u64 = 60_000;

/// The properties of a table's clients, in the names of librdkafka.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientProperties {
    /// Where brokers are; `None` means the embedded log.
    bootstrap_servers: Option<String>,
    /// Where the embedded log keeps its data.
    log_dir: PathBuf,
    /// The embedded log, once it was needed; shared by clones.
    embedded: Arc<Mutex<Option<EmbeddedLog>>>,
    /// Whose offsets are committed and begun from.
    pub group_id: Option<String>,
    /// What is done where there is no offset to begin at: as it was written, if it was.
    pub offset_reset: Option<String>,
    /// How long questions to a broker may take, in milliseconds.
    pub api_timeout_ms: u64,
    /// What encrypts connections and logs them in, if they have to be.
    relay: Option<Relay>,
    /// All others.
    others: BTreeMap<String, String>,
}

impl ClientProperties {
    /// Takes all options that begin with `properties.`.
    ///
    /// # Errors
    /// `FixInput` naming an option that the client does not have, or whose value it refuses.
    pub fn from_options(options: &Options) -> Result<Self> {
        let mut properties = ClientProperties {
            api_timeout_ms: API_TIMEOUT_MS,
            log_dir: options.text("log.data-dir").unwrap_or(LOG_DIR).into(),
            ..ClientProperties::default()
        };
        let mut security = SecuritySettings::new(CalledAs::Option);
        for option in options.names_under(PREFIX) {
            let value = options.text(&option).unwrap_or_default().to_owned();
            properties.take(&option, &option[PREFIX.len()..], value, &mut security)?;
        }
        if properties.bootstrap_servers.is_some() && options.text("log.data-dir").is_some() {
            return Err(Error::fix_input(
                "options `properties.bootstrap.servers` and `log.data-dir` exclude each other",
            ));
        }
        properties.check_known()?;
        properties.relay = Relay::new(security.read()?, |name| properties.get(name))?;
        Ok(properties)
    }

    /// The properties of a builder, with their names as the Java client has them.
    ///
    /// # Errors
    /// As for [`ClientProperties::from_options`].
    pub fn of(pairs: &[(String, String)]) -> Result<Self> {
        let named = pairs.iter().map(|(name, value)| (format!("{PREFIX}{name}"), value.clone()));
        Self::from_options(&Options::new(named))
    }

    fn take(
        &mut self,
        option: &str,
        name: &str,
        value: String,
        security: &mut SecuritySettings,
    ) -> Result<()> {
        let whole = |value: &str| {
            value.parse::<u64>().map_err(|cause| {
                Error::fix_input(format!("option `{option}` cannot be `{value}`: {cause}"))
            })
        };
        match name {
            "bootstrap.servers" => self.bootstrap_servers = Some(value),
            "group.id" => self.group_id = Some(value),
            "auto.offset.reset" => match value.as_str() {
                "earliest" | "latest" | "none" => self.offset_reset = Some(value),
                _ => {
                    return Err(Error::fix_input(format!("option `{option}` cannot be `{value}`"))
                        .hint("use `earliest`, `latest` or `none`"));
                }
            },
            "default.api.timeout.ms" => self.api_timeout_ms = whole(&value)?,
            _ if SecuritySettings::has(name) => return security.take(name, value),
            _ => match translation(name) {
                Java::Same => self.put(name, value),
                Java::Called(other) => self.put(other, value),
                Java::Size(other) => {
                    // The Java client writes -1 for what the system would choose; librdkafka 0.
                    self.put(other, if value == "-1" { "0".into() } else { value });
                }
                Java::Refused(why) => {
                    return Err(Error::fix_input(format!(
                        "option `{option}` cannot be set: {why}"
                    )));
                }
            },
        }
        Ok(())
    }

    fn put(&mut self, name: &str, value: String) {
        self.others.insert(name.to_owned(), value);
    }

    /// Asks the client itself whether it knows all names and takes all values.
    fn check_known(&self) -> Result<()> {
        for (name, value) in &self.others {
            let mut one = ClientConfig::new();
            one.set(name, value);
            one.create_native_config().map_err(|cause| {
                let message = match cause {
                    rdkafka::error::KafkaError::ClientConfig(_, why, ..) => why,
                    other => other.to_string(),
                };
                Error::fix_input(format!(
                    "option `{PREFIX}{name}` cannot be `{value}`: the Kafka client says: {}",
                    message.trim_end_matches('.')
                ))
            })?;
        }
        Ok(())
    }

    /// Where to connect to: the brokers that are named, or else the embedded log, which is started
    /// or joined by the first who asks. One that another process serves may have moved since it was
    /// joined; so it is looked for each time.
    ///
    /// # Errors
    /// As for [`EmbeddedLog::open`].
    pub async fn brokers(&self, seams: &Seams) -> Result<String> {
        if let Some(servers) = &self.bootstrap_servers {
            return Ok(servers.clone());
        }
        let mut embedded = self.embedded.lock().await;
        if let Some(log) = embedded.as_ref().filter(|log| log.is_own()) {
            return Ok(log.address().to_owned());
        }
        let log = embedded.insert(EmbeddedLog::open(&self.log_dir, seams).await?);
        Ok(log.address().to_owned())
    }

    /// # Errors
    /// `Retry` when the embedded log, which another process serves, is no longer where it was
    /// joined: librdkafka would look for it there for ever.
    pub fn check_place(&self) -> Result<()> {
        let Ok(embedded) = self.embedded.try_lock() else { return Ok(()) };
        let Some(log) = embedded.as_ref() else { return Ok(()) };
        match log.moved_to() {
            None => Ok(()),
            Some(address) => Err(Error::retry(format!(
                "the log in `{}` was served at `{}` and is served at `{address}` now",
                self.log_dir.display(),
                log.address()
            ))),
        }
    }

    /// What encrypts connections and logs them in, if they have to be.
    pub fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }

    /// A client for what librdkafka does not ask.
    pub fn wire_client(&self, bootstrap_servers: &str, clock: Arc<dyn Clock>) -> WireClient {
        match &self.relay {
            None => WireClient::new(bootstrap_servers, Security::default(), clock),
            Some(relay) => WireClient::new(bootstrap_servers, relay.security().clone(), clock)
                .was_let_in(relay.has_answered()),
        }
    }

    /// The brokers that are named.
    pub fn named_brokers(&self) -> Option<&str> {
        self.bootstrap_servers.as_deref()
    }

    /// The value of a property by the name that librdkafka has for it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.others.get(name).map(String::as_str)
    }

    /// A client's configuration with all of them but the group, and what the relay does.
    pub fn config(&self, bootstrap_servers: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap_servers);
        for (name, value) in &self.others {
            config.set(name, value);
        }
        config
    }
}

/// What becomes of a name of the Java client.
enum Java {
    /// librdkafka has it too, or nobody has.
    Same,
    /// librdkafka calls it so.
    Called(&'static str),
    /// The same, for a size in bytes.
    Size(&'static str),
    /// Neither.
    Refused(&'static str),
}

fn translation(name: &str) -> Java {
    use Java::{Called, Refused, Same, Size};
    match name {
        "fetch.max.wait.ms" => Called("fetch.wait.max.ms"),
        "receive.buffer.bytes" => Size("socket.receive.buffer.bytes"),
        "send.buffer.bytes" => Size("socket.send.buffer.bytes"),
        "socket.connection.setup.timeout.max.ms" => Called("socket.connection.setup.timeout.ms"),
        "key.deserializer" | "value.deserializer" | "key.serializer" | "value.serializer" => {
            Refused("formats are chosen by `format`, `key.format` and `value.format`")
        }
        "max.poll.records" => Refused("batches are cut by the job's own batch size"),
        "partition.discovery.interval.ms" => {
            Refused("use the option `scan.topic-partition-discovery.interval`")
        }
        "commit.offsets.on.checkpoint" => {
            Refused("offsets are committed with each checkpoint exactly when `group.id` is given")
        }
        "client.id.prefix" => Called("client.id"),
        "enable.partition.eof" | "enabled_events" | "enable.auto.offset.store" => {
            Refused("the connector itself needs it")
        }
        "exclude.internal.topics" => Refused("a pattern never matches topics that are internal"),
        "interceptor.classes" | "metric.reporters" | "partitioner.class" | "config.providers" => {
            Refused("it names a Java class")
        }
        _ => Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> Result<ClientProperties> {
        let named = pairs.iter().map(|&(name, value)| (format!("{PREFIX}{name}"), value));
        ClientProperties::from_options(&Options::new(named))
    }

    #[test]
    fn names_of_the_java_client_are_translated() {
        let given =
            properties(&[("fetch.max.wait.ms", "7"), ("receive.buffer.bytes", "-1")]).unwrap();
        assert_eq!(given.get("fetch.wait.max.ms"), Some("7"));
        assert_eq!(given.get("socket.receive.buffer.bytes"), Some("0"));
    }

    #[test]
    fn what_the_client_does_not_have_is_refused_with_a_reason() {
        for (name, value, wanted) in [
            ("no.such.thing", "1", "properties.no.such.thing"),
            ("fetch.min.bytes", "many", "fetch.min.bytes"),
            ("key.deserializer", "x", "key.format"),
            ("auto.offset.reset", "smallest", "auto.offset.reset"),
            ("ssl.truststore.password", "x", "ssl.truststore.password"),
        ] {
            let error = properties(&[(name, value)]).unwrap_err();
            assert!(error.full_report().contains(wanted), "{}", error.full_report());
        }
    }

    #[test]
    fn what_encrypts_and_logs_in_is_not_for_librdkafka() {
        let given = properties(&[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            ("sasl.username", "ann"),
            ("sasl.password", "secret"),
        ])
        .unwrap();
        assert!(given.relay().unwrap().security().login.is_some());
        assert_eq!(given.others, BTreeMap::new());
        assert!(!format!("{given:?}").contains("secret"));
        assert!(properties(&[]).unwrap().relay().is_none());
    }
}
