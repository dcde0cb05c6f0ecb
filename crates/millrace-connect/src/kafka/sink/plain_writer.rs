//! Writes without transactions: rows show as they come.

use async_trait::async_trait;
use millrace_core::seam::Seams;
use millrace_core::{Batch, CheckpointId, Committable, Prepared, Result, SinkWriter, Timestamp};
use serde_json::Value;

use super::outbox::Outbox;
use super::outgoing::{Outgoing, Serializer};

/// At least once, or with no guarantee.
pub(crate) struct PlainWriter {
    /// Gone only while it is being dropped.
    outbox: Option<Outbox>,
    serializer: Box<dyn Serializer>,
    outgoing: Outgoing,
    seams: Seams,
    /// Whether a checkpoint waits for deliveries.
    waits: bool,
    /// All input has come.
    ended: bool,
    rows: u64,
}

impl PlainWriter {
    /// Writes to `outbox`; `waits` makes it at least once.
    pub fn new(outbox: Outbox, serializer: Box<dyn Serializer>, seams: Seams, waits: bool) -> Self {
        PlainWriter {
            outbox: Some(outbox),
            serializer,
            outgoing: Outgoing::default(),
            seams,
            waits,
            ended: false,
            rows: 0,
        }
    }
}

#[async_trait]
impl SinkWriter for PlainWriter {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.outgoing.clear();
        self.serializer.serialize(batch, &mut self.outgoing)?;
        if let Some(outbox) = &mut self.outbox {
            outbox.send(&self.outgoing, &*self.seams.clock).await?;
        }
        self.rows += self.outgoing.rows();
        Ok(())
    }

    async fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        self.ended = watermark == Timestamp::MAX;
        Ok(())
    }

    async fn prepare(&mut self, _checkpoint: CheckpointId) -> Result<Prepared> {
        if let Some(outbox) = &self.outbox {
            outbox.check()?;
            // Even without a guarantee a job that simply ends is not to lose its last rows.
            if self.waits || self.ended {
                outbox.delivered(&*self.seams.clock).await?;
            }
        }
        let rows = std::mem::take(&mut self.rows);
        let visible = Committable { payload: Value::Null, rows };
        Ok(Prepared {
            committables: if rows > 0 { vec![visible] } else { Vec::new() },
            state: Value::Null,
        })
    }

    async fn commit(&mut self, _checkpoint: CheckpointId, _prepared: &Prepared) -> Result<()> {
        Ok(())
    }
}

/// Closing may block, so it is done elsewhere.
impl Drop for PlainWriter {
    fn drop(&mut self) {
        if let Some(outbox) = self.outbox.take() {
            outbox.close(&self.seams);
        }
    }
}
