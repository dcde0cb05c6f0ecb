//! Groups' records in `__consumer_offsets`.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::command::Moment;
use super::coordinator::Coordinator;
use super::record::GroupRecord;
use crate::error::{LogError, Result};
use crate::storage::records::{BatchBuilder, BatchHeader, Batches, Records, decode};
use crate::storage::{Isolation, Origin, PartitionLog, TransactionOutcome};

/// A batch is closed once it has so many bytes, to stay below what a partition takes.
const BATCH_BYTES: usize = 512 << 10;

/// What is read at once at the start.
const READ_BYTES: usize = 4 << 20;

/// The producer of a transaction that records are part of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Producer {
    pub id: i64,
    pub epoch: i16,
}

/// Writes records in their order. Gives the offsets of those that were written, and why the rest
/// was not.
pub(super) fn append(
    log: &PartitionLog,
    records: &[GroupRecord],
    producer: Option<Producer>,
    now_ms: i64,
) -> (Vec<i64>, Result<()>) {
    let mut offsets = Vec::with_capacity(records.len());
    let mut rest = records;
    while !rest.is_empty() {
        let mut batch = BatchBuilder::new();
        if let Some(producer) = producer {
            batch = batch.producer(producer.id, producer.epoch, -1).transactional();
        }
        let mut count = 0;
        while count < rest.len() && (count == 0 || batch.size_bytes() < BATCH_BYTES) {
            let (key, value) = rest[count].encode();
            batch.push(now_ms, Some(&key), value.as_deref());
            count += 1;
        }
        match log.append(batch.build(), Origin::Coordinator) {
            Ok(appended) => offsets.extend(appended.base_offset..=appended.last_offset),
            Err(error) => return (offsets, Err(error)),
        }
        rest = &rest[count..];
    }
    (offsets, Ok(()))
}

/// What a client is told whose request could not be written down.
pub(super) fn code_of_failure(error: &LogError) -> ResponseError {
    match error.code() {
        ResponseError::MessageTooLarge
        | ResponseError::RecordListTooLarge
        | ResponseError::InvalidRecord => ResponseError::UnknownServerError,
        // As in Kafka: the client looks for the coordinator, and tries again.
        ResponseError::KafkaStorageError | ResponseError::NotLeaderOrFollower => {
            ResponseError::NotCoordinator
        }
        code => code,
    }
}

/// Brings the state machine to where the log is.
///
/// # Errors
/// A record can't be read, or is of a newer version.
pub(super) fn replay(log: &PartitionLog, coordinator: &mut Coordinator, now: Moment) -> Result<()> {
    let mut offset = log.log_start_offset();
    while offset < log.log_end_offset() {
        let fetched = log.read(offset, READ_BYTES, true, Isolation::LogEnd)?;
        let before = offset;
        for found in Batches::new(fetched.records) {
            let (header, batch) = found.map_err(|error| damaged(log, offset, error))?;
            // Opening the log may not have read it.
            let intact = header.verify(&batch);
            intact.map_err(|error| damaged(log, header.base_offset, error))?;
            replay_batch(&header, &batch, coordinator, now)
                .map_err(|reason| damaged(log, header.base_offset, reason))?;
            offset = header.next_offset();
        }
        if offset == before {
            return Err(damaged(log, offset, "the log ends before its end"));
        }
    }
    Ok(())
}

fn replay_batch(
    header: &BatchHeader,
    batch: &Bytes,
    coordinator: &mut Coordinator,
    now: Moment,
) -> Result<(), String> {
    let block = decode(header, batch).map_err(|error| error.to_string())?;
    for record in Records::new(header, &block) {
        let record = record.map_err(|error| error.to_string())?;
        let key = record.key.ok_or("a record has no key")?;
        if header.attributes.is_control() {
            // Other kinds of control records say nothing about transactions.
            let outcome = match key {
                [_, _, 0, 0, ..] => TransactionOutcome::Abort,
                [_, _, 0, 1, ..] => TransactionOutcome::Commit,
                _ => continue,
            };
            coordinator.complete_transaction(header.producer_id, outcome);
            continue;
        }
        let value = record.value.map(Bytes::copy_from_slice);
        let decoded = GroupRecord::decode(Bytes::copy_from_slice(key), value)?;
        let producer_id = header.attributes.is_transactional().then_some(header.producer_id);
        coordinator.apply(decoded, record.offset, producer_id, now);
    }
    Ok(())
}

fn damaged(log: &PartitionLog, offset: i64, reason: impl ToString) -> LogError {
    LogError::Damaged {
        path: log.dir().to_owned(),
        position: u64::try_from(offset).unwrap_or_default(),
        reason: format!("at offset {offset}: {}", reason.to_string()),
    }
}
