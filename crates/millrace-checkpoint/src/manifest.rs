//! The manifest: the one file that makes a checkpoint.
//!
//! It is written last and names every other file with its length and checksum, so a checkpoint
//! either has a manifest and is complete, or has none and is nothing. It is JSON, for people to
//! read; `version` says how to understand it.
//!
//! # How the format changes
//!
//! A reader of version 1 passes over fields that it does not know, so a field that an older program
//! may safely leave unread is added without a new version. Whatever changes the meaning of a
//! checkpoint (a field that must not be left unread, another meaning of an old one) raises
//! [`VERSION`], and an older program refuses it. Damage is not found by strictness about fields but
//! by the checksum at the end of the file. Each version has a file under `tests/golden`, which
//! must be readable for ever.

use std::collections::BTreeMap;

use millrace_core::{CheckpointId, LedgerCounts, OperatorId, Prepared, Split, Timestamp};
use serde::{Deserialize, Serialize};

/// The version of the manifest that this program writes.
pub const VERSION: u32 = 1;

/// Why a checkpoint was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointKind {
    /// It was due.
    Periodic,
    /// The job was being stopped, to go on from here.
    Stop,
    /// All input had ended: the job is complete, nothing is left to do.
    Final,
}

/// A complete checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// The job's name.
    pub job: String,
    /// The checkpoint's number.
    pub checkpoint: CheckpointId,
    /// Why it was taken.
    pub kind: CheckpointKind,
    /// When its barriers were sent, in processing time.
    pub triggered: Timestamp,
    /// From the barriers to this manifest, in milliseconds.
    pub duration_ms: u64,
    /// The number of key groups; a job restored from this must have the same.
    pub max_parallelism: u16,
    /// How often the job had been started, this run included: the next run counts on from here.
    pub attempts: u64,
    /// Each operator, source and sink by its id.
    pub operators: BTreeMap<OperatorId, OperatorEntry>,
}

/// What a checkpoint holds of one operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorEntry {
    /// The operator's display name.
    pub name: String,
    /// Each subtask, in the order of their indices; its length is the parallelism.
    pub subtasks: Vec<SubtaskEntry>,
    /// Where the operator's rows went since the job's first start, all subtasks together.
    pub ledger: LedgerCounts,
}

/// What a checkpoint holds of one subtask. Most are sources, operators or sinks and use one field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SubtaskEntry {
    /// An operator's state: a full snapshot, then differences, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<FileRef>,
    /// A source's splits, finished ones too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<SplitEntry>,
    /// A sink's prepared output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<Prepared>,
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// Its path below the checkpoint directory.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// CRC-32C of its content.
    pub crc32c: u32,
}

impl Manifest {
    /// The files that the checkpoint consists of, older ones that it builds upon among them.
    pub fn files(&self) -> impl Iterator<Item = &FileRef> {
        let subtasks = self.operators.values().flat_map(|operator| &operator.subtasks);
        subtasks.flat_map(|subtask| &subtask.state)
    }

    /// The size of the state, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

/// Where a source stood in a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitEntry {
    /// The split and its position.
    pub split: Split,
    /// The watermark that its rows had reached.
    pub watermark: Timestamp,
    /// Whether it was read to its end.
    pub finished: bool,
}
