//! The writer of one subtask.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_core::seam::Seams;
use millrace_core::{Batch, CheckpointId, Error, Prepared, Result, SinkWriter};
use rdkafka::config::ClientConfig;

use super::committable::{TransactionCommittable, TransactionState};
use super::names::NameLocks;
use super::pool::ProducerPool;
use super::producer::TransactionalProducer;
use super::recovery::commit_again;
use crate::kafka::properties::ClientProperties;
use crate::kafka::sink::outgoing::{Outgoing, Serializer};

/// What all producers of a sink have in common.
pub(crate) struct TransactionSettings {
    pub topic: Arc<str>,
    pub bootstrap_servers: String,
    /// Of the producers, but for their transactional ids.
    pub config: ClientConfig,
    /// Says how connections are encrypted and logged in.
    pub client: ClientProperties,
    /// What transactional ids begin with.
    pub prefix: String,
    /// `transaction.timeout.ms`.
    pub timeout_ms: u32,
    pub locks: NameLocks,
}

/// Writes each checkpoint's rows in a transaction.
pub(crate) struct TransactionalWriter {
    settings: Arc<TransactionSettings>,
    serializer: Box<dyn Serializer>,
    outgoing: Outgoing,
    seams: Seams,
    pool: ProducerPool,
    /// Takes the rows of the next checkpoint.
    current: Option<TransactionalProducer>,
    /// Wait for their checkpoints.
    prepared: BTreeMap<CheckpointId, TransactionalProducer>,
}

impl TransactionalWriter {
    /// A writer for the subtask with index `subtask`, after recovery.
    pub fn new(
        settings: Arc<TransactionSettings>,
        serializer: Box<dyn Serializer>,
        subtask: usize,
        seams: Seams,
    ) -> Self {
        let pool = ProducerPool::new(Arc::clone(&settings), subtask, seams.clone());
        TransactionalWriter {
            settings,
            serializer,
            outgoing: Outgoing::default(),
            seams,
            pool,
            current: None,
            prepared: BTreeMap::new(),
        }
    }

    fn warn_if_old(&self, transaction: &TransactionalProducer) {
        let age = transaction.age(&self.seams);
        let timeout_ms = self.settings.timeout_ms;
        if age > Duration::from_millis(u64::from(timeout_ms) / 2) {
            tracing::warn!(
                "the transaction `{}` had been open for {} ms at its checkpoint, more than half of \
                 `transaction.timeout.ms` ({timeout_ms}): Kafka aborts it when the rest is over, \
                 and its rows are lost if the job is down then",
                transaction.transactional_id,
                age.as_millis()
            );
        }
    }
}

#[async_trait]
impl SinkWriter for TransactionalWriter {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.outgoing.clear();
        self.serializer.serialize(batch, &mut self.outgoing)?;
        if self.outgoing.records.is_empty() {
            return Ok(());
        }
        if self.current.is_none() {
            self.current = Some(self.pool.take().await?);
        }
        let current = self.current.as_mut().expect("it was set above");
        current.send(&self.outgoing, &self.seams).await?;
        current.folded_rows += self.outgoing.folded_rows;
        Ok(())
    }

    async fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Prepared> {
        let mut prepared = Prepared {
            committables: Vec::new(),
            state: TransactionState::new(self.settings.prefix.clone()).to_json(),
        };
        // An open transaction has rows: it is taken from the pool with the first of them.
        let Some(current) = &self.current else { return Ok(prepared) };
        current.delivered(&self.seams).await?;
        let Some(transaction) = self.current.take() else { return Ok(prepared) };
        self.warn_if_old(&transaction);
        let witness = transaction.outbox.witness().ok_or_else(|| {
            Error::report("a transaction with rows has no record that was delivered")
        })?;
        let TransactionalProducer { transactional_id, producer_id, producer_epoch, .. } =
            &transaction;
        let committable = TransactionCommittable::new(
            (transactional_id.clone(), *producer_id, *producer_epoch),
            self.settings.topic.to_string(),
            witness,
            self.settings.bootstrap_servers.clone(),
        );
        prepared
            .committables
            .push(committable.to_committable(transaction.outbox.sent() + transaction.folded_rows));
        self.prepared.insert(checkpoint, transaction);
        Ok(prepared)
    }

    async fn commit(&mut self, checkpoint: CheckpointId, prepared: &Prepared) -> Result<()> {
        if let Some(transaction) = self.prepared.remove(&checkpoint) {
            let name = transaction.name;
            transaction.commit(&self.seams).await?;
            self.pool.free(name);
            return Ok(());
        }
        if prepared.committables.is_empty() {
            return Ok(());
        }
        let TransactionSettings { bootstrap_servers, client, .. } = &*self.settings;
        let clock = Arc::clone(&self.seams.clock);
        let mut wire = client.wire_client(bootstrap_servers, clock);
        for committable in &prepared.committables {
            if let Some(transaction) = TransactionCommittable::parse(committable)? {
                commit_again(&mut wire, &transaction, committable.rows).await?;
            }
        }
        Ok(())
    }
}

/// The open transaction is in no checkpoint and is given up; prepared ones may be, and stay.
impl Drop for TransactionalWriter {
    fn drop(&mut self) {
        if let Some(current) = self.current.take() {
            current.abort(&self.seams);
        }
        for (_, transaction) in std::mem::take(&mut self.prepared) {
            transaction.close(&self.seams);
        }
    }
}
