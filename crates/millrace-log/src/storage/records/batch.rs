//! The header of a batch, and the walk over a sequence of batches.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::Codec;

/// Bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;

/// Bytes before the part that the length field counts.
const LENGTH_PREFIX_BYTES: usize = 12;

/// What the length field has at least in any version.
const LEAST_LENGTH: i32 = 14;

/// Where the checksummed part begins.
const CHECKED_FROM: usize = 21;

/// Why bytes are not a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// They end before the batch does.
    #[error("the batch needs {needed_bytes} bytes, and {present_bytes} are there")]
    Truncated {
        /// Bytes of the whole batch, or of its header when that isn't known yet.
        needed_bytes: usize,
        /// Bytes that are there.
        present_bytes: usize,
    },
    /// A format before (0, 1) or after the one of this crate.
    #[error("batches of version {0} are not supported, only of version 2")]
    Version(i8),
    /// The length is negative or smaller than a header.
    #[error("a batch can't have the length {0}")]
    Length(i32),
    /// Base offset and last delta don't give a range.
    #[error("the base offset {base_offset} and the last delta {last_offset_delta} are no range")]
    Offsets {
        /// As in the header.
        base_offset: i64,
        /// As in the header.
        last_offset_delta: i32,
    },
    /// The number of records is negative.
    #[error("a batch can't have {0} records")]
    Count(i32),
    /// The checksum does not fit.
    #[error("the checksum is {computed:#010x} where the batch says {stored:#010x}")]
    Checksum {
        /// As in the header.
        stored: u32,
        /// Of the bytes that are there.
        computed: u32,
    },
}

impl BatchError {
    /// What a client is told whose records these are.
    pub(crate) fn refusal(&self) -> ResponseError {
        match self {
            BatchError::Version(0 | 1) | BatchError::Offsets { .. } | BatchError::Count(_) => {
                ResponseError::InvalidRecord
            }
            BatchError::Version(_)
            | BatchError::Truncated { .. }
            | BatchError::Length(_)
            | BatchError::Checksum { .. } => ResponseError::CorruptMessage,
        }
    }
}

/// The attributes of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub i16);

impl Attributes {
    pub(crate) const LOG_APPEND_TIME: i16 = 1 << 3;
    pub(crate) const TRANSACTIONAL: i16 = 1 << 4;
    pub(crate) const CONTROL: i16 = 1 << 5;
    pub(crate) const DELETE_HORIZON: i16 = 1 << 6;
    pub(crate) const CODEC_MASK: i16 = 0b111;

    /// How the records are compressed; `None` for a codec that does not exist.
    pub fn codec(self) -> Option<Codec> {
        Codec::from_id(self.0 & Self::CODEC_MASK)
    }

    /// Whether the time stamps are the log's and not the producer's.
    pub fn is_log_append_time(self) -> bool {
        self.0 & Self::LOG_APPEND_TIME != 0
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch holds markers and no data.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base time stamp is the time from which compaction may drop tombstones.
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }
}

