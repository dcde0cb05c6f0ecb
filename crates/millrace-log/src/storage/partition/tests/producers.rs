//! A producer is known as long as Kafka would know it, whatever becomes of its batches.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use millrace_core::Timestamp;
use millrace_core::seam::Clock;

use super::super::point::RecoveryPoint;
use super::*;

fn data(sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new().producer(7, 0, sequence);
    (0..2).for_each(|at| builder.push(at, Some(b"key"), Some(&[0; 100])));
    builder.build()
}

/// Sends the newest batch again, the one that follows, and one behind a gap.
fn assert_known(log: &PartitionLog, newest: i32, offset: i64) {
    let again = log.append(data(newest), Origin::Client).unwrap();
    assert!(again.duplicate);
    assert_eq!((again.base_offset, again.last_offset), (offset, offset + 1));
    let error = log.append(data(newest + 4), Origin::Client).unwrap_err();
    assert_eq!(error.code(), ResponseError::OutOfOrderSequenceNumber);
    let next = log.append(data(newest + 2), Origin::Client).unwrap();
    assert!(!next.duplicate);
}

fn no_retention() -> TopicConfig {
    TopicConfig { retention_ms: None, ..small_segments() }
}

#[test]
fn a_producer_whose_batches_were_deleted_is_known_after_a_restart() {
    for close in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let log = open(&dir, no_retention());
        (0..5).for_each(|at| _ = log.append(data(2 * at), Origin::Client).unwrap());
        log.delete_records_before(-1).unwrap();
        // A segment of somebody else's, so that those of the producer go.
        (0..5).for_each(|_| _ = log.append(batch(2, 100), Origin::Client).unwrap());
        log.delete_records_before(-1).unwrap();
        if close {
            log.close().unwrap();
        }
        drop(log);
        let log = open(&dir, no_retention());
        assert!(log.view().segments[0].base_offset >= 10, "its segments are gone");
        assert_known(&log, 8, 8);
        drop(log);
        assert_known(&open(&dir, no_retention()), 10, 20);
    }
}

#[test]
fn a_producer_whose_batches_were_compacted_away_is_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = no_retention();
    (config.compact, config.delete) = (true, false);
    let log = open(&dir, config.clone());
    (0..5).for_each(|at| _ = log.append(data(2 * at), Origin::Client).unwrap());
    (0..9).for_each(|_| _ = log.append(batch(1, 150), Origin::Client).unwrap());
    log.maintain().unwrap();
    let fetched = log.read(0, 1 << 20, true, Isolation::LogEnd).unwrap();
    assert!(offsets(&fetched)[0].0 >= 10, "its batches are gone");
    drop(log);
    let log = open(&dir, config);
    assert_known(&log, 8, 8);
}

#[test]
fn a_producer_that_only_a_loss_of_power_took_is_not_known() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, no_retention());
    (0..2).for_each(|at| _ = log.append(data(2 * at), Origin::Client).unwrap());
    log.sync().unwrap();
    let synced = RecoveryPoint::read(dir.path()).unwrap().unwrap();
    let synced_bytes = log.view().active().size_bytes();
    (2..9).for_each(|at| _ = log.append(data(2 * at), Origin::Client).unwrap());
    log.close().unwrap();
    drop(log);
    // The files of what is known came to the disk, and the batches did not.
    let first = dir.path().join("00000000000000000000.log");
    let kept = std::fs::read(&first).unwrap()[..synced_bytes as usize].to_vec();
    for path in std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "log") {
            std::fs::remove_file(path).unwrap();
        }
    }
    std::fs::write(&first, kept).unwrap();
    let before = RecoveryPoint { boot: synced.boot ^ 2, ..synced };
    before.write(&RecoveryPoint::open(dir.path()).unwrap()).unwrap();
    let log = open(&dir, no_retention());
    assert_eq!(log.log_end_offset(), 4);
    // Sent again, what was lost is written, and what was not is known.
    let (again, lost) = (log.append(data(2), Origin::Client), log.append(data(4), Origin::Client));
    assert!(again.unwrap().duplicate);
    assert!(!lost.unwrap().duplicate);
    (3..9).for_each(|at| _ = log.append(data(2 * at), Origin::Client).unwrap());
    drop(log);
    let log = open(&dir, no_retention());
    assert_eq!(log.log_end_offset(), 18);
    assert_known(&log, 16, 16);
}

#[test]
fn a_deletion_has_the_producers_on_the_disk_even_if_newer_snapshots_are_lost() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, no_retention());
    log.append(data(0), Origin::Client).unwrap();
    (0..3).for_each(|_| _ = log.append(batch(2, 150), Origin::Client).unwrap());
    log.delete_records_before(-1).unwrap();
    let deleted_to = log.log_end_offset();
    // Each segment that is closed takes a snapshot that nobody syncs.
    (0..9).for_each(|_| _ = log.append(batch(2, 150), Origin::Client).unwrap());
    drop(log);
    let files: Vec<PathBuf> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "snapshot"))
        .collect();
    assert!((2..=3).contains(&files.len()), "{files:?}");
    let synced = format!("{deleted_to:020}.snapshot");
    for path in files.iter().filter(|path| !path.ends_with(&synced)) {
        std::fs::write(path, b"").unwrap();
    }
    let log = open(&dir, no_retention());
    assert_known(&log, 0, 0);
}

/// A clock that stands where it was put.
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Relaxed))
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_producer_is_forgotten_a_day_after_it_was_last_heard_of_also_by_a_log_that_was_closed() {
    const HOUR_MS: i64 = 60 * 60 * 1000;
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hands(AtomicI64::new(1000 * HOUR_MS)));
    let open = || {
        let seams = Seams { clock: clock.clone(), ..Seams::system() };
        PartitionLog::open(dir.path(), no_retention(), FsyncPolicy::Never, seams).unwrap()
    };
    let log = open();
    log.append(data(0), Origin::Client).unwrap();
    for (hours, known) in [(23, true), (1, true), (1, false)] {
        log.close().unwrap();
        clock.0.fetch_add(hours * HOUR_MS, Relaxed);
        let log = open();
        assert_eq!(!log.producers().is_empty(), known, "{hours} hours later");
        log.close().unwrap();
    }
    // Who is not known may begin with any number, as in Kafka.
    assert!(!open().append(data(8), Origin::Client).unwrap().duplicate);
}
