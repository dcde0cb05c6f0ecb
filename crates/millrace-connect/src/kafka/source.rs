//! A topic's partitions as splits.
//!
//! # What happens with offsets
//!
//! Positions live in checkpoints: a restored job reads on where its checkpoint stood, whatever the
//! group's offsets are. Where a partition begins is asked once, when it is first found, and where
//! it stops too if the read is bounded; both stand in its position from then on. A partition that
//! appears later is read from its first record, in any startup mode: whatever it holds was written
//! after the job began.
//!
//! When a checkpoint is complete, its offsets are committed to `properties.group.id`, if there is
//! one, for others to see (Flink's `commit.offsets.on.checkpoint`). Nothing depends on that commit:
//! a failed one is logged, and the next one is newer.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use millrace_core::seam::Seams;
use millrace_core::{
    Boundedness, Error, ErrorKind, ReaderContext, Result, Source, Split, SplitId, SplitReader,
    Subtask,
};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::consumer::{ConsumerSettings, Consumers, SourceConsumer, partitions};
use super::decode::Decode;
use super::offsets::{Bounds, Place, Resolver};
use super::options::Topics;
use super::position::{Position, TopicPartition};
use super::properties::ClientProperties;
use super::reach::attended;
use super::reader::{PartitionReader, ReaderParts};
use crate::blocking::blocking;

/// How long a commit of offsets may hold up its subtask.
const COMMIT_PATIENCE: Duration = Duration::from_secs(2);

/// Topics to read.
pub(crate) struct TopicSource {
    /// The table's name, for messages.
    pub name: String,
    pub topics: Topics,
    pub client: ClientProperties,
    pub bounds: Bounds,
    pub discovery_interval: Option<Duration>,
    pub decode: Arc<dyn Decode>,
    pub consumers: Arc<Consumers>,
    /// A commit of offsets is under way; another one would only wait behind it.
    pub committing: Arc<AtomicBool>,
}

impl TopicSource {
    async fn settings(&self) -> Result<ConsumerSettings> {
        let bootstrap_servers = self.client.brokers(&Seams::system()).await?;
        let (table, client) = (self.name.clone(), self.client.clone());
        Ok(ConsumerSettings { table, client, bootstrap_servers })
    }

    async fn consumer(&self, subtask: usize) -> Result<Arc<SourceConsumer>> {
        self.consumers.of_subtask(subtask, &self.settings().await?)
    }

    /// The splits that are not among `known`, each with its position.
    async fn find(&self, known: HashSet<SplitId>, start: Place) -> Result<Vec<Split>> {
        let consumer = self.consumer(0).await?;
        let (client, topics) = (self.client.clone(), self.topics.clone());
        let stop = self.bounds.stop.clone();
        attended(&consumer, &Seams::system(), move |consumer| {
            let mut found = partitions(consumer, &client, &topics)?;
            found.retain(|one| !known.contains(&one.split_id()));
            if found.is_empty() {
                return Ok(Vec::new());
            }
            let resolver = Resolver { consumer, client: &client, partitions: &found };
            let starts = resolver.start(&start)?;
            let stops = stop.map(|place| resolver.stop(&place)).transpose()?;
            let split = |one: &TopicPartition| {
                let missing = || Error::retry(format!("the broker knows no offset of {one}"));
                let start = *starts.get(one).ok_or_else(missing)?;
                let stop = match &stops {
                    Some(stops) => Some(*stops.get(one).ok_or_else(missing)?),
                    None => None,
                };
                let position = Position::new(start, stop).to_json();
                Ok(Split { id: one.split_id(), position })
            };
            found.iter().map(split).collect()
        })
        .await
        .map_err(|error| error.context(format!("table `{}`", self.name)))
    }
}

#[async_trait]
impl Source for TopicSource {
    fn open_readers(&self) -> usize {
        // Each holds a queue; to open one again is what costs.
        usize::MAX
    }

    fn boundedness(&self) -> Boundedness {
        match self.bounds.stop {
            Some(_) => Boundedness::Bounded,
            None => Boundedness::Unbounded { discovery_interval: self.discovery_interval },
        }
    }

    async fn discover(&self) -> Result<Vec<Split>> {
        let splits = self.find(HashSet::new(), self.bounds.start.clone()).await?;
        if splits.is_empty() && self.discovery_interval.is_none() {
            return Err(Error::fix_input(format!("table `{}` has no topic to read", self.name))
                .hint("no topic matches `topic-pattern`"));
        }
        Ok(splits)
    }

    async fn discover_new(&self, known: &HashSet<SplitId>) -> Result<Vec<Split>> {
        let found = self.find(known.clone(), Place::Earliest).await;
        match (found, self.discovery_interval) {
            (Err(error), Some(_)) if error.kind() == ErrorKind::Retry => {
                // No reason to stop a job that reads what it knows; it looks again soon.
                tracing::warn!("new partitions cannot be looked for now: {}", error.full_report());
                Ok(Vec::new())
            }
            (found, _) => found,
        }
    }

    async fn open(&self, split: &Split, context: &ReaderContext) -> Result<Box<dyn SplitReader>> {
        let parts = ReaderParts {
            subtask: context.subtask.index,
            consumers: Arc::clone(&self.consumers),
            settings: self.settings().await?,
            decoder: self.decode.decoder()?,
            batch_rows: context.batch_rows.max(1),
            seams: context.seams.clone(),
        };
        let reader = PartitionReader::open(split, parts).await;
        let named = |error: Error| error.context(format!("table `{}`", self.name));
        Ok(Box::new(reader.map_err(named)?))
    }

    async fn checkpoint_completed(
        &self,
        subtask: Subtask,
        splits: &[Split],
        seams: &Seams,
    ) -> Result<()> {
        if self.client.group_id.is_none() || splits.is_empty() {
            return Ok(());
        }
        let mut offsets = TopicPartitionList::new();
        for split in splits {
            let TopicPartition { topic, partition } = TopicPartition::of(&split.id)?;
            let offset = Offset::Offset(Position::of(split)?.offset);
            offsets.add_partition_offset(&topic, partition, offset).map_err(|cause| {
                Error::report(format!("the offset of `{}` is none", split.id)).caused_by(cause)
            })?;
        }
        if self.committing.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let consumer = self.consumer(subtask.index).await?;
        let (name, committing) = (self.name.clone(), Arc::clone(&self.committing));
        let commit = blocking(seams, move || {
            if let Err(cause) = consumer.commit(&offsets, CommitMode::Sync) {
                tracing::warn!("the offsets of table `{name}` cannot be committed: {cause}");
            }
            committing.store(false, Ordering::Release);
            Ok(())
        });
        tokio::select! {
            done = commit => done,
            () = seams.clock.sleep(COMMIT_PATIENCE) => Ok(()),
        }
    }
}
