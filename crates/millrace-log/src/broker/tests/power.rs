//! Under [`FsyncPolicy::Always`] a loss of power takes nothing that was acknowledged: records,
//! transactions, committed offsets, topics, deletions, and who the producers are.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::power_disk::{Leftover, PowerDisk};
use super::*;
use crate::storage::{Origin, TransactionOutcome};
use crate::transaction::{Producer, TransactionVersion};

const PARTITIONS: i32 = 2;
const ID: &str = "transactional";

#[derive(Clone, Debug)]
enum Step {
    Create(u8),
    /// All that are not there, at once.
    CreateAll,
    Delete(u8),
    /// All that are there, at once.
    DeleteAll,
    AddPartition(u8),
    Append {
        topic: u8,
        partition: i32,
        padding: usize,
    },
    Transaction {
        topic: u8,
        commit: bool,
    },
    Commit {
        partition: i32,
        offset: i64,
    },
    DeleteRecords {
        topic: u8,
        partition: i32,
    },
    Maintain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let topic = 0..3u8;
    let partition = 0..PARTITIONS;
    let step = prop_oneof![
        2 => topic.clone().prop_map(Step::Create),
        2 => Just(Step::CreateAll),
        1 => topic.clone().prop_map(Step::Delete),
        1 => Just(Step::DeleteAll),
        1 => topic.clone().prop_map(Step::AddPartition),
        8 => (topic.clone(), partition.clone(), prop_oneof![9 => 0..100usize, 1 => Just(600 << 10)])
            .prop_map(|(topic, partition, padding)| Step::Append { topic, partition, padding }),
        4 => (topic.clone(), any::<bool>())
            .prop_map(|(topic, commit)| Step::Transaction { topic, commit }),
        4 => (partition.clone(), 0..1000i64)
            .prop_map(|(partition, offset)| Step::Commit { partition, offset }),
        1 => (topic, partition)
            .prop_map(|(topic, partition)| Step::DeleteRecords { topic, partition }),
        1 => Just(Step::Maintain),
    ];
    prop::collection::vec(step, 1..30)
}

fn leftover() -> impl Strategy<Value = Leftover> {
    prop_oneof![Just(Leftover::Nothing), any::<u8>().prop_map(Leftover::Tails)]
}

/// What a partition has acknowledged.
#[derive(Clone, Debug, Default)]
struct Log {
    values: BTreeMap<i64, u64>,
    committed: BTreeSet<u64>,
    aborted: BTreeSet<u64>,
    start: i64,
    /// The sequence number and the offset of the newest batch of its own producer.
    newest: Option<(i32, i64)>,
    next_sequence: i32,
}

/// What was acknowledged, and what may have happened besides.
#[derive(Debug, Default)]
struct World {
    topics: BTreeMap<u8, Vec<Log>>,
    /// Whether it is there is not known: its deletion was cut short.
    unsure: BTreeSet<u8>,
    offsets: BTreeMap<i32, BTreeSet<i64>>,
    last_value: u64,
}

fn name(topic: u8) -> String {
    format!("t{topic}")
}

