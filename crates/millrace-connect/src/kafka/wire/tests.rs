//! The client against embedded logs that want to know who asks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millrace_core::seam::Seams;
use millrace_core::{Error, ErrorKind};
use millrace_log::{Broker, BrokerConfig, SaslMechanism, Server, TlsFiles, Users};

use super::fault::Fault;
use super::{Called, SecuritySettings, WireClient};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

/// A log with the user `ann`, with this certificate if one is named.
struct Log {
    server: Server,
    _directory: tempfile::TempDir,
}

impl Log {
    async fn start(sasl: bool, certificate: Option<&str>) -> Log {
        let directory = tempfile::tempdir().unwrap();
        Users::open(directory.path()).unwrap().set_password("ann", "se=c,ret").unwrap();
        let mut config = BrokerConfig::new(directory.path());
        if sasl {
            config.sasl_mechanisms = SaslMechanism::ALL.to_vec();
        }
        config.tls = certificate.map(|name| TlsFiles {
            certificate: file(&format!("{name}.pem")),
            key: file(&format!("{name}-key.pem")),
        });
        let broker = Broker::open(config, Seams::system()).unwrap();
        Log { server: Server::start(broker).await.unwrap(), _directory: directory }
    }

    fn client(&self, settings: &[(&str, &str)]) -> Result<WireClient, Error> {
        let mut read = SecuritySettings::new(Called::Option);
        for (name, value) in settings {
            read.take(name, (*value).to_owned())?;
        }
        let security = read.read()?.unwrap_or_default();
        let clock = Arc::clone(&Seams::system().clock);
        Ok(WireClient::new(&self.server.address().to_string(), security, clock))
    }

    /// Why a client with these settings is refused.
    async fn refusal(&self, settings: &[(&str, &str)]) -> Error {
        let error = self.client(settings).unwrap().brokers().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FixInput, "{}", error.full_report());
        error
    }
}

fn login<'a>(protocol: &'a str, mechanism: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("security.protocol", protocol),
        ("sasl.mechanism", mechanism),
        ("sasl.username", "ann"),
        ("sasl.password", "se=c,ret"),
    ]
}

#[tokio::test]
async fn transactions_are_seen_and_ended_over_every_kind_of_connection() {
    let ca = file("ca.pem");
    let trust = ("ssl.ca.location", ca.to_str().unwrap());
    for certificate in [None, Some("server")] {
        for mechanism in [None, Some("PLAIN"), Some("SCRAM-SHA-256"), Some("SCRAM-SHA-512")] {
            let log = Log::start(mechanism.is_some(), certificate).await;
            let protocol = match (certificate, mechanism) {
                (None, None) => "PLAINTEXT",
                (None, Some(_)) => "SASL_PLAINTEXT",
                (Some(_), None) => "SSL",
                (Some(_), Some(_)) => "SASL_SSL",
            };
            let mut settings = login(protocol, mechanism.unwrap_or("PLAIN"));
            if mechanism.is_none() {
                settings.truncate(1);
            }
            if certificate.is_some() {
                settings.push(trust);
            }
            let mut wire = log.client(&settings).unwrap();
            let told = format!("{protocol} with {mechanism:?}");
            wire.fence("orders-0-0", 10_000).await.expect(&told);
            let state = wire.describe("orders-0-0").await.unwrap().expect("it was just made");
            assert_eq!(state.state, "Empty", "{told}");
            assert_eq!(wire.transactional_ids("orders-").await.unwrap(), ["orders-0-0"]);
            assert_eq!(wire.transaction_max_timeout_ms().await.unwrap(), Some(900_000));
        }
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_mechanism_that_is_not_served_are_refused_for_good() {
    let log = Log::start(true, None).await;
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut settings = login("SASL_PLAINTEXT", mechanism);
        settings[3].1 = "wrong";
        let error = log.refusal(&settings).await;
        assert!(error.message().contains("refuses the login of `ann`"), "{error}");
        // Where it was let in before it is to ask again.
        let mut known = log.client(&settings).unwrap().was_let_in(true);
        let Err(Fault::Passing(error)) = known.metadata(None).await else { panic!("{mechanism}") };
        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    }
}

#[tokio::test]
async fn certificates_are_checked_as_far_as_the_settings_say() {
    let ca = file("ca.pem");
    let own = file("self-signed.pem");
    let [ca, own] = [&ca, &own].map(|path| ("ssl.ca.location", path.to_str().unwrap()));
    let ssl = ("security.protocol", "SSL");
    let unchecked = ("enable.ssl.certificate.verification", "false");
    let any_name = ("ssl.endpoint.identification.algorithm", "none");

    let log = Log::start(false, Some("elsewhere")).await;
    log.refusal(&[ssl, ca]).await;
    log.refusal(&[ssl, own, any_name]).await;
    log.client(&[ssl, ca, any_name]).unwrap().brokers().await.unwrap();
    log.client(&[ssl, unchecked]).unwrap().brokers().await.unwrap();

    let log = Log::start(false, Some("self-signed")).await;
    let error = log.refusal(&[ssl, ca]).await;
    assert!(error.hint_text().unwrap().contains("ssl.ca.location"), "{}", error.full_report());
    log.client(&[ssl, own]).unwrap().brokers().await.unwrap();

    let text = std::fs::read_to_string(file("self-signed.pem")).unwrap();
    log.client(&[ssl, ("ssl.ca.pem", &text)]).unwrap().brokers().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(file("self-signed.pem"), directory.path().join("x.pem")).unwrap();
    let directory = ("ssl.ca.location", directory.path().to_str().unwrap());
    log.client(&[ssl, directory]).unwrap().brokers().await.unwrap();
}
