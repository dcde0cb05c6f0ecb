//! The contract of sinks: two-phase commit.
//!
//! A [`SinkWriter`] gets batches; at a barrier it *prepares*: everything written so far must from
//! then on survive a crash without being visible, and the [`Committable`]s that describe it go
//! into the manifest. Once the manifest stands, the runtime calls `commit`, and rows become
//! visible. After a crash the runtime opens the sink's subtasks with what the manifest holds; they
//! commit that again (so `commit` is idempotent) and sweep away what no manifest names.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::seam::Seams;
use crate::{Batch, CheckpointId, OperatorId, Result, Subtask, Timestamp};

/// Output that was prepared and waits for its checkpoint to complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Committable {
    /// What the sink needs to commit it: a file's hidden and final name, a transaction's id.
    pub payload: Value,
    /// How many rows become visible by it.
    pub rows: u64,
}

/// What a writer hands over at a barrier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// To be committed when the checkpoint is complete.
    pub committables: Vec<Committable>,
    /// The writer's own state, for its successor: a file that is still being filled and the length
    /// that belongs to the checkpoint, a counter for names. `Null` for none.
    pub state: Value,
}

/// What a writer is told at its opening.
#[derive(Clone, Debug)]
pub struct SinkContext {
    /// The sink's id in checkpoints.
    pub id: OperatorId,
    /// Which parallel instance this is.
    pub subtask: Subtask,
    /// What the checkpoint holds from all former subtasks; empty at a first start. Subtask `i`
    /// takes those whose index is `i` modulo the parallelism, so that each is taken once.
    pub restored: Vec<Prepared>,
    /// A number that no other start of this job's sink has had, for names that must not collide
    /// with leftovers of a crashed run.
    pub attempt: u64,
    /// How often checkpoints begin; `None` where none will.
    pub checkpoint_interval: Option<Duration>,
    /// The clock for sinks that roll by time, and where blocking writes may run.
    pub seams: Seams,
}

impl SinkContext {
    /// The restored states that fall to this subtask.
    pub fn mine(&self) -> impl Iterator<Item = &Prepared> {
        self.restored
            .iter()
            .enumerate()
            .filter(|(former, _)| former % self.subtask.parallelism == self.subtask.index)
            .map(|(_, prepared)| prepared)
    }
}

/// Something that rows go to.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Opens a writer. Commits again what `context.restored` holds for this subtask, and sweeps
    /// away what was written by this subtask's forerunners and belongs to no checkpoint.
    ///
    /// # Errors
    /// `FixInput` when the target can't be written to as configured, `Retry` when it does not
    /// answer now.
    async fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>>;
}

/// Writes the rows of one subtask.
///
/// Delivery is exactly once if `commit` makes visible all of what was prepared or nothing and may
/// be repeated; a writer that shows rows as they come (`print`) is at least once, and says so.
#[async_trait]
pub trait SinkWriter: Send {
    /// Takes rows.
    async fn write(&mut self, batch: Batch) -> Result<()>;

    /// Event time came to `watermark`; for sinks that show progress or roll files by it.
    async fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        let _ = watermark;
        Ok(())
    }

    /// No rows have come for a moment, or a barrier or the end is near: what is buffered for an
    /// at-least-once target is to go out now.
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// Makes everything written so far durable, but not visible.
    async fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Prepared>;

    /// Makes the output prepared for `checkpoint` visible. Repeating it changes nothing.
    async fn commit(&mut self, checkpoint: CheckpointId, prepared: &Prepared) -> Result<()>;
}