impl World {
    /// Does a step, and says whether it was acknowledged.
    async fn step(&mut self, broker: &Arc<Broker>, step: &Step) -> bool {
        match *step {
            Step::Create(topic) if !self.topics.contains_key(&topic) => {
                let created = broker.topics().create(new_topic(&name(topic), PARTITIONS)).is_ok();
                if created {
                    self.unsure.remove(&topic);
                    self.topics.insert(topic, vec![Log::default(); PARTITIONS as usize]);
                }
                created
            }
            Step::CreateAll => {
                let missing = (0..3).filter(|topic| !self.topics.contains_key(topic));
                let missing: Vec<u8> = missing.collect();
                let new = missing.iter().map(|topic| new_topic(&name(*topic), PARTITIONS));
                let created = broker.topics().create_all(new.collect());
                for (topic, _) in missing.iter().zip(&created).filter(|(_, made)| made.is_ok()) {
                    self.unsure.remove(topic);
                    self.topics.insert(*topic, vec![Log::default(); PARTITIONS as usize]);
                }
                created.iter().all(|created| created.is_ok())
            }
            Step::Delete(topic) if self.topics.remove(&topic).is_some() => {
                let deleted = broker.topics().delete(&name(topic)).is_ok();
                if !deleted {
                    self.unsure.insert(topic);
                }
                deleted
            }
            Step::DeleteAll => {
                let there: Vec<u8> = std::mem::take(&mut self.topics).into_keys().collect();
                let names: Vec<String> = there.iter().map(|topic| name(*topic)).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let deleted = broker.topics().delete_all(&names);
                let unsure = there.iter().zip(&deleted).filter(|(_, deleted)| deleted.is_err());
                self.unsure.extend(unsure.map(|(topic, _)| *topic));
                broker.topics().remove_deleted();
                deleted.iter().all(|deleted| deleted.is_ok())
            }
            Step::AddPartition(topic) => {
                let Some(logs) = self.topics.get_mut(&topic) else { return true };
                let count = logs.len() as i32 + 1;
                let added = broker.topics().add_partitions(&name(topic), count).is_ok();
                if added {
                    logs.push(Log::default());
                }
                added
            }
            Step::Append { topic, partition, padding } => {
                self.append(broker, topic, partition, padding).await
            }
            Step::Transaction { topic, commit } => self.transaction(broker, topic, commit).await,
            Step::Commit { partition, offset } => {
                let known = self.offsets.entry(partition).or_default();
                let acknowledged = commit(broker, "g", partition, offset).await;
                if acknowledged {
                    known.clear();
                }
                known.insert(offset);
                acknowledged
            }
            Step::DeleteRecords { topic, partition } => {
                let Some(logs) = self.topics.get_mut(&topic) else { return true };
                let log = broker.partition(&name(topic), partition).expect("a partition");
                let Ok(start) = log.delete_records_before(-1) else { return false };
                logs[partition as usize].start = start;
                true
            }
            Step::Maintain => {
                let topics = broker.topics().list();
                let mut logs = topics.iter().flat_map(|topic| topic.partitions());
                logs.all(|log| log.maintain().is_ok())
            }
            Step::Create(_) | Step::Delete(_) => true,
        }
    }

    async fn append(&mut self, broker: &Broker, topic: u8, partition: i32, padding: usize) -> bool {
        let Some(logs) = self.topics.get_mut(&topic) else { return true };
        let known = &mut logs[partition as usize];
        let log = broker.partition(&name(topic), partition).expect("a partition");
        self.last_value += 1;
        let builder = BatchBuilder::new().producer(own_producer(partition), 0, known.next_sequence);
        let batch = batch(builder, self.last_value, padding);
        let Ok(appended) = log.append(batch, Origin::Client) else { return false };
        assert!(!appended.duplicate);
        if log.durable(appended.last_offset).await.is_err() {
            return false;
        }
        known.values.insert(appended.base_offset, self.last_value);
        known.newest = Some((known.next_sequence, appended.base_offset));
        known.next_sequence += 1;
        true
    }

    async fn transaction(&mut self, broker: &Arc<Broker>, topic: u8, commit: bool) -> bool {
        let Some(logs) = self.topics.get_mut(&topic) else { return true };
        let Some(producer) = transactional_producer(broker).await else { return false };
        let partitions = BTreeMap::from([(name(topic), (0..PARTITIONS).collect())]);
        let transactions = broker.transactions();
        if transactions.add(ID, producer, &partitions).await.is_err() {
            return false;
        }
        let mut written = Vec::new();
        for partition in 0..PARTITIONS {
            let log = broker.partition(&name(topic), partition).expect("a partition");
            self.last_value += 1;
            let builder = BatchBuilder::new().producer(producer.id, producer.epoch, 0);
            let batch = batch(builder.transactional(), self.last_value, 10);
            let Ok(appended) = log.append(batch, Origin::Client) else { return false };
            if log.durable(appended.last_offset).await.is_err() {
                return false;
            }
            written.push((partition, appended.base_offset, self.last_value));
        }
        let outcome = match commit {
            true => TransactionOutcome::Commit,
            false => TransactionOutcome::Abort,
        };
        let version = match self.last_value % 2 {
            0 => TransactionVersion::V1,
            _ => TransactionVersion::V2,
        };
        if transactions.end(ID, producer, outcome, version).await.is_err() {
            return false;
        }
        for (partition, offset, value) in written {
            let known = &mut logs[partition as usize];
            known.values.insert(offset, value);
            if commit {
                known.committed.insert(value)
            } else {
                known.aborted.insert(value)
            };
        }
        true
    }

