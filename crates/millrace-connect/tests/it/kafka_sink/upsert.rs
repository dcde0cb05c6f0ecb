//! Tables with a primary key.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use millrace_connect::TableSpec;
use millrace_core::{Batch, CheckpointId, Columns, ErrorKind, RowKind};

use super::cluster::{brokers, committed, fresh, produce};
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
fn an_upsert_table_needs_a_primary_key_and_begins_at_its_beginning() {
    for error in [
        open_sink("upsert-kafka", &totals("localhost:9", "t", &[])).err().unwrap(),
        open_source("upsert-kafka", &totals("localhost:9", "t", &[])).err().unwrap(),
    ] {
        assert_eq!(error.kind(), ErrorKind::FixInput);
        assert!(error.message().contains("no primary key"), "{error}");
    }
    let mut table = totals("localhost:9", "t", &["city"]);
    let options = [("topic", "t"), ("key.format", "json"), ("value.format", "json")];
    let options = options.into_iter().chain([("scan.startup.mode", "latest-offset")]);
    table.options = millrace_connect::Options::new(options);
    let error = open_source("upsert-kafka", &table).err().unwrap();
    assert!(error.message().contains("`scan.startup.mode` cannot be set"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_become_records_and_a_row_that_is_gone_one_without_a_value() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let brokers = brokers();
    let topic = fresh("changes");
    let sink = open_sink("upsert-kafka", &totals(&brokers, &topic, &["city"])).unwrap().sink;
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    let rows = [
        (Insert, 1, "Graz"),
        // Of an update whose rows stand side by side only the second is written.
        (UpdateBefore, 1, "Graz"),
        (UpdateAfter, 2, "Graz"),
        // Its row moves to another key, or has been filtered out.
        (UpdateBefore, 2, "Graz"),
        (UpdateAfter, 3, "Linz"),
        (UpdateBefore, 3, "Linz"),
        (Insert, 4, "Wels"),
        (Delete, 4, "Wels"),
    ];
    let columns: [(&str, ArrayRef); 2] = [
        ("total", Arc::new(Int64Array::from_iter_values(rows.map(|(_, total, _)| total)))),
        ("city", Arc::new(StringArray::from_iter_values(rows.map(|(_, _, city)| city)))),
    ];
    let kinds = rows.into_iter().map(|(kind, ..)| kind).collect();
    let changes = Columns::changes(RecordBatch::try_from_iter(columns).unwrap(), kinds).unwrap();
    writer.write(Batch::new(changes)).await.unwrap();
    let prepared = writer.prepare(CheckpointId(1)).await.unwrap();
    assert_eq!(prepared.committables[0].rows, rows.len() as u64, "each row has its fate");
    let records = tokio::task::block_in_place(|| committed(&brokers, &topic));
    let text = |text: &Option<Vec<u8>>| text.clone().map(|text| String::from_utf8(text).unwrap());
    let of = |city: &str| {
        let key = format!(r#"{{"city":"{city}"}}"#);
        let of_key = records.iter().filter(|one| text(&one.key).as_ref() == Some(&key));
        of_key.map(|one| text(&one.value)).collect::<Vec<_>>()
    };
    let row = |total: i64, city: &str| Some(format!(r#"{{"total":{total},"city":"{city}"}}"#));
    assert_eq!(of("Graz"), [row(1, "Graz"), row(2, "Graz"), None]);
    assert_eq!(of("Linz"), [row(3, "Linz"), None]);
    assert_eq!(of("Wels"), [row(4, "Wels"), None]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_read_as_what_became_of_their_keys() {
    let brokers = brokers();
    let topic = fresh("read-changes");
    let key = |city: &str| format!(r#"{{"city":"{city}"}}"#);
    let records = [
        (Some(key("Graz")), Some(r#"{"total":1,"city":"Graz"}"#)),
        // The value's column is the row's, as in Flink.
        (Some(key("Linz")), Some(r#"{"total":2,"city":"Wels"}"#)),
        (Some(key("Graz")), None),
        (None, Some(r#"{"total":3,"city":"Graz"}"#)),
        (Some("no key".into()), None),
        (Some(key("Graz")), Some("no row")),
    ];
    tokio::task::block_in_place(|| {
        for (key, value) in &records {
            produce(&brokers, &topic, key.as_deref(), *value);
        }
    });
    let mut table = totals(&brokers, &topic, &["city"]);
    let options = [
        ("topic", topic.as_str()),
        ("properties.bootstrap.servers", &brokers),
        ("key.format", "json"),
        ("value.format", "json"),
        ("scan.bounded.mode", "latest-offset"),
        ("bad-records", "skip"),
    ];
    table.options = millrace_connect::Options::new(options);
    for (projection, wanted) in [
        (vec![0, 1], vec!["+U 1|Graz", "+U 2|Wels", "-D NULL|Graz"]),
        (vec![1], vec!["+U Graz", "+U Wels", "-D Graz"]),
    ] {
        table.projection = Some(projection);
        let source = open_source("upsert-kafka", &table).unwrap().source;
        for batch_rows in [1, 100] {
            let content = harness::read_all(&*source, batch_rows, || false).await.unwrap();
            assert_eq!(content.changes, wanted);
            assert_eq!(content.bad.len(), 3, "{:?}", content.complaints());
        }
    }
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
