//! The end of a chain that leads out of the job.

use std::collections::BTreeMap;

use millrace_core::{Batch, CheckpointId, Prepared, Result, SinkWriter};

/// A sink's writer with what it has prepared and not yet committed.
pub(crate) struct SinkTail {
    writer: Box<dyn SinkWriter>,
    prepared: BTreeMap<CheckpointId, Prepared>,
    /// Whether rows were written since the last flush.
    dirty: bool,
}

impl SinkTail {
    pub(crate) fn new(writer: Box<dyn SinkWriter>) -> Self {
        SinkTail { writer, prepared: BTreeMap::new(), dirty: false }
    }

    pub(crate) async fn write(&mut self, batch: Batch) -> Result<()> {
        self.dirty = true;
        self.writer.write(batch).await
    }

    pub(crate) async fn watermark(&mut self, watermark: millrace_core::Timestamp) -> Result<()> {
        self.writer.watermark(watermark).await
    }

    /// Lets out what is buffered, if anything was written since.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        if std::mem::take(&mut self.dirty) {
            self.writer.flush().await?;
        }
        Ok(())
    }

    /// Prepares for `checkpoint`. The answer names whatever was prepared and not committed, also
    /// for checkpoints that were abandoned since: this checkpoint covers their rows, and after a
    /// crash its manifest is all that tells of them.
    pub(crate) async fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Prepared> {
        self.flush().await?;
        let prepared = self.writer.prepare(checkpoint).await?;
        let state = prepared.state.clone();
        self.prepared.insert(checkpoint, prepared);
        let committables =
            self.prepared.values().flat_map(|prepared| prepared.committables.clone()).collect();
        Ok(Prepared { committables, state })
    }

    /// Commits what was prepared for `checkpoint` and for abandoned ones before it. Returns the
    /// rows that became visible.
    pub(crate) async fn commit(&mut self, checkpoint: CheckpointId) -> Result<u64> {
        let mut rows = 0;
        while let Some(entry) = self.prepared.first_entry() {
            if *entry.key() > checkpoint {
                break;
            }
            let (id, prepared) = entry.remove_entry();
            self.writer.commit(id, &prepared).await?;
            rows += prepared.committables.iter().map(|committable| committable.rows).sum::<u64>();
        }
        Ok(rows)
    }
}
