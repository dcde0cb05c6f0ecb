//! The producers of a subtask.

use std::collections::BTreeSet;
use std::sync::Arc;

use millrace_core::seam::Seams;
use millrace_core::{Error, Result};
use tokio::sync::oneshot;

use super::names::SlotName;
use super::producer::TransactionalProducer;
use super::writer::TransactionSettings;

/// Keeps a producer ready for the next transaction: initialising one takes some round trips, which
/// are not to hold up the rows behind a barrier.
pub(crate) struct ProducerPool {
    settings: Arc<TransactionSettings>,
    subtask: usize,
    seams: Seams,
    /// Slots that were used and are free again.
    free: BTreeSet<u32>,
    /// Slots from here on were never used.
    next: u32,
    spare: oneshot::Receiver<Result<TransactionalProducer>>,
}

impl ProducerPool {
    /// Begins to open the first producer.
    pub fn new(settings: Arc<TransactionSettings>, subtask: usize, seams: Seams) -> Self {
        let (free, next) = (BTreeSet::new(), 1);
        let spare = open(&settings, SlotName { subtask, slot: 0 }, &seams);
        ProducerPool { settings, subtask, seams, free, next, spare }
    }

    /// The spare producer. Begins to open another.
    ///
    /// # Errors
    /// Why it could not be opened.
    pub async fn take(&mut self) -> Result<TransactionalProducer> {
        // Nothing is lost if this is dropped midway: the receiver stays.
        let spare = (&mut self.spare).await;
        let opened = spare.unwrap_or_else(|_| {
            Err(Error::report("a Kafka producer's opening did not come to its end"))
        })?;
        let slot = self.free.pop_first().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        let name = SlotName { subtask: self.subtask, slot };
        self.spare = open(&self.settings, name, &self.seams);
        Ok(opened)
    }

    /// The slot's transaction has ended, and its producer is closed or being closed.
    pub fn free(&mut self, name: SlotName) {
        self.free.insert(name.slot);
    }
}

/// Opens a producer beside the caller. If nobody waits any more when it is open, it is closed.
fn open(
    settings: &Arc<TransactionSettings>,
    name: SlotName,
    seams: &Seams,
) -> oneshot::Receiver<Result<TransactionalProducer>> {
    let (sender, receiver) = oneshot::channel();
    let (settings, spawned) = (Arc::clone(settings), seams.clone());
    let opening = seams.spawner.spawn(
        "kafka-producer",
        Box::pin(async move {
            let opened = TransactionalProducer::open(settings, name, &spawned).await;
            if let Err(Ok(unwanted)) = sender.send(opened) {
                unwanted.close(&spawned);
            }
        }),
    );
    // It tells its end through the channel.
    drop(opening);
    receiver
}

impl Drop for ProducerPool {
    fn drop(&mut self) {
        self.spare.close();
        if let Ok(Ok(unused)) = self.spare.try_recv() {
            unused.close(&self.seams);
        }
    }
}
