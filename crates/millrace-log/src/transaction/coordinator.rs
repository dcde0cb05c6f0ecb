//! The coordinator as a state machine: commands and the time in, what must be kept and answers out.
//!
//! Its state is the fold of the entries that were kept: [`Coordinator::apply`] is the only way to
//! change it, in a running broker as in one that reads its log again. A command therefore works in
//! three steps, of which the caller does the second:
//! 1. a `decide` method says what the command comes to, and changes nothing that matters;
//! 2. the entry of the [`Step`] is written. If that fails, the command has not happened;
//! 3. the entry is applied, and the answer may be given.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;

use super::producer_ids::ProducerIds;
use super::state::{Partitions, Producer, Transaction, TransactionState, TransactionVersion};
use crate::limits::{Limits, TRANSACTION_MAX_TIMEOUT, TRANSACTIONAL_ID_EXPIRATION};
use crate::storage::TransactionOutcome;

/// The limits of a coordinator: those of [`Limits`].
#[derive(Clone, Copy, Debug)]
pub struct TransactionLimits {
    /// The longest time-out that a producer may ask for (`transaction.max.timeout.ms`).
    pub max_timeout_ms: i32,
    /// An id that did nothing for so long is forgotten (`transactional.id.expiration.ms`).
    pub expiry_ms: i64,
}

impl From<&Limits> for TransactionLimits {
    fn from(limits: &Limits) -> Self {
        TransactionLimits {
            max_timeout_ms: limits.get_int(TRANSACTION_MAX_TIMEOUT),
            expiry_ms: limits.get(TRANSACTIONAL_ID_EXPIRATION),
        }
    }
}

impl Default for TransactionLimits {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}

/// What is kept. Later entries of the same key replace earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// All that is known of a transactional id; `None`: it is forgotten.
    Transaction {
        /// The transactional id.
        id: String,
        /// Its state.
        transaction: Option<Transaction>,
    },
    /// Producer ids below this one may have been given.
    ProducerIds {
        /// The first that was not.
        below: i64,
    },
}

/// What a command comes to, if it is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<A> {
    /// What must be kept before the answer is given.
    pub keep: Option<Entry>,
    /// The answer.
    pub answer: A,
}

/// What the owner of a transactional id is told when it asks for a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Its producer.
    Producer(Producer),
    /// Its predecessor's transaction is being aborted first; it has to ask again.
    AskAgain,
}

/// All transactional ids of a broker.
#[derive(Debug)]
pub struct Coordinator {
    limits: TransactionLimits,
    transactions: BTreeMap<String, Transaction>,
    deadlines: BTreeSet<(i64, String)>,
    producer_ids: ProducerIds,
}

impl Coordinator {
    /// One that knows nothing yet.
    pub fn new(limits: TransactionLimits) -> Self {
        Coordinator {
            limits,
            transactions: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            producer_ids: ProducerIds::default(),
        }
    }

