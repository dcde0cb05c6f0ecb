//! The contract of formats that read single messages (csv, json, raw): each is one record.

use std::ops::Range;

use arrow_array::RecordBatch;
use millrace_core::{BadRecord, Result, SplitId};

use super::record::{Chunk, Decoded, Follows};

/// The contents of many messages, laid end to end with a line end behind each.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    bytes: Vec<u8>,
    /// Where each stands; `None` is a message without content.
    spans: Vec<Option<Range<usize>>>,
    nulls: usize,
}

impl Messages {
    /// Adds a message.
    pub fn push(&mut self, content: Option<&[u8]>) {
        let span = content.map(|content| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(content);
            let end = self.bytes.len();
            // Two messages never begin at the same place, and a number ends where its message does.
            self.bytes.push(b'\n');
            start..end
        });
        self.nulls += usize::from(span.is_none());
        self.spans.push(span);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// How many of them have no content.
    pub fn nulls(&self) -> usize {
        self.nulls
    }

    /// The content of a message, if it has one.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.spans[index].clone().map(|span| &self.bytes[span])
    }

    /// How much they take, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.nulls = 0;
    }

    /// Where those stand that have a content, in their order.
    pub fn contents(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.spans.iter().flatten().cloned()
    }

    /// All bytes, as decoders of files see them.
    pub fn chunk<'a>(&'a self, split: &'a SplitId) -> Chunk<'a> {
        Chunk {
            bytes: &self.bytes,
            follows: Follows::Nothing,
            split,
            offset: 0,
            line: 1,
            max_record_bytes: usize::MAX / 2,
        }
    }

    /// Makes the places of bad records in [`Messages::chunk`] into numbers of messages.
    pub fn attribute(&self, decoded: Decoded) -> DecodedMessages {
        let bad = decoded.bad.into_iter().map(|record| {
            let index = self.message_at(record.offset as usize);
            BadMessage { index, column: record.column, cause: record.cause }
        });
        DecodedMessages { rows: decoded.rows, bad: bad.collect() }
    }

    fn message_at(&self, place: usize) -> usize {
        if self.nulls == 0 {
            let after = self
                .spans
                .partition_point(|span| span.as_ref().is_some_and(|span| span.start <= place));
            return after.saturating_sub(1);
        }
        self.spans
            .iter()
            .position(|span| span.as_ref().is_some_and(|span| span.end >= place))
            .unwrap_or_default()
    }
}

/// A message that could not be decoded.
#[derive(Debug)]
pub(crate) struct BadMessage {
    /// Its number among the messages, from 0.
    pub index: usize,
    /// Where in it the trouble is, in bytes from 1.
    pub column: Option<u64>,
    pub cause: String,
}

impl BadMessage {
    /// The bad record that it is.
    pub fn into_record(self, split: &SplitId, offset: i64, raw: Option<&[u8]>) -> BadRecord {
        BadRecord {
            split: split.clone(),
            line: None,
            column: self.column,
            offset: u64::try_from(offset).unwrap_or_default(),
            cause: self.cause,
            raw: raw.unwrap_or_default().to_vec(),
        }
    }
}

/// What was made of messages.
#[derive(Debug, Default)]
pub(crate) struct DecodedMessages {
    /// A row for each message that has a content (in the format `raw`: for each message) and is
    /// good, in their order.
    pub rows: Option<RecordBatch>,
    /// The others that have a content, in their order.
    pub bad: Vec<BadMessage>,
}

/// Turns messages into rows.
pub(crate) trait MessageDecoder: Send {
    /// Decodes all of `messages`.
    ///
    /// # Errors
    /// Only for what is wrong with Millrace itself: bad messages are part of the result.
    fn decode_messages(&mut self, messages: &Messages, split: &SplitId) -> Result<DecodedMessages>;

    /// Whether a message without content is a row too.
    fn has_rows_for_nulls(&self) -> bool {
        false
    }
}
