//! The contract of operators.
//!
//! Operators are synchronous: they get a batch and hand rows to a [`Collector`]. What waits
//! (channels, files) belongs to the task around them. Chained operators run in one task and call
//! each other directly.

use crate::{
    Batch, DropReason, KeyGroups, LedgerCounts, OperatorId, Restored, Result, Snapshot,
    SnapshotRequest, Subtask, Timestamp,
};

/// An output of a node. Every node has [`Port::MAIN`]; what others there are, the node says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(pub usize);

impl Port {
    /// The results.
    pub const MAIN: Port = Port(0);
    /// Late rows of a window operator, as they came; dead-lettered records of a source, as
    /// `Records<BadRecord>`.
    pub const SIDE: Port = Port(1);
}

/// Whether a call has produced all that it will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All rows were collected.
    Done,
    /// More rows are ready: the task sends what was collected, then calls again. So a watermark
    /// that fires a million windows doesn't hold them all in memory.
    More,
}

/// Where an operator is told what it needs to know.
#[derive(Clone, Debug)]
pub struct OperatorContext {
    /// The operator's id in checkpoints.
    pub id: OperatorId,
    /// Which parallel instance this is.
    pub subtask: Subtask,
    /// How keys are spread; a keyed operator owns `key_groups.owned_by(..)` of its subtask.
    pub key_groups: KeyGroups,
    /// The number of rows that output batches should have.
    pub batch_rows: usize,
}

/// Takes an operator's output and its entries in the ledger.
///
/// For each row that came in, exactly one of `passed`, `absorbed` and `dropped` is to be told; see
/// [`crate::ledger`].
pub trait Collector {
    /// Hands on rows at a port. Empty batches are swallowed. Rows at a port that nobody reads are
    /// dropped here; the ledger has them under what the operator says of them.
    fn emit(&mut self, port: Port, batch: Batch) -> Result<()>;

    /// The ledger of this operator's subtask.
    fn ledger(&mut self) -> &mut LedgerCounts;

    /// `rows` incoming rows leave one for one.
    fn passed(&mut self, rows: usize) {
        self.ledger().passed += rows as u64;
    }

    /// `rows` incoming rows live on in state.
    fn absorbed(&mut self, rows: usize) {
        self.ledger().absorbed += rows as u64;
    }

    /// `rows` incoming rows go no further.
    fn dropped(&mut self, reason: DropReason, rows: usize) {
        self.ledger().add_dropped(reason, rows as u64);
    }
}

/// One parallel instance of an operator.
///
/// The life of an operator is `open`, then `restore` if a checkpoint has state for it, then any
/// number of `process`, `watermark`, `timer` and `snapshot`, then `end` if the input ends. Calls
/// never overlap. After an error none follows, but the drop.
///
/// ```
/// use millrace_core::{Batch, Collector, Operator, Port, Records, Result};
///
/// /// Doubles every number.
/// struct Double;
///
/// impl Operator for Double {
///     fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
///         let mut records: Records<i64> = batch.downcast()?;
///         records.values.iter_mut().for_each(|value| *value *= 2);
///         out.passed(records.len());
///         out.emit(Port::MAIN, Batch::new(records))
///     }
/// }
/// ```
pub trait Operator: Send {
    /// Called once, before anything else.
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        let _ = context;
        Ok(())
    }

    /// Takes over the state of a checkpoint. The default is for stateless operators and refuses
    /// state that is not empty.
    ///
    /// # Errors
    /// Of kind `Restore` when the bytes cannot be read.
    fn restore(&mut self, state: Restored) -> Result<()> {
        if state.is_empty() {
            return Ok(());
        }
        Err(crate::Error::restore("a stateless operator was given state"))
    }

    /// Takes rows of the given input (0 for most; joins have two).
    ///
    /// # Errors
    /// Any error fails the job.
    fn process(&mut self, input: usize, batch: Batch, out: &mut dyn Collector) -> Result<()>;

    /// Event time has come to `watermark` on all inputs that are not idle. The task forwards the
    /// watermark once this says `Done`; until then it calls again with the same one.
    fn watermark(&mut self, watermark: Timestamp, out: &mut dyn Collector) -> Result<Progress> {
        let _ = (watermark, out);
        Ok(Progress::Done)
    }

    /// The next point in processing time at which `timer` is to be called, if any. Asked after
    /// each call that could change it.
    fn next_timer(&self) -> Option<Timestamp> {
        None
    }

    /// Processing time has come to `now`, at or after [`Operator::next_timer`].
    fn timer(&mut self, now: Timestamp, out: &mut dyn Collector) -> Result<Progress> {
        let _ = (now, out);
        Ok(Progress::Done)
    }

    /// All inputs have ended; the watermark has been `Timestamp::MAX` if they were bounded.
    fn end(&mut self, out: &mut dyn Collector) -> Result<Progress> {
        let _ = out;
        Ok(Progress::Done)
    }

    /// Copies the state as it is at a barrier. Quick; the encoding is done later.
    fn snapshot(&mut self, request: SnapshotRequest) -> Result<Snapshot> {
        let _ = request;
        Ok(Snapshot::Empty)
    }

    /// About how much memory the state takes, in bytes.
    fn state_bytes(&self) -> usize {
        0
    }
}