    /// Takes in what was kept.
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::ProducerIds { below } => self.producer_ids.reserved(below),
            Entry::Transaction { id, transaction } => self.replace(id, transaction),
        }
    }

    /// Ends the reading of what an earlier process kept: ids that it had reserved count as given.
    pub fn start(&mut self) {
        self.producer_ids.skip_reserved();
    }

    /// What must be kept before the next producer id can be given, if anything.
    pub fn decide_producer_ids(&self) -> Result<Option<Entry>, ResponseError> {
        Ok(self.producer_ids.reserve()?.map(|below| Entry::ProducerIds { below }))
    }

    /// Gives a producer id. What [`Self::decide_producer_ids`] named has been applied.
    pub fn take_producer_id(&mut self) -> Result<i64, ResponseError> {
        self.producer_ids.take()
    }

    /// A producer for a transactional id; see [`Transaction::renew`]. May take a producer id.
    pub fn decide_producer(
        &mut self,
        id: &str,
        given: Option<Producer>,
        timeout_ms: i32,
        now_ms: i64,
    ) -> Result<Step<Renewal>, ResponseError> {
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        if timeout_ms <= 0 || timeout_ms > self.limits.max_timeout_ms {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let next = match self.transactions.get(id) {
            Some(known) => known.renew(given, timeout_ms, now_ms, || self.producer_ids.take())?,
            // Whatever producer the caller had, it was forgotten: it starts afresh.
            None => Transaction::new(self.producer_ids.take()?, timeout_ms, now_ms),
        };
        let answer = match next.state {
            TransactionState::PrepareAbort => Renewal::AskAgain,
            _ => Renewal::Producer(next.producer),
        };
        Ok(Step { keep: Some(entry(id, next)), answer })
    }

    /// Takes partitions into the transaction of a producer.
    pub fn decide_add(
        &self,
        id: &str,
        producer: Producer,
        partitions: &Partitions,
        now_ms: i64,
    ) -> Result<Step<()>, ResponseError> {
        let next = known(&self.transactions, id)?.add(producer, partitions, now_ms)?;
        Ok(Step { keep: next.map(|next| entry(id, next)), answer: () })
    }

    /// Ends the transaction of a producer. If there is something to keep, then it is the decision,
    /// and [`Self::decide_complete`] follows when the markers are written. The answer is the producer
    /// to go on with then. May take a producer id.
    pub fn decide_end(
        &mut self,
        id: &str,
        producer: Producer,
        outcome: TransactionOutcome,
        version: TransactionVersion,
        now_ms: i64,
    ) -> Result<Step<Producer>, ResponseError> {
        let known = known(&self.transactions, id)?;
        let next = match version {
            TransactionVersion::V1 => known.end(producer, outcome, now_ms)?,
            TransactionVersion::V2 => {
                known.end_and_renew(producer, outcome, now_ms, || self.producer_ids.take())?
            }
        };
        let answer = next.as_ref().unwrap_or(known).successor();
        Ok(Step { keep: next.map(|next| entry(id, next)), answer })
    }

    /// The end of a transaction whose markers stand in all its partitions. `None`: nothing of this
    /// id is being ended.
    pub fn decide_complete(&self, id: &str, now_ms: i64) -> Option<Entry> {
        Some(entry(id, self.transactions.get(id)?.complete(now_ms)?))
    }

    /// What the first deadline that has come calls for: to abort a transaction that was open too
    /// long, or to forget an id. To be asked, and the entry applied, until it answers `None`. May
    /// take a producer id.
    pub fn decide_timeout(&mut self, now_ms: i64) -> Result<Option<Entry>, ResponseError> {
        let Some(id) = self.due(now_ms).map(str::to_owned) else { return Ok(None) };
        let Some(transaction) = self.transactions.get(&id) else { return Ok(None) };
        Ok(Some(match transaction.state {
            TransactionState::Ongoing => {
                entry(&id, transaction.fence(now_ms, || self.producer_ids.take())?)
            }
            _ => Entry::Transaction { id, transaction: None },
        }))
    }

    /// Whether [`Self::decide_timeout`] has anything to decide.
    pub fn is_due(&self, now_ms: i64) -> bool {
        self.due(now_ms).is_some()
    }

    fn due(&self, now_ms: i64) -> Option<&str> {
        self.deadlines.first().filter(|(due_ms, _)| *due_ms <= now_ms).map(|(_, id)| id.as_str())
    }

    /// Whether a batch of `producer` belongs into a partition now; see [`Transaction::verify`].
    pub fn verify(
        &self,
        id: &str,
        producer: Producer,
        topic: &str,
        partition: i32,
    ) -> Result<(), ResponseError> {
        known(&self.transactions, id)?.verify(producer, topic, partition)
    }

    /// What is known of a transactional id.
    pub fn get(&self, id: &str) -> Option<&Transaction> {
        self.transactions.get(id)
    }

    /// All transactional ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.transactions.iter().map(|(id, transaction)| (id.as_str(), transaction))
    }

    fn replace(&mut self, id: String, transaction: Option<Transaction>) {
        let expiry_ms = self.limits.expiry_ms;
        let deadline_ms = |transaction: &Transaction| transaction.deadline_ms(expiry_ms);
        if let Some(deadline_ms) = self.transactions.get(&id).and_then(deadline_ms) {
            self.deadlines.remove(&(deadline_ms, id.clone()));
        }
        let Some(transaction) = transaction else {
            self.transactions.remove(&id);
            return;
        };
        if let Some(deadline_ms) = deadline_ms(&transaction) {
            self.deadlines.insert((deadline_ms, id.clone()));
        }
        self.transactions.insert(id, transaction);
    }
}

fn known<'a>(
    transactions: &'a BTreeMap<String, Transaction>,
    id: &str,
) -> Result<&'a Transaction, ResponseError> {
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    transactions.get(id).ok_or(ResponseError::InvalidProducerIdMapping)
}

fn entry(id: &str, transaction: Transaction) -> Entry {
    Entry::Transaction { id: id.to_owned(), transaction: Some(transaction) }
}
