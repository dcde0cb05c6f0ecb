//! The sink of the typed API.

use millrace_connect::kafka::KafkaSink;
use millrace_core::{Batch, CheckpointId, ErrorKind, Records, Timestamp};

use super::cluster::{brokers, committed, fresh};
use crate::harness::open_writer;

type Row = (&'static str, Option<i64>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closures_give_a_record_all_that_it_has() {
    let brokers = brokers();
    let topic = fresh("typed");
    let sink = KafkaSink::<Row>::builder(&brokers, &topic)
        .key(|row| Some(row.0.as_bytes().to_vec()))
        .value(|row| row.1.map(|number| number.to_string().into_bytes()))
        .partition(|_, partitions| partitions - 1)
        .headers(|row| vec![("city".into(), Some(row.0.into())), ("none".into(), None)])
        .build()
        .unwrap();
    let mut writer = open_writer(&sink, 0, 1, &[]).await.unwrap();
    let rows: Vec<Row> = vec![("Graz", Some(7)), ("Graz", None)];
    let times = vec![Timestamp::from_millis(1_700_000_000_123), Timestamp::MIN];
    writer.write(Batch::new(Records::new(rows, times))).await.unwrap();
    writer.prepare(CheckpointId(1)).await.unwrap();
    let records = tokio::task::block_in_place(|| committed(&brokers, &topic));
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].value.as_deref(), Some(b"7".as_slice()));
    assert_eq!(records[0].timestamp_ms, Some(1_700_000_000_123));
    assert_eq!(records[1].value, None, "a tombstone");
    assert!(records[1].timestamp_ms.unwrap() > 1_700_000_000_123, "the time of sending");
    for record in &records {
        assert_eq!(record.key.as_deref(), Some(b"Graz".as_slice()));
        assert_eq!(
            record.headers,
            [("city".to_owned(), Some(b"Graz".to_vec())), ("none".to_owned(), None),]
        );
    }
}

#[test]
fn a_sink_without_value_or_with_an_unknown_property_is_refused() {
    let without = KafkaSink::<Row>::builder("localhost:9", "out").build().unwrap_err();
    assert_eq!(without.kind(), ErrorKind::FixInput);
    let unknown = KafkaSink::<Row>::builder("localhost:9", "out")
        .value(|_| None)
        .property("no.such.thing", "1")
        .build();
    assert!(unknown.unwrap_err().message().contains("no.such.thing"));
}
