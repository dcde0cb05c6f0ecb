//! How [`Entry`]s stand in `__transaction_state`.
//!
//! The key says what the value is about: `transaction:` and the transactional id, or
//! `producer-ids`. The value is JSON with a version; none at all is a tombstone. The topic is
//! compacted, so the last value of each key is the state. JSON, since the topic is small beside the
//! transactions themselves, and any consumer can show it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::coordinator::Entry;
use super::state::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID};
use super::state::{Partitions, Producer, Transaction, TransactionState};

/// The version that is written.
const VERSION: u32 = 2;
/// The oldest version that is read: it has no producer id to go on with.
const OLDEST_VERSION: u32 = 1;
const TRANSACTION: &str = "transaction:";
const PRODUCER_IDS: &str = "producer-ids";

/// Why a record of `__transaction_state` can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("its key is none of a transaction or of producer ids")]
    Key,
    #[error("its value is of version {0}, and this program reads {OLDEST_VERSION} to {VERSION}")]
    Version(u32),
    #[error("its value can't be read: {0}")]
    Value(#[from] serde_json::Error),
    #[error("its value is missing, and a reservation of producer ids can't be taken back")]
    NoValue,
}

/// Key and value of an entry.
pub(super) fn encode(entry: &Entry) -> (Bytes, Option<Bytes>) {
    match entry {
        Entry::Transaction { id, transaction } => {
            let value = transaction.as_ref().map(|t| json(&TransactionValue::from(t)));
            (Bytes::from(format!("{TRANSACTION}{id}")), value)
        }
        Entry::ProducerIds { below } => {
            let value = json(&ProducerIdsValue { version: VERSION, below: *below });
            (Bytes::from_static(PRODUCER_IDS.as_bytes()), Some(value))
        }
    }
}

/// The entry of a key and a value.
pub(super) fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Entry, RecordError> {
    let key = std::str::from_utf8(key).map_err(|_| RecordError::Key)?;
    if let Some(id) = key.strip_prefix(TRANSACTION) {
        let transaction = value.map(read::<TransactionValue>).transpose()?;
        return Ok(Entry::Transaction {
            id: id.to_owned(),
            transaction: transaction.map(Transaction::from),
        });
    }
    if key != PRODUCER_IDS {
        return Err(RecordError::Key);
    }
    let value: ProducerIdsValue = read(value.ok_or(RecordError::NoValue)?)?;
    Ok(Entry::ProducerIds { below: value.below })
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct ProducerIdsValue {
    version: u32,
    below: i64,
}

#[derive(Serialize, Deserialize)]
struct TransactionValue {
    version: u32,
    state: TransactionState,
    producer_id: i64,
    producer_epoch: i16,
    renewed_from_id: i64,
    renewed_from_epoch: i16,
    #[serde(default)]
    next_producer_id: Option<i64>,
    timeout_ms: i32,
    started_ms: Option<i64>,
    updated_ms: i64,
    partitions: Partitions,
}

impl From<&Transaction> for TransactionValue {
    fn from(transaction: &Transaction) -> Self {
        let none = Producer { id: NO_PRODUCER_ID, epoch: NO_PRODUCER_EPOCH };
        let renewed_from = transaction.renewed_from.unwrap_or(none);
        TransactionValue {
            version: VERSION,
            state: transaction.state,
            producer_id: transaction.producer.id,
            producer_epoch: transaction.producer.epoch,
            renewed_from_id: renewed_from.id,
            renewed_from_epoch: renewed_from.epoch,
            next_producer_id: transaction.next_producer_id,
            timeout_ms: transaction.timeout_ms,
            started_ms: transaction.started_ms,
            updated_ms: transaction.updated_ms,
            partitions: transaction.partitions.clone(),
        }
    }
}

impl From<TransactionValue> for Transaction {
    fn from(value: TransactionValue) -> Self {
        let renewed_from = Producer { id: value.renewed_from_id, epoch: value.renewed_from_epoch };
        Transaction {
            producer: Producer { id: value.producer_id, epoch: value.producer_epoch },
            renewed_from: (renewed_from.id != NO_PRODUCER_ID).then_some(renewed_from),
            next_producer_id: value.next_producer_id,
            timeout_ms: value.timeout_ms,
            state: value.state,
            partitions: value.partitions,
            started_ms: value.started_ms,
            updated_ms: value.updated_ms,
        }
    }
}

fn json(value: &impl Serialize) -> Bytes {
    let text = serde_json::to_vec(value).expect("numbers, strings and maps by string are JSON");
    Bytes::from(text)
}

fn read<T: for<'a> Deserialize<'a>>(value: &[u8]) -> Result<T, RecordError> {
    // The version first: a value of another one may not have the fields of this.
    let Versioned { version } = serde_json::from_slice(value)?;
    if !(OLDEST_VERSION..=VERSION).contains(&version) {
        return Err(RecordError::Version(version));
    }
    Ok(serde_json::from_slice(value)?)
}
