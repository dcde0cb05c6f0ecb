//! What a partition knows about its producers.
//!
//! An idempotent producer numbers its records for each partition. Its newest batches are
//! remembered, so that one that is sent again is answered with the offsets from the first time, and
//! one that leaves a gap is refused. An epoch fences those who had the producer's id before.
//!
//! A transaction is open from the producer's first transactional batch to its marker:
//!
//! ```text
//! none -- transactional batch --> open -- commit or abort marker --> none
//! ```
//!
//! Nothing here touches a file: the states follow from the batches of the log, in their order.

mod aborted;
mod open_transactions;
mod snapshot;

use std::collections::{BTreeMap, VecDeque};

use kafka_protocol::error::ResponseError;

pub(super) use self::aborted::{AbortedEntry, AbortedIndex};
pub(super) use self::open_transactions::OpenTransactions;
pub(super) use self::snapshot::ProducerSnapshot;
use super::records::{BatchHeader, sequence_plus};
use super::{Origin, TransactionOutcome};

/// The batches that a producer may have on the way at once, and thus send again.
const REMEMBERED_BATCHES: usize = 5;

/// A batch that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub first_sequence: i32,
    pub last_sequence: i32,
    pub base_offset: i64,
    pub last_offset: i64,
    pub timestamp_ms: i64,
}

/// A producer as its partition sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Producer {
    pub epoch: i16,
    /// Of the coordinator that wrote the last marker; -1 before the first.
    pub coordinator_epoch: i32,
    /// Its newest batches of this epoch, oldest first.
    pub sent: VecDeque<Sent>,
    /// The first offset of its open transaction.
    pub open_since: Option<i64>,
    /// Of its last batch.
    pub last_timestamp_ms: i64,
    /// When it was last heard of, by the log's clock: stamps of old data are no reason to forget it.
    pub heard_ms: i64,
}

/// A producer, for those who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerInfo {
    /// Its id.
    pub producer_id: i64,
    /// Its newest epoch.
    pub producer_epoch: i16,
    /// The sequence number of its last record, or -1.
    pub last_sequence: i32,
    /// The time stamp of its last batch or marker, in milliseconds since 1970.
    pub last_timestamp_ms: i64,
    /// The epoch of the coordinator that wrote its last marker, or -1.
    pub coordinator_epoch: i32,
    /// The first offset of its open transaction, if it has one.
    pub transaction_start_offset: Option<i64>,
}

/// A transaction that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub producer_id: i64,
    pub first_offset: i64,
    /// The marker's.
    pub last_offset: i64,
    pub outcome: TransactionOutcome,
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Append,
    /// It was appended before.
    Duplicate(Sent),
}

/// All producers of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Producers {
    producers: BTreeMap<i64, Producer>,
    /// Open transactions: their first offsets and producers.
    open: BTreeMap<i64, i64>,
}

impl Producers {
    /// Decides about a batch before it is appended.
    ///
    /// # Errors
    /// Kafka's codes: INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_TXN_STATE. A
    /// producer that is not known (or no longer) may begin with any number, as in Kafka, but not in a
    /// transaction of the second version.
    pub fn check(&self, header: &BatchHeader, origin: Origin) -> Result<Verdict, ResponseError> {
        if !header.has_producer() {
            return Ok(Verdict::Append);
        }
        let Some(producer) = self.producers.get(&header.producer_id) else {
            return match origin {
                Origin::TransactionClient if header.base_sequence != 0 => {
                    Err(ResponseError::OutOfOrderSequenceNumber)
                }
                _ => Ok(Verdict::Append),
            };
        };
        if header.producer_epoch < producer.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if origin != Origin::Coordinator {
            if let Some(sent) = producer.duplicate(header) {
                return Ok(Verdict::Duplicate(sent));
            }
            producer.check_sequence(header)?;
        }
        if producer.open_since.is_some() && !header.attributes.is_transactional() {
            return Err(ResponseError::InvalidTxnState);
        }
        Ok(Verdict::Append)
    }

    /// Takes in a batch of data that was appended.
    pub fn appended(&mut self, header: &BatchHeader, now_ms: i64) {
        if !header.has_producer() {
            return;
        }
        let producer = self.producer(header.producer_id, header.producer_epoch, now_ms);
        producer.last_timestamp_ms = header.max_timestamp_ms;
        if header.base_sequence >= 0 {
            if producer.sent.len() == REMEMBERED_BATCHES {
                producer.sent.pop_front();
            }
            producer.sent.push_back(Sent {
                first_sequence: header.base_sequence,
                last_sequence: header.last_sequence(),
                base_offset: header.base_offset,
                last_offset: header.last_offset(),
                timestamp_ms: header.max_timestamp_ms,
            });
        }
        if header.attributes.is_transactional() && producer.open_since.is_none() {
            producer.open_since = Some(header.base_offset);
            self.open.insert(header.base_offset, header.producer_id);
        }
    }