/// What stands before the records of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record.
    pub base_offset: i64,
    /// Bytes of the whole batch, header included.
    pub size_bytes: usize,
    /// The epoch of the leader that wrote it.
    pub leader_epoch: i32,
    /// The stored checksum (CRC-32C).
    pub crc: u32,
    /// Codec, kind of time stamps, transactional, control.
    pub attributes: Attributes,
    /// The last record's offset, counted from the base offset. At least 0.
    pub last_offset_delta: i32,
    /// What the records' time stamps are counted from, or the delete horizon.
    pub base_timestamp_ms: i64,
    /// The largest time stamp; -1 when there is none.
    pub max_timestamp_ms: i64,
    /// The producer; -1 when it is not idempotent.
    pub producer_id: i64,
    /// The producer's epoch, or -1.
    pub producer_epoch: i16,
    /// The first record's sequence number, or -1.
    pub base_sequence: i32,
    /// The number of records.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header of the batch that `bytes` begin with; the records need not be there yet.
    ///
    /// # Errors
    /// When fewer than [`HEADER_BYTES`] are there, or they can't be a header.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(Self::short(bytes));
        };
        let length = i32_at(head, 8);
        if length < LEAST_LENGTH {
            return Err(BatchError::Length(length));
        }
        if head[16] != 2 {
            return Err(BatchError::Version(head[16] as i8));
        }
        if length < (HEADER_BYTES - LENGTH_PREFIX_BYTES) as i32 {
            return Err(BatchError::Length(length));
        }
        let header = BatchHeader {
            base_offset: i64_at(head, 0),
            size_bytes: LENGTH_PREFIX_BYTES + length as usize,
            leader_epoch: i32_at(head, 12),
            crc: i32_at(head, 17) as u32,
            attributes: Attributes(i16_at(head, 21)),
            last_offset_delta: i32_at(head, 23),
            base_timestamp_ms: i64_at(head, 27),
            max_timestamp_ms: i64_at(head, 35),
            producer_id: i64_at(head, 43),
            producer_epoch: i16_at(head, 51),
            base_sequence: i32_at(head, 53),
            record_count: i32_at(head, 57),
        };
        let BatchHeader { base_offset, last_offset_delta, record_count, .. } = header;
        let end = base_offset.checked_add(i64::from(last_offset_delta) + 1);
        if base_offset < 0 || last_offset_delta < 0 || end.is_none() {
            return Err(BatchError::Offsets { base_offset, last_offset_delta });
        }
        if record_count < 0 {
            return Err(BatchError::Count(record_count));
        }
        Ok(header)
    }

    /// A version before 2 stands at the same place, and may be shorter than a header of version 2.
    fn short(bytes: &[u8]) -> BatchError {
        match bytes.get(16) {
            Some(&version) if version != 2 => BatchError::Version(version as i8),
            _ => BatchError::Truncated { needed_bytes: HEADER_BYTES, present_bytes: bytes.len() },
        }
    }

    /// Checks that the whole batch is at the start of `bytes` and that its checksum fits.
    ///
    /// # Errors
    /// [`BatchError::Truncated`], [`BatchError::Checksum`].
    pub fn verify(&self, bytes: &[u8]) -> Result<(), BatchError> {
        let Some(batch) = bytes.get(..self.size_bytes) else {
            return Err(BatchError::Truncated {
                needed_bytes: self.size_bytes,
                present_bytes: bytes.len(),
            });
        };
        let computed = crc32c::crc32c(&batch[CHECKED_FROM..]);
        if computed == self.crc {
            Ok(())
        } else {
            Err(BatchError::Checksum { stored: self.crc, computed })
        }
    }

    /// The last record's offset.
    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// The offset behind the last record.
    pub fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    /// Whether the producer numbers its batches.
    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    /// The last record's sequence number: they start again at 0 behind [`i32::MAX`].
    pub fn last_sequence(&self) -> i32 {
        sequence_plus(self.base_sequence, self.last_offset_delta)
    }

    /// Writes the header, its checksum computed over `records`, into 61 bytes.
    pub(crate) fn encode(&self, records: &[u8]) -> [u8; HEADER_BYTES] {
        let mut head = [0; HEADER_BYTES];
        head[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        let length = (HEADER_BYTES - LENGTH_PREFIX_BYTES + records.len()) as i32;
        head[8..12].copy_from_slice(&length.to_be_bytes());
        head[12..16].copy_from_slice(&self.leader_epoch.to_be_bytes());
        head[16] = 2;
        head[21..23].copy_from_slice(&self.attributes.0.to_be_bytes());
        head[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        head[27..35].copy_from_slice(&self.base_timestamp_ms.to_be_bytes());
        head[35..43].copy_from_slice(&self.max_timestamp_ms.to_be_bytes());
        head[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        head[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        head[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        head[57..61].copy_from_slice(&self.record_count.to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head[CHECKED_FROM..]), records);
        head[17..21].copy_from_slice(&crc.to_be_bytes());
        head
    }
}

/// A sequence number `by` records later.
pub(in crate::storage) fn sequence_plus(sequence: i32, by: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(by);
    i32::try_from(sum).unwrap_or_else(|_| (sum - (i64::from(i32::MAX) + 1)) as i32)
}

/// Walks a sequence of whole batches; checksums are not looked at.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Batches {
    /// The batches in `records`.
    pub fn new(records: Bytes) -> Self {
        Batches { rest: records }
    }
}

impl Iterator for Batches {
    /// A header and the whole batch, or why the walk can't go on.
    type Item = Result<(BatchHeader, Bytes), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let parsed = BatchHeader::parse(&self.rest).and_then(|header| {
            if header.size_bytes > self.rest.len() {
                return Err(BatchError::Truncated {
                    needed_bytes: header.size_bytes,
                    present_bytes: self.rest.len(),
                });
            }
            Ok((header, self.rest.split_to(header.size_bytes)))
        });
        if parsed.is_err() {
            self.rest.clear();
        }
        Some(parsed)
    }
}

fn i16_at(head: &[u8; HEADER_BYTES], at: usize) -> i16 {
    i16::from_be_bytes([head[at], head[at + 1]])
}

fn i32_at(head: &[u8; HEADER_BYTES], at: usize) -> i32 {
    i32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

fn i64_at(head: &[u8; HEADER_BYTES], at: usize) -> i64 {
    (i64::from(i32_at(head, at)) << 32) | i64::from(i32_at(head, at + 4) as u32)
}
