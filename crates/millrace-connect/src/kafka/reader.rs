//! Reads one partition.
//!
//! # How records come
//!
//! The client library fetches in threads of its own into a queue for each partition, up to
//! `queued.max.messages.kbytes`, and stops fetching when that is full: a reader that is not asked
//! is back-pressure as far as the broker. A reader takes from its queue what is there and never
//! waits; the queue wakes it when it is no longer empty.
//!
//! # Where a bounded read ends
//!
//! At the first record at or behind the stop offset, or at the end of the partition once that is
//! known to be behind it. The second is needed because offsets have gaps: the markers of
//! transactions, records that compaction removed, and transactions that were aborted take offsets
//! and are never seen. The end of the partition means its last *readable* record: with
//! `read_committed` an open transaction comes before it.
//!
//! # Offsets that are not there
//!
//! A position before the partition's first record means that records were deleted before they were
//! read; one behind its end that the topic was made anew. Both are errors, unless
//! `properties.auto.offset.reset` says where to go on; then the lost range is told.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_core::seam::Seams;
use millrace_core::{Error, Read, ReadBatch, Result, Split, SplitId, SplitReader};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use tokio::sync::Notify;

use super::client::client_error;
use super::consumer::{ConsumerSettings, Consumers, SourceConsumer};
use super::decode::Decoder;
use super::fetched::Fetched;
use super::position::{Position, TopicPartition};
use super::queue::{Record, RecordQueue};
use super::reach::attended;
use super::relay::Relay;

/// A batch ends when its records take so much.
const BATCH_BYTES: usize = 8 << 20;
/// How often a reader that waits looks after the client's own messages, such as errors.
const SERVE_INTERVAL: Duration = Duration::from_secs(1);

/// What a reader is made of.
pub(crate) struct ReaderParts {
    pub subtask: usize,
    pub consumers: Arc<Consumers>,
    pub settings: ConsumerSettings,
    pub decoder: Box<dyn Decoder>,
    pub batch_rows: usize,
    pub seams: Seams,
}

/// One partition, assigned to the subtask's consumer while this lives.
pub(crate) struct PartitionReader {
    parts: ReaderParts,
    partition: TopicPartition,
    split: SplitId,
    consumer: Arc<SourceConsumer>,
    queue: Option<RecordQueue>,
    arrived: Arc<Notify>,
    fetched: Fetched,
    next_offset: i64,
    stop: Option<i64>,
    /// The partition is known to have had this end before it was last read to its end.
    known_end: i64,
    /// The partition's end was reached, and nothing has come since.
    at_end: bool,
    ended: bool,
    null_values: u64,
    /// When the client is looked after next, by the clock's elapsed time.
    serve_at: Duration,
    /// That time has come.
    quiet: bool,
}

impl PartitionReader {
    /// Assigns the partition and begins to fetch.
    ///
    /// # Errors
    /// `Restore` when the position is no longer there.
    pub async fn open(split: &Split, parts: ReaderParts) -> Result<Self> {
        let partition = TopicPartition::of(&split.id)?;
        let position = Position::of(split)?;
        let wanted = parts.decoder.wanted();
        let consumer = parts.consumers.of_subtask(parts.subtask, &parts.settings)?;
        let mut reader = PartitionReader {
            fetched: Fetched::new(&partition.topic, partition.partition, wanted),
            split: split.id.clone(),
            partition,
            parts,
            consumer,
            queue: None,
            arrived: Arc::new(Notify::new()),
            next_offset: position.offset,
            stop: position.stop,
            known_end: 0,
            at_end: false,
            ended: false,
            null_values: 0,
            serve_at: Duration::ZERO,
            quiet: false,
        };
        if reader.reached_stop() {
            reader.ended = true;
        } else {
            reader.check_range().await?;
            reader.assign()?;
        }
        Ok(reader)
    }

    fn reached_stop(&self) -> bool {
        self.stop.is_some_and(|stop| self.next_offset >= stop)
    }

