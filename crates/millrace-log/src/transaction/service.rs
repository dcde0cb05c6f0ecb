//! The coordinator on its log: commands of clients in, entries on disk, markers in partitions.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use kafka_protocol::ResponseError;
use millrace_core::seam::Seams;
use tokio::sync::oneshot;

use super::admission::{Admission, Admissions};
use super::coordinator::{Coordinator, Entry, Renewal, TransactionLimits};
use super::participants::Participants;
use super::record::encode;
use super::state::{Partitions, Producer, Transaction, TransactionState, TransactionVersion};
use super::state_log::{StateLog, replay};
use crate::error::Result;
use crate::storage::{PartitionLog, TransactionOutcome};

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(500);

/// How long an end waits after a failure to write its markers, at most.
const MAX_RETRY_WAIT: Duration = Duration::from_secs(5);

/// What [`Transactions::add_and_admit`] wrote, if it had to.
#[derive(Clone, Copy, Debug)]
#[must_use = "what was taken in may not be safe yet"]
pub struct Added(Option<i64>);

/// All transactions of a broker.
///
/// Nothing is answered before it is written, and as safe as the settings of the log ask for. What
/// was decided comes to its end in a task of its own, whether or not the client waits for it.
pub struct Transactions {
    log: Box<dyn StateLog>,
    seams: Seams,
    coordinator: Mutex<Coordinator>,
    participants: OnceLock<Weak<dyn Participants>>,
    admissions: Arc<Admissions>,
}

impl Transactions {
    /// Takes in what an earlier process kept. No task is started and nothing is written before
    /// [`Self::recover`] and [`Self::start`].
    ///
    /// # Errors
    /// The log can't be read, or holds what this program does not understand.
    pub fn open(
        log: Arc<PartitionLog>,
        limits: TransactionLimits,
        seams: Seams,
    ) -> Result<Arc<Transactions>> {
        let mut coordinator = Coordinator::new(limits);
        replay(&log, &mut coordinator)?;
        Ok(Self::with(Box::new(log), coordinator, seams))
    }

    /// With what was read from the log.
    pub(super) fn with(
        log: Box<dyn StateLog>,
        mut coordinator: Coordinator,
        seams: Seams,
    ) -> Arc<Transactions> {
        coordinator.start();
        Arc::new(Transactions {
            log,
            seams,
            coordinator: Mutex::new(coordinator),
            participants: OnceLock::new(),
            admissions: Arc::default(),
        })
    }

    /// Gives the owner of a transactional id its producer; without an id, just a new producer. See
    /// [`Transaction::renew`].
    ///
    /// # Errors
    /// The code that the client gets, in the newest version of the request.
    pub async fn producer(
        self: &Arc<Self>,
        id: Option<&str>,
        given: Option<Producer>,
        timeout_ms: i32,
    ) -> Result<Producer, ResponseError> {
        let (renewal, offset) = {
            let mut coordinator = self.lock();
            self.reserve_producer_ids(&mut coordinator)?;
            let Some(id) = id else {
                return Ok(Producer { id: coordinator.take_producer_id()?, epoch: 0 });
            };
            let now_ms = self.now_ms();
            let step = coordinator.decide_producer(id, given, timeout_ms, now_ms)?;
            let offset = step.keep.map(|entry| self.keep(&mut coordinator, entry)).transpose()?;
            (step.answer, offset)
        };
        match (renewal, id) {
            (Renewal::Producer(producer), _) => self.durable(offset).await.map(|()| producer),
            (Renewal::AskAgain, Some(id)) => {
                drop(self.finish(id, offset));
                Err(ResponseError::ConcurrentTransactions)
            }
            (Renewal::AskAgain, None) => Err(ResponseError::UnknownServerError),
        }
    }

    /// Takes partitions into the transaction of a producer.
    ///
    /// # Errors
    /// As [`Self::producer`].
    pub async fn add(
        &self,
        id: &str,
        producer: Producer,
        partitions: &Partitions,
    ) -> Result<(), ResponseError> {
        let (_, added) = self.add_and_admit(id, producer, partitions)?;
        self.added(added).await
    }

    /// Takes partitions into the transaction of a producer, for batches that are about to be
    /// appended. Does not wait: before that is acknowledged, [`Self::added`] has to.
    ///
    /// # Errors
    /// As [`Self::producer`].
    pub fn add_and_admit(
        &self,
        id: &str,
        producer: Producer,
        partitions: &Partitions,
    ) -> Result<(Admission, Added), ResponseError> {
        let mut coordinator = self.lock();
        let step = coordinator.decide_add(id, producer, partitions, self.now_ms())?;
        let offset = step.keep.map(|entry| self.keep(&mut coordinator, entry)).transpose()?;
        Ok((self.admissions.enter(id), Added(offset)))
    }

    /// Waits until what was taken in is as safe as the settings ask for.
    ///
    /// # Errors
    /// As [`Self::producer`].
    pub async fn added(&self, added: Added) -> Result<(), ResponseError> {
        self.durable(added.0).await
    }

