//! The options `properties.*`: what is handed on to the Kafka client.
//!
//! Flink hands them to the Java client, Millrace to librdkafka. Most names mean the same in both.
//! Names that only the Java client has are translated where librdkafka has the same thing under
//! another name, and refused with a reason where it has not, so that no option is passed over in
//! silence.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use millrace_core::seam::Seams;
use millrace_core::{Error, Result};
use rdkafka::ClientConfig;
use tokio::sync::Mutex;

use super::embedded::EmbeddedLog;
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
        for option in options.names_under(PREFIX) {
            let value = options.text(&option).unwrap_or_default().to_owned();
            properties.take(&option, &option[PREFIX.len()..], value)?;
        }
        if properties.bootstrap_servers.is_some() && options.text("log.data-dir").is_some() {
            return Err(Error::fix_input(
                "options `properties.bootstrap.servers` and `log.data-dir` exclude each other",
            ));
        }
        properties.check_security()?;
        properties.check_known()?;
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

    fn take(&mut self, option: &str, name: &str, value: String) -> Result<()> {
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
            "sasl.jaas.config" => {
                let login = JaasLogin::parse(option, &value)?;
                self.others.insert("sasl.username".into(), login.username);
                self.others.insert("sasl.password".into(), login.password);
            }
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

    fn check_security(&self) -> Result<()> {
        let given = |name: &str| self.others.get(name).map(|value| value.to_ascii_uppercase());
        let protocol = given("security.protocol").unwrap_or_else(|| "PLAINTEXT".into());
        let mechanism = given("sasl.mechanism").or_else(|| given("sasl.mechanisms"));
        if protocol.starts_with("SASL") {
            let mechanism = mechanism.as_deref().unwrap_or("GSSAPI");
            if matches!(mechanism, "GSSAPI") {
                return Err(Error::fix_input(
                    "option `properties.sasl.mechanism` cannot be `GSSAPI`: this program is built \
                     without Kerberos",
                )
                .hint("use `PLAIN`, or `SCRAM-SHA-512` in a program built with `kafka-ssl`"));
            }
            if mechanism.starts_with("SCRAM") && !cfg!(feature = "kafka-ssl") {
                return Err(without_ssl("sasl.mechanism", mechanism));
            }
        }
        if protocol.ends_with("SSL") && !cfg!(feature = "kafka-ssl") {
            return Err(without_ssl("security.protocol", &protocol));
        }
        Ok(())
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

    /// The value of a property by the name that librdkafka has for it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.others.get(name).map(String::as_str)
    }

    /// A client's configuration with all of them but the group.
    pub fn config(&self, bootstrap_servers: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap_servers);
        for (name, value) in &self.others {
            config.set(name, value);
        }
        config
    }
}

fn without_ssl(name: &str, value: &str) -> Error {
    Error::fix_input(format!(
        "option `{PREFIX}{name}` cannot be `{value}`: this program is built without OpenSSL"
    ))
    .hint("build it with the feature `kafka-ssl`, or use `SASL_PLAINTEXT` with `PLAIN`")
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
        "ssl.truststore.certificates" => Called("ssl.ca.pem"),
        "ssl.keystore.certificate.chain" => Called("ssl.certificate.pem"),
        "ssl.keystore.key" => Called("ssl.key.pem"),
        "ssl.cipher.suites" => Called("ssl.cipher.suites"),
        "ssl.truststore.location" | "ssl.truststore.password" | "ssl.truststore.type" => {
            Refused("Java key stores cannot be read; give certificates as PEM by `ssl.ca.location`")
        }
        "ssl.keystore.type" => Refused("a key store in `ssl.keystore.location` is of PKCS#12"),
        "ssl.protocol" | "ssl.enabled.protocols" | "ssl.provider" => {
            Refused("OpenSSL chooses the newest version of TLS that both sides have")
        }
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
        "sasl.client.callback.handler.class"
        | "sasl.login.callback.handler.class"
        | "sasl.login.class"
        | "interceptor.classes"
        | "metric.reporters"
        | "partitioner.class"
        | "config.providers"
        | "security.providers" => Refused("it names a Java class"),
        _ => Same,
    }
}

/// A user name and password out of Java's login configuration.
struct JaasLogin {
    username: String,
    password: String,
}

impl JaasLogin {
    /// Reads `…PlainLoginModule required username="u" password="p";`.
    fn parse(option: &str, text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::fix_input(format!("option `{option}` cannot be read: {why}")).hint(
                "write `org.apache.kafka.common.security.plain.PlainLoginModule required \
                 username=\"…\" password=\"…\";`, or use `properties.sasl.username` and \
                 `properties.sasl.password`",
            )
        };
        let module = text.split_whitespace().next().unwrap_or_default();
        if !module.ends_with("PlainLoginModule") && !module.ends_with("ScramLoginModule") {
            return Err(wrong(&format!("the module `{module}` is not supported")));
        }
        let value = |name: &str| {
            let start = text.find(&format!("{name}=\""))? + name.len() + 2;
            let mut value = String::new();
            let mut characters = text[start..].chars();
            loop {
                match characters.next()? {
                    '"' => return Some(value),
                    '\\' => value.push(characters.next()?),
                    other => value.push(other),
                }
            }
        };
        Ok(JaasLogin {
            username: value("username").ok_or_else(|| wrong("it has no `username=\"…\"`"))?,
            password: value("password").ok_or_else(|| wrong("it has no `password=\"…\"`"))?,
        })
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
        let given = properties(&[
            ("fetch.max.wait.ms", "7"),
            ("receive.buffer.bytes", "-1"),
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            (
                "sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required \
                 username=\"ann\" password=\"a\\\"b\";",
            ),
        ])
        .unwrap();
        assert_eq!(given.get("fetch.wait.max.ms"), Some("7"));
        assert_eq!(given.get("socket.receive.buffer.bytes"), Some("0"));
        assert_eq!(given.get("sasl.username"), Some("ann"));
        assert_eq!(given.get("sasl.password"), Some("a\"b"));
    }

    #[test]
    fn what_the_client_does_not_have_is_refused_with_a_reason() {
        for (name, value, wanted) in [
            ("no.such.thing", "1", "properties.no.such.thing"),
            ("fetch.min.bytes", "many", "fetch.min.bytes"),
            ("key.deserializer", "x", "key.format"),
            ("auto.offset.reset", "smallest", "auto.offset.reset"),
            ("sasl.jaas.config", "Krb5LoginModule required;", "Krb5LoginModule"),
        ] {
            let error = properties(&[(name, value)]).unwrap_err();
            assert!(error.full_report().contains(wanted), "{}", error.full_report());
        }
    }

    #[cfg(not(feature = "kafka-ssl"))]
    #[test]
    fn without_openssl_tls_and_scram_are_refused() {
        let tls = properties(&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "PLAIN")]);
        assert!(tls.unwrap_err().message().contains("without OpenSSL"));
        let scram = properties(&[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
        ]);
        assert!(scram.unwrap_err().message().contains("without OpenSSL"));
    }
}