    /// Begins to fetch at the next offset.
    fn assign(&mut self) -> Result<()> {
        self.unassign();
        let ReaderParts { subtask, consumers, settings, .. } = &self.parts;
        self.consumer = consumers.for_partition(*subtask, settings, &self.partition)?;
        let consumer = &self.consumer;
        let failed = |cause| client_error(format!("{} cannot be read", self.partition), cause);
        // Before it is assigned, so that nothing comes through the consumer's own queue.
        let arrived = Arc::clone(&self.arrived);
        let queue = RecordQueue::split(consumer, &self.partition, move || arrived.notify_one())?;
        let TopicPartition { topic, partition } = &self.partition;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, *partition, Offset::Offset(self.next_offset))
            .map_err(failed)?;
        consumer.incremental_assign(&list).map_err(failed)?;
        self.queue = Some(queue);
        self.at_end = false;
        Ok(())
    }

    fn unassign(&mut self) {
        if self.queue.is_some() {
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.partition.topic, self.partition.partition);
            if let Err(cause) = self.consumer.incremental_unassign(&list) {
                tracing::warn!("{} cannot be given back: {cause}", self.partition);
            }
            self.queue = None;
        }
    }

    /// The first offset of the partition and the one behind its last record.
    fn range(&self) -> impl Future<Output = Result<(i64, i64)>> + Send + use<> {
        let seams = self.parts.seams.clone();
        let (consumer, partition) = (Arc::clone(&self.consumer), self.partition.clone());
        let client = self.parts.settings.client.clone();
        let ask = move |consumer: &SourceConsumer| {
            let doing = || format!("the ends of {partition} cannot be read");
            let (topic, number) = (&partition.topic, partition.partition);
            client.ask(doing, |limit| consumer.fetch_watermarks(topic, number, limit))
        };
        async move { attended(&consumer, &seams, ask).await }
    }

    /// Sees to it that the next offset is one of the partition.
    async fn check_range(&mut self) -> Result<()> {
        let (first, end) = self.range().await?;
        self.known_end = end;
        let next = self.next_offset;
        if (first..=end).contains(&next) {
            return Ok(());
        }
        let what = if next < first {
            format!(
                "the records {next} to {} of {} were deleted before they were read: it begins at \
                 {first} now",
                first - 1,
                self.partition
            )
        } else {
            format!(
                "{} ends at {end}, before {next}, where reading was to go on: it was made anew or \
                 lost its end",
                self.partition
            )
        };
        let reset = match self.parts.settings.client.offset_reset.as_deref() {
            Some("earliest") => first,
            Some("latest") => end,
            _ => {
                return Err(Error::restore(what).hint(
                    "`properties.auto.offset.reset` = `earliest` or `latest` goes on without them",
                ));
            }
        };
        tracing::warn!("{what}; `properties.auto.offset.reset` says to go on at {reset}");
        self.next_offset = reset;
        Ok(())
    }

    /// Takes what is there, up to a batch.
    ///
    /// # Errors
    /// The client's: the caller looks at `AutoOffsetReset`.
    fn fetch(&mut self) -> Result<(), KafkaError> {
        let Some(mut queue) = self.queue.take() else { return Ok(()) };
        let mut result = Ok(());
        while result.is_ok() && !self.ended && self.fetched.bytes() < BATCH_BYTES {
            let room = self.parts.batch_rows.saturating_sub(self.fetched.len());
            let taken = queue.take(room, |record| match self.take(record) {
                Ok(flow) => flow,
                Err(cause) => {
                    result = Err(cause);
                    ControlFlow::Break(())
                }
            });
            if taken == 0 {
                break;
            }
        }
        self.queue = Some(queue);
        result
    }

    /// Takes a record, or what the client says instead. Breaks off where the read ends.
    fn take(
        &mut self,
        record: Result<Record<'_>, KafkaError>,
    ) -> Result<ControlFlow<()>, KafkaError> {
        match record {
            Ok(record) => {
                let offset = record.offset();
                if offset < self.next_offset {
                    return Ok(ControlFlow::Continue(()));
                }
                self.at_end = false;
                if self.stop.is_none_or(|stop| offset < stop) {
                    self.fetched.push(record);
                    self.next_offset = offset + 1;
                    self.ended = self.reached_stop();
                } else {
                    self.ended = true;
                }
            }
            Err(KafkaError::PartitionEOF(_)) => {
                self.at_end = true;
                self.ended = self.stop.is_some_and(|stop| stop <= self.known_end);
            }
            Err(cause) => return Err(cause),
        }
        Ok(if self.ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// At the partition's end, but not known to be behind the stop offset: looks whether the end
    /// has moved behind it, and if so reads on from here to the end as it is then.
    async fn look_for_stop(&mut self) -> Result<()> {
        let Some(stop) = self.stop.filter(|_| self.at_end && !self.ended) else {
            return Ok(());
        };
        let (_, end) = self.range().await?;
        if end >= stop {
            self.known_end = end;
            self.assign()?;
        }
        Ok(())
    }

    /// Hears the client's own messages: errors that are not about a partition.
    fn serve(&self) -> Result<()> {
        let relay = self.parts.settings.client.relay();
        if let Some(refusal) = relay.and_then(Relay::refusal) {
            return Err(refusal.context(format!("{} cannot be read", self.partition)));
        }
        match self.consumer.poll(Duration::ZERO) {
            Some(Ok(message)) => Err(Error::report(format!(
                "record {} of {} came through the wrong queue",
                message.offset(),
                self.partition
            ))),
            Some(Err(cause)) if is_fatal(&cause) => {
                Err(client_error(format!("{} cannot be read", self.partition), cause))
            }
            // The client goes on by itself, and has logged what is wrong.
            _ => Ok(()),
        }
    }

    fn decode(&mut self) -> Result<Option<Read>> {
        if self.fetched.len() == 0 {
            return Ok(None);
        }
        let bytes = self.fetched.bytes() as u64;
        let nulls = self.fetched.values.nulls() as u64;
        let decoded = self.parts.decoder.decode(&self.fetched, &self.split);
        self.fetched.clear();
        let decoded = decoded?;
        if nulls > 0 && decoded.leaves_out_nulls {
            if self.null_values == 0 {
                tracing::warn!(
                    "{} has records without a value, which are no rows of its format",
                    self.partition
                );
            }
            self.null_values += nulls;
        }
        if decoded.rows.is_none() && decoded.bad.is_empty() {
            return Ok(None);
        }
        Ok(Some(Read::Rows(ReadBatch { rows: decoded.rows, bad: decoded.bad, bytes })))
    }
}

/// Whether there is no use in going on.
pub(crate) fn is_fatal(cause: &KafkaError) -> bool {
    matches!(cause, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            cause.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::Authentication
                    | RDKafkaErrorCode::SaslAuthenticationFailed
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed
                    | RDKafkaErrorCode::UnsupportedSASLMechanism
            )
        )
}