    /// Compares what is there with what was acknowledged, and goes on from what is there.
    async fn check(&mut self, broker: &Arc<Broker>) {
        end_what_was_decided(broker).await;
        for topic in &self.unsure {
            // It must be usable, if it is there.
            if let Some(topic) = broker.topics().get(&name(*topic)) {
                broker.topics().delete(&topic.name).expect("a deletion");
            }
        }
        for topic in 0..3 {
            let Some(logs) = self.topics.get_mut(&topic) else {
                // A creation that was not acknowledged may have happened.
                if broker.topics().get(&name(topic)).is_some() {
                    broker.topics().delete(&name(topic)).expect("a deletion");
                }
                continue;
            };
            let found = broker.topics().get(&name(topic)).expect("an acknowledged topic");
            assert!(found.partition_count() >= logs.len() as i32);
            logs.resize_with(found.partition_count() as usize, Log::default);
            for (partition, known) in (0..).zip(logs) {
                let log = found.partition(partition).expect("a partition");
                known.check(log, partition).await;
            }
        }
        for (partition, offsets) in &mut self.offsets {
            let found = committed(broker, "g", *partition);
            assert!(
                found.is_some_and(|found| offsets.contains(&found))
                    || offsets.is_empty()
                    || (found.is_none() && offsets.len() == 1),
                "{found:?} of {offsets:?}"
            );
            *offsets = found.into_iter().collect();
        }
        self.offsets.retain(|_, offsets| !offsets.is_empty());
        self.unsure.clear();
    }
}

impl Log {
    async fn check(&mut self, log: &PartitionLog, partition: i32) {
        assert!(log.log_start_offset() >= self.start, "deleted records are back");
        self.start = log.log_start_offset();
        let (values, aborted) = read_all(log);
        let is_aborted = |offset: i64, producer: i64| {
            aborted.iter().any(|transaction| {
                transaction.producer_id == producer
                    && (transaction.first_offset..=transaction.last_offset).contains(&offset)
            })
        };
        for (offset, value) in self.values.range(self.start..) {
            if *offset >= log.last_stable_offset() {
                assert!(!self.committed.contains(value), "a commit is undone");
                let decided = self.aborted.contains(value);
                assert!(!decided, "an abort is undone");
                continue;
            }
            let (producer, found) = values.get(offset).expect("an acknowledged record");
            assert_eq!(found, value, "at offset {offset}");
            let ended = self.committed.contains(value) || self.aborted.contains(value);
            if ended {
                assert_eq!(is_aborted(*offset, *producer), self.aborted.contains(value));
            }
        }
        let Some((sequence, offset)) = self.newest else { return };
        let builder = BatchBuilder::new().producer(own_producer(partition), 0, sequence);
        let again = log.append(batch(builder, 0, 0), Origin::Client).expect("it is known");
        assert!(again.duplicate && again.base_offset == offset);
        // What was not acknowledged may be there: the producer goes on behind it.
        let known = log.producers();
        let own = known.iter().find(|known| known.producer_id == own_producer(partition));
        self.next_sequence = own.map_or(0, |own| own.last_sequence + 1);
    }
}

/// As a server does when it starts.
async fn end_what_was_decided(broker: &Arc<Broker>) {
    let transactions = broker.transactions();
    transactions.start();
    for _ in 0..2_000 {
        let decided = transactions.get(ID).and_then(|transaction| transaction.state.decided());
        if decided.is_none() {
            return;
        }
        Seams::system().clock.sleep(Duration::from_millis(1)).await;
    }
    panic!("a transaction does not end");
}

fn own_producer(partition: i32) -> i64 {
    1_000_000 + i64::from(partition)
}

/// The next epoch of the one transactional producer; what it left open is aborted first.
async fn transactional_producer(broker: &Arc<Broker>) -> Option<Producer> {
    for _ in 0..200 {
        match broker.transactions().producer(Some(ID), None, 60_000).await {
            Ok(producer) => return Some(producer),
            Err(kafka_protocol::error::ResponseError::ConcurrentTransactions) => {
                Seams::system().clock.sleep(Duration::from_millis(1)).await;
            }
            Err(_) => return None,
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_loss_of_power_takes_nothing_that_was_acknowledged(
        lives in prop::collection::vec((steps(), 1..150u32, leftover()), 1..4)
    ) {
        let mut dir = tempfile::tempdir().unwrap();
        let mut world = World::default();
        for (steps, syncs, leftover) in lives {
            let broker = open(dir.path(), FsyncPolicy::Always, Arc::new(SystemDisk));
            wait_for(async {
                world.check(&broker).await;
                broker.close().expect("a clean end");
            });
            drop(broker);
            let disk = Arc::new(PowerDisk::new(dir.path(), 10_000));
            let broker = open(dir.path(), FsyncPolicy::Always, disk.clone());
            disk.goes_after(syncs);
            wait_for(async {
                for step in &steps {
                    if !world.step(&broker, step).await {
                        break;
                    }
                }
            });
            let after = disk.after_loss(leftover);
            drop(broker);
            dir = after;
        }
        let broker = open(dir.path(), FsyncPolicy::Always, Arc::new(SystemDisk));
        wait_for(world.check(&broker));
    }
}
