//! Records of transactions, and the gaps that their markers leave.

use arrow_schema::DataType;
use rdkafka::producer::Producer;

use super::cluster::{Cluster, PATIENCE, read_some, send_numbers};
use crate::harness::{open_source, read_all};

const N: &[(&str, DataType)] = &[("n", DataType::Int64)];

#[tokio::test(flavor = "multi_thread")]
async fn aborted_records_are_seen_by_read_uncommitted_alone_and_markers_end_a_read() {
    let cluster = Cluster::start().await;
    let topic = cluster.topic("transactions", 1).await;
    let producer = cluster.transactional(&topic);
    for (numbers, commit) in [(0..3, true), (3..6, false), (6..8, true)] {
        producer.begin_transaction().unwrap();
        send_numbers(&producer, &topic, 0, numbers);
        match commit {
            true => producer.commit_transaction(PATIENCE).unwrap(),
            false => producer.abort_transaction(PATIENCE).unwrap(),
        }
    }
    // The topic ends with a marker: no record ever comes to the stop offset.
    for (isolation, expected) in
        [("read_committed", vec![0, 1, 2, 6, 7]), ("read_uncommitted", (0..8).collect())]
    {
        let options = [("properties.isolation.level", isolation)];
        let opened = open_source("kafka", &cluster.table(&topic, N, &options)).unwrap();
        let content = read_all(&*opened.source, 2, || true).await.unwrap();
        let expected: Vec<String> = expected.iter().map(i32::to_string).collect();
        assert_eq!(content.rows, expected, "{isolation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_read_of_committed_records_ends_before_an_open_transaction() {
    let cluster = Cluster::start().await;
    let topic = cluster.topic("open", 1).await;
    send_numbers(&cluster.producer(), &topic, 0, 0..2);
    let producer = cluster.transactional(&topic);
    producer.begin_transaction().unwrap();
    send_numbers(&producer, &topic, 0, 2..4);
    let options = [("properties.isolation.level", "read_committed")];
    let opened = open_source("kafka", &cluster.table(&topic, N, &options)).unwrap();
    let splits = opened.source.discover().await.unwrap();
    let (content, _) = read_some(&*opened.source, &splits[0], usize::MAX).await;
    assert_eq!(content.rows, ["0", "1"]);
    producer.abort_transaction(PATIENCE).unwrap();
}
