//! Random commands, time and crashes against partitions that are lists of records.
//!
//! The world keeps what a broker keeps: the entries of the coordinator, and for each partition its
//! records and markers. A crash throws everything else away, between any two writes. The checks are
//! those of a reader: who asks for committed records sees whole transactions only.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use proptest::prelude::*;

use super::super::*;
use crate::storage::TransactionOutcome;

const IDS: [&str; 2] = ["a", "b"];
const PARTITIONS: i32 = 3;
const TIMEOUT_MS: i32 = 1_000;

#[derive(Clone, Debug)]
enum Action {
    /// A new process starts under an id, and does transactions in this version.
    Start { id: usize, renews: bool },
    /// A process asks to go on with a higher epoch.
    Renew { client: usize },
    /// A process writes to a partition, which it adds first (in version 2 always).
    Write { client: usize, partition: i32, add: bool },
    /// A batch of a transaction that was ended in version 2 comes late.
    Late { client: usize, partition: i32 },
    /// A process ends its transaction.
    End { client: usize, commit: bool },
    /// The broker writes one marker, or the completion after the last.
    Marker { id: usize },
    /// Time goes on.
    Wait { ms: i64 },
    /// The broker dies during the next write, before or after it.
    CrashAtNextWrite { written: bool },
    /// The broker dies now.
    Crash,
}

fn action() -> impl Strategy<Value = Action> {
    let client = 0..6_usize;
    prop_oneof![
        2 => (0..IDS.len(), any::<bool>()).prop_map(|(id, renews)| Action::Start { id, renews }),
        1 => client.clone().prop_map(|client| Action::Renew { client }),
        8 => (client.clone(), 0..PARTITIONS, prop::bool::weighted(0.9))
            .prop_map(|(client, partition, add)| Action::Write { client, partition, add }),
        2 => (client.clone(), 0..PARTITIONS)
            .prop_map(|(client, partition)| Action::Late { client, partition }),
        4 => (client, any::<bool>()).prop_map(|(client, commit)| Action::End { client, commit }),
        6 => (0..IDS.len()).prop_map(|id| Action::Marker { id }),
        1 => (1..800_i64).prop_map(|ms| Action::Wait { ms }),
        1 => any::<bool>().prop_map(|written| Action::CrashAtNextWrite { written }),
        1 => Just(Action::Crash),
    ]
}

/// A record, by the transaction that it belongs to: the process and how many it ended before.
type Tag = (usize, u32);

/// A partition as its storage behaves.
#[derive(Default)]
struct Partition {
    open: BTreeMap<i64, Vec<Tag>>,
    epochs: BTreeMap<i64, i16>,
    committed: BTreeSet<Tag>,
    aborted: BTreeSet<Tag>,
}

impl Partition {
    fn write(&mut self, producer: Producer, tag: Tag) -> bool {
        let epoch = self.epochs.entry(producer.id).or_insert(producer.epoch);
        if producer.epoch < *epoch {
            return false;
        }
        *epoch = producer.epoch;
        self.open.entry(producer.id).or_default().push(tag);
        true
    }

    fn marker(&mut self, producer: Producer, outcome: TransactionOutcome) {
        let epoch = self.epochs.entry(producer.id).or_insert(producer.epoch);
        assert!(producer.epoch >= *epoch, "a marker of an older epoch than was seen");
        *epoch = producer.epoch;
        let records = self.open.remove(&producer.id).unwrap_or_default();
        match outcome {
            TransactionOutcome::Commit => self.committed.extend(records),
            TransactionOutcome::Abort => self.aborted.extend(records),
        }
    }
}

struct Client {
    id: &'static str,
    version: TransactionVersion,
    producer: Producer,
    /// The one before, if its transaction was ended in version 2.
    before: Option<Producer>,
    /// A newer process, or this one, was given another producer since.
    fenced: bool,
    ended: u32,
    /// How it asked to end its transaction, without getting an answer. It asks again until it gets
    /// one, as clients do.
    asked: Option<bool>,
}

struct World {
    now_ms: i64,
    kept: Vec<Entry>,
    coordinator: Coordinator,
    partitions: Vec<Partition>,
    clients: Vec<Client>,
    /// Partitions that have their marker, of transactions that are being ended.
    marked: BTreeMap<&'static str, BTreeSet<i32>>,
    crash_at_next_write: Option<bool>,
    given: BTreeSet<Producer>,
    /// Where each transaction has records.
    written: BTreeMap<Tag, BTreeSet<i32>>,
    commit_confirmed: BTreeSet<Tag>,
    /// Transactions that can't be committed any more, by what somebody was told.
    doomed: BTreeSet<Tag>,
}

