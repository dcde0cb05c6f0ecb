//! Where the coordinator keeps its entries.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::coordinator::Coordinator;
use super::record::decode;
use crate::error::{LogError, Result};
use crate::storage::records::{self, BatchBuilder, Batches, Records};
use crate::storage::{Isolation, Origin, PartitionLog};

/// How much of the log is read at a time at the start.
const REPLAY_BYTES: usize = 1 << 20;

/// A future that a trait's method returns.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The partition of `__transaction_state`, as far as the coordinator needs it.
pub(crate) trait StateLog: Send + Sync {
    /// Writes one record and returns its offset. It is there after the death of the process.
    fn append(&self, key: Bytes, value: Option<Bytes>, now_ms: i64) -> Result<i64>;

    /// Completes when the record at `offset` is as safe as the settings ask for.
    fn durable(&self, offset: i64) -> BoxFuture<'_, Result<()>>;

    /// Forces all that was written to the disk, whatever the settings say.
    fn sync(&self) -> Result<()>;
}

impl StateLog for Arc<PartitionLog> {
    fn append(&self, key: Bytes, value: Option<Bytes>, now_ms: i64) -> Result<i64> {
        let mut batch = BatchBuilder::new();
        batch.push(now_ms, Some(&key), value.as_deref());
        Ok(PartitionLog::append(self, batch.build(), Origin::Coordinator)?.last_offset)
    }

    fn durable(&self, offset: i64) -> BoxFuture<'_, Result<()>> {
        Box::pin(PartitionLog::durable(self, offset))
    }

    fn sync(&self) -> Result<()> {
        PartitionLog::sync(self)
    }
}

/// Applies all that was kept.
///
/// # Errors
/// A file can't be read, or holds what no entry looks like: better no broker than one that has
/// forgotten what it promised.
pub(super) fn replay(log: &PartitionLog, coordinator: &mut Coordinator) -> Result<()> {
    let mut offset = log.log_start_offset();
    loop {
        let read = log.read(offset, REPLAY_BYTES, true, Isolation::LogEnd)?.records;
        if read.is_empty() {
            return Ok(());
        }
        for batch in Batches::new(read) {
            let (header, batch) = batch.map_err(|error| damaged(log, offset, &error))?;
            offset = header.next_offset();
            let damaged = |error: &dyn std::fmt::Display| damaged(log, header.base_offset, error);
            // Opening the log may not have read it.
            header.verify(&batch).map_err(|error| damaged(&error))?;
            if header.attributes.is_control() {
                continue;
            }
            let block = records::decode(&header, &batch).map_err(|error| damaged(&error))?;
            for record in Records::new(&header, &block) {
                let record = record.map_err(|error| damaged(&error))?;
                let entry = decode(record.key.unwrap_or_default(), record.value);
                coordinator.apply(entry.map_err(|error| damaged(&error))?);
            }
        }
    }
}

fn damaged(log: &PartitionLog, offset: i64, error: &dyn std::fmt::Display) -> LogError {
    let reason = format!("a record from offset {offset} on: {error}");
    LogError::Damaged { path: log.dir().to_owned(), position: 0, reason }
}
