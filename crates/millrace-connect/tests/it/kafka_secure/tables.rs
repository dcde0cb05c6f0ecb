//! What works.

use millrace_core::CheckpointId;

use super::broker::{ALL, Log, admin, client, config, grow, make_topic, numbers, path};
use super::front::Front;
use crate::harness::{open_sink, open_source, open_writer, read_all};
use crate::kafka::cluster::read_some;
use crate::kafka_sink::cluster::{batch_of, committed_by, number};
use millrace_connect::kafka::create;
use millrace_core::{BadRecord, Batch, Records, SplitId, Timestamp};

/// All numbers of a topic, in order, as a table reads them.
async fn all_of(brokers: &str, topic: &str, client: &[(String, String)]) -> Vec<i64> {
    let table = numbers(brokers, topic, client, &ALL);
    let source = open_source("kafka", &table).unwrap().source;
    let content = read_all(&*source, 64, || false).await.unwrap();
    assert!(content.bad.is_empty(), "{:?}", content.complaints());
    let mut found: Vec<i64> = content.rows.iter().map(|row| row.parse().unwrap()).collect();
    found.sort_unstable();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_to_a_topic_and_come_from_it_over_every_kind_of_connection() {
    for certificate in [None, Some("server")] {
        for mechanism in [None, Some("PLAIN"), Some("SCRAM-SHA-256"), Some("SCRAM-SHA-512")] {
            let log = Log::start(mechanism.is_some(), certificate).await;
            let client = client(certificate.is_some(), mechanism);
            let told = format!("{certificate:?} {mechanism:?}");
            let table = numbers(&log.address(), "t", &client, &[]);
            let sink = open_sink("kafka", &table).unwrap().sink;
            let mut writer = open_writer(&*sink, 0, 1, &[]).await.expect(&told);
            writer.write(batch_of(0..2_000)).await.expect(&told);
            writer.prepare(CheckpointId(1)).await.expect(&told);
            assert_eq!(
                all_of(&log.address(), "t", &client).await,
                (0..2_000).collect::<Vec<i64>>(),
                "{told}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crashed_run_prepared_is_committed_over_tls() {
    let log = Log::start(true, Some("server")).await;
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let client = client(true, Some(mechanism));
        let topic = mechanism.to_lowercase();
        let exactly_once = [
            ("sink.delivery-guarantee", "exactly-once"),
            ("sink.transactional-id-prefix", mechanism),
        ];
        let table = numbers(&log.address(), &topic, &client, &exactly_once);
        let sink = open_sink("kafka", &table).unwrap().sink;
        let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
        writer.write(batch_of(0..100)).await.unwrap();
        let prepared = writer.prepare(CheckpointId(1)).await.unwrap();
        // It dies with the manifest written, in the middle of the next transaction.
        writer.write(batch_of(100..150)).await.unwrap();
        drop(writer);

        let mut writer = open_writer(&*sink, 0, 1, &[prepared]).await.unwrap();
        writer.write(batch_of(100..200)).await.unwrap();
        let prepared = writer.prepare(CheckpointId(2)).await.unwrap();
        writer.commit(CheckpointId(2), &prepared).await.unwrap();
        let (config, context) = config(&log.address(), &client);
        let records = tokio::task::block_in_place(|| {
            committed_by(&topic, config, |config| create(config, context).unwrap())
        });
        let mut found: Vec<i64> = records.iter().map(number).collect();
        found.sort_unstable();
        assert_eq!(found, (0..200).collect::<Vec<i64>>(), "{mechanism}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_and_new_partitions_need_no_other_settings() {
    let log = Log::start(true, Some("server")).await;
    let client = client(true, Some("SCRAM-SHA-512"));
    let admin = admin(&log.address(), &client);
    make_topic(&admin, "t", 1).await;
    let options = [
        ("scan.startup.mode", "earliest-offset"),
        ("scan.topic-partition-discovery.interval", "1 s"),
        ("bad-records", "dead-letter"),
        ("bad-records.topic", "bad"),
    ];
    let opened = open_source("kafka", &numbers(&log.address(), "t", &client, &options)).unwrap();
    let letter = BadRecord {
        split: SplitId::new("t-0"),
        line: None,
        column: None,
        offset: 7,
        cause: "it is bad".into(),
        raw: br#"{"n": 42}"#.to_vec(),
    };
    let letters = opened.dead_letters.unwrap();
    let mut writer = open_writer(&*letters, 0, 1, &[]).await.unwrap();
    let records = Records::new(vec![letter], vec![Timestamp::MIN]);
    writer.write(Batch::new(records)).await.unwrap();
    writer.prepare(CheckpointId(1)).await.unwrap();
    assert_eq!(all_of(&log.address(), "bad", &client).await, [42]);

    let known = opened.source.discover().await.unwrap();
    assert_eq!(known.len(), 1);
    grow(&admin, "t", 2).await;
    let sink = open_sink(
        "kafka",
        &numbers(&log.address(), "t", &client, &[("sink.partitioner", "round-robin")]),
    );
    let sink = sink.unwrap().sink;
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    writer.write(batch_of(0..10)).await.unwrap();
    writer.write(batch_of(10..20)).await.unwrap();
    writer.prepare(CheckpointId(1)).await.unwrap();
    let known = known.into_iter().map(|split| split.id).collect();
    let found = opened.source.discover_new(&known).await.unwrap();
    assert_eq!(found.len(), 1);
    let (content, _) = read_some(&*opened.source, &found[0], 10).await;
    assert_eq!(content.rows.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_show_certificates_where_brokers_ask_for_them() {
    let front = Front::start("server", Some("another-ca.pem")).await;
    let text = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    let pair = |name: &str, value: String| (name.to_owned(), value);
    let in_java = vec![
        pair("security.protocol", "SSL".into()),
        pair("ssl.truststore.type", "PEM".into()),
        pair("ssl.truststore.certificates", text("ca.pem")),
        pair("ssl.keystore.type", "PEM".into()),
        pair("ssl.keystore.location", path("client-with-key.pem")),
    ];
    let mut in_files = client(true, None);
    in_files.push(pair("ssl.certificate.location", path("client.pem")));
    in_files.push(pair("ssl.key.location", path("client-key.pem")));
    let exactly_once =
        [("sink.delivery-guarantee", "exactly-once"), ("sink.transactional-id-prefix", "p")];
    for (topic, client) in [("a", in_java), ("b", in_files)] {
        let sink = open_sink("kafka", &numbers(&front.address, topic, &client, &exactly_once));
        let sink = sink.unwrap().sink;
        let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
        writer.write(batch_of(0..100)).await.unwrap();
        let prepared = writer.prepare(CheckpointId(1)).await.unwrap();
        writer.commit(CheckpointId(1), &prepared).await.unwrap();
        let found = all_of(&front.address, topic, &client).await;
        assert_eq!(found, (0..100).collect::<Vec<i64>>());
    }
}