impl World {
    /// Both ids had producers before, whose last epoch was this.
    fn new(epoch: i16) -> Self {
        let mut world = World {
            now_ms: 0,
            kept: vec![Entry::ProducerIds { below: 1_000 }],
            coordinator: Coordinator::new(TransactionLimits::default()),
            partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(),
            clients: Vec::new(),
            marked: BTreeMap::new(),
            crash_at_next_write: None,
            given: BTreeSet::new(),
            written: BTreeMap::new(),
            commit_confirmed: BTreeSet::new(),
            doomed: BTreeSet::new(),
        };
        for (producer_id, id) in (0..).zip(IDS) {
            let mut transaction = Transaction::new(producer_id, TIMEOUT_MS, 0);
            transaction.producer.epoch = epoch;
            world
                .kept
                .push(Entry::Transaction { id: id.to_owned(), transaction: Some(transaction) });
        }
        world.crash();
        world
    }

    /// Writes an entry. `false`: the broker died over it, and nobody gets an answer.
    fn keep(&mut self, entry: Entry) -> bool {
        match self.crash_at_next_write.take() {
            None => {
                self.kept.push(entry.clone());
                self.coordinator.apply(entry);
                true
            }
            Some(written) => {
                if written {
                    self.kept.push(entry);
                }
                self.crash();
                false
            }
        }
    }

    fn crash(&mut self) {
        self.crash_at_next_write = None;
        self.marked.clear();
        self.coordinator = Coordinator::new(TransactionLimits::default());
        for entry in self.kept.clone() {
            self.coordinator.apply(entry);
        }
        self.coordinator.start();
    }

    fn reserve(&mut self) -> bool {
        let reservation = self.coordinator.decide_producer_ids().unwrap();
        reservation.is_none_or(|entry| self.keep(entry))
    }

    fn init(&mut self, id: &'static str, given: Option<Producer>) -> Option<Producer> {
        if !self.reserve() {
            return None;
        }
        let step = self.coordinator.decide_producer(id, given, TIMEOUT_MS, self.now_ms).ok()?;
        if !step.keep.is_none_or(|entry| self.keep(entry)) {
            return None;
        }
        match step.answer {
            Renewal::AskAgain => None,
            Renewal::Producer(producer) => Some(producer),
        }
    }

    /// A process was given `producer`: all others of its id are fenced, and what they have open is
    /// lost to them.
    fn fence_others(&mut self, id: &'static str, producer: Producer) {
        for (index, client) in self.clients.iter_mut().enumerate() {
            if client.id == id && client.producer != producer {
                client.fenced = true;
                let open = (index, client.ended);
                let undecided = !self.partitions.iter().any(|p| p.committed.contains(&open));
                if undecided && !self.commit_confirmed.contains(&open) {
                    self.doomed.insert(open);
                }
            }
        }
    }

    fn step(&mut self, action: Action) {
        match action {
            Action::Start { id, renews } => {
                let version = if renews { TransactionVersion::V2 } else { TransactionVersion::V1 };
                let id = IDS[id];
                if let Some(producer) = self.init(id, None) {
                    assert!(self.given.insert(producer), "{producer:?} is given twice");
                    self.fence_others(id, producer);
                    self.clients.push(Client {
                        id,
                        version,
                        producer,
                        before: None,
                        fenced: false,
                        ended: 0,
                        asked: None,
                    });
                }
            }
            Action::Renew { client } => self.renew(client),
            Action::Write { client, partition, add } => self.write(client, partition, add),
            Action::Late { client, partition } => self.late(client, partition),
            Action::End { client, commit } => self.end(client, commit),
            Action::Marker { id } => self.marker(IDS[id]),
            Action::Wait { ms } => {
                self.now_ms += ms;
                while self.coordinator.is_due(self.now_ms) {
                    if self.reserve() {
                        let entry = self.coordinator.decide_timeout(self.now_ms).unwrap();
                        self.keep(entry.expect("something is due"));
                    }
                }
            }
            Action::CrashAtNextWrite { written } => self.crash_at_next_write = Some(written),
            Action::Crash => self.crash(),
        }
    }

    fn renew(&mut self, client: usize) {
        let Some(Client { id, producer, fenced, .. }) = self.clients.get(client) else { return };
        let (id, old, fenced) = (*id, *producer, *fenced);
        let Some(producer) = self.init(id, Some(old)) else { return };
        assert!(!fenced, "a fenced process got {producer:?}");
        assert!(producer > old && self.given.insert(producer), "{producer:?} is given twice");
        self.fence_others(id, producer);
        let client = &mut self.clients[client];
        (client.producer, client.fenced, client.asked) = (producer, false, None);
        client.before = None;
        client.ended += 1;
    }

    fn write(&mut self, index: usize, partition: i32, add: bool) {
        let Some(client) = self.clients.get(index) else { return };
        if client.asked.is_some() {
            return;
        }
        let (id, producer, tag) = (client.id, client.producer, (index, client.ended));
        let takes_in = client.version == TransactionVersion::V2;
        if add || takes_in {
            let partitions = Partitions::from([("t".to_owned(), [partition].into())]);
            let step = self.coordinator.decide_add(id, producer, &partitions, self.now_ms);
            let Ok(step) = step else { return };
            assert!(!self.clients[index].fenced, "a fenced process takes part");
            if !step.keep.is_none_or(|entry| self.keep(entry)) {
                return;
            }
        }
        if !takes_in && self.coordinator.verify(id, producer, "t", partition).is_err() {
            return;
        }
        let written = self.partitions[partition as usize].write(producer, tag);
        assert!(written || !takes_in, "a partition has seen more than its transaction's epoch");
        if written {
            self.written.entry(tag).or_default().insert(partition);
        }
    }

