//! The source of the typed API.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_core::seam::Seams;
use millrace_core::{
    BadRecord, Batch, Boundedness, Error, ReaderContext, Records, Result, Source, Split, SplitId,
    SplitReader, Subtask, Timestamp,
};

use super::DISCOVERY_INTERVAL;
use super::consumer::Consumers;
use super::decode::{Decode, DecodedRecords, Decoder};
use super::fetched::{Fetched, Wanted};
use super::offsets::{Bounds, Place};
use super::options::Topics;
use super::properties::ClientProperties;
use super::source::TopicSource;

/// Reads rows of type `T` from topics.
///
/// A closure makes a row of each record; a record that it refuses fails the job with its place. A
/// row's time is the record's until the stream is given another. Positions stand in checkpoints;
/// see the reference of the connector `kafka` for what else reading means.
///
/// ```
/// use millrace_connect::kafka::{KafkaSource, Offsets};
///
/// # fn main() -> millrace_core::Result<()> {
/// let source = KafkaSource::builder("localhost:9092", ["orders"])
///     .starting_at(Offsets::Earliest)
///     .stopping_before(Offsets::Latest)
///     .property("isolation.level", "read_committed")
///     .decode(|record| {
///         let text = std::str::from_utf8(record.value.unwrap_or_default());
///         text.map(str::to_owned).map_err(|error| error.to_string())
///     })?;
/// # drop(source);
/// # Ok(())
/// # }
/// ```
pub struct KafkaSource<T> {
    topics: TopicSource,
    rows: PhantomData<fn() -> T>,
}

/// What a [`KafkaSource`] is made of.
#[derive(Clone, Debug)]
pub struct KafkaSourceBuilder {
    topics: Result<Topics, String>,
    properties: Vec<(String, String)>,
    start: Place,
    stop: Option<Place>,
    discovery_interval: Option<Duration>,
}

/// A place in each partition of the topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offsets {
    /// The first record that is still there.
    Earliest,
    /// Behind the last record.
    Latest,
    /// Where the group (`group.id`) has come to.
    OfGroup,
    /// The first record of this time or later.
    At(Timestamp),
    /// These offsets, by partition, of a single topic.
    Of(BTreeMap<i32, i64>),
}

impl From<Offsets> for Place {
    fn from(offsets: Offsets) -> Self {
        match offsets {
            Offsets::Earliest => Place::Earliest,
            Offsets::Latest => Place::Latest,
            Offsets::OfGroup => Place::GroupOffsets,
            Offsets::At(time) => Place::Timestamp(time.as_millis().max(0)),
            Offsets::Of(offsets) => Place::Specific(offsets),
        }
    }
}

/// A record as the closure of a [`KafkaSource`] sees it.
#[derive(Clone, Copy, Debug)]
pub struct KafkaRecord<'a> {
    /// Where it stands.
    pub topic: &'a str,
    /// Where it stands.
    pub partition: i32,
    /// Where it stands.
    pub offset: i64,
    /// Its time; [`Timestamp::MIN`] for none.
    pub timestamp: Timestamp,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value; a tombstone has none.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order; they may have no value.
    pub headers: &'a [(String, Option<Vec<u8>>)],
}

impl KafkaSource<()> {
    /// A source of `topics` of the cluster that `bootstrap_servers` (`HOST:PORT`, more after
    /// commas) belongs to: from their first records, without end, unless the builder is told
    /// otherwise.
    pub fn builder<'a>(
        bootstrap_servers: &str,
        topics: impl IntoIterator<Item = &'a str>,
    ) -> KafkaSourceBuilder {
        KafkaSourceBuilder {
            topics: Topics::list(topics).map_err(|error| error.message().to_owned()),
            properties: vec![("bootstrap.servers".into(), bootstrap_servers.into())],
            start: Place::Earliest,
            stop: None,
            discovery_interval: Some(DISCOVERY_INTERVAL),
        }
    }
}

impl KafkaSourceBuilder {
    /// Where each partition is read from when the job starts without a checkpoint. Partitions that
    /// are found later are read from their first records.
    #[must_use]
    pub fn starting_at(mut self, offsets: Offsets) -> Self {
        self.start = offsets.into();
        self
    }

    /// Where each partition is read to: the source then ends.
    #[must_use]
    pub fn stopping_before(mut self, offsets: Offsets) -> Self {
        self.stop = Some(offsets.into());
        self
    }

