//! One transactional id: its states and the rules between them.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use serde::{Deserialize, Serialize};

use crate::storage::TransactionOutcome;

/// The value that stands for "no producer id" on the wire and on disk.
pub const NO_PRODUCER_ID: i64 = -1;

/// The value that stands for "no producer epoch" on the wire and on disk.
pub const NO_PRODUCER_EPOCH: i16 = -1;

/// The last epoch that is given to a producer. One more is kept for fencing it.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// A producer as partitions know it: each start of the same transactional id has a higher epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    /// Its id; never given twice.
    pub id: i64,
    /// Its epoch. What comes with a lower one than was seen is refused.
    pub epoch: i16,
}

/// How a client does transactions, which shows in the versions of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionVersion {
    /// It names the partitions first, and keeps its epoch from one transaction to the next.
    V1,
    /// Its batches take their partitions in, and each end gives it a new epoch (KIP-890): what it
    /// sent before the end and comes late is refused.
    V2,
}

/// Partitions by topic, in order.
pub type Partitions = BTreeMap<String, BTreeSet<i32>>;

/// Where a transactional id stands. The names are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransactionState {
    /// It has a producer, which has not begun a transaction.
    Empty,
    /// A transaction is open.
    Ongoing,
    /// The transaction will be committed, whatever comes: markers are being written.
    PrepareCommit,
    /// The transaction will be aborted, whatever comes: markers are being written.
    PrepareAbort,
    /// The last transaction was committed in all its partitions.
    CompleteCommit,
    /// The last transaction was aborted in all its partitions.
    CompleteAbort,
}

impl TransactionState {
    /// The states, in the order in which a transaction meets them.
    pub const ALL: [TransactionState; 6] = [
        TransactionState::Empty,
        TransactionState::Ongoing,
        TransactionState::PrepareCommit,
        TransactionState::PrepareAbort,
        TransactionState::CompleteCommit,
        TransactionState::CompleteAbort,
    ];

    /// The name that admin clients show and filter by.
    pub fn name(self) -> &'static str {
        match self {
            TransactionState::Empty => "Empty",
            TransactionState::Ongoing => "Ongoing",
            TransactionState::PrepareCommit => "PrepareCommit",
            TransactionState::PrepareAbort => "PrepareAbort",
            TransactionState::CompleteCommit => "CompleteCommit",
            TransactionState::CompleteAbort => "CompleteAbort",
        }
    }

    /// How the transaction will end, once that is decided and until it is done.
    pub fn decided(self) -> Option<TransactionOutcome> {
        match self {
            TransactionState::PrepareCommit => Some(TransactionOutcome::Commit),
            TransactionState::PrepareAbort => Some(TransactionOutcome::Abort),
            _ => None,
        }
    }
}

/// All that is known of a transactional id. A value of this is what is kept, whole, at each change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The producer that may work under this id now. While an end is decided, the one that the
    /// markers carry.
    pub producer: Producer,
    /// The producer before this one, if its owner is the same: it asked for a renewal by name, or it
    /// had its transaction ended. It may ask again when the answer was lost.
    pub renewed_from: Option<Producer>,
    /// While an end is decided that uses up the last epoch: the producer id to go on with.
    pub next_producer_id: Option<i64>,
    /// How long a transaction may stay open, in milliseconds.
    pub timeout_ms: i32,
    /// Where it stands.
    pub state: TransactionState,
    /// The partitions of the open transaction, or of the one that is being ended.
    pub partitions: Partitions,
    /// When the transaction began, in milliseconds since 1970; kept until the next one begins.
    pub started_ms: Option<i64>,
    /// When it last changed, in milliseconds since 1970.
    pub updated_ms: i64,
}