    /// Decides about a marker before it is appended: whether there is something to end.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED.
    pub fn check_marker(
        &self,
        producer_id: i64,
        producer_epoch: i16,
        coordinator_epoch: i32,
    ) -> Result<bool, ResponseError> {
        let Some(producer) = self.producers.get(&producer_id) else {
            return Ok(false);
        };
        if producer_epoch < producer.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if coordinator_epoch < producer.coordinator_epoch {
            return Err(ResponseError::TransactionCoordinatorFenced);
        }
        Ok(producer.open_since.is_some())
    }

    /// Takes in a marker: at `offset`, or only remembered where there was nothing to end.
    pub fn marked(
        &mut self,
        producer_id: i64,
        producer_epoch: i16,
        coordinator_epoch: i32,
        now_ms: i64,
        end: Option<(i64, TransactionOutcome)>,
    ) -> Option<Ended> {
        let producer = self.producer(producer_id, producer_epoch, now_ms);
        producer.coordinator_epoch = producer.coordinator_epoch.max(coordinator_epoch);
        producer.last_timestamp_ms = now_ms;
        let (last_offset, outcome) = end?;
        let first_offset = producer.open_since.take()?;
        self.open.remove(&first_offset);
        Some(Ended { producer_id, first_offset, last_offset, outcome })
    }

    /// The time stamp of a producer's last batch or marker, where it is another than that of now.
    pub fn stamped(&mut self, producer_id: i64, timestamp_ms: i64) {
        if let Some(producer) = self.producers.get_mut(&producer_id) {
            producer.last_timestamp_ms = timestamp_ms;
        }
    }

    /// The first offset of the open transactions.
    pub fn first_open_offset(&self) -> Option<i64> {
        self.open.first_key_value().map(|(first_offset, _)| *first_offset)
    }

    /// The open transactions: first offset and producer.
    pub fn open(&self) -> &BTreeMap<i64, i64> {
        &self.open
    }

    /// Forgets who was not heard of since `before_ms` and has no transaction open.
    pub fn forget_before(&mut self, before_ms: i64) {
        self.producers
            .retain(|_, producer| producer.open_since.is_some() || producer.heard_ms >= before_ms);
    }

    /// All of them, by id.
    pub fn all(&self) -> Vec<ProducerInfo> {
        let info = |(&producer_id, producer): (&i64, &Producer)| ProducerInfo {
            producer_id,
            producer_epoch: producer.epoch,
            last_sequence: producer.sent.back().map_or(-1, |sent| sent.last_sequence),
            last_timestamp_ms: producer.last_timestamp_ms,
            coordinator_epoch: producer.coordinator_epoch,
            transaction_start_offset: producer.open_since,
        };
        self.producers.iter().map(info).collect()
    }

    /// The producer, raised to this epoch.
    fn producer(&mut self, id: i64, epoch: i16, now_ms: i64) -> &mut Producer {
        let producer = self.producers.entry(id).or_insert_with(|| Producer {
            epoch,
            coordinator_epoch: -1,
            sent: VecDeque::new(),
            open_since: None,
            last_timestamp_ms: -1,
            heard_ms: now_ms,
        });
        producer.heard_ms = producer.heard_ms.max(now_ms);
        if epoch > producer.epoch {
            // A new epoch counts from 0 again.
            producer.epoch = epoch;
            producer.sent.clear();
        }
        producer
    }
}

impl Producer {
    fn duplicate(&self, header: &BatchHeader) -> Option<Sent> {
        let same = |sent: &&Sent| {
            sent.first_sequence == header.base_sequence
                && sent.last_sequence == header.last_sequence()
        };
        if header.producer_epoch != self.epoch {
            return None;
        }
        self.sent.iter().find(same).copied()
    }

    fn check_sequence(&self, header: &BatchHeader) -> Result<(), ResponseError> {
        let expected = match self.sent.back() {
            Some(last) if header.producer_epoch == self.epoch => {
                sequence_plus(last.last_sequence, 1)
            }
            _ => 0,
        };
        if header.base_sequence == expected {
            Ok(())
        } else {
            Err(ResponseError::OutOfOrderSequenceNumber)
        }
    }
}

#[cfg(test)]
impl Producers {
    /// Has them all heard of at one time, so that they can be compared.
    pub(super) fn heard_at(&mut self, now_ms: i64) {
        self.producers.values_mut().for_each(|producer| producer.heard_ms = now_ms);
    }
}

#[cfg(test)]
mod tests;
