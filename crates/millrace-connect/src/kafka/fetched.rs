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
    /// Empty unless they are wanted; `None` where a record has none.
    pub leader_epochs: Vec<Option<i32>>,
    header_bytes: usize,
    wanted: Wanted,
}

/// What a decoder looks at beside the value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    pub keys: bool,
    pub headers: bool,
    pub leader_epochs: bool,
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
            leader_epochs: Vec::new(),
            header_bytes: 0,
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
        if self.wanted.leader_epochs {
            self.leader_epochs.push(record.leader_epoch());
        }
        if self.wanted.headers {
            let headers = record.headers();
            let length = |(name, value): &(String, Option<Vec<u8>>)| {
                name.len() + value.as_ref().map_or(0, Vec::len)
            };
            self.header_bytes += headers.iter().map(length).sum::<usize>();
            self.headers.push(headers);
        }
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// How much their keys, values and headers take, in bytes.
    pub fn bytes(&self) -> usize {
        self.values.bytes() + self.keys.bytes() + self.header_bytes
    }

    pub fn clear(&mut self) {
        self.offsets.clear();
        self.timestamps.clear();
        self.values.clear();
        self.keys.clear();
        self.headers.clear();
        self.leader_epochs.clear();
        self.header_bytes = 0;
    }
}
