//! Every command, and jobs, with a log that wants TLS and logins.

use std::path::Path;

use super::access::{certificate, guarded};
use super::{Log, serve};
use crate::harness::{run, run_script};

/// The properties of a client, each behind `before`.
fn properties(before: &str, mechanism: &str, password: &str) -> String {
    let ca = certificate("ca.pem");
    [
        ("security.protocol", "sasl_ssl"),
        ("ssl.ca.location", ca.to_str().unwrap()),
        ("sasl.mechanism", mechanism),
        ("sasl.username", "root"),
        ("sasl.password", password),
    ]
    .map(|(name, value)| format!("{before} {name}={value}"))
    .join(" ")
}

fn secured() -> Log {
    let (pem, key) = (certificate("server.pem"), certificate("server.key"));
    let tls = format!("--tls-certificate {} --tls-key {}", pem.display(), key.display());
    guarded(&format!("--sasl --acls --super-user root {tls}"))
}

fn table(log: &Log, mechanism: &str) -> String {
    let ca = certificate("ca.pem");
    format!(
        "'connector' = 'kafka', 'format' = 'json', 'properties.bootstrap.servers' = '{}',
         'properties.security.protocol' = 'SASL_SSL', 'properties.ssl.truststore.type' = 'PEM',
         'properties.ssl.truststore.location' = '{}', 'properties.sasl.mechanism' = '{mechanism}',
         'properties.sasl.jaas.config' = 'org.apache.kafka.common.security.scram.ScramLoginModule \
         required username=\"root\" password=\"rootroot\";'",
        log.address,
        ca.display()
    )
}

#[test]
fn every_command_works_over_tls_with_every_mechanism() {
    let log = secured();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let who = properties("--property", mechanism, "rootroot");
        let topic = mechanism.to_lowercase();
        log.run(&format!("topic create {topic} --partitions 2 {who}")).expect(0);
        log.feed(&format!("produce {topic} -q {who}"), "1\n2\n").expect(0);
        log.feed(&format!("produce {topic} -q --transaction {who}"), "3\n").expect(0);
        let read = log.run(&format!("consume {topic} -q --group {topic} {who}")).expect(0).stdout;
        let mut lines: Vec<&str> = read.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["1", "2", "3"]);
        let groups = log.run(&format!("groups describe {topic} {who}")).expect(0).stdout;
        assert!(groups.contains(&topic), "{groups}");
        log.run(&format!("topic delete {topic} --yes {who}")).expect(0);
        assert!(!log.run(&format!("topic list {who}")).expect(0).stdout.contains(&topic));
    }
}

#[test]
fn a_mirror_speaks_with_each_log_as_it_wants_it() {
    let first = secured();
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = serve(directory.path());
    let second = Log { server, address, directory };
    let who = properties("--property", "SCRAM-SHA-256", "rootroot");
    first.run(&format!("topic create t {who}")).expect(0);
    first.feed(&format!("produce t -q {who}"), "1\n2\n").expect(0);
    let from = properties("--from-property", "SCRAM-SHA-512", "rootroot");
    let (first_address, second_address) = (&first.address, &second.address);
    let there = format!("mirror --from {first_address} --to {second_address} --once {from}");
    run(&mut second.command(&there)).expect(0);
    assert_eq!(second.run("consume t -q").expect(0).stdout, "1\n2\n");
    // And the other way round, by another name.
    second.run("topic create u").expect(0);
    second.feed("produce u -q", "3\n").expect(0);
    let to = properties("--to-property", "PLAIN", "rootroot");
    let back = format!(
        "mirror --from {second_address} --to {first_address} --once --topics u --name back {to}"
    );
    run(&mut second.command(&back)).expect(0);
    assert_eq!(first.run(&format!("consume u -q {who}")).expect(0).stdout, "3\n");
}

#[test]
fn a_job_reads_and_writes_exactly_once_and_keeps_its_dead_letters() {
    let log = secured();
    let who = properties("--property", "SCRAM-SHA-512", "rootroot");
    log.run(&format!("topic create orders --partitions 2 {who}")).expect(0);
    log.run(&format!("topic create doubled dead {who}")).expect(0);
    let lines: String = (0..500).map(|n| format!("{{\"n\": {n}}}\n")).collect();
    log.feed(&format!("produce orders -q {who}"), &(lines + "oops\n")).expect(0);
    let script = format!(
        "CREATE TABLE orders (n BIGINT) WITH ({}, 'topic' = 'orders',
            'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
            'bad-records' = 'dead-letter', 'bad-records.topic' = 'dead');
         CREATE TABLE doubled (n BIGINT) WITH ({}, 'topic' = 'doubled',
            'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'd');
         INSERT INTO doubled SELECT n * 2 FROM orders;",
        table(&log, "SCRAM-SHA-512"),
        table(&log, "SCRAM-SHA-256"),
    );
    run_script(log.directory.path(), &script, "").expect(0);
    let read = log.run(&format!("consume doubled -q {who}")).expect(0).stdout;
    let mut found: Vec<i64> = read
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["n"].as_i64().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, (0..500).map(|n| n * 2).collect::<Vec<i64>>());
    assert_eq!(log.run(&format!("consume dead -q {who}")).expect(0).stdout, "oops\n");
}

#[test]
fn who_is_turned_away_reads_why_at_once() {
    let log = secured();
    let good = properties("--property", "PLAIN", "rootroot");
    let other = certificate("../../../../millrace-connect/tests/data/tls/ca.pem");
    let distrusting = good.replace(certificate("ca.pem").to_str().unwrap(), &text(&other));
    for (who, told) in [
        (properties("--property", "SCRAM-SHA-256", "guess"), "refuses the login of `root`"),
        (distrusting, "name what signed its certificate by `ssl.ca.location`"),
        ("--property client.id=me".to_owned(), "wants encryption"),
        (
            good.replace("sasl_ssl", "sasl_plaintext").replace(&ca_property(), ""),
            "wants encryption",
        ),
    ] {
        for command in ["topic list", "consume t", "produce t", "groups list"] {
            let refused = log.feed(&format!("{command} {who}"), "1\n").expect(1);
            assert!(refused.stderr.contains(told), "{command}: {}", refused.stderr);
        }
    }
    // Settings that cannot be are misuse.
    for (setting, told) in [
        ("ssl.keystore.password=x", "the client property `ssl.keystore.password` cannot be set"),
        ("ssl.ca.pem=x", "the client property `ssl.ca.pem` needs `security.protocol`"),
        ("security.protocol=TLS", "the client property `security.protocol` cannot be `tls`"),
    ] {
        let misuse = log.run(&format!("topic list --property {setting}")).expect(2);
        assert!(misuse.stderr.contains(told), "{}", misuse.stderr);
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn ca_property() -> String {
    format!("--property ssl.ca.location={}", certificate("ca.pem").display())
}