    fn late(&mut self, index: usize, partition: i32) {
        let Some(Client { id, before: Some(before), .. }) = self.clients.get(index) else { return };
        let partitions = Partitions::from([("t".to_owned(), [partition].into())]);
        let step = self.coordinator.decide_add(id, *before, &partitions, self.now_ms);
        assert!(step.is_err(), "a late batch of {before:?} opens a transaction");
    }

    fn end(&mut self, index: usize, commit: bool) {
        let Some(client) = self.clients.get_mut(index) else { return };
        let commit = *client.asked.get_or_insert(commit);
        let (id, producer, tag) = (client.id, client.producer, (index, client.ended));
        let version = client.version;
        if version == TransactionVersion::V2 && !self.reserve() {
            return;
        }
        let outcome = if commit { TransactionOutcome::Commit } else { TransactionOutcome::Abort };
        let step = self.coordinator.decide_end(id, producer, outcome, version, self.now_ms);
        let step = match step {
            Ok(step) => step,
            Err(ResponseError::ConcurrentTransactions) => return,
            Err(_) => {
                self.clients[index].asked = None;
                return;
            }
        };
        assert!(!self.clients[index].fenced, "a fenced process ended a transaction");
        if !step.keep.clone().is_none_or(|entry| self.keep(entry)) {
            return;
        }
        let client = &mut self.clients[index];
        client.asked = None;
        if version == TransactionVersion::V2 {
            let next = step.answer;
            assert!(next > producer && self.given.insert(next), "{next:?} is given twice");
            (client.producer, client.before) = (next, Some(producer));
        }
        // An end without a transaction confirms the one before, which was counted then.
        if !self.written.contains_key(&tag) {
            return;
        }
        if commit {
            self.commit_confirmed.insert(tag);
        } else {
            self.doomed.insert(tag);
        }
        self.clients[index].ended += 1;
    }

    fn marker(&mut self, id: &'static str) {
        let Some(transaction) = self.coordinator.get(id) else { return };
        let Some(outcome) = transaction.state.decided() else { return };
        let producer = transaction.producer;
        let marked = self.marked.entry(id).or_default();
        let partitions = transaction.partitions.get("t").cloned().unwrap_or_default();
        if let Some(&partition) = partitions.difference(marked).next() {
            marked.insert(partition);
            self.partitions[partition as usize].marker(producer, outcome);
            return;
        }
        self.marked.remove(id);
        let entry = self.coordinator.decide_complete(id, self.now_ms).unwrap();
        self.keep(entry);
    }

    /// Lets everything come to its end: all time-outs, all markers.
    fn settle(&mut self) {
        self.crash_at_next_write = None;
        self.step(Action::Wait { ms: 2 * i64::from(TIMEOUT_MS) });
        for id in IDS {
            while self.coordinator.get(id).is_some_and(|t| t.state.decided().is_some()) {
                self.marker(id);
            }
        }
    }

    fn check(&self) {
        self.check_decisions();
        for partition in &self.partitions {
            assert!(partition.open.is_empty(), "a transaction was left open");
        }
        for (tag, places) in &self.written {
            let committed: BTreeSet<i32> = (0..PARTITIONS)
                .filter(|&p| self.partitions[p as usize].committed.contains(tag))
                .collect();
            assert!(
                committed.is_empty() || committed == *places,
                "{tag:?} is committed in {committed:?} of {places:?}"
            );
            if self.commit_confirmed.contains(tag) {
                assert_eq!(committed, *places, "the commit of {tag:?} was confirmed");
            }
            if self.doomed.contains(tag) {
                assert!(committed.is_empty(), "{tag:?} was aborted or fenced");
            }
        }
    }

    /// What follows a decision in what was kept is its completion, and nothing else.
    fn check_decisions(&self) {
        // The producer to go on with, and the outcome.
        let mut decided: BTreeMap<&str, (Producer, TransactionOutcome)> = BTreeMap::new();
        for entry in &self.kept {
            let Entry::Transaction { id, transaction: Some(transaction) } = entry else { continue };
            if let Some((producer, outcome)) = decided.remove(id.as_str()) {
                let state = match outcome {
                    TransactionOutcome::Commit => TransactionState::CompleteCommit,
                    TransactionOutcome::Abort => TransactionState::CompleteAbort,
                };
                assert_eq!((transaction.state, transaction.producer), (state, producer));
            }
            if let Some(outcome) = transaction.state.decided() {
                decided.insert(id, (transaction.successor(), outcome));
            }
        }
        assert!(decided.is_empty(), "decisions without completion: {decided:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn readers_see_whole_transactions_whatever_dies_in_between(
        actions in prop::collection::vec(action(), 0..120),
        epoch in prop_oneof![Just(0_i16), i16::MAX - 8..i16::MAX],
    ) {
        let mut world = World::new(epoch);
        for action in actions {
            world.step(action);
        }
        world.settle();
        world.check();
    }
}
