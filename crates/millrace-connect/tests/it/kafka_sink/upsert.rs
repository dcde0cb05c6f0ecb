//! Tables with a primary key.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use millrace_connect::TableSpec;
use millrace_core::{CheckpointId, ErrorKind};

use super::cluster::{brokers, committed, fresh};
use crate::harness::{self, open_sink, open_source, open_writer};

fn totals(brokers: &str, topic: &str, key: &[&str]) -> TableSpec {
    let options = [
        ("topic", topic),
        ("properties.bootstrap.servers", brokers),
        ("key.format", "json"),
        ("value.format", "json"),
    ];
    let columns = [("total", DataType::Int64), ("city", DataType::Utf8)];
    let primary_key = key.iter().map(|&column| column.to_owned()).collect();
    TableSpec { primary_key, ..harness::table(&columns, options) }
}

#[test]
fn an_upsert_table_needs_a_primary_key_and_cannot_be_read_yet() {
    let error = open_sink("upsert-kafka", &totals("localhost:9", "t", &[])).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::FixInput);
    assert!(error.message().contains("no primary key"), "{error}");
    let error = open_source("upsert-kafka", &totals("localhost:9", "t", &["city"])).err().unwrap();
    assert!(error.message().contains("changelog"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_key_is_the_key_and_the_row_the_value() {
    let brokers = brokers();
    let topic = fresh("upsert");
    let sink = open_sink("upsert-kafka", &totals(&brokers, &topic, &["city"])).unwrap().sink;
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    let columns: [(&str, ArrayRef); 2] = [
        ("total", Arc::new(Int64Array::from(vec![1, 2]))),
        ("city", Arc::new(StringArray::from(vec!["Graz", "Graz"]))),
    ];
    writer.write(harness::batch(&RecordBatch::try_from_iter(columns).unwrap())).await.unwrap();
    writer.prepare(CheckpointId(1)).await.unwrap();
    let records = tokio::task::block_in_place(|| committed(&brokers, &topic));
    let text = |text: &Option<Vec<u8>>| String::from_utf8(text.clone().unwrap()).unwrap();
    let found: Vec<_> = records.iter().map(|one| (text(&one.key), text(&one.value))).collect();
    let key = || r#"{"city":"Graz"}"#.to_owned();
    assert_eq!(
        found,
        [
            (key(), r#"{"total":1,"city":"Graz"}"#.to_owned()),
            (key(), r#"{"total":2,"city":"Graz"}"#.to_owned()),
        ]
    );
}
