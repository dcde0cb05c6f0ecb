//! Records of one partition on their way from the client to the decoder.

use std::sync::Arc;

use rdkafka::message::Timestamp;

use super::queue::Record;
use crate::format::message::Messages;

/// Records in their order, as columns.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offsets: Vec<i64>,
    pub timestamps: Vec<Timestamp>,
    pub values: Messages,
    /// Empty unless they are wanted.
    pub keys: Messages,
    /// Empty unless they are wanted.
    pub headers: Vec<RecordHeaders>,
    wanted: Wanted,
}

/// What a decoder looks at beside the value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    pub keys: bool,
    pub headers: bool,
}

/// The headers of a record: names and values.
pub(crate) type RecordHeaders = Vec<(String, Option<Vec<u8>>)>;

impl Fetched {
    pub fn new(topic: &str, partition: i32, wanted: Wanted) -> Self {
        Fetched {
            topic: topic.into(),
            partition,
            offsets: Vec::new(),
            timestamps: Vec::new(),
            values: Messages::default(),
            keys: Messages::default(),
            headers: Vec::new(),
            wanted,
        }
    }

    /// Copies a record out of the client's memory, so that it can fetch ahead into it.
    pub fn push(&mut self, record: Record<'_>) {
        self.offsets.push(record.offset());
        self.timestamps.push(record.timestamp());
        self.values.push(record.value());
        if self.wanted.keys {
            self.keys.push(record.key());
        }
        if self.wanted.headers {
            self.headers.push(record.headers());
        }
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// How much their keys and values take, in bytes.
    pub fn bytes(&self) -> usize {
        self.values.bytes() + self.keys.bytes()
    }

    pub fn clear(&mut self) {
        self.offsets.clear();
        self.timestamps.clear();
        self.values.clear();
        self.keys.clear();
        self.headers.clear();
    }
}
