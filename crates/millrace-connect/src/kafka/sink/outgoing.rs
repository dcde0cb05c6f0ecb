//! Records on their way to a topic.

use std::ops::Range;

use millrace_core::{Batch, Result, SinkContext};

/// One record, its texts in the arena of an [`Outgoing`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutgoingRecord {
    /// `None` is Kafka's null: no key.
    pub key: Option<Range<usize>>,
    /// `None` is Kafka's null: in a compacted topic, the key's deletion.
    pub value: Option<Range<usize>>,
    /// `None` leaves it to the partitioner.
    pub partition: Option<i32>,
    /// In milliseconds since 1970; `None` is the time of sending.
    pub timestamp_ms: Option<i64>,
    /// Names and values, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A batch of records, made from a batch of rows. Used again and again, for its memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outgoing {
    /// Keys and values, end to end.
    pub bytes: Vec<u8>,
    pub records: Vec<OutgoingRecord>,
    /// How many rows have no record of their own: what they say, the record behind them says too.
    pub folded_rows: u64,
}

impl Outgoing {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.folded_rows = 0;
    }

    /// How many rows stand in it.
    pub fn rows(&self) -> u64 {
        self.records.len() as u64 + self.folded_rows
    }

    /// Appends a text to the arena.
    pub fn put(&mut self, text: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        start..self.bytes.len()
    }

    /// The text in `range`.
    pub fn text(&self, range: &Option<Range<usize>>) -> Option<&[u8]> {
        range.as_ref().map(|range| &self.bytes[range.clone()])
    }
}

/// Turns batches of rows into records. One for each subtask.
pub(crate) trait Serializer: Send {
    /// Appends a record for each row of `batch`, in their order; of an update whose two rows are
    /// both there, one.
    ///
    /// # Errors
    /// `FixInput` for a row that has no such record, `Report` for a batch of another type.
    fn serialize(&mut self, batch: Batch, out: &mut Outgoing) -> Result<()>;
}

/// Makes the serializers of a sink.
pub(crate) trait Serialization: Send + Sync {
    /// The serializer of the context's subtask, for a topic of so many partitions.
    fn serializer(&self, context: &SinkContext, partitions: i32) -> Box<dyn Serializer>;
}
