//! What an operator gives to a checkpoint and gets back from it.
//!
//! At a barrier the runtime asks each operator for a [`Snapshot`]. Taking it must be quick (a copy
//! of what changed, in memory); encoding runs afterwards on another thread while the operator goes
//! on. Snapshots of one subtask form a chain: a `Full` one, then the `Delta`s since. The runtime
//! keeps the chain and stores the name of each part in the manifest; the operator decides when the
//! deltas have grown so long that a new `Full` is cheaper.

use std::fmt;

use crate::{CheckpointId, Result};

/// Turns a copied piece of state into the bytes of a file. Runs off the hot path.
pub type Encode = Box<dyn FnOnce() -> Result<Vec<u8>> + Send>;

/// The question that a barrier puts to an operator.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotRequest {
    /// The checkpoint that asks.
    pub checkpoint: CheckpointId,
    /// Only `Full` or `Empty` will do: the chain so far is gone or is not to be relied on.
    pub full: bool,
}

/// An operator's answer.
pub enum Snapshot {
    /// No state at all; the chain so far is dropped.
    Empty,
    /// Nothing changed since the last snapshot; the chain stays as it is. Not for `full` requests.
    Unchanged,
    /// The whole state; the chain begins anew with it.
    Full(Encode),
    /// What changed since the last snapshot; it is added to the chain. Not for `full` requests.
    Delta(Encode),
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Snapshot::Empty => "Empty",
            Snapshot::Unchanged => "Unchanged",
            Snapshot::Full(_) => "Full(..)",
            Snapshot::Delta(_) => "Delta(..)",
        })
    }
}

/// The state of an operator as a checkpoint has it: a chain for each subtask that the job then had.
///
/// The parallelism may have changed since. Each subtask gets all chains and keeps what its key
/// groups own.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Per former subtask, the parts of its chain in order: one full, then deltas.
    pub chains: Vec<Vec<Vec<u8>>>,
}

impl Restored {
    /// Whether there is nothing to restore.
    pub fn is_empty(&self) -> bool {
        self.chains.iter().all(Vec::is_empty)
    }
}