    /// Ends the transaction of a producer, and says which one to go on with. Its records are to be
    /// seen, or to be left out, when this returns; but where markers can't be written just then, that
    /// comes later.
    ///
    /// # Errors
    /// As [`Self::producer`].
    pub async fn end(
        self: &Arc<Self>,
        id: &str,
        producer: Producer,
        outcome: TransactionOutcome,
        version: TransactionVersion,
    ) -> Result<Producer, ResponseError> {
        let (next, offset) = {
            let mut coordinator = self.lock();
            if version == TransactionVersion::V2
                && coordinator.get(id).is_some_and(Transaction::is_epoch_used_up)
            {
                self.reserve_producer_ids(&mut coordinator)?;
            }
            let step = coordinator.decide_end(id, producer, outcome, version, self.now_ms())?;
            let offset = step.keep.map(|entry| self.keep(&mut coordinator, entry)).transpose()?;
            (step.answer, offset)
        };
        if offset.is_some() {
            let lost = ResponseError::CoordinatorNotAvailable;
            self.finish(id, offset).await.unwrap_or(Err(lost))?;
        }
        Ok(next)
    }

    /// Checks that a batch of `producer` belongs into a partition now. Does not wait.
    ///
    /// # Errors
    /// Why it does not: `ProducerFenced`, `InvalidProducerIdMapping`, `ConcurrentTransactions`
    /// while its transaction is being ended, `TransactionAbortable` for a partition that was not
    /// added to it.
    pub fn admit(
        &self,
        id: &str,
        producer: Producer,
        topic: &str,
        partition: i32,
    ) -> Result<Admission, ResponseError> {
        let coordinator = self.lock();
        coordinator.verify(id, producer, topic, partition)?;
        Ok(self.admissions.enter(id))
    }

    /// What is known of a transactional id.
    pub fn get(&self, id: &str) -> Option<Transaction> {
        self.lock().get(id).cloned()
    }

    /// The transactional ids that `filter` lets through, in order.
    pub fn list(
        &self,
        mut filter: impl FnMut(&str, &Transaction) -> bool,
    ) -> Vec<(String, Producer, TransactionState)> {
        let coordinator = self.lock();
        let passed = coordinator.iter().filter(|(id, transaction)| filter(id, transaction));
        passed.map(|(id, t)| (id.to_owned(), t.producer, t.state)).collect()
    }

    /// Brings partitions and what was kept together, as after a crash: writes the markers that
    /// decisions call for, and aborts what a partition has open and no transaction knows of (which
    /// takes a loss of power). To be called once, before anything is served.
    pub(crate) fn recover(&self, participants: Weak<dyn Participants>) {
        let Some(partitions) = participants.upgrade() else { return };
        let _ = self.participants.set(participants);
        let coordinator = self.lock();
        for (id, transaction) in coordinator.iter() {
            let Some(outcome) = transaction.state.decided() else { continue };
            tracing::info!(id, ?outcome, "a transaction is being ended as was decided");
            if let Err(error) = append_markers(&*partitions, transaction, outcome) {
                tracing::warn!(id, %error, "markers of a transaction could not be written yet");
            }
        }
        let known = |open: &super::participants::OpenTransaction| {
            coordinator.iter().any(|(_, t)| {
                (t.state == TransactionState::Ongoing || t.state.decided().is_some())
                    && t.producer.id == open.producer.id
                    && t.partitions.get(&open.topic).is_some_and(|p| p.contains(&open.partition))
            })
        };
        for open in partitions.open_transactions() {
            if known(&open) {
                continue;
            }
            let (topic, partition, producer) = (&open.topic, open.partition, open.producer);
            tracing::warn!(topic, partition, ?producer, "an unknown transaction is aborted");
            let abort = TransactionOutcome::Abort;
            if let Err(error) = partitions.append_marker(topic, partition, producer, abort) {
                tracing::warn!(topic, partition, %error, "its marker could not be written");
            }
        }
    }

    /// Starts what goes on by itself: ends that were decided before, time-outs and expiry. It stops
    /// when the value is dropped.
    pub(crate) fn start(self: &Arc<Self>) {
        let decided = self.list(|_, transaction| transaction.state.decided().is_some());
        for (id, _, _) in decided {
            drop(self.finish(&id, None));
        }
        let (weak, clock) = (Arc::downgrade(self), self.seams.clock.clone());
        self.seams.spawner.spawn(
            "transaction-timeouts",
            Box::pin(async move {
                loop {
                    clock.sleep(TICK).await;
                    let Some(transactions) = weak.upgrade() else { return };
                    transactions.time_out();
                }
            }),
        );
    }

