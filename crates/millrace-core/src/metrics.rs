//! What a running operator tells about itself.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::Timestamp;

/// Live counts of one subtask of one operator. Written by its task, read by whoever watches;
/// each value is right by itself, together they are not one moment.
#[derive(Debug)]
pub struct SubtaskMetrics {
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    late_rows: AtomicU64,
    dropped_rows: AtomicU64,
    watermark_ms: AtomicI64,
    busy_ns: AtomicU64,
    idle_ns: AtomicU64,
    backpressured_ns: AtomicU64,
    state_bytes: AtomicU64,
    snapshot_ns: AtomicU64,
}

/// The values of [`SubtaskMetrics`] at about one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsReading {
    /// Rows received or, in a source, read.
    pub rows_in: u64,
    /// Rows sent, at all ports.
    pub rows_out: u64,
    /// Bytes received (in memory) or, in a source, read from outside.
    pub bytes_in: u64,
    /// Bytes sent (in memory).
    pub bytes_out: u64,
    /// Rows that came too late for all their windows.
    pub late_rows: u64,
    /// Rows that went no further, for any reason, late ones among them.
    pub dropped_rows: u64,
    /// The operator's event time.
    pub watermark: Timestamp,
    /// Time spent computing.
    pub busy: Duration,
    /// Time spent waiting for input.
    pub idle: Duration,
    /// Time spent waiting for room in an output.
    pub backpressured: Duration,
    /// Memory that the state takes, in bytes.
    pub state_bytes: u64,
    /// How long the last snapshot held up the operator.
    pub snapshot: Duration,
}

impl Default for SubtaskMetrics {
    fn default() -> Self {
        SubtaskMetrics {
            rows_in: AtomicU64::new(0),
            rows_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            late_rows: AtomicU64::new(0),
            dropped_rows: AtomicU64::new(0),
            watermark_ms: AtomicI64::new(i64::MIN),
            busy_ns: AtomicU64::new(0),
            idle_ns: AtomicU64::new(0),
            backpressured_ns: AtomicU64::new(0),
            state_bytes: AtomicU64::new(0),
            snapshot_ns: AtomicU64::new(0),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl SubtaskMetrics {
    /// Counts rows that came in.
    pub fn add_in(&self, rows: u64, bytes: u64) {
        self.rows_in.fetch_add(rows, Relaxed);
        self.bytes_in.fetch_add(bytes, Relaxed);
    }

    /// Counts rows that went out.
    pub fn add_out(&self, rows: u64, bytes: u64) {
        self.rows_out.fetch_add(rows, Relaxed);
        self.bytes_out.fetch_add(bytes, Relaxed);
    }

    /// Sets the rows dropped so far: late ones, and all.
    pub fn set_dropped(&self, late: u64, all: u64) {
        self.late_rows.store(late, Relaxed);
        self.dropped_rows.store(all, Relaxed);
    }

    /// Sets the operator's event time.
    pub fn set_watermark(&self, watermark: Timestamp) {
        self.watermark_ms.store(watermark.as_millis(), Relaxed);
    }

    /// Counts time spent computing.
    pub fn add_busy(&self, time: Duration) {
        self.busy_ns.fetch_add(nanos(time), Relaxed);
    }

    /// Counts time spent waiting for input.
    pub fn add_idle(&self, time: Duration) {
        self.idle_ns.fetch_add(nanos(time), Relaxed);
    }

    /// Counts time spent waiting for room in an output.
    pub fn add_backpressured(&self, time: Duration) {
        self.backpressured_ns.fetch_add(nanos(time), Relaxed);
    }

    /// Sets the memory that the state takes.
    pub fn set_state_bytes(&self, bytes: u64) {
        self.state_bytes.store(bytes, Relaxed);
    }

    /// Sets how long the last snapshot held up the operator.
    pub fn set_snapshot(&self, time: Duration) {
        self.snapshot_ns.store(nanos(time), Relaxed);
    }

    /// The values now.
    pub fn read(&self) -> MetricsReading {
        let time = |counter: &AtomicU64| Duration::from_nanos(counter.load(Relaxed));
        MetricsReading {
            rows_in: self.rows_in.load(Relaxed),
            rows_out: self.rows_out.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            late_rows: self.late_rows.load(Relaxed),
            dropped_rows: self.dropped_rows.load(Relaxed),
            watermark: Timestamp::from_millis(self.watermark_ms.load(Relaxed)),
            busy: time(&self.busy_ns),
            idle: time(&self.idle_ns),
            backpressured: time(&self.backpressured_ns),
            state_bytes: self.state_bytes.load(Relaxed),
            snapshot: time(&self.snapshot_ns),
        }
    }
}
