//! Reading as a member of a group.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use millrace_core::seam::Clock;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::{Printer, TURN, isolation};
use crate::failure::Failure;
use crate::log::args::ConsumeArguments;
use crate::log::attend::Stop;
use crate::log::client::{LogContext, failed};
use crate::log::cluster::Cluster;
use crate::log::patience::Patience;
use crate::log::position::Position;

/// How often it is handed over and committed what was printed, while records come without a pause.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// Reads from the group's committed offsets on. An offset is committed after its record was
/// printed: a member that dies prints some records again, and loses none.
pub(super) fn read(
    cluster: &Cluster,
    arguments: &ConsumeArguments,
    printer: &mut Printer,
    stop: &Stop,
    clock: &Arc<dyn Clock>,
) -> Result<(), Failure> {
    let group = arguments.group.as_deref().unwrap_or_default();
    let reset = if arguments.from == Some(Position::Latest) { "latest" } else { "earliest" };
    let consumer = cluster.consumer(&[
        ("group.id", group),
        ("isolation.level", isolation(arguments)),
        ("enable.partition.eof", "true"),
        // Offsets are stored when their records are printed, and committed from there: now and
        // then, when a partition goes to another member, and at the end.
        ("enable.auto.commit", "true"),
        ("auto.commit.interval.ms", "1000"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", reset),
    ])?;
    let subscribed = match &arguments.pattern {
        // The client takes what begins with `^` for a regular expression of its own kind.
        Some(_) => super::topics(cluster, &consumer, arguments)?,
        None => cluster.topics_named(&consumer, &arguments.topics)?,
    };
    let names: Vec<&str> = subscribed.iter().map(|topic| topic.name.as_str()).collect();
    consumer.subscribe(&names).map_err(|error| failed("cannot subscribe", &error))?;
    let read = Member { consumer: &consumer, printed: Vec::new(), at_end: BTreeSet::new() }.read(
        arguments,
        printer,
        stop,
        clock.as_ref(),
    );
    match consumer.commit_consumer_state(CommitMode::Sync) {
        Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => read,
        Err(error) => {
            read?;
            Err(failed(format!("cannot commit the offsets of group `{group}`"), &error)
                .with_hint("what was printed last will be read again"))
        }
    }
}

struct Member<'a> {
    consumer: &'a BaseConsumer<LogContext>,
    /// The offsets behind what was printed, and not handed over yet.
    printed: Vec<(String, i32, i64)>,
    /// Partitions that were read to their present end.
    at_end: BTreeSet<i32>,
}

impl Member<'_> {
    fn read(
        &mut self,
        arguments: &ConsumeArguments,
        printer: &mut Printer,
        stop: &Stop,
        clock: &dyn Clock,
    ) -> Result<(), Failure> {
        let mut handed_over = clock.elapsed();
        let mut patience = Patience::new(arguments.follow);
        while !stop.is_set() && !printer.is_full() {
            match self.consumer.poll(TURN) {
                Some(Ok(record)) => {
                    patience.relieve();
                    printer.print(&record)?;
                    self.at_end.remove(&record.partition());
                    self.note(record.topic(), record.partition(), record.offset() + 1);
                    if clock.elapsed().saturating_sub(handed_over) < COMMIT_INTERVAL {
                        continue;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    patience.relieve();
                    self.at_end.insert(partition);
                }
                Some(Err(error)) => patience
                    .bear(error, clock.elapsed())
                    .map_err(|error| failed("cannot read", &error))?,
                None => patience
                    .check(clock.elapsed())
                    .map_err(|error| failed("cannot read", &error))?,
            }
            self.hand_over(printer)?;
            handed_over = clock.elapsed();
            if !arguments.follow && self.is_at_end()? {
                break;
            }
        }
        self.hand_over(printer)
    }

    fn note(&mut self, topic: &str, partition: i32, next: i64) {
        match self.printed.last_mut() {
            Some((last, number, offset)) if last == topic && *number == partition => *offset = next,
            _ => self.printed.push((topic.to_owned(), partition, next)),
        }
    }

    /// Gives the printed records away, then their offsets to be committed.
    fn hand_over(&mut self, printer: &mut Printer) -> Result<(), Failure> {
        printer.flush()?;
        for (topic, partition, offset) in self.printed.drain(..) {
            let mut stored = TopicPartitionList::new();
            stored
                .add_partition_offset(&topic, partition, Offset::Offset(offset))
                .and_then(|()| match self.consumer.store_offsets(&stored) {
                    // The partition is another member's by now, which reads the record again.
                    Err(KafkaError::StoreOffset(RDKafkaErrorCode::State)) => Ok(()),
                    result => result,
                })
                .map_err(|error| failed("cannot note what was printed", &error))?;
        }
        Ok(())
    }

    /// Whether all partitions that this member has were read to their end. There is one topic.
    fn is_at_end(&self) -> Result<bool, Failure> {
        if self.at_end.is_empty() {
            return Ok(false);
        }
        let assigned = self.consumer.assignment();
        let assigned = assigned.map_err(|error| failed("cannot learn what is assigned", &error))?;
        let mut partitions = assigned.elements().into_iter().map(|element| element.partition());
        Ok(assigned.count() > 0 && partitions.all(|partition| self.at_end.contains(&partition)))
    }
}
