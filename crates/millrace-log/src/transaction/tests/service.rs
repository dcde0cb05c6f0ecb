//! The coordinator on a log and partitions in memory, which fail when they are told to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError as Code;
use millrace_core::Timestamp;
use millrace_core::seam::{Clock, Seams, yield_now};

use super::super::TransactionVersion::V1;
use super::super::record::{decode, encode};
use super::super::state_log::StateLog;
use super::super::*;
use crate::config::FsyncPolicy;
use crate::error::{LogError, Result};
use crate::storage::TransactionOutcome::{self, Abort, Commit};
use crate::storage::{PartitionLog, TopicConfig};

const ID: &str = "orders";

/// A clock that is set by hand; sleeping ends at once, so that what repeats goes on repeating.
#[derive(Default)]
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(yield_now())
    }
}

#[derive(Default)]
struct Disk {
    records: Mutex<Vec<(Bytes, Option<Bytes>)>>,
    synced: Mutex<usize>,
    full: AtomicBool,
}

struct MemoryLog(Arc<Disk>);

fn no_space() -> LogError {
    LogError::io("write", "memory")(std::io::Error::other("no space"))
}

impl StateLog for MemoryLog {
    fn append(&self, key: Bytes, value: Option<Bytes>, _: i64) -> Result<i64> {
        if self.0.full.load(SeqCst) {
            return Err(no_space());
        }
        let mut records = self.0.records.lock().unwrap();
        records.push((key, value));
        Ok(records.len() as i64 - 1)
    }

    fn durable(&self, _: i64) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn sync(&self) -> Result<()> {
        *self.0.synced.lock().unwrap() = self.0.records.lock().unwrap().len();
        Ok(())
    }
}

#[derive(Default)]
struct MemoryPartitions {
    markers: Mutex<Vec<(String, i32, Producer, TransactionOutcome)>>,
    open: Vec<OpenTransaction>,
    broken: AtomicBool,
}

impl Participants for MemoryPartitions {
    fn append_marker(
        &self,
        topic: &str,
        partition: i32,
        producer: Producer,
        outcome: TransactionOutcome,
    ) -> Result<()> {
        if self.broken.load(SeqCst) {
            return Err(no_space());
        }
        self.markers.lock().unwrap().push((topic.to_owned(), partition, producer, outcome));
        Ok(())
    }

    fn durable<'a>(&'a self, _: &'a str, _: i32) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn open_transactions(&self) -> Vec<OpenTransaction> {
        self.open.clone()
    }
}

/// A broker that can be killed and started again on the same disk.
struct World {
    disk: Arc<Disk>,
    clock: Arc<HandClock>,
    partitions: Arc<MemoryPartitions>,
    transactions: Arc<Transactions>,
}

impl World {
    fn new() -> Self {
        Self::on(Arc::default(), MemoryPartitions::default())
    }

    /// Opens and recovers, without starting what goes on by itself.
    fn on(disk: Arc<Disk>, partitions: MemoryPartitions) -> Self {
        let clock = Arc::new(HandClock::default());
        let seams = Seams { clock: clock.clone(), ..Seams::system() };
        let partitions = Arc::new(partitions);
        let mut coordinator = Coordinator::new(TransactionLimits::default());
        for (key, value) in disk.records.lock().unwrap().iter() {
            coordinator.apply(decode(key, value.as_deref()).unwrap());
        }
        let log = Box::new(MemoryLog(disk.clone()));
        let transactions = Transactions::with(log, coordinator, seams);
        let weak = Arc::downgrade(&partitions);
        transactions.recover(weak);
        World { disk, clock, partitions, transactions }
    }

    async fn producer(&self) -> Producer {
        self.transactions.producer(Some(ID), None, 1_000).await.expect("a producer")
    }

    async fn begin(&self) -> Producer {
        let producer = self.producer().await;
        self.transactions.add(ID, producer, &two_partitions()).await.expect("partitions are added");
        producer
    }

    async fn end(&self, producer: Producer, outcome: TransactionOutcome) -> Result<(), Code> {
        let version = TransactionVersion::V1;
        self.transactions.end(ID, producer, outcome, version).await.map(|next| {
            assert_eq!(next, producer);
        })
    }

    async fn end_and_renew(
        &self,
        producer: Producer,
        outcome: TransactionOutcome,
    ) -> Result<Producer, Code> {
        self.transactions.end(ID, producer, outcome, TransactionVersion::V2).await
    }

    fn state(&self) -> TransactionState {
        self.transactions.get(ID).expect("the id is known").state
    }

    fn markers(&self) -> Vec<(i32, i16, TransactionOutcome)> {
        let markers = self.partitions.markers.lock().unwrap();
        markers.iter().map(|(_, partition, p, outcome)| (*partition, p.epoch, *outcome)).collect()
    }

    async fn until(&self, what: impl Fn(&World) -> bool) {
        for _ in 0..1_000 {
            if what(self) {
                return;
            }
            yield_now().await;
        }
        panic!("it did not come to that: {:?}, {:?}", self.state(), self.markers());
    }
}