impl Transaction {
    /// The first producer of a transactional id.
    pub fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Transaction {
            producer: Producer { id: producer_id, epoch: 0 },
            renewed_from: None,
            next_producer_id: None,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: Partitions::new(),
            started_ms: None,
            updated_ms: now_ms,
        }
    }

    /// Whether the next epoch can only be that of another producer id.
    pub fn is_epoch_used_up(&self) -> bool {
        self.producer.epoch >= LAST_EPOCH
    }

    /// Who may go on when the end that is decided is done; the producer of now if none is.
    pub fn successor(&self) -> Producer {
        match self.next_producer_id {
            Some(id) => Producer { id, epoch: 0 },
            None => self.producer,
        }
    }

    /// Gives the transactional id a new producer, so that the old one is fenced. `given` is what
    /// the caller says it was until now, when it only wants to go on with a higher epoch.
    ///
    /// An open transaction is aborted first: then the result is that step, and the caller has to
    /// ask again.
    pub fn renew(
        &self,
        given: Option<Producer>,
        timeout_ms: i32,
        now_ms: i64,
        new_producer_id: impl FnOnce() -> Result<i64, ResponseError>,
    ) -> Result<Transaction, ResponseError> {
        let repeats = given.is_some() && given == self.renewed_from;
        if given.is_some_and(|given| given != self.producer) && !repeats {
            return Err(ResponseError::ProducerFenced);
        }
        match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
                return Err(ResponseError::ConcurrentTransactions);
            }
            // The repeated request came late: its producer has its answer and works already.
            TransactionState::Ongoing if repeats => return Err(ResponseError::ProducerFenced),
            TransactionState::Ongoing => return self.fence(now_ms, new_producer_id),
            TransactionState::Empty
            | TransactionState::CompleteCommit
            | TransactionState::CompleteAbort => {}
        }
        let (producer, renewed_from) = if repeats {
            (self.producer, self.renewed_from)
        } else if self.is_epoch_used_up() {
            (Producer { id: new_producer_id()?, epoch: 0 }, given)
        } else {
            (Producer { epoch: self.producer.epoch + 1, ..self.producer }, given)
        };
        Ok(Transaction {
            producer,
            renewed_from,
            next_producer_id: None,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: Partitions::new(),
            started_ms: None,
            updated_ms: now_ms,
        })
    }

    /// Takes partitions into the transaction, which begins with the first. `None`: they are in it
    /// already.
    pub fn add(
        &self,
        producer: Producer,
        partitions: &Partitions,
        now_ms: i64,
    ) -> Result<Option<Transaction>, ResponseError> {
        // First: who comes with the producer that it was given for later is to come again.
        if self.state.decided().is_some() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        self.admit(producer)?;
        let begun = self.state == TransactionState::Ongoing;
        if begun && partitions.iter().all(|(topic, indexes)| self.has_all(topic, indexes)) {
            return Ok(None);
        }
        let mut next = self.clone();
        if !begun {
            next.state = TransactionState::Ongoing;
            next.started_ms = Some(now_ms);
            next.partitions.clear();
        }
        next.updated_ms = now_ms;
        for (topic, indexes) in partitions.iter().filter(|(_, indexes)| !indexes.is_empty()) {
            next.partitions.entry(topic.clone()).or_default().extend(indexes);
        }
        Ok(Some(next))
    }

    /// Decides how the transaction ends, for a client of the first version. `None`: it has ended so
    /// already.
    pub fn end(
        &self,
        producer: Producer,
        outcome: TransactionOutcome,
        now_ms: i64,
    ) -> Result<Option<Transaction>, ResponseError> {
        use TransactionOutcome::{Abort, Commit};
        self.admit(producer)?;
        match (self.state, outcome) {
            (TransactionState::Ongoing, _) => {}
            (TransactionState::CompleteCommit, Commit)
            | (TransactionState::CompleteAbort, Abort) => return Ok(None),
            (TransactionState::PrepareCommit, Commit) | (TransactionState::PrepareAbort, Abort) => {
                return Err(ResponseError::ConcurrentTransactions);
            }
            (TransactionState::Empty, _)
            | (TransactionState::CompleteCommit | TransactionState::PrepareCommit, Abort)
            | (TransactionState::CompleteAbort | TransactionState::PrepareAbort, Commit) => {
                return Err(ResponseError::InvalidTxnState);
            }
        }
        Ok(Some(Transaction { state: prepared(outcome), updated_ms: now_ms, ..self.clone() }))
    }

    /// Decides how the transaction ends, and gives its producer another epoch. `None`: it has ended
    /// so already, and [`Self::producer`] is the one to go on with.
    ///
    /// An abort is decided also where nothing was begun: a client can't know whether the batches
    /// that it gave up were ever seen, and those that come late are refused from then on.
    pub fn end_and_renew(
        &self,
        producer: Producer,
        outcome: TransactionOutcome,
        now_ms: i64,
        new_producer_id: impl FnOnce() -> Result<i64, ResponseError>,
    ) -> Result<Option<Transaction>, ResponseError> {
        use TransactionOutcome::{Abort, Commit};
        if self.state.decided().is_some() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        let ended = matches!(
            self.state,
            TransactionState::CompleteCommit | TransactionState::CompleteAbort
        );
        let repeats = ended && self.renewed_from == Some(producer);
        if !repeats {
            self.admit(producer)?;
        }
        match (self.state, outcome) {
            (TransactionState::Ongoing, _) => {}
            (TransactionState::CompleteCommit, Commit)
            | (TransactionState::CompleteAbort, Abort)
                if repeats =>
            {
                return Ok(None);
            }
            (_, Abort) if !repeats => {}
            _ => return Err(ResponseError::InvalidTxnState),
        }
        let begun = self.state == TransactionState::Ongoing;
        let mut next = self.prepare_and_renew(outcome, now_ms, new_producer_id)?;
        if !begun {
            next.started_ms = Some(now_ms);
        }
        Ok(Some(next))
    }

    /// Decides that the open transaction is aborted against its producer's will. The markers carry a
    /// new epoch into the partitions, so that the producer is refused from then on. It gets that
    /// epoch only if it asks for it by the name of its own, before somebody else gets the next.
    pub fn fence(
        &self,
        now_ms: i64,
        new_producer_id: impl FnOnce() -> Result<i64, ResponseError>,
    ) -> Result<Transaction, ResponseError> {
        debug_assert_eq!(self.state, TransactionState::Ongoing);
        self.prepare_and_renew(TransactionOutcome::Abort, now_ms, new_producer_id)
    }

    fn prepare_and_renew(
        &self,
        outcome: TransactionOutcome,
        now_ms: i64,
        new_producer_id: impl FnOnce() -> Result<i64, ResponseError>,
    ) -> Result<Transaction, ResponseError> {
        let next_producer_id = self.is_epoch_used_up().then(new_producer_id).transpose()?;
        Ok(Transaction {
            producer: Producer { epoch: self.producer.epoch.saturating_add(1), ..self.producer },
            renewed_from: Some(self.producer),
            next_producer_id,
            state: prepared(outcome),
            updated_ms: now_ms,
            ..self.clone()
        })
    }

    /// The transaction after its markers were written. `None`: no end is decided.
    pub fn complete(&self, now_ms: i64) -> Option<Transaction> {
        let state = match self.state.decided()? {
            TransactionOutcome::Commit => TransactionState::CompleteCommit,
            TransactionOutcome::Abort => TransactionState::CompleteAbort,
        };
        Some(Transaction {
            producer: self.successor(),
            next_producer_id: None,
            state,
            partitions: Partitions::new(),
            updated_ms: now_ms,
            ..self.clone()
        })
    }

    /// Whether a batch of `producer` belongs into a partition now.
    pub fn verify(
        &self,
        producer: Producer,
        topic: &str,
        partition: i32,
    ) -> Result<(), ResponseError> {
        self.admit(producer)?;
        match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
                Err(ResponseError::ConcurrentTransactions)
            }
            TransactionState::Ongoing if self.has_all(topic, &BTreeSet::from([partition])) => {
                Ok(())
            }
            _ => Err(ResponseError::TransactionAbortable),
        }
    }

    /// When something is to be done though nobody asks, in milliseconds since 1970: an open
    /// transaction is aborted, an id that is out of use is forgotten.
    pub fn deadline_ms(&self, expiry_ms: i64) -> Option<i64> {
        match self.state {
            TransactionState::Ongoing => {
                let started_ms = self.started_ms.unwrap_or(self.updated_ms);
                Some(started_ms.saturating_add(i64::from(self.timeout_ms)))
            }
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => None,
            TransactionState::Empty
            | TransactionState::CompleteCommit
            | TransactionState::CompleteAbort => Some(self.updated_ms.saturating_add(expiry_ms)),
        }
    }

    fn admit(&self, producer: Producer) -> Result<(), ResponseError> {
        if producer.id != self.producer.id {
            Err(ResponseError::InvalidProducerIdMapping)
        } else if producer.epoch != self.producer.epoch {
            Err(ResponseError::ProducerFenced)
        } else {
            Ok(())
        }
    }

    fn has_all(&self, topic: &str, indexes: &BTreeSet<i32>) -> bool {
        indexes.is_empty() || self.partitions.get(topic).is_some_and(|held| indexes.is_subset(held))
    }
}

/// The state in which this outcome is decided.
fn prepared(outcome: TransactionOutcome) -> TransactionState {
    match outcome {
        TransactionOutcome::Commit => TransactionState::PrepareCommit,
        TransactionOutcome::Abort => TransactionState::PrepareAbort,
    }
}
