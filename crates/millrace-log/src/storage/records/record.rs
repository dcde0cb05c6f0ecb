//! The records of a batch.

use std::ops::Deref;

use super::codec::Inflated;
use super::{Attributes, BatchHeader, Codec, HEADER_BYTES};

/// Why the records of a batch can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The codec's number means nothing.
    #[error("the codec {0} does not exist")]
    Codec(i16),
    /// The block can't be inflated.
    #[error("the records can't be inflated: {0}")]
    Block(String),
    /// A record is not made as records are.
    #[error("record {index} of the batch is malformed: {reason}")]
    Malformed {
        /// Which one, from 0.
        index: i32,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There are more or fewer records than the header says.
    #[error("the batch says {expected} records, and {trailing_bytes} bytes follow them")]
    Trailing {
        /// As in the header.
        expected: i32,
        /// What is left.
        trailing_bytes: usize,
    },
}

/// The records of a batch, encoded.
///
/// A large one that was compressed keeps others from being inflated as long as it lives: drop it
/// before the next.
#[derive(Debug)]
pub struct Block<'a>(Inner<'a>);

#[derive(Debug)]
enum Inner<'a> {
    Borrowed(&'a [u8]),
    Inflated(Inflated),
}

impl Deref for Block<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Borrowed(records) => records,
            Inner::Inflated(records) => records,
        }
    }
}

/// The records of `batch`, inflated if they are compressed; not yet taken apart.
///
/// # Errors
/// [`RecordError::Codec`], [`RecordError::Block`].
///
/// ```
/// use millrace_log::storage::records::{BatchBuilder, BatchHeader, Records, decode};
///
/// let mut builder = BatchBuilder::new();
/// builder.push(1_700_000_000_000, Some(b"key"), Some(b"value"));
/// let batch = builder.build();
/// let header = BatchHeader::parse(&batch).unwrap();
/// let block = decode(&header, &batch).unwrap();
/// let record = Records::new(&header, &block).next().unwrap().unwrap();
/// assert_eq!(record.key, Some(&b"key"[..]));
/// assert_eq!(record.timestamp_ms, 1_700_000_000_000);
/// ```
pub fn decode<'a>(header: &BatchHeader, batch: &'a [u8]) -> Result<Block<'a>, RecordError> {
    let codec = header.attributes.codec();
    let codec = codec.ok_or(RecordError::Codec(header.attributes.0 & Attributes::CODEC_MASK))?;
    let block = batch.get(HEADER_BYTES..header.size_bytes);
    let block = block.ok_or_else(|| RecordError::Block("the batch is cut off".to_owned()))?;
    if codec == Codec::None {
        return Ok(Block(Inner::Borrowed(block)));
    }
    let records = codec.decompress(block).map_err(|error| RecordError::Block(error.to_string()))?;
    Ok(Block(Inner::Inflated(records)))
}

/// One record, its parts where they stand in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset in the partition.
    pub offset: i64,
    /// Its offset, counted from that of the batch.
    pub offset_delta: i32,
    /// Its time stamp: the producer's, or the log's where the batch says so.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; without one it is a tombstone.
    pub value: Option<&'a [u8]>,
    /// How many headers follow.
    pub header_count: i32,
    /// The headers, encoded: whole and in order, names that occur twice included.
    pub headers: &'a [u8],
    /// The whole record as it stands in the batch, its length in front.
    pub encoded: &'a [u8],
}

impl<'a> Record<'a> {
    /// The headers, names and values, in their order.
    pub fn header_list(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut rest = Cursor(self.headers);
        // They were checked to their last byte when the record was read.
        std::iter::from_fn(move || Some((rest.nullable()??, rest.nullable()?)))
    }
}

/// Walks the records that [`decode`] gave.
///
/// It checks each record to its last byte, headers included, so that what passed will be
/// understood by any client.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    header: BatchHeader,
    rest: &'a [u8],
    index: i32,
    failed: bool,
}

impl<'a> Records<'a> {
    /// The records in `block`, of the batch with this header.
    pub fn new(header: &BatchHeader, block: &'a [u8]) -> Self {
        Records { header: *header, rest: block, index: 0, failed: false }
    }

    fn read(&mut self) -> Result<Record<'a>, RecordError> {
        let index = self.index;
        let malformed = |reason| RecordError::Malformed { index, reason };
        let start = self.rest;
        let mut cursor = Cursor(start);
        let length = cursor.varint().ok_or(malformed("its length is no number"))?;
        let body = usize::try_from(length).ok().and_then(|length| cursor.take(length));
        let mut body = Cursor(body.ok_or(malformed("its length passes the batch"))?);
        let encoded = &start[..start.len() - cursor.0.len()];
        body.take(1).ok_or(malformed("it has no attributes"))?;
        let timestamp_delta = body.varlong().ok_or(malformed("its time stamp is no number"))?;
        let offset_delta = body.varint().ok_or(malformed("its offset is no number"))?;
        if !(0..=self.header.last_offset_delta).contains(&offset_delta) {
            return Err(malformed("its offset is not in the batch"));
        }
        let key = body.nullable().ok_or(malformed("its key passes its end"))?;
        let value = body.nullable().ok_or(malformed("its value passes its end"))?;
        let header_count = body.varint().ok_or(malformed("its headers have no number"))?;
        let headers = body.0;
        for _ in 0..header_count.max(0) {
            let name = body.nullable().ok_or(malformed("a header's name passes its end"))?;
            name.ok_or(malformed("a header has no name"))?;
            body.nullable().ok_or(malformed("a header's value passes its end"))?;
        }
        if header_count < 0 || !body.0.is_empty() {
            return Err(malformed("its length does not fit its parts"));
        }
        self.rest = cursor.0;
        let timestamp_ms = if self.header.attributes.is_log_append_time() {
            self.header.max_timestamp_ms
        } else {
            self.header.base_timestamp_ms.wrapping_add(timestamp_delta)
        };
        let offset = self.header.base_offset + i64::from(offset_delta);
        Ok(Record {
            offset,
            offset_delta,
            timestamp_ms,
            key,
            value,
            header_count,
            headers,
            encoded,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.index == self.header.record_count {
            if self.rest.is_empty() {
                return None;
            }
            self.failed = true;
            return Some(Err(RecordError::Trailing {
                expected: self.header.record_count,
                trailing_bytes: self.rest.len(),
            }));
        }
        let record = self.read();
        self.failed = record.is_err();
        self.index += 1;
        Some(record)
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn unsigned(&mut self, max_bytes: u32) -> Option<u64> {
        let mut value = 0;
        for at in 0..max_bytes {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn varint(&mut self) -> Option<i32> {
        let raw = self.unsigned(5)? as u32;
        Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    fn varlong(&mut self) -> Option<i64> {
        let raw = self.unsigned(10)?;
        Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// A length and so many bytes, or -1 for none; the outer `None` when that can't be.
    fn nullable(&mut self) -> Option<Option<&'a [u8]>> {
        match self.varint()? {
            -1 => Some(None),
            length => Some(Some(self.take(usize::try_from(length).ok()?)?)),
        }
    }
}
