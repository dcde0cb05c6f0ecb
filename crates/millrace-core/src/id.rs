//! Names of things that a checkpoint refers to.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What an operator is called in checkpoints: a given `uid`, or a name made from what the operator
/// means. Never its position in the plan, so that a changed job finds the state that still fits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperatorId(Arc<str>);

impl OperatorId {
    /// An id with this text. Two operators of one job must not share it.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        OperatorId(id.into())
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A split of a source, unique within that source and the same after a restart: a file's path, a
/// topic and partition.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SplitId(Arc<str>);

impl SplitId {
    /// An id with this text.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        SplitId(id.into())
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The number of a checkpoint; it grows by one with each attempt, across restarts too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CheckpointId(pub u64);

impl CheckpointId {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        CheckpointId(self.0 + 1)
    }
}

/// Which of an operator's parallel instances: `index` of `0..parallelism`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subtask {
    /// From 0 to `parallelism - 1`.
    pub index: usize,
    /// How many instances the operator has.
    pub parallelism: usize,
}

/// As people count: `3 of 8` for index 2.
impl fmt::Display for Subtask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.index + 1, self.parallelism)
    }
}

macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), &*self.0)
            }
        }
    )*};
}
shown_as_text!(OperatorId, SplitId);

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointId({})", self.0)
    }
}