fn two_partitions() -> Partitions {
    BTreeMap::from([("t".to_owned(), [0, 1].into())])
}

#[tokio::test]
async fn a_commit_is_in_all_partitions_when_it_is_confirmed() {
    let world = World::new();
    let producer = world.begin().await;
    assert_eq!(world.end(producer, Commit).await, Ok(()));
    assert_eq!(world.markers(), [(0, 0, Commit), (1, 0, Commit)]);
    assert_eq!(world.state(), TransactionState::CompleteCommit);
    assert_eq!(world.end(producer, Commit).await, Ok(()));
    assert_eq!(world.markers().len(), 2, "a repeated end writes nothing");
}

#[tokio::test]
async fn markers_carry_the_new_epoch_and_the_repeated_end_gets_it_after_a_restart() {
    for outcome in [Commit, Abort] {
        let world = World::new();
        let producer = world.begin().await;
        let next = Producer { epoch: producer.epoch + 1, ..producer };
        assert_eq!(world.end_and_renew(producer, outcome).await, Ok(next));
        assert_eq!(world.markers(), [(0, next.epoch, outcome), (1, next.epoch, outcome)]);
        let world = World::on(world.disk.clone(), MemoryPartitions::default());
        assert_eq!(world.end_and_renew(producer, outcome).await, Ok(next), "the answer was lost");
        assert_eq!(world.markers().len(), 0, "a repeated end writes nothing");
        assert_eq!(world.transactions.add(ID, next, &two_partitions()).await, Ok(()));
    }
}

#[tokio::test]
async fn a_restart_in_the_middle_of_the_last_epoch_s_end_goes_on_with_the_new_producer_id() {
    let world = World::new();
    let first = world.begin().await;
    let last = Producer { epoch: i16::MAX - 1, ..first };
    let mut transaction = world.transactions.get(ID).unwrap();
    transaction.producer = last;
    let entry = Entry::Transaction { id: ID.to_owned(), transaction: Some(transaction) };
    world.disk.records.lock().unwrap().push(encode(&entry));
    let world = World::on(world.disk.clone(), MemoryPartitions::default());
    world.partitions.broken.store(true, SeqCst);
    let next = world.end_and_renew(last, Commit).await.unwrap();
    assert_eq!((next.epoch, next.id > last.id), (0, true));
    let world = World::on(world.disk.clone(), MemoryPartitions::default());
    assert_eq!(world.markers(), [(0, i16::MAX, Commit), (1, i16::MAX, Commit)]);
    world.transactions.start();
    world.until(|world| world.state() == TransactionState::CompleteCommit).await;
    assert_eq!(world.end_and_renew(last, Commit).await, Ok(next), "the answer was lost");
    assert_eq!(world.transactions.add(ID, next, &two_partitions()).await, Ok(()));
}

#[tokio::test]
async fn markers_that_cannot_be_written_are_written_later() {
    let world = World::new();
    let producer = world.begin().await;
    world.partitions.broken.store(true, SeqCst);
    assert_eq!(world.end(producer, Commit).await, Ok(()), "it is decided");
    assert_eq!(world.state(), TransactionState::PrepareCommit);
    let added = world.transactions.add(ID, producer, &two_partitions()).await;
    assert_eq!(added, Err(Code::ConcurrentTransactions));
    world.partitions.broken.store(false, SeqCst);
    world.until(|world| world.state() == TransactionState::CompleteCommit).await;
    assert_eq!(world.markers(), [(0, 0, Commit), (1, 0, Commit)]);
}

#[tokio::test]
async fn what_is_not_written_has_not_happened() {
    let world = World::new();
    world.disk.full.store(true, SeqCst);
    let refused = Err(Code::CoordinatorNotAvailable);
    assert_eq!(world.transactions.producer(None, None, 0).await, refused);
    world.disk.full.store(false, SeqCst);
    let producer = world.begin().await;
    world.disk.full.store(true, SeqCst);
    assert_eq!(world.transactions.producer(Some(ID), None, 1_000).await, refused);
    let ended = world.end(producer, Commit).await;
    assert_eq!(ended, Err(Code::CoordinatorNotAvailable));
    assert_eq!((world.state(), world.markers().len()), (TransactionState::Ongoing, 0));
    world.disk.full.store(false, SeqCst);
    assert_eq!(world.end(producer, Commit).await, Ok(()));
}

#[tokio::test]
async fn a_restart_writes_missing_markers_before_anything_is_started() {
    for outcome in [Commit, Abort] {
        let world = World::new();
        let producer = world.begin().await;
        world.partitions.broken.store(true, SeqCst);
        world.end(producer, outcome).await.unwrap();
        let next = World::on(world.disk.clone(), MemoryPartitions::default());
        assert_eq!(next.markers(), [(0, 0, outcome), (1, 0, outcome)]);
        next.transactions.start();
        next.until(|next| next.state().decided().is_none()).await;
        assert_eq!(next.end(producer, outcome).await, Ok(()), "the answer was lost");
    }
}

