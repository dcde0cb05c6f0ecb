//! The contract of sources.
//!
//! A [`Source`] finds splits; a [`SplitReader`] reads one. The split is the unit of parallel
//! reading, of positions in a checkpoint, and of watermarks. The runtime assigns splits to
//! subtasks, reads a subtask's splits in the order of their watermarks (the one furthest behind
//! first), and applies the [`crate::BadRecordPolicy`].

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::seam::Seams;
use crate::{BadRecord, Batch, Result, SplitId, Subtask};

/// Whether a source ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundedness {
    /// It ends when all splits found at the start have been read.
    Bounded,
    /// It goes on until it is stopped; new splits are looked for at this interval, if given.
    Unbounded {
        /// How often [`Source::discover`] is asked again.
        discovery_interval: Option<Duration>,
    },
}

/// A part of a source that one reader reads in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The same after each restart.
    pub id: SplitId,
    /// Where reading goes on, as the source's own readers wrote it; `Null` is the beginning. JSON,
    /// so that people can read it in a manifest. Sources version it themselves.
    pub position: Value,
}

impl Split {
    /// A split to be read from its beginning.
    pub fn new(id: impl Into<std::sync::Arc<str>>) -> Self {
        Split { id: SplitId::new(id), position: Value::Null }
    }
}

/// Rows as a reader gives them.
#[derive(Debug, Default)]
pub struct ReadBatch {
    /// Decoded rows, if there are any.
    pub rows: Option<Batch>,
    /// Records that could not be decoded, in the order in which they stood.
    pub bad: Vec<BadRecord>,
    /// How many bytes of the split were read for this, before decompression.
    pub bytes: u64,
}

/// What a reader answers.
#[derive(Debug)]
pub enum Read {
    /// Some rows, good or bad.
    Rows(ReadBatch),
    /// Nothing for now; ask again after [`SplitReader::ready`].
    Pending,
    /// The split ends here.
    End,
}

/// Something that rows come from. Shared by all subtasks; cheap to ask, no state of its own.
#[async_trait]
pub trait Source: Send + Sync {
    /// Whether it ends by itself.
    fn boundedness(&self) -> Boundedness;

    /// How many readers a subtask may keep open. With more splits than that, the reader furthest
    /// ahead is closed, and opened again at its position when its turn comes.
    fn open_readers(&self) -> usize {
        64
    }

    /// All splits that exist now, in a stable order. The runtime leaves out those it knows.
    /// For a bounded source it is asked once, before the first start; a restored job reads the
    /// splits of its checkpoint.
    ///
    /// # Errors
    /// `FixInput` when there is nothing that could be read (no such file), `Retry` when the outside
    /// does not answer.
    async fn discover(&self) -> Result<Vec<Split>>;

    /// The splits that exist now and are not among `known`: for an unbounded source, again and again
    /// and when a checkpoint is restored. A source whose first splits begin elsewhere than later ones
    /// tells them apart by this.
    ///
    /// # Errors
    /// As for [`Source::discover`].
    async fn discover_new(&self, known: &HashSet<SplitId>) -> Result<Vec<Split>> {
        let mut found = self.discover().await?;
        found.retain(|split| !known.contains(&split.id));
        Ok(found)
    }

    /// A checkpoint is complete, in which the splits of this subtask stood like this: a source that
    /// tells others how far it has come does so now. It is not asked for older checkpoints after
    /// newer ones, and not for each: a newer one may stand for several.
    ///
    /// # Errors
    /// Any error fails the job, so what others are told in vain is only logged.
    async fn checkpoint_completed(
        &self,
        subtask: Subtask,
        splits: &[Split],
        seams: &Seams,
    ) -> Result<()> {
        let _ = (subtask, splits, seams);
        Ok(())
    }

    /// Opens a split at its position.
    ///
    /// # Errors
    /// `Restore` when the split no longer has that position (a file that became shorter).
    async fn open(&self, split: &Split, context: &ReaderContext) -> Result<Box<dyn SplitReader>>;
}

/// What a reader is told at its opening.
#[derive(Clone, Debug)]
pub struct ReaderContext {
    /// The source's parallel instance that reads.
    pub subtask: Subtask,
    /// The largest number of rows, good and bad, that a [`Read::Rows`] may hold.
    pub batch_rows: usize,
    /// The clock for sources that pace themselves, and where blocking reads may run.
    pub seams: Seams,
}

/// Reads one split.
#[async_trait]
pub trait SplitReader: Send {
    /// The next rows. Must not wait for data that does not exist yet: then it is `Pending`.
    ///
    /// # Errors
    /// Any error fails the job; a record that cannot be decoded is not an error but a
    /// [`BadRecord`].
    async fn next(&mut self) -> Result<Read>;

    /// Where the next call goes on: behind the last row, good or bad, that was given out.
    fn position(&self) -> Value;

    /// Waits until it may be worth asking again. Cancelled at will. `None` means: after the
    /// runtime's own poll interval.
    async fn ready(&mut self) -> Option<()> {
        None
    }
}
