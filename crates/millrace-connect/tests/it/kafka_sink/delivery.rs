//! What arrives, and where, without transactions.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use millrace_core::{CheckpointId, ErrorKind};

use super::cluster::{batch_of, brokers, committed, fresh, number, numbers};
use crate::harness::{self, open_sink, open_writer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_waits_until_its_rows_are_delivered() {
    let brokers = brokers();
    let topic = fresh("at-least-once");
    // A queue of a few records: writing has to wait for room again and again.
    let table = numbers(&brokers, &topic, [("properties.queue.buffering.max.messages", "7")]);
    let sink = open_sink("kafka", &table).unwrap().sink;
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    writer.write(batch_of(0..500)).await.unwrap();
    writer.write(batch_of(500..1_000)).await.unwrap();
    let prepared = writer.prepare(CheckpointId(1)).await.unwrap();
    assert_eq!(prepared.committables.iter().map(|one| one.rows).sum::<u64>(), 1_000);
    // Nothing more is done for them to be there.
    std::mem::forget(writer);
    let records = tokio::task::block_in_place(|| committed(&brokers, &topic));
    let mut found: Vec<i64> = records.iter().map(number).collect();
    found.sort_unstable();
    assert_eq!(found, (0..1_000).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_go_where_javas_client_sends_them() {
    let brokers = brokers();
    let topic = fresh("keys");
    let table = harness::table(
        &[("id", DataType::Utf8), ("n", DataType::Int64)],
        [
            ("topic", topic.as_str()),
            ("properties.bootstrap.servers", &brokers),
            ("key.format", "csv"),
            ("key.fields", "id"),
            ("value.format", "json"),
            ("value.fields-include", "EXCEPT_KEY"),
        ],
    );
    let ids: Vec<String> = (0..50).map(|i| format!("key-{i}")).collect();
    let columns: [(&str, ArrayRef); 2] = [
        ("id", Arc::new(StringArray::from(ids.clone()))),
        ("n", Arc::new(Int64Array::from_iter_values(0..50))),
    ];
    let sink = open_sink("kafka", &table).unwrap().sink;
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    writer.write(harness::batch(&RecordBatch::try_from_iter(columns).unwrap())).await.unwrap();
    writer.prepare(CheckpointId(1)).await.unwrap();
    let records = tokio::task::block_in_place(|| committed(&brokers, &topic));
    assert_eq!(records.len(), 50);
    let partitions = 1 + records.iter().map(|record| record.partition).max().unwrap();
    for record in &records {
        let key = record.key.as_deref().unwrap();
        let wanted = (murmur2(key) & 0x7fff_ffff) % partitions as u32;
        assert_eq!(record.partition as u32, wanted, "{}", String::from_utf8_lossy(key));
        let number = number(record);
        assert_eq!(ids[number as usize].as_bytes(), key);
        assert_eq!(record.value.as_deref().unwrap(), format!("{{\"n\":{number}}}").as_bytes());
    }
}

/// The hash of Kafka's default partitioner, after its description.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28cu32 ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    for (place, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * place);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fixed_and_round_robin_choose_partitions_by_subtask_and_by_batch() {
    let brokers = brokers();
    for (partitioner, expected) in [("fixed", vec![1, 1, 1, 1]), ("round-robin", vec![1, 2, 0, 1])]
    {
        let topic = fresh(partitioner);
        let table = numbers(&brokers, &topic, [("sink.partitioner", partitioner)]);
        let sink = open_sink("kafka", &table).unwrap().sink;
        let mut writer = open_writer(&*sink, 1, 2, &[]).await.unwrap();
        for n in 0..4 {
            writer.write(batch_of([n])).await.unwrap();
        }
        writer.prepare(CheckpointId(1)).await.unwrap();
        let mut records = tokio::task::block_in_place(|| committed(&brokers, &topic));
        records.sort_by_key(number);
        // The cluster makes topics of three partitions.
        let found: Vec<i32> = records.iter().map(|record| record.partition).collect();
        assert_eq!(found, expected, "{partitioner}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_too_large_fails_the_job_for_good() {
    let brokers = brokers();
    let topic = fresh("large");
    let options =
        [("topic", topic.as_str()), ("properties.bootstrap.servers", &brokers), ("format", "csv")];
    let table = harness::table(&[("text", DataType::Utf8)], options);
    let sink = open_sink("kafka", &table).unwrap().sink;
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(2 << 20)]));
    let rows = RecordBatch::try_from_iter([("text", text)]).unwrap();
    let error = writer.write(harness::batch(&rows)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixInput, "{}", error.full_report());
    assert!(error.hint_text().unwrap().contains("max.message.bytes"));
}
