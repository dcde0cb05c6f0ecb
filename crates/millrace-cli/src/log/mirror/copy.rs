//! Copying records, in transactions of the target.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use millrace_connect::kafka::create;
use millrace_core::Error;
use millrace_core::seam::Clock;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;

use super::delivery::{Delivery, MAP_ENTRY};
use super::map_store;
use super::offset_map::{OffsetMap, Run, Stored};
use crate::failure::Failure;
use crate::log::client::{LogContext, code_text, failed, text_of};
use crate::log::cluster::{Cluster, Topic};
use crate::log::patience::Patience;
use crate::log::reader::{Event, Reader, Start, Then};

/// A transaction is committed when it has one of these. Records are visible behind it, and each of
/// its partitions gets a marker.
const TRANSACTION_TIME: Duration = Duration::from_secs(1);
const TRANSACTION_RECORDS: u64 = 100_000;
const TRANSACTION_BYTES: u64 = 64 << 20;

/// How long the target may take for a step of a transaction.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// How long to wait for records before looking whether something else is to be done.
const TURN: Duration = Duration::from_millis(100);

/// What was copied since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) records: u64,
    /// Of keys and values.
    pub(super) bytes: u64,
    /// Partitions that are being copied.
    pub(super) partitions: usize,
}

/// Copies partitions, and keeps the map of their offsets.
pub(super) struct Copier {
    source: Cluster,
    target: Cluster,
    once: bool,
    clock: Arc<dyn Clock>,
    consumer: Arc<BaseConsumer<LogContext>>,
    reader: Reader,
    producer: BaseProducer<Delivery>,
    map_topic: String,
    map: OffsetMap,
    /// The partition of each lane, and where it ends.
    lanes: Vec<(Start, i64)>,
    known: BTreeSet<(String, i32)>,
    copied: Copied,
    open: Option<Transaction>,
}

/// A transaction that records were sent in.
struct Transaction {
    began: Duration,
    records: u64,
    bytes: u64,
}

