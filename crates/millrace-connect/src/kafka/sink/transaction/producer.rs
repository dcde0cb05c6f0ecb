//! A producer with one transaction.

use std::sync::Arc;
use std::time::Duration;

use millrace_core::seam::Seams;
use millrace_core::{Error, Result};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;

use super::names::{NameLock, SlotName};
use super::writer::TransactionSettings;
use crate::blocking::blocking;
use crate::kafka::client::client_error_of;
use crate::kafka::sink::outbox::Outbox;
use crate::kafka::sink::outgoing::Outgoing;

/// How long one call about a transaction may take before it is made again.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// How many such calls are made.
const CALLS: usize = 4;

/// A producer in whose transaction nothing else was ever written.
pub(crate) struct TransactionalProducer {
    pub name: SlotName,
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub outbox: Outbox,
    /// Rows that have no record of their own.
    pub folded_rows: u64,
    /// When the first record was written, by the clock that never goes back.
    first_written: Option<Duration>,
    settings: Arc<TransactionSettings>,
    lock: NameLock,
}

impl TransactionalProducer {
    /// Initialises the transactional id, which fences and aborts whatever had it before, and
    /// begins a transaction.
    ///
    /// # Errors
    /// `FixInput` when the cluster does not allow it, `Retry` when it does not answer.
    pub async fn open(
        settings: Arc<TransactionSettings>,
        name: SlotName,
        seams: &Seams,
    ) -> Result<Self> {
        let transactional_id = name.with_prefix(&settings.prefix);
        let lock = settings.locks.lock(&transactional_id).await;
        let mut config = settings.config.clone();
        config.set("transactional.id", &transactional_id);
        config.set("transaction.timeout.ms", settings.timeout_ms.to_string());
        let relay = settings.client.relay().cloned();
        let outbox = Outbox::new(&config, relay.clone(), Arc::clone(&settings.topic))?;
        // The lock goes along: it must outlast the producer, wherever this future is dropped.
        let id = transactional_id.clone();
        let (outbox, lock) = blocking(seams, move || {
            let doing = format!("cannot begin a transaction as `{id}`");
            let producer = outbox.producer();
            repeatedly(|| producer.init_transactions(CALL_LIMIT))
                .and_then(|()| producer.begin_transaction())
                .map_err(|cause| client_error_of(relay.as_ref(), doing, cause))?;
            Ok((outbox, lock))
        })
        .await?;
        let clock = Arc::clone(&seams.clock);
        let mut wire = settings.client.wire_client(&settings.bootstrap_servers, clock);
        // Were somebody else quicker, this would be their epoch; then all writes fail as fenced.
        let known = wire.describe(&transactional_id).await;
        let known = known.and_then(|known| {
            known.ok_or_else(|| {
                Error::retry(format!("the transactional id `{transactional_id}` is gone again"))
            })
        });
        let known = match known {
            Ok(known) => known,
            Err(error) => {
                close(outbox, lock, seams);
                return Err(error);
            }
        };
        Ok(TransactionalProducer {
            name,
            transactional_id,
            producer_id: known.producer_id,
            producer_epoch: known.producer_epoch,
            outbox,
            folded_rows: 0,
            first_written: None,
            settings,
            lock,
        })
    }

    /// Writes records to the transaction.
    ///
    /// # Errors
    /// When they can't be written, or earlier ones could not be delivered.
    pub async fn send(&mut self, records: &Outgoing, seams: &Seams) -> Result<()> {
        self.first_written.get_or_insert_with(|| seams.clock.elapsed());
        let sent = self.outbox.send(records, &*seams.clock).await;
        sent.map_err(|error| self.explained(error, seams))
    }

    /// Waits until all records are delivered.
    ///
    /// # Errors
    /// When one could not be.
    pub async fn delivered(&self, seams: &Seams) -> Result<()> {
        let delivered = self.outbox.delivered(&*seams.clock).await;
        delivered.map_err(|error| self.explained(error, seams))
    }

    /// How long the transaction has been open.
    pub fn age(&self, seams: &Seams) -> Duration {
        self.first_written
            .map_or(Duration::ZERO, |begun| seams.clock.elapsed().saturating_sub(begun))
    }

    /// Commits the transaction and closes the producer.
    ///
    /// # Errors
    /// When it is not known to be committed: recovery will find out.
    pub async fn commit(self, seams: &Seams) -> Result<()> {
        let age = self.age(seams);
        let fenced = self.fenced(age);
        let relay = self.settings.client.relay().cloned();
        let TransactionalProducer { transactional_id, outbox, lock, .. } = self;
        let id = transactional_id.clone();
        let (outbox, lock, committed) = blocking(seams, move || {
            let committed = repeatedly(|| outbox.producer().commit_transaction(CALL_LIMIT));
            Ok((outbox, lock, committed))
        })
        .await?;
        close(outbox, lock, seams);
        committed.map_err(|cause| match cause.rdkafka_error_code() {
            Some(code) if is_fenced(code) => fenced.caused_by(cause),
            _ => client_error_of(
                relay.as_ref(),
                format!("cannot commit the transaction `{id}`"),
                cause,
            ),
        })
    }

    /// Closes the producer and leaves its transaction as it is.
    pub fn close(self, seams: &Seams) {
        close(self.outbox, self.lock, seams);
    }

    /// Gives the transaction up and closes the producer, in the background.
    pub fn abort(self, seams: &Seams) {
        let TransactionalProducer { outbox, lock, .. } = self;
        drop(seams.spawner.spawn_blocking(Box::new(move || {
            // If this fails, the next opening's fencing aborts it.
            let _ = outbox.producer().abort_transaction(Duration::from_secs(5));
            drop((outbox, lock));
        })));
    }

    fn explained(&self, error: Error, seams: &Seams) -> Error {
        match self.outbox.failure_code() {
            Some(code) if is_fenced(code) => self.fenced(self.age(seams)).caused_by(error),
            _ => error,
        }
    }

    /// Why the transactional id was taken away, as far as can be told.
    fn fenced(&self, age: Duration) -> Error {
        let TransactionSettings { timeout_ms, topic, .. } = &*self.settings;
        let id = &self.transactional_id;
        if age >= Duration::from_millis(u64::from(*timeout_ms)) {
            return Error::retry(format!(
                "the transaction `{id}` to topic `{topic}` was open for {} ms, longer than \
                 `transaction.timeout.ms` ({timeout_ms}), and Kafka aborted it",
                age.as_millis()
            ))
            .hint("take checkpoints more often, or raise `properties.transaction.timeout.ms`");
        }
        Error::fix_input(format!(
            "the transactional id `{id}` for topic `{topic}` was taken over: another instance of \
             this job runs"
        ))
        .hint(
            "stop one of them; two sinks or jobs need different values of \
             `sink.transactional-id-prefix`",
        )
    }
}

/// Whether somebody else has taken over the producer's transactional id.
fn is_fenced(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        Fenced, InvalidProducerEpoch, InvalidProducerIdMapping, ProducerFenced,
    };
    matches!(code, Fenced | ProducerFenced | InvalidProducerEpoch | InvalidProducerIdMapping)
}

fn close(outbox: Outbox, lock: NameLock, seams: &Seams) {
    drop(seams.spawner.spawn_blocking(Box::new(move || {
        drop(outbox);
        drop(lock);
    })));
}

/// Makes the call again when it says that this helps. Blocks.
fn repeatedly(call: impl Fn() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    let mut calls = 1;
    loop {
        match call() {
            Err(KafkaError::Transaction(cause)) if cause.is_retriable() && calls < CALLS => {
                calls += 1;
            }
            answered => return answered,
        }
    }
}
