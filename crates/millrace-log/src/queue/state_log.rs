//! Queues' records in `__share_group_state`.

use crate::error::{LogError, Result};
use crate::storage::records::{BatchBuilder, Batches, Records, decode};
use crate::storage::{Isolation, Origin, PartitionLog};

use super::record::QueueRecord;

/// What is read at once at the start.
const READ_BYTES: usize = 4 << 20;

/// Writes a record and gives its offset.
pub(super) fn append(log: &PartitionLog, record: &QueueRecord, now_ms: i64) -> Result<i64> {
    let (key, value) = record.encode();
    let mut batch = BatchBuilder::new();
    batch.push(now_ms, Some(&key), value.as_deref());
    Ok(log.append(batch.build(), Origin::Coordinator)?.last_offset)
}

/// Hands over all that was kept, in its order.
///
/// # Errors
/// A record can't be read, or is of a newer version.
pub(super) fn replay(log: &PartitionLog, mut apply: impl FnMut(QueueRecord)) -> Result<()> {
    let mut offset = log.log_start_offset();
    loop {
        let read = log.read(offset, READ_BYTES, true, Isolation::LogEnd)?.records;
        if read.is_empty() {
            return Ok(());
        }
        for batch in Batches::new(read) {
            let (header, batch) = batch.map_err(|error| damaged(log, offset, &error))?;
            offset = header.next_offset();
            let damaged = |error: &dyn std::fmt::Display| damaged(log, header.base_offset, error);
            // Opening the log may not have read it.
            header.verify(&batch).map_err(|error| damaged(&error))?;
            let block = decode(&header, &batch).map_err(|error| damaged(&error))?;
            for record in Records::new(&header, &block) {
                let record = record.map_err(|error| damaged(&error))?;
                let decoded = QueueRecord::decode(record.key.unwrap_or_default(), record.value);
                apply(decoded.map_err(|error| damaged(&error))?);
            }
        }
    }
}

fn damaged(log: &PartitionLog, offset: i64, error: &dyn std::fmt::Display) -> LogError {
    let reason = format!("a record from offset {offset} on: {error}");
    LogError::Damaged { path: log.dir().to_owned(), position: 0, reason }
}
