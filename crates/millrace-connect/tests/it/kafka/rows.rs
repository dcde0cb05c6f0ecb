//! What becomes of keys, values, metadata and bad records.

use arrow_schema::DataType;
use millrace_connect::kafka::{KafkaSource, Offsets};
use millrace_core::{BadRecordPolicy, Read, Records, Source};

use super::cluster::{Cluster, Record, send, send_numbers, with_metadata};
use crate::harness::{millis, open_source, read_all, table};

const N: &[(&str, DataType)] = &[("n", DataType::Int64)];

#[tokio::test(flavor = "multi_thread")]
async fn every_row_comes_once_from_every_partition_wherever_reading_was_interrupted() {
    let cluster = Cluster::start().await;
    let topic = cluster.topic("rows", 3).await;
    let producer = cluster.producer();
    for partition in 0..3 {
        let first = i64::from(partition) * 1_000;
        send_numbers(&producer, &topic, partition, first..first + 500);
    }
    let expected: Vec<String> = [0..500, 1_000..1_500, 2_000..2_500]
        .into_iter()
        .flatten()
        .map(|n: i64| n.to_string())
        .collect();
    for restart in [false, true] {
        let opened = open_source("kafka", &cluster.table(&topic, N, &[])).unwrap();
        let content = read_all(&*opened.source, 64, || restart).await.unwrap();
        assert!(content.bad.is_empty(), "{:?}", content.complaints());
        assert_eq!(content.rows, expected, "restart: {restart}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn key_value_and_metadata_become_columns() {
    let cluster = Cluster::start().await;
    let producer = cluster.producer();
    let columns = [("k_id", DataType::Int64), ("name", DataType::Utf8), ("count", DataType::Int32)];
    let options = [
        ("format", "csv"),
        ("key.format", "json"),
        ("key.fields", "k_id"),
        ("key.fields-prefix", "k_"),
        ("value.fields-include", "EXCEPT_KEY"),
    ];
    // The key is JSON for the number's column, named without its prefix.
    let keys = cluster.topic("keys", 1).await;
    for (id, value) in [(7, "a,1"), (8, "b,2")] {
        let key = format!("{{\"id\":{id}}}");
        let record = Record {
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            timestamp: Some(1_700_000_000_123),
            ..Record::default()
        };
        send(&producer, &keys, record);
    }
    rdkafka::producer::Producer::flush(&producer, super::cluster::PATIENCE).unwrap();
    let mut table = cluster.table(&keys, &columns, &options);
    for (key, data_type) in [
        ("topic", DataType::Utf8),
        ("partition", DataType::Int32),
        ("offset", DataType::Int64),
        ("timestamp", millis()),
        ("timestamp-type", DataType::Utf8),
    ] {
        table = with_metadata(table, key, data_type);
    }
    let opened = open_source("kafka", &table).unwrap();
    let content = read_all(&*opened.source, 64, || false).await.unwrap();
    let rest = |offset: i64| format!("{keys}|0|{offset}|2023-11-14T22:13:20.123|CreateTime");
    assert_eq!(content.rows, [format!("7|a|1|{}", rest(0)), format!("8|b|2|{}", rest(1))]);

    // A projection reads no more than it says: the key, and the offset.
    table.projection = Some(vec![0, 5]);
    let opened = open_source("kafka", &table).unwrap();
    let content = read_all(&*opened.source, 64, || false).await.unwrap();
    assert_eq!(content.rows, ["7|0", "8|1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_records_are_told_with_their_offsets_and_tombstones_are_no_rows() {
    let cluster = Cluster::start().await;
    let topic = cluster.topic("bad", 1).await;
    let producer = cluster.producer();
    for value in [
        Some("{\"n\":1}"),
        None,
        Some("{\"n\":"),
        Some("{\n  \"n\": 4\n}"),
        Some(""),
        Some("{\"n\":\"x\"}"),
    ] {
        send(&producer, &topic, Record { value: value.map(str::as_bytes), ..Record::default() });
    }
    rdkafka::producer::Producer::flush(&producer, super::cluster::PATIENCE).unwrap();
    let options = [("bad-records", "skip")];
    let table = with_metadata(cluster.table(&topic, N, &options), "offset", DataType::Int64);
    let opened = open_source("kafka", &table).unwrap();
    assert_eq!(opened.bad_records, BadRecordPolicy::Skip);
    for batch_rows in [1, 64] {
        let content = read_all(&*opened.source, batch_rows, || false).await.unwrap();
        assert_eq!(content.rows, ["1|0", "4|3"]);
        let offsets: Vec<u64> = content.bad.iter().map(|bad| bad.offset).collect();
        assert_eq!(offsets, [2, 4, 5], "{:?}", content.complaints());
        assert_eq!(content.bad[0].raw, b"{\"n\":");
        assert!(
            content.complaints()[2].contains("`x` in column `n`"),
            "{:?}",
            content.complaints()
        );
    }
}

#[test]
fn a_table_that_cannot_work_is_refused_before_any_broker_is_asked() {
    let base = [("topic", "t"), ("format", "json"), ("scan.startup.mode", "earliest-offset")];
    for (options, wanted) in [
        (&[("topic-pattern", "t.*")][..], "exclude each other"),
        (&[("format", "parquet")], "`parquet` cannot be used in messages"),
        (&[("key.fields", "n")], "`key.fields` needs the option `key.format`"),
        (&[("key.format", "raw"), ("key.fields", "m")], "no physical column of table `t`"),
        (&[("value.fields-include", "SOME")], "cannot be `SOME`"),
        (&[("scan.startup.mod", "x")], "unknown option `scan.startup.mod`"),
        (&[("bad-records", "dead-letter")], "`bad-records.topic` is missing"),
    ] {
        let given = |name: &str| options.iter().any(|(option, _)| *option == name);
        let mut all: Vec<_> = base.into_iter().filter(|(name, _)| !given(name)).collect();
        all.extend(options);
        let error = open_source("kafka", &table(N, all)).err().expect(wanted);
        assert!(error.message().contains(wanted), "{}", error.full_report());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closure_sees_the_whole_record_and_tells_what_it_cannot_decode() {
    let cluster = Cluster::start().await;
    let topic = cluster.topic("typed", 1).await;
    let producer = cluster.producer();
    for (key, value) in [(Some("k"), Some("1")), (None, None), (None, Some("x"))] {
        let (key, value) = (key.map(str::as_bytes), value.map(str::as_bytes));
        send(&producer, &topic, Record { key, value, timestamp: Some(5_000), ..Record::default() });
    }
    rdkafka::producer::Producer::flush(&producer, super::cluster::PATIENCE).unwrap();
    let source = KafkaSource::builder(&cluster.bootstrap, [topic.as_str()])
        .stopping_before(Offsets::Latest)
        .decode(|record| {
            let text =
                |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into());
            let value: Option<String> = text(record.value);
            let key: Option<String> = text(record.key);
            if value.as_deref() == Some("x") {
                return Err("it is an x".to_owned());
            }
            let header = record.headers.first().map(|(name, _)| name.clone());
            Ok((record.offset, record.timestamp.as_millis(), key, value, header))
        })
        .unwrap();
    let splits = source.discover().await.unwrap();
    let mut reader = source.open(&splits[0], &crate::harness::context(10)).await.unwrap();
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    loop {
        match reader.next().await.unwrap() {
            Read::Rows(batch) => {
                bad.extend(batch.bad);
                if let Some(batch) = batch.rows {
                    let records: Records<Row> = batch.downcast().unwrap();
                    rows.extend(records.values);
                }
            }
            Read::Pending => drop(reader.ready().await),
            Read::End => break,
        }
    }
    let h = Some("h".to_owned());
    let first = (0, 5_000, Some("k".to_owned()), Some("1".to_owned()), h.clone());
    assert_eq!(rows, [first, (1, 5_000, None, None, h)]);
    assert_eq!((bad[0].offset, bad[0].cause.as_str(), bad.len()), (2, "it is an x", 1));
}

type Row = (i64, i64, Option<String>, Option<String>, Option<String>);
