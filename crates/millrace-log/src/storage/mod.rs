//! Partitions on disk.
//!
//! One directory a partition, one file a segment, named by its first offset. A segment is a
//! sequence of record batches (version 2 of the format) exactly as their producers sent them, but
//! for the base offset and the leader epoch, which stand outside the checksum. Sparse indexes by
//! offset and by time, the index of aborted transactions and the snapshot of producers can all be
//! rebuilt from the segments, and are when they are missing or damaged.
//!
//! - [`PartitionLog`]: one partition: append, read, wait; shared by all connections.
//! - [`records`]: batches and their records, on the wire and on disk.
//! - [`TopicConfig`], [`KNOWN_CONFIGS`]: the settings of a topic.

pub(crate) mod disk;
mod index;
mod index_file;
mod lock;
pub(crate) mod open_files;
mod partition;
mod producers;
pub mod records;
mod scan;
mod segment;
mod topic_config;

use bytes::Bytes;

pub(crate) use open_files::OpenFiles;
pub use partition::{PartitionLog, Recovery};
pub use producers::ProducerInfo;
pub use topic_config::{ConfigType, KNOWN_CONFIGS, KnownConfig, TopicConfig, known_config};

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client: everything about its batch is checked.
    Client,
    /// The same, with a transaction of the second version: its producer counts from 0 in each
    /// transaction, so that a first batch with another number is not its first.
    TransactionClient,
    /// The broker itself, to an internal topic: what it builds is taken as it is.
    Coordinator,
}

/// Which records a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// All below the high watermark.
    ReadUncommitted,
    /// All below the last stable offset; the reader leaves out those of aborted transactions, which
    /// [`Fetched::aborted`] names.
    ReadCommitted,
    /// All that was written: for what replays an internal topic.
    LogEnd,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionOutcome {
    /// Its records are to be seen.
    Commit,
    /// Its records are to be left out.
    Abort,
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The first record's offset.
    pub base_offset: i64,
    /// The last record's offset.
    pub last_offset: i64,
    /// When the topic stamps records itself: the stamp, in milliseconds since 1970.
    pub append_time_ms: Option<i64>,
    /// The first offset that the partition holds.
    pub log_start_offset: i64,
    /// The producer sent these batches before, and these are their places from then; nothing was
    /// written.
    pub duplicate: bool,
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Whole batches, from the one that holds the asked offset on.
    pub records: Bytes,
    /// The offset below which records may be seen.
    pub high_watermark: i64,
    /// The offset below which all transactions have ended.
    pub last_stable_offset: i64,
    /// The first offset that the partition holds.
    pub log_start_offset: i64,
    /// With [`Isolation::ReadCommitted`]: the aborted transactions that reach into `records`.
    pub aborted: Vec<AbortedTransaction>,
}

/// A transaction whose records are to be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: i64,
    /// Its first record's offset.
    pub first_offset: i64,
    /// Its marker's offset.
    pub last_offset: i64,
}
