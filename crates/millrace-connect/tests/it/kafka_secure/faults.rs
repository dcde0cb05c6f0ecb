//! Connections that break while records are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use millrace_core::{CheckpointId, Read};

use super::broker::{client, numbers};
use super::front::{Connections, Front};
use crate::harness::{context, open_sink, open_source, open_writer, rows_as_text};
use crate::kafka_sink::cluster::batch_of;

const ROWS: i64 = 60_000;
const CHECKPOINT_ROWS: i64 = 3_000;

/// Cuts connections every now and then while this lives.
struct Cutter {
    stop: Arc<AtomicBool>,
    cuts: Arc<AtomicUsize>,
}

impl Cutter {
    #[expect(clippy::disallowed_methods, reason = "it disturbs a test of the real thing")]
    fn start(connections: Arc<Connections>) -> Cutter {
        let (stop, cuts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&cuts));
        tokio::spawn(async move {
            let mut pause = 20;
            while !stopped.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                pause = (pause * 7 + 13) % 211 + 20;
                count.fetch_add(connections.cut(), Ordering::Relaxed);
            }
        });
        Cutter { stop, cuts }
    }

    fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.cuts.load(Ordering::Relaxed)
    }
}

/// Writes all numbers in checkpoints, each committed.
async fn write(front: &Front, guarantee: &[(&str, &str)]) {
    let mut options = guarantee.to_vec();
    options.push(("properties.reconnect.backoff.max.ms", "200"));
    let table = numbers(&front.address, "t", &client(true, None), &options);
    let sink = open_sink("kafka", &table).unwrap().sink;
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    for (checkpoint, first) in (1..).zip((0..ROWS).step_by(CHECKPOINT_ROWS as usize)) {
        writer.write(batch_of(first..first + CHECKPOINT_ROWS)).await.unwrap();
        let prepared = writer.prepare(CheckpointId(checkpoint)).await.unwrap();
        writer.commit(CheckpointId(checkpoint), &prepared).await.unwrap();
    }
}

/// Reads as many numbers as were written.
async fn read(front: &Front) -> Vec<i64> {
    let options = [
        ("scan.startup.mode", "earliest-offset"),
        ("properties.isolation.level", "read_committed"),
        ("properties.reconnect.backoff.max.ms", "200"),
        ("properties.fetch.message.max.bytes", "20000"),
    ];
    let table = numbers(&front.address, "t", &client(true, None), &options);
    let source = open_source("kafka", &table).unwrap().source;
    let mut readers = Vec::new();
    for split in source.discover().await.unwrap() {
        readers.push(source.open(&split, &context(1_000)).await.unwrap());
    }
    let mut found = Vec::new();
    while found.len() < ROWS as usize {
        let mut came = false;
        for reader in &mut readers {
            if let Read::Rows(batch) = reader.next().await.unwrap() {
                let columns: millrace_core::Columns = batch.rows.unwrap().downcast().unwrap();
                let rows = rows_as_text(&columns.rows);
                found.extend(rows.iter().map(|row| row.parse::<i64>().unwrap()));
                came = true;
            }
        }
        if !came {
            #[expect(clippy::disallowed_methods, reason = "a test of the real thing")]
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    found.sort_unstable();
    found
}

async fn nothing_is_lost_or_doubled(guarantee: &[(&str, &str)]) {
    let front = Front::start("server", None).await;
    let cutter = Cutter::start(Arc::clone(&front.connections));
    write(&front, guarantee).await;
    let while_writing = cutter.cuts.load(Ordering::Relaxed);
    let found = read(&front).await;
    let cuts = cutter.stop();
    assert_eq!(found, (0..ROWS).collect::<Vec<i64>>());
    assert!(while_writing >= 3 && cuts > while_writing, "{while_writing} of {cuts} cuts");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_lose_and_double_nothing_of_an_idempotent_writer() {
    nothing_is_lost_or_doubled(&[("sink.delivery-guarantee", "at-least-once")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_lose_and_double_nothing_of_transactions() {
    nothing_is_lost_or_doubled(&[
        ("sink.delivery-guarantee", "exactly-once"),
        ("sink.transactional-id-prefix", "p"),
    ])
    .await;
}