    /// Does what is due.
    fn time_out(self: &Arc<Self>) {
        loop {
            let (id, offset) = {
                let mut coordinator = self.lock();
                let now_ms = self.now_ms();
                if !coordinator.is_due(now_ms)
                    || self.reserve_producer_ids(&mut coordinator).is_err()
                {
                    return;
                }
                let Ok(Some(entry)) = coordinator.decide_timeout(now_ms) else { return };
                let ended = match &entry {
                    Entry::Transaction { id, transaction: Some(_) } => Some(id.clone()),
                    _ => None,
                };
                // What can't be written is tried again at the next tick.
                let Ok(offset) = self.keep(&mut coordinator, entry) else { return };
                (ended, offset)
            };
            if let Some(id) = id {
                tracing::info!(id, "a transaction was open too long and is aborted");
                drop(self.finish(&id, Some(offset)));
            }
        }
    }

    /// Brings what was decided about `id` to its end, in a task of its own. The receiver gets word
    /// after the first attempt: an error only if the decision itself may be lost.
    fn finish(
        self: &Arc<Self>,
        id: &str,
        decided: Option<i64>,
    ) -> impl Future<Output = Result<Result<(), ResponseError>, oneshot::error::RecvError>> + use<>
    {
        let (sender, receiver) = oneshot::channel();
        let (id, weak, clock) = (id.to_owned(), Arc::downgrade(self), self.seams.clock.clone());
        let task = async move {
            let mut sender = Some(sender);
            let mut wait = Duration::from_millis(50);
            loop {
                let Some(transactions) = weak.upgrade() else { return };
                let safe = transactions.durable(decided).await;
                let ended = match safe {
                    Ok(()) => transactions.try_finish(&id).await,
                    Err(_) => Ok(false),
                };
                if let Some(sender) = sender.take() {
                    let _ = sender.send(safe);
                }
                match ended {
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(id, %error, "a transaction could not be ended yet")
                    }
                }
                drop(transactions);
                clock.sleep(wait).await;
                wait = (2 * wait).min(MAX_RETRY_WAIT);
            }
        };
        self.seams.spawner.spawn("transaction-end", Box::pin(task));
        receiver
    }

    /// Writes the markers of a transaction that is decided, and then its completion. `false`: there
    /// is nobody to write to.
    async fn try_finish(&self, id: &str) -> Result<bool> {
        // Who was admitted before the decision is through after this; later ones are refused.
        self.admissions.none(id).await;
        let Some(transaction) = self.get(id) else { return Ok(true) };
        let Some(outcome) = transaction.state.decided() else { return Ok(true) };
        let Some(partitions) = self.participants.get().and_then(Weak::upgrade) else {
            return Ok(false);
        };
        append_markers(&*partitions, &transaction, outcome)?;
        for (topic, indexes) in &transaction.partitions {
            for partition in indexes {
                partitions.durable(topic, *partition).await?;
            }
        }
        let mut coordinator = self.lock();
        if let Some(entry) = coordinator.decide_complete(id, self.now_ms()) {
            self.keep(&mut coordinator, entry)?;
        }
        Ok(true)
    }

    /// Writes an entry, and only then lets it count.
    fn keep(&self, coordinator: &mut Coordinator, entry: Entry) -> Result<i64, ResponseError> {
        let (key, value) = encode(&entry);
        let written = self.log.append(key, value, self.now_ms());
        let offset = written.map_err(|error| refused("write", &error))?;
        coordinator.apply(entry);
        Ok(offset)
    }

    /// Reserves producer ids if there are none left. On the disk, whatever the settings: an id that
    /// is given again after a loss of power would pass for a producer that partitions know.
    fn reserve_producer_ids(&self, coordinator: &mut Coordinator) -> Result<(), ResponseError> {
        let Some(entry) = coordinator.decide_producer_ids()? else { return Ok(()) };
        let (key, value) = encode(&entry);
        let written = self.log.append(key, value, self.now_ms());
        written.map_err(|error| refused("write", &error))?;
        self.log.sync().map_err(|error| refused("sync", &error))?;
        coordinator.apply(entry);
        Ok(())
    }

    async fn durable(&self, offset: Option<i64>) -> Result<(), ResponseError> {
        let Some(offset) = offset else { return Ok(()) };
        self.log.durable(offset).await.map_err(|error| refused("sync", &error))
    }

    fn lock(&self) -> MutexGuard<'_, Coordinator> {
        self.coordinator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> i64 {
        self.seams.clock.now().as_millis()
    }
}

/// The client may ask again: what was not written has not happened.
fn refused(action: &str, error: &crate::error::LogError) -> ResponseError {
    tracing::error!(action, %error, "the state of transactions cannot be kept");
    ResponseError::CoordinatorNotAvailable
}

fn append_markers(
    partitions: &dyn Participants,
    transaction: &Transaction,
    outcome: TransactionOutcome,
) -> Result<()> {
    for (topic, indexes) in &transaction.partitions {
        for partition in indexes {
            partitions.append_marker(topic, *partition, transaction.producer, outcome)?;
        }
    }
    Ok(())
}