#[async_trait]
impl SplitReader for PartitionReader {
    async fn next(&mut self) -> Result<Read> {
        self.serve()?;
        loop {
            if let Err(cause) = self.fetch() {
                match cause.rdkafka_error_code() {
                    Some(
                        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                    ) => {
                        self.check_range().await?;
                        self.assign()?;
                    }
                    _ => {
                        let doing = format!("{} cannot be read on", self.partition);
                        return Err(client_error(doing, cause));
                    }
                }
            }
            let taken = self.fetched.len();
            if let Some(read) = self.decode()? {
                return Ok(read);
            }
            if self.ended {
                self.unassign();
                return Ok(Read::End);
            }
            if taken == 0 {
                if std::mem::take(&mut self.quiet) {
                    self.parts.settings.client.check_place()?;
                }
                self.look_for_stop().await?;
                return Ok(Read::Pending);
            }
        }
    }

    fn position(&self) -> Value {
        Position::new(self.next_offset, self.stop).to_json()
    }

    async fn ready(&mut self) -> Option<()> {
        let clock = Arc::clone(&self.parts.seams.clock);
        // Whoever waits is interrupted at each checkpoint and waits anew: the time stands.
        let rest = self.serve_at.saturating_sub(clock.elapsed());
        tokio::select! {
            () = self.arrived.notified() => {}
            () = clock.sleep(rest) => {
                self.serve_at = clock.elapsed() + SERVE_INTERVAL;
                self.quiet = true;
            }
        }
        Some(())
    }
}

impl Drop for PartitionReader {
    fn drop(&mut self) {
        self.unassign();
    }
}
