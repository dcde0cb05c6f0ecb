//! A log that asks who comes, and tables of it.

use std::path::{Path, PathBuf};

use arrow_schema::DataType;
use millrace_connect::TableSpec;
use millrace_connect::kafka::{Relay, Relayed, create};
use millrace_core::seam::Seams;
use millrace_log::{Broker, BrokerConfig, SaslMechanism, Server, TlsFiles, Users};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::{ClientConfig, ClientContext};

use crate::harness;

/// A certificate or key of the tests.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

pub fn path(name: &str) -> String {
    file(name).to_str().unwrap().to_owned()
}

/// A log with the user `ann`, whose password is `secret`.
pub struct Log {
    pub server: Server,
    pub directory: tempfile::TempDir,
}

impl Log {
    /// One that wants logins if `sasl` says so, and has this certificate if one is named.
    pub async fn start(sasl: bool, certificate: Option<&str>) -> Log {
        let directory = tempfile::tempdir().unwrap();
        Users::open(directory.path()).unwrap().set_password("ann", "secret").unwrap();
        let mut config = BrokerConfig::new(directory.path());
        if sasl {
            config.sasl_mechanisms = SaslMechanism::ALL.to_vec();
        }
        config.tls = certificate.map(|name| TlsFiles {
            certificate: file(&format!("{name}.pem")),
            key: file(&format!("{name}-key.pem")),
        });
        let broker = Broker::open(config, Seams::system()).unwrap();
        Log { server: Server::start(broker).await.unwrap(), directory }
    }

    pub fn address(&self) -> String {
        self.server.address().to_string()
    }
}

/// The properties of a client that says who it is by `mechanism`, if one is given, over TLS if `tls`
/// says so.
pub fn client(tls: bool, mechanism: Option<&str>) -> Vec<(String, String)> {
    let protocol = match (tls, mechanism) {
        (false, None) => "PLAINTEXT",
        (false, Some(_)) => "SASL_PLAINTEXT",
        (true, None) => "SSL",
        (true, Some(_)) => "SASL_SSL",
    };
    let ca = path("ca.pem");
    let mut properties = vec![("security.protocol", protocol)];
    if tls {
        properties.push(("ssl.ca.location", &ca));
    }
    if let Some(mechanism) = mechanism {
        properties.extend([
            ("sasl.mechanism", mechanism),
            ("sasl.username", "ann"),
            ("sasl.password", "secret"),
        ]);
    }
    properties.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A table of one number in JSON over `topic`, with the properties of `client`.
pub fn numbers(
    brokers: &str,
    topic: &str,
    client: &[(String, String)],
    more: &[(&str, &str)],
) -> TableSpec {
    let properties: Vec<(String, &str)> =
        client.iter().map(|(name, value)| (format!("properties.{name}"), value.as_str())).collect();
    let options = [("topic", topic), ("properties.bootstrap.servers", brokers), ("format", "json")];
    let all = options.into_iter().chain(more.iter().copied());
    let all = all.chain(properties.iter().map(|(name, value)| (name.as_str(), *value)));
    harness::table(&[("n", DataType::Int64)], all)
}

/// Where a bounded read of everything begins and ends.
pub const ALL: [(&str, &str); 2] =
    [("scan.startup.mode", "earliest-offset"), ("scan.bounded.mode", "latest-offset")];

/// The context of clients that nothing else is said to.
pub struct Quiet(pub Option<Relay>);

impl ClientContext for Quiet {}

impl rdkafka::consumer::ConsumerContext for Quiet {}

impl Relayed for Quiet {
    fn relay(&self) -> Option<&Relay> {
        self.0.as_ref()
    }
}

/// A client's configuration without what the relay does, and the relay.
pub fn config(brokers: &str, client: &[(String, String)]) -> (ClientConfig, Quiet) {
    let (relay, others) = Relay::of_properties(client.iter().cloned()).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).extend(others);
    (config, Quiet(relay))
}

pub fn admin(brokers: &str, client: &[(String, String)]) -> AdminClient<Quiet> {
    let (config, context) = config(brokers, client);
    create(&config, context).unwrap()
}

pub async fn make_topic(admin: &AdminClient<Quiet>, name: &str, partitions: i32) {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for made in admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap() {
        made.unwrap();
    }
}

pub async fn grow(admin: &AdminClient<Quiet>, name: &str, partitions: usize) {
    let more = NewPartitions::new(name, partitions);
    for made in admin.create_partitions(&[more], &AdminOptions::new()).await.unwrap() {
        made.unwrap();
    }
}
