//! Where reading begins, goes on and ends.

use std::collections::HashSet;

use arrow_schema::DataType;
use millrace_core::seam::Seams;
use millrace_core::{ErrorKind, Source, Split, Subtask};
use rdkafka::TopicPartitionList;
use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::Offset;

use super::cluster::{Cluster, PATIENCE, Record, read_some, send, send_numbers};
use crate::harness::{context, open_source, read_all};

const N: &[(&str, DataType)] = &[("n", DataType::Int64)];

async fn rows(source: &dyn Source) -> Vec<String> {
    read_all(source, 64, || false).await.unwrap().rows
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_begins_and_ends_where_the_modes_say() {
    let cluster = Cluster::start().await;
    let topic = cluster.topic("modes", 1).await;
    let producer = cluster.producer();
    for n in 0..10 {
        let value = format!("{{\"n\":{n}}}");
        let timestamp = Some(1_000 + n);
        send(
            &producer,
            &topic,
            Record { value: Some(value.as_bytes()), timestamp, ..Record::default() },
        );
    }
    producer.flush(PATIENCE).unwrap();
    for (options, expected) in [
        (
            &[("scan.startup.mode", "timestamp"), ("scan.startup.timestamp-millis", "1007")][..],
            7..10,
        ),
        (&[("scan.startup.mode", "timestamp"), ("scan.startup.timestamp-millis", "9999")], 10..10),
        (
            &[
                ("scan.startup.mode", "specific-offsets"),
                ("scan.startup.specific-offsets", "partition:0,offset:4"),
            ],
            4..10,
        ),
        (
            &[
                ("scan.bounded.mode", "specific-offsets"),
                ("scan.bounded.specific-offsets", "partition:0,offset:3"),
            ],
            0..3,
        ),
        (&[("scan.bounded.mode", "timestamp"), ("scan.bounded.timestamp-millis", "1002")], 0..2),
        (&[("scan.startup.mode", "latest-offset")], 10..10),
    ] {
        let opened = open_source("kafka", &cluster.table(&topic, N, options)).unwrap();
        let expected: Vec<String> = expected.map(|n: i32| n.to_string()).collect();
        assert_eq!(rows(&*opened.source).await, expected, "{options:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_read_waits_for_an_end_that_is_still_to_come() {
    let cluster = Cluster::start().await;
    let topic = cluster.topic("future", 1).await;
    let producer = cluster.producer();
    send_numbers(&producer, &topic, 0, 0..5);
    let options = [
        ("scan.bounded.mode", "specific-offsets"),
        ("scan.bounded.specific-offsets", "partition:0,offset:8"),
    ];
    let opened = open_source("kafka", &cluster.table(&topic, N, &options)).unwrap();
    let splits = opened.source.discover().await.unwrap();
    let (first, split) = read_some(&*opened.source, &splits[0], 5).await;
    assert_eq!(first.rows.len(), 5);
    send_numbers(&producer, &topic, 0, 5..20);
    let (rest, _) = read_some(&*opened.source, &split, usize::MAX).await;
    assert_eq!(rest.rows, ["5", "6", "7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_records_wake_a_waiting_reader() {
    let cluster = Cluster::start().await;
    let topic = cluster.topic("wake", 1).await;
    let options = [("scan.bounded.mode", "unbounded"), ("scan.startup.mode", "latest-offset")];
    let opened = open_source("kafka", &cluster.table(&topic, N, &options)).unwrap();
    let splits = opened.source.discover().await.unwrap();
    let producer = cluster.producer();
    let reading = read_some(&*opened.source, &splits[0], 3);
    let writing = async {
        for n in 0..3 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            send_numbers(&producer, &topic, 0, n..n + 1);
        }
    };
    let ((content, _), ()) = tokio::join!(reading, writing);
    assert_eq!(content.rows, ["0", "1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_checkpoint_commits_its_offsets_to_the_group() {
    let cluster = Cluster::start().await;
    let topic = cluster.topic("group", 2).await;
    let group = format!("group-of-{topic}");
    let producer = cluster.producer();
    send_numbers(&producer, &topic, 0, 0..10);
    send_numbers(&producer, &topic, 1, 10..20);
    let options = [("properties.group.id", group.as_str())];
    let opened = open_source("kafka", &cluster.table(&topic, N, &options)).unwrap();
    let splits = opened.source.discover().await.unwrap();
    let mut read: Vec<Split> = Vec::new();
    for split in &splits {
        read.push(read_some(&*opened.source, split, usize::MAX).await.1);
    }
    let subtask = Subtask { index: 0, parallelism: 1 };
    opened.source.checkpoint_completed(subtask, &read, &Seams::system()).await.unwrap();

    let consumer: BaseConsumer = cluster.config().set("group.id", &group).create().unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(&topic, 0, 1);
    let committed = consumer.committed_offsets(asked, PATIENCE).unwrap();
    let offsets: Vec<Offset> = committed.elements().iter().map(|one| one.offset()).collect();
    assert_eq!(offsets, [Offset::Offset(10), Offset::Offset(10)]);

    // Another job of the group begins there.
    send_numbers(&producer, &topic, 1, 20..22);
    let options = [options[0], ("scan.startup.mode", "group-offsets")];
    let opened = open_source("kafka", &cluster.table(&topic, N, &options)).unwrap();
    assert_eq!(rows(&*opened.source).await, ["20", "21"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_without_offsets_needs_to_be_told_where_to_begin() {
    let cluster = Cluster::start().await;
    let topic = cluster.topic("no-group", 1).await;
    send_numbers(&cluster.producer(), &topic, 0, 0..3);
    let group = format!("group-of-{topic}");
    let options = [("properties.group.id", group.as_str()), ("scan.startup.mode", "group-offsets")];
    let opened = open_source("kafka", &cluster.table(&topic, N, &options)).unwrap();
    let error = opened.source.discover().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixInput);
    assert!(error.message().contains("has no offset to begin at"), "{error}");
    let options = [options[0], options[1], ("properties.auto.offset.reset", "earliest")];
    let opened = open_source("kafka", &cluster.table(&topic, N, &options)).unwrap();
    assert_eq!(rows(&*opened.source).await, ["0", "1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_deleted_before_they_were_read_are_told_and_not_skipped() {
    let cluster = Cluster::start().await;
    let topic = cluster.topic("lost", 1).await;
    let producer = cluster.producer();
    send_numbers(&producer, &topic, 0, 0..10);
    let opened = open_source("kafka", &cluster.table(&topic, N, &[])).unwrap();
    let splits = opened.source.discover().await.unwrap();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic, 0, Offset::Offset(6)).unwrap();
    cluster.admin().delete_records(&before, &AdminOptions::new()).await.unwrap();
    let error = opened.source.open(&splits[0], &context(10)).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Restore);
    assert!(error.message().contains("the records 0 to 5 of partition 0"), "{error}");
    let options = [("properties.auto.offset.reset", "earliest")];
    let opened = open_source("kafka", &cluster.table(&topic, N, &options)).unwrap();
    let (content, _) = read_some(&*opened.source, &splits[0], usize::MAX).await;
    assert_eq!(content.rows, ["6", "7", "8", "9"]);

    let beyond =
        Split { position: serde_json::json!({"version": 1, "offset": 99}), ..splits[0].clone() };
    let opened = open_source("kafka", &cluster.table(&topic, N, &[])).unwrap();
    let error = opened.source.open(&beyond, &context(10)).await.err().unwrap();
    assert!(error.message().contains("ends at 10, before 99"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_found_later_are_read_from_their_beginning() {
    let cluster = Cluster::start().await;
    let topic = cluster.topic("grow", 1).await;
    let producer = cluster.producer();
    send_numbers(&producer, &topic, 0, 0..3);
    let pattern = format!("{topic}.*");
    let options = [
        ("topic-pattern", pattern.as_str()),
        ("scan.bounded.mode", "unbounded"),
        ("scan.startup.mode", "latest-offset"),
    ];
    let opened = open_source("kafka", &cluster.table(&topic, N, &options)).unwrap();
    let splits = opened.source.discover().await.unwrap();
    assert_eq!(splits.len(), 1);
    let known: HashSet<_> = splits.iter().map(|split| split.id.clone()).collect();
    assert!(opened.source.discover_new(&known).await.unwrap().is_empty());
    cluster.grow(&topic, 2).await;
    let producer = cluster.producer();
    send_numbers(&producer, &topic, 1, 7..9);
    let found = opened.source.discover_new(&known).await.unwrap();
    assert_eq!(found.len(), 1);
    let (content, _) = read_some(&*opened.source, &found[0], 2).await;
    assert_eq!(content.rows, ["7", "8"]);
}
