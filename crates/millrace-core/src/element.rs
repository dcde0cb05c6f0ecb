//! What flows between tasks.
//!
//! # Grammar
//!
//! A channel carries `(Batch | Watermark | Idle | Active | Barrier)* End`:
//!
//! - watermarks of one channel never go back;
//! - `Idle` says that no batch follows until `Active`, and that the channel no longer holds back
//!   the watermark of its reader; while idle only `Barrier`, `Active` and `End` may come;
//! - barriers of one channel carry growing checkpoint ids; what stands before barrier *n* belongs
//!   to checkpoint *n*, what stands after it does not;
//! - `End` is the last element. A bounded input sends `Watermark(Timestamp::MAX)` before it; an
//!   input that is stopped for a later resume does not, so that no window fires early.
//!
//! A channel that closes without `End` means that its writer failed.

use crate::{Batch, CheckpointId, Timestamp};

/// One thing in a channel.
#[derive(Debug)]
pub enum Element {
    /// Rows of one kind.
    Batch(Batch),
    /// No row with a smaller or equal rowtime will follow, but late ones.
    Watermark(Timestamp),
    /// This channel says nothing for now and holds nothing back.
    Idle,
    /// This channel speaks again.
    Active,
    /// The line between what a checkpoint holds and what it does not.
    Barrier(Barrier),
    /// Nothing follows.
    End,
}

/// A checkpoint barrier (asynchronous barrier snapshots, Carbone et al. 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The checkpoint that this barrier delimits.
    pub checkpoint: CheckpointId,
    /// Every operator must write its whole state, not what changed: the base that the next
    /// difference would build on is gone.
    pub full: bool,
    /// Sources stop behind this barrier: the job is being stopped and will resume here.
    pub stop: bool,
}
