//! Makes batches: for what the broker itself writes.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Attributes, BatchHeader, HEADER_BYTES, Records, decode};
use crate::storage::TransactionOutcome;

/// Builds one uncompressed batch at base offset 0.
///
/// ```
/// use millrace_log::storage::records::{BatchBuilder, BatchHeader};
///
/// let mut builder = BatchBuilder::new();
/// builder.push(5, Some(b"a"), Some(b"1"));
/// builder.push(7, Some(b"a"), None);
/// let batch = builder.build();
/// let header = BatchHeader::parse(&batch).unwrap();
/// assert_eq!((header.record_count, header.max_timestamp_ms), (2, 7));
/// assert_eq!(header.verify(&batch), Ok(()));
/// ```
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    attributes: i16,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
    record_count: i32,
    records: Vec<u8>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty batch of no producer.
    pub fn new() -> Self {
        BatchBuilder {
            attributes: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            base_timestamp_ms: -1,
            max_timestamp_ms: -1,
            record_count: 0,
            records: Vec::new(),
        }
    }

    /// Names the idempotent producer and the sequence number of its first record.
    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        (self.producer_id, self.producer_epoch) = (id, epoch);
        self.base_sequence = base_sequence;
        self
    }

    /// Makes the batch part of the producer's transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.attributes |= Attributes::TRANSACTIONAL;
        self
    }

    fn control(mut self) -> Self {
        self.attributes |= Attributes::CONTROL;
        self
    }

    /// Adds a record without headers. A value of `None` is a tombstone.
    pub fn push(&mut self, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.push_with_headers(timestamp_ms, key, value, &[]);
    }

    /// Adds a record.
    pub fn push_with_headers(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        if self.record_count == 0 {
            self.base_timestamp_ms = timestamp_ms;
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        let mut body = vec![0];
        put_varlong(&mut body, timestamp_ms.wrapping_sub(self.base_timestamp_ms));
        put_varlong(&mut body, i64::from(self.record_count));
        put_nullable(&mut body, key);
        put_nullable(&mut body, value);
        put_varlong(&mut body, headers.len() as i64);
        for (name, value) in headers {
            put_nullable(&mut body, Some(name.as_bytes()));
            put_nullable(&mut body, *value);
        }
        put_varlong(&mut self.records, body.len() as i64);
        self.records.extend_from_slice(&body);
        self.record_count += 1;
    }

    /// Bytes that the batch has so far.
    pub fn size_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// The batch.
    ///
    /// # Panics
    /// When nothing was pushed: a batch without records is no batch.
    pub fn build(&self) -> Bytes {
        assert!(self.record_count > 0, "a batch must have a record");
        let header = BatchHeader {
            base_offset: 0,
            size_bytes: self.size_bytes(),
            leader_epoch: 0,
            crc: 0,
            attributes: Attributes(self.attributes),
            last_offset_delta: self.record_count - 1,
            base_timestamp_ms: self.base_timestamp_ms,
            max_timestamp_ms: self.max_timestamp_ms,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            record_count: self.record_count,
        };
        let mut batch = BytesMut::with_capacity(header.size_bytes);
        batch.put_slice(&header.encode(&self.records));
        batch.put_slice(&self.records);
        batch.freeze()
    }
}

/// The content of the control batch that ends a producer's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// How the transaction ended.
    pub outcome: TransactionOutcome,
    /// The epoch of the coordinator that decided so.
    pub coordinator_epoch: i32,
}

impl Marker {
    /// The control batch.
    pub fn build(self, timestamp_ms: i64, producer_id: i64, producer_epoch: i16) -> Bytes {
        let kind: i16 = match self.outcome {
            TransactionOutcome::Abort => 0,
            TransactionOutcome::Commit => 1,
        };
        let mut key = vec![0, 0];
        key.extend_from_slice(&kind.to_be_bytes());
        let mut value = vec![0, 0];
        value.extend_from_slice(&self.coordinator_epoch.to_be_bytes());
        let builder = BatchBuilder::new().producer(producer_id, producer_epoch, -1);
        let mut builder = builder.transactional().control();
        builder.push(timestamp_ms, Some(&key), Some(&value));
        builder.build()
    }

    /// Reads it from a control batch; `None` for one that is something else.
    pub fn read(header: &BatchHeader, batch: &[u8]) -> Option<Self> {
        if !header.attributes.is_control() {
            return None;
        }
        let block = decode(header, batch).ok()?;
        let record = Records::new(header, &block).next()?.ok()?;
        // Both begin with the version of their format, and newer ones only add to the end.
        let outcome = match record.key?.get(2..4)? {
            [0, 0] => TransactionOutcome::Abort,
            [0, 1] => TransactionOutcome::Commit,
            _ => return None,
        };
        let epoch = record.value?.get(2..6)?.try_into().ok()?;
        Some(Marker { outcome, coordinator_epoch: i32::from_be_bytes(epoch) })
    }
}

fn put_varlong(buffer: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        buffer.push((raw as u8) | 0x80);
        raw >>= 7;
    }
    buffer.push(raw as u8);
}

fn put_nullable(buffer: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varlong(buffer, -1),
        Some(bytes) => {
            put_varlong(buffer, bytes.len() as i64);
            buffer.extend_from_slice(bytes);
        }
    }
}
