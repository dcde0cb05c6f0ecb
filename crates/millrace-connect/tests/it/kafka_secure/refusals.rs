//! What does not work, and what is said of it.

use std::time::{Duration, Instant};

use millrace_core::{CheckpointId, Error, ErrorKind};

use super::broker::{ALL, Log, client, numbers, path};
use super::front::Front;
use crate::harness::{open_sink, open_source, open_writer};
use crate::kafka_sink::cluster::batch_of;

/// Nobody is to wait for what will not come.
const SOON: Duration = Duration::from_secs(20);

/// What reading, writing and writing exactly once say.
#[expect(clippy::disallowed_methods, reason = "it measures how long a user waits")]
async fn told(brokers: &str, client: &[(String, String)]) -> Vec<Error> {
    let begun = Instant::now();
    let source = open_source("kafka", &numbers(brokers, "t", client, &ALL)).unwrap().source;
    let reading = source.discover().await.unwrap_err();
    let at_least_once = [("sink.delivery-guarantee", "at-least-once")];
    let exactly_once =
        [("sink.delivery-guarantee", "exactly-once"), ("sink.transactional-id-prefix", "p")];
    let mut errors = vec![reading];
    for guarantee in [&at_least_once[..], &exactly_once] {
        let sink = open_sink("kafka", &numbers(brokers, "t", client, guarantee)).unwrap().sink;
        errors.push(open_writer(&*sink, 0, 1, &[]).await.err().expect("it is refused"));
    }
    assert!(begun.elapsed() < SOON, "it took {} ms", begun.elapsed().as_millis());
    errors
}

async fn assert_refused(brokers: &str, client: &[(String, String)], reason: &str) {
    for error in told(brokers, client).await {
        let report = error.full_report();
        assert_eq!(error.kind(), ErrorKind::FixInput, "{report}");
        assert!(report.contains(reason) && error.hint_text().is_some(), "{reason}: {report}");
    }
}

fn set(client: &[(String, String)], name: &str, value: &str) -> Vec<(String, String)> {
    let mut client = client.to_vec();
    client.retain(|(known, _)| known != name);
    client.push((name.to_owned(), value.to_owned()));
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_and_mechanisms_are_told_in_the_words_of_the_broker() {
    let log = Log::start(true, None).await;
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let wrong = set(&client(false, Some(mechanism)), "sasl.password", "guess");
        assert_refused(&log.address(), &wrong, "refuses the login of `ann`: ").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_nobody_vouches_for_are_refused_with_the_reason() {
    let ssl = client(true, None);
    let log = Log::start(false, Some("server")).await;
    let distrusting = set(&ssl, "ssl.ca.location", &path("another-ca.pem"));
    assert_refused(&log.address(), &distrusting, "UnknownIssuer").await;
    let log = Log::start(false, Some("elsewhere")).await;
    assert_refused(&log.address(), &ssl, "elsewhere.example").await;
    let any_name = set(&ssl, "ssl.endpoint.identification.algorithm", "none");
    let table = numbers(&log.address(), "t", &any_name, &[]);
    let sink = open_sink("kafka", &table).unwrap().sink;
    open_writer(&*sink, 0, 1, &[]).await.unwrap();
    let front = Front::start("expired", None).await;
    let trusting = set(&ssl, "ssl.ca.location", &path("another-ca.pem"));
    assert_refused(&front.address, &trusting, "expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_asks_for_a_certificate_says_so() {
    let front = Front::start("server", Some("another-ca.pem")).await;
    assert_refused(&front.address, &client(true, None), "CertificateRequired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_other_side_does_not_speak_is_found_out() {
    let log = Log::start(false, Some("server")).await;
    assert_refused(&log.address(), &client(false, None), "wants encryption").await;
    assert_refused(&log.address(), &client(false, Some("PLAIN")), "wants encryption").await;
    let plain = Log::start(false, None).await;
    assert_refused(&plain.address(), &client(true, None), "does not speak TLS").await;
    let plain = Log::start(true, None).await;
    assert_refused(&plain.address(), &client(true, Some("PLAIN")), "does not speak TLS").await;
    // Nobody may be logged in where nobody is asked to be.
    let open = Log::start(false, None).await;
    assert_refused(&open.address(), &client(false, Some("PLAIN")), "wants no login").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_login_learns_that_it_needs_one() {
    let log = Log::start(true, None).await;
    let table = numbers(&log.address(), "t", &[], &ALL);
    let error = open_source("kafka", &table).unwrap().source.discover().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixInput);
    let report = error.full_report();
    assert!(report.contains("wants a login") && report.contains("`SCRAM-SHA-256`"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a test of the real thing")]
async fn who_is_turned_away_does_not_knock_without_pause() {
    let front = Front::start("expired", None).await;
    let table = numbers(&front.address, "t", &client(true, None), &ALL);
    let source = open_source("kafka", &table).unwrap().source;
    source.discover().await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(3)).await;
    // After 100 ms, 200 ms, 400 ms, …, and of the question and the consumer's own.
    assert!(front.connections.accepted() < 20, "{} connections", front.connections.accepted());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_is_waited_for() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = unused.local_addr().unwrap().to_string();
    drop(unused);
    let client = set(&client(true, None), "default.api.timeout.ms", "1500");
    let source = open_source("kafka", &numbers(&address, "t", &client, &ALL)).unwrap().source;
    let error = source.discover().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.full_report().contains("Connection refused"), "{}", error.full_report());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_whose_password_is_changed_hears_why_it_is_not_let_in_again() {
    let log = Log::start(true, None).await;
    let client = client(false, Some("PLAIN"));
    let mut table = numbers(&log.address(), "t", &client, &[]);
    table.options = millrace_connect::Options::new(
        [
            ("topic", "t"),
            ("format", "json"),
            ("properties.bootstrap.servers", &log.address()),
            ("properties.reconnect.backoff.max.ms", "1000"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .chain(client.iter().map(|(name, value)| (format!("properties.{name}"), value.clone()))),
    );
    let sink = open_sink("kafka", &table).unwrap().sink;
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    writer.write(batch_of(0..10)).await.unwrap();
    writer.prepare(CheckpointId(1)).await.unwrap();
    // The log goes, and another one with another password comes in its place.
    let (address, directory) = (log.server.address(), log.directory);
    log.server.shutdown().await.unwrap();
    millrace_log::Users::open(directory.path()).unwrap().set_password("ann", "other").unwrap();
    let mut config = millrace_log::BrokerConfig::new(directory.path());
    config.listen = address.to_string();
    config.sasl_mechanisms = millrace_log::SaslMechanism::ALL.to_vec();
    let broker = millrace_log::Broker::open(config, millrace_core::seam::Seams::system()).unwrap();
    let _again = millrace_log::Server::start(broker).await.unwrap();
    writer.write(batch_of(10..20)).await.unwrap();
    let limit = Duration::from_secs(40);
    #[expect(clippy::disallowed_methods, reason = "a test of the real thing")]
    let prepared = tokio::time::timeout(limit, writer.prepare(CheckpointId(2))).await;
    let error = prepared.expect("it does not wait for the delivery to time out").unwrap_err();
    // It was let in before: the job starts again, and may be let in then.
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.message().contains("refuses the login of `ann`"), "{}", error.full_report());
}