    /// How often new partitions are looked for; 5 minutes unless it is set. `None`: never.
    #[must_use]
    pub fn discovery_interval(mut self, interval: Option<Duration>) -> Self {
        self.discovery_interval = interval;
        self
    }

    /// A setting of the Kafka client, such as `group.id`.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The source, whose rows `decode` makes; what it says of a record that it cannot decode stands
    /// in the job's error.
    ///
    /// # Errors
    /// `FixInput` when topics or properties cannot be so.
    pub fn decode<T, F>(self, decode: F) -> Result<KafkaSource<T>>
    where
        T: Clone + Send + 'static,
        F: Fn(&KafkaRecord<'_>) -> Result<T, String> + Send + Sync + 'static,
    {
        let topics = self.topics.map_err(Error::fix_input)?;
        let client = ClientProperties::of(&self.properties)?;
        let bounds = Bounds { start: self.start, stop: self.stop };
        bounds.check(&topics, &client)?;
        let name = match &topics {
            Topics::List(names) => names.join(";"),
            Topics::Pattern(pattern) => pattern.as_str().to_owned(),
        };
        let topics = TopicSource {
            name,
            topics,
            client,
            bounds,
            discovery_interval: self.discovery_interval,
            decode: Arc::new(Closure { decode: Arc::new(decode), rows: PhantomData }),
            consumers: Arc::new(Consumers::default()),
            committing: Arc::default(),
        };
        Ok(KafkaSource { topics, rows: PhantomData })
    }
}

impl<T> fmt::Debug for KafkaSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSource").field("topics", &self.topics.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl<T: 'static> Source for KafkaSource<T> {
    fn boundedness(&self) -> Boundedness {
        self.topics.boundedness()
    }

    fn open_readers(&self) -> usize {
        self.topics.open_readers()
    }

    async fn discover(&self) -> Result<Vec<Split>> {
        self.topics.discover().await
    }

    async fn discover_new(&self, known: &HashSet<SplitId>) -> Result<Vec<Split>> {
        self.topics.discover_new(known).await
    }

    async fn checkpoint_completed(
        &self,
        subtask: Subtask,
        splits: &[Split],
        seams: &Seams,
    ) -> Result<()> {
        self.topics.checkpoint_completed(subtask, splits, seams).await
    }

    async fn open(&self, split: &Split, context: &ReaderContext) -> Result<Box<dyn SplitReader>> {
        self.topics.open(split, context).await
    }
}

struct Closure<T, F> {
    decode: Arc<F>,
    rows: PhantomData<fn() -> T>,
}

impl<T, F> Decode for Closure<T, F>
where
    T: Clone + Send + 'static,
    F: Fn(&KafkaRecord<'_>) -> Result<T, String> + Send + Sync + 'static,
{
    fn decoder(&self) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(Closure { decode: Arc::clone(&self.decode), rows: PhantomData }))
    }
}

impl<T, F> Decoder for Closure<T, F>
where
    T: Clone + Send + 'static,
    F: Fn(&KafkaRecord<'_>) -> Result<T, String> + Send + Sync + 'static,
{
    fn wanted(&self) -> Wanted {
        Wanted { keys: true, headers: true, leader_epochs: false }
    }

    fn decode(&mut self, fetched: &Fetched, split: &SplitId) -> Result<DecodedRecords> {
        let mut rows = Records::with_capacity(fetched.len(), Timestamp::MIN);
        let mut bad = Vec::new();
        for index in 0..fetched.len() {
            let millis = fetched.timestamps[index].to_millis();
            let record = KafkaRecord {
                topic: &fetched.topic,
                partition: fetched.partition,
                offset: fetched.offsets[index],
                timestamp: millis.map_or(Timestamp::MIN, Timestamp::from_millis),
                key: fetched.keys.get(index),
                value: fetched.values.get(index),
                headers: &fetched.headers[index],
            };
            match (self.decode)(&record) {
                Ok(row) => rows.push(row, record.timestamp),
                Err(cause) => bad.push(BadRecord {
                    split: split.clone(),
                    line: None,
                    column: None,
                    offset: u64::try_from(record.offset).unwrap_or_default(),
                    cause,
                    raw: record.value.unwrap_or_default().to_vec(),
                }),
            }
        }
        let rows = (!rows.is_empty()).then(|| Batch::new(rows));
        Ok(DecodedRecords { rows, bad, leaves_out_nulls: false })
    }
}