impl Copier {
    /// Takes over from the mirror that had this name before, if it is still there, and reads how
    /// far it was.
    pub(super) fn begin(
        source: &Cluster,
        target: &Cluster,
        map_topic: String,
        name: &str,
        once: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let producer = producer(target, name)?;
        producer.init_transactions(STEP_TIMEOUT).map_err(|error| {
            failed(format!("cannot begin transactions in `{}`", target.address()), &error)
        })?;
        let map = map_store::load(target, &map_topic, &clock)?;
        let consumer = source.consumer(&[
            ("group.id", "millrace-mirror"),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "true"),
            ("enable.auto.commit", "false"),
            // A position that is gone is told, not replaced by another.
            ("auto.offset.reset", "error"),
            // Of each partition; there may be many.
            ("queued.max.messages.kbytes", "16384"),
        ])?;
        let patience = Patience::new(!once);
        Ok(Copier {
            source: source.clone(),
            target: target.clone(),
            once,
            reader: Reader::new(Arc::clone(&consumer), patience, Arc::clone(&clock)),
            clock,
            consumer,
            producer,
            map_topic,
            map,
            lanes: Vec::new(),
            known: BTreeSet::new(),
            copied: Copied::default(),
            open: None,
        })
    }

    /// The offsets of what was committed.
    pub(super) fn map(&self) -> &OffsetMap {
        &self.map
    }

    /// What was sent.
    pub(super) fn copied(&self) -> Copied {
        Copied { partitions: self.known.len(), ..self.copied }
    }

    /// Whether all partitions were copied up to the end that they had when they were added.
    pub(super) fn is_done(&self) -> bool {
        self.reader.is_done()
    }

    /// Whether it copies all partitions of a topic already.
    pub(super) fn copies_all_of(&self, topic: &Topic) -> bool {
        topic.places().all(|place| self.known.contains(&place))
    }

    /// Begins to copy a topic's partitions that are not copied yet. Gives what is worth a warning.
    pub(super) fn add(&mut self, topic: &Topic) -> Result<Vec<String>, Failure> {
        let new: Vec<_> = topic.places().filter(|place| !self.known.contains(place)).collect();
        let sources = self.source.ranges(&self.consumer, new.clone())?;
        // The end of an open transaction of somebody else is an end, too.
        let target = self.target.consumer(&[("isolation.level", "read_uncommitted")])?;
        let targets = self.target.ranges(&target, new)?;
        let (mut starts, mut adopted, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
        for ((topic, partition, range), (_, _, there)) in sources.into_iter().zip(targets) {
            let offset = match self.map.progress(&topic, partition) {
                None => {
                    if there.high > there.low {
                        return Err(foreign(&topic, &self.target));
                    }
                    let run = Run { source: range.low, target: there.high, records: 0 };
                    adopted.extend(self.map.numbered(&topic, partition, &[run]));
                    range.low
                }
                Some(progress) if progress > range.high => {
                    return Err(made_anew(&topic, partition, progress, range.high));
                }
                Some(progress) if progress < range.low => {
                    warnings.push(format!(
                        "{} offsets of `{topic}` partition {partition} were deleted before they \
                         were copied: {progress} to {}",
                        range.low - progress,
                        range.low
                    ));
                    range.low
                }
                Some(progress) => progress,
            };
            self.known.insert((topic.clone(), partition));
            let end = if self.once { range.high } else { i64::MAX };
            if offset < end {
                starts.push(Start { topic, partition, offset });
                self.lanes.extend(starts.last().cloned().map(|start| (start, end)));
            }
        }
        self.adopt(adopted)?;
        self.reader.add(starts).map_err(|error| failed("cannot read from the source", &error))?;
        Ok(warnings)
    }

    /// Remembers that these partitions are this mirror's, before a record of them is copied.
    fn adopt(&mut self, adopted: Vec<Stored>) -> Result<(), Failure> {
        if adopted.is_empty() {
            return Ok(());
        }
        self.open()?;
        self.commit_with(adopted)
    }

    /// Copies what there is, up to a limit, and commits when it is time.
    pub(super) fn turn(&mut self) -> Result<(), Failure> {
        let Copier { reader, producer, lanes, copied, open, clock, target, .. } = self;
        let mut visit = |lane: usize, event: Event<'_>| match event {
            Event::Record(record) => {
                let (start, end) = &lanes[lane];
                if record.offset() >= *end {
                    return Ok(Then::Done);
                }
                if open.is_none() {
                    begin(producer, target)?;
                    *open = Some(Transaction { began: clock.elapsed(), records: 0, bytes: 0 });
                }
                send(producer, lane, start, record)?;
                let size = record.key_len() + record.payload_len();
                copied.records += 1;
                copied.bytes += size as u64;
                if let Some(open) = open {
                    open.records += 1;
                    open.bytes += size as u64;
                }
                Ok(if record.offset() + 1 >= *end { Then::Done } else { Then::Next })
            }
            // The offsets before the end may be markers, behind which nothing comes.
            Event::End => Ok(if lanes[lane].1 == i64::MAX { Then::Next } else { Then::Done }),
            Event::Failed(error) => Err(failed(
                format!(
                    "cannot copy `{}` partition {}",
                    lanes[lane].0.topic, lanes[lane].0.partition
                ),
                &error,
            )
            .with_hint("start the mirror again; it tells what is gone, and goes on behind it")),
        };
        reader.turn::<Failure>(TURN, &mut visit)?;
        if reader.is_done() {
            // Nothing is there to wait for.
            tokio::runtime::Handle::current().block_on(clock.sleep(TURN));
        }
        producer.poll(Duration::ZERO);
        check(producer)?;
        let due = open.as_ref().is_some_and(|open| {
            open.records >= TRANSACTION_RECORDS
                || open.bytes >= TRANSACTION_BYTES
                || clock.elapsed().saturating_sub(open.began) >= TRANSACTION_TIME
        });
        if due { self.commit() } else { Ok(()) }
    }

    fn open(&mut self) -> Result<(), Failure> {
        begin(&self.producer, &self.target)?;
        self.open = Some(Transaction { began: self.clock.elapsed(), records: 0, bytes: 0 });
        Ok(())
    }

    /// Commits what was sent, with the map's entries for it.
    pub(super) fn commit(&mut self) -> Result<(), Failure> {
        if self.open.is_none() {
            return Ok(());
        }
        self.flush()?;
        let mut stored = Vec::new();
        for (lane, runs) in self.producer.context().take_runs().into_iter().enumerate() {
            if !runs.is_empty() {
                let start = &self.lanes[lane].0;
                stored.extend(self.map.numbered(&start.topic, start.partition, &runs));
            }
        }
        self.commit_with(stored)
    }

    fn commit_with(&mut self, stored: Vec<Stored>) -> Result<(), Failure> {
        for run in &stored {
            let value = serde_json::to_string(run).map_err(|cause| {
                Failure::operation(&Error::report("an offset map is not JSON").caused_by(cause))
            })?;
            let key = run.key();
            let entry: BaseRecord<'_, str, str, usize> =
                BaseRecord::with_opaque_to(&self.map_topic, MAP_ENTRY)
                    .key(key.as_str())
                    .payload(value.as_str());
            offer(&self.producer, entry)?;
        }
        self.flush()?;
        loop {
            match self.producer.commit_transaction(STEP_TIMEOUT) {
                Ok(()) => break,
                Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
                Err(error) => return Err(self.transaction_failure(&error)),
            }
        }
        self.open = None;
        self.map.extend(stored);
        Ok(())
    }

    fn flush(&self) -> Result<(), Failure> {
        let flushed = self.producer.flush(STEP_TIMEOUT);
        check(&self.producer)?;
        flushed.map_err(|error| self.transaction_failure(&error))
    }

    fn transaction_failure(&self, error: &KafkaError) -> Failure {
        let doing = format!("cannot commit to `{}`", self.target.address());
        broken(&self.producer, doing, text_of(error))
    }
}