#[tokio::test]
async fn an_open_transaction_goes_on_after_a_restart_and_times_out() {
    let world = World::new();
    let producer = world.begin().await;
    let next = World::on(world.disk.clone(), MemoryPartitions::default());
    next.transactions.start();
    next.transactions.add(ID, producer, &[("u".to_owned(), [7].into())].into()).await.unwrap();
    next.clock.0.store(1_000, SeqCst);
    next.until(|next| next.state() == TransactionState::CompleteAbort).await;
    assert_eq!(next.markers(), [(0, 1, Abort), (1, 1, Abort), (7, 1, Abort)], "a higher epoch");
    let ended = next.end(producer, Commit).await;
    assert_eq!(ended, Err(Code::ProducerFenced));
}

#[tokio::test]
async fn what_a_partition_has_open_and_nobody_knows_is_aborted_at_the_start() {
    let world = World::new();
    let producer = world.begin().await;
    let open = |partition, producer| OpenTransaction { topic: "t".to_owned(), partition, producer };
    let stranger = Producer { id: producer.id + 1, epoch: 4 };
    let partitions = MemoryPartitions {
        open: vec![open(0, producer), open(5, producer), open(0, stranger)],
        ..MemoryPartitions::default()
    };
    let next = World::on(world.disk.clone(), partitions);
    assert_eq!(next.markers(), [(5, 0, Abort), (0, 4, Abort)]);
    assert_eq!(next.state(), TransactionState::Ongoing);
}

#[tokio::test]
async fn the_end_waits_for_a_batch_that_was_admitted() {
    let world = World::new();
    let producer = world.begin().await;
    let admission = world.transactions.admit(ID, producer, "t", 0).expect("it is open");
    let (transactions, mut end) = (world.transactions.clone(), None);
    let mut ending = Box::pin(async move { transactions.end(ID, producer, Commit, V1).await });
    for _ in 0..100 {
        tokio::select! {
            biased;
            ended = &mut ending => end = Some(ended),
            () = yield_now() => {}
        }
    }
    assert_eq!((end, world.markers().len()), (None, 0));
    assert_eq!(world.state(), TransactionState::PrepareCommit);
    drop(admission);
    assert_eq!(ending.await, Ok(producer));
    assert_eq!(world.markers().len(), 2);
    let late = world.transactions.admit(ID, producer, "t", 0);
    assert_eq!(late.map(|_| ()), Err(Code::TransactionAbortable));
}

#[tokio::test]
async fn the_end_goes_on_when_nobody_waits_for_it() {
    let world = World::new();
    let producer = world.begin().await;
    let mut ending = Box::pin(world.end(producer, Abort));
    tokio::select! {
        biased;
        _ = &mut ending => panic!("a task had no chance to run"),
        () = std::future::ready(()) => {}
    }
    drop(ending);
    world.until(|world| world.state() == TransactionState::CompleteAbort).await;
}

#[tokio::test]
async fn no_producer_id_is_given_twice_over_many_restarts() {
    let mut world = World::new();
    let mut last = -1;
    for restart in 0..5 {
        for _ in 0..(restart * 400) {
            let Producer { id, epoch } = world.transactions.producer(None, None, 0).await.unwrap();
            assert!(id > last && epoch == 0, "{id} after {last}");
            last = id;
        }
        let synced = *world.disk.synced.lock().unwrap();
        assert_eq!(synced, world.disk.records.lock().unwrap().len(), "reservations are synced");
        world = World::on(world.disk.clone(), MemoryPartitions::default());
    }
}

fn state_log(dir: &std::path::Path) -> Arc<PartitionLog> {
    let config = TopicConfig::parse(&BTreeMap::new()).unwrap();
    Arc::new(PartitionLog::open(dir, config, FsyncPolicy::Never, Seams::system()).unwrap())
}

#[tokio::test]
async fn what_stands_in_a_partition_on_disk_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        Transactions::open(state_log(dir.path()), TransactionLimits::default(), Seams::system())
            .unwrap()
    };
    let first = open();
    let producer = first.producer(Some(ID), None, 60_000).await.unwrap();
    first.add(ID, producer, &two_partitions()).await.unwrap();
    let known = first.get(ID);
    drop(first);
    let second = open();
    assert_eq!(second.get(ID), known);
    let other = second.producer(None, None, 0).await.unwrap();
    assert!(other.id > producer.id);
}

#[tokio::test]
async fn a_log_that_cannot_be_understood_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = state_log(dir.path());
    let (key, value) = (Bytes::from("transaction:a"), Bytes::from(r#"{"version":9}"#));
    StateLog::append(&log, key, Some(value), 0).unwrap();
    let refused = Transactions::open(log, TransactionLimits::default(), Seams::system())
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(refused.contains("version 9") && refused.contains("offset 0"), "{refused}");
}