/// The failure of a transaction, which only another start of the mirror mends.
fn broken(producer: &BaseProducer<Delivery>, doing: String, reason: String) -> Failure {
    let error = Error::retry(doing).caused_by(reason);
    Failure::operation(&match producer.client().fatal_error() {
        Some((RDKafkaErrorCode::Fenced | RDKafkaErrorCode::InvalidProducerEpoch, _)) => {
            error.hint("another mirror of this name took over; --name tells mirrors apart")
        }
        _ => error.hint("start the mirror again; it goes on where it was"),
    })
}

fn producer(target: &Cluster, name: &str) -> Result<BaseProducer<Delivery>, Failure> {
    let id = format!("millrace-mirror-{name}");
    let config = target.config(&[
        ("transactional.id", &id),
        ("enable.idempotence", "true"),
        ("linger.ms", "20"),
        // How large a record may be is the business of the topic that it goes to.
        ("message.max.bytes", "1000000000"),
    ]);
    create(&config, Delivery::new(target.context()))
        .map_err(|error| failed("cannot make a producer", &error))
}

fn begin(producer: &BaseProducer<Delivery>, target: &Cluster) -> Result<(), Failure> {
    producer.begin_transaction().map_err(|error| {
        failed(format!("cannot begin a transaction in `{}`", target.address()), &error)
    })
}

/// Sends a copy: the same partition, key, value, headers and time.
fn send(
    producer: &BaseProducer<Delivery>,
    lane: usize,
    start: &Start,
    record: &BorrowedMessage<'_>,
) -> Result<(), Failure> {
    let mut copy: BaseRecord<'_, [u8], [u8], usize> =
        BaseRecord::with_opaque_to(&start.topic, lane).partition(start.partition);
    copy.key = record.key();
    copy.payload = record.payload();
    copy.timestamp = record.timestamp().to_millis();
    copy.headers = record.headers().filter(|headers| headers.count() > 0).map(|h| h.detach());
    producer.context().send(lane, record.offset());
    offer(producer, copy)
}

/// Sends a record when there is room for it.
fn offer<K, P>(
    producer: &BaseProducer<Delivery>,
    mut record: BaseRecord<'_, K, P, usize>,
) -> Result<(), Failure>
where
    K: rdkafka::message::ToBytes + ?Sized,
    P: rdkafka::message::ToBytes + ?Sized,
{
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                record = returned;
                producer.poll(TURN);
                check(producer)?;
            }
            Err((error, _)) => return Err(failed("cannot write to the target", &error)),
        }
    }
}

fn check(producer: &BaseProducer<Delivery>) -> Result<(), Failure> {
    match producer.context().failure() {
        None => Ok(()),
        Some(code) => {
            // What made the client give up all that was waiting says more than that it did.
            let fatal = producer.client().fatal_error().map(|(_, reason)| reason);
            let reason = fatal.unwrap_or_else(|| code_text(code));
            Err(broken(producer, "cannot write to the target".to_owned(), reason))
        }
    }
}

fn foreign(topic: &str, target: &Cluster) -> Failure {
    Failure::operation(
        &Error::fix_input(format!(
            "topic `{topic}` of `{}` has records that this mirror did not write",
            target.address()
        ))
        .hint("delete it there, or leave it out with --topics"),
    )
}

fn made_anew(topic: &str, partition: i32, progress: i64, end: i64) -> Failure {
    Failure::operation(
        &Error::fix_input(format!(
            "`{topic}` partition {partition} ends at {end}, but was copied up to {progress}: it \
             is not the topic that it was"
        ))
        .hint("delete the copy and begin with another --name, or leave it out with --topics"),
    )
}
