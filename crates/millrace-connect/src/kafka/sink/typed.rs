//! The sink of the typed API.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use millrace_core::{Batch, Error, Records, Result, Sink, SinkContext, SinkWriter, Timestamp};

use super::guarantee::DeliveryGuarantee;
use super::outgoing::{Outgoing, OutgoingRecord, Serialization, Serializer};
use super::table::checked;
use super::topic_sink::TopicSink;
use crate::kafka::properties::ClientProperties;

/// Writes rows of type `T` to a topic.
///
/// Closures give each row its key, its value (`None` is a tombstone), and, where they are given, its
/// partition and its headers. A row's event time becomes the record's time.
///
/// ```
/// use millrace_connect::kafka::{DeliveryGuarantee, KafkaSink};
///
/// #[derive(Clone)]
/// struct Order {
///     customer: String,
///     cents: i64,
/// }
///
/// # fn main() -> millrace_core::Result<()> {
/// let sink = KafkaSink::<Order>::builder("localhost:9092", "orders")
///     .key(|order| Some(order.customer.clone().into_bytes()))
///     .value(|order| Some(order.cents.to_string().into_bytes()))
///     .delivery_guarantee(DeliveryGuarantee::ExactlyOnce)
///     .transactional_id_prefix("orders-job")
///     .property("compression.type", "lz4")
///     .build()?;
/// # drop(sink);
/// # Ok(())
/// # }
/// ```
pub struct KafkaSink<T> {
    topic: TopicSink,
    rows: PhantomData<fn(T)>,
}

type Content<T> = Arc<dyn Fn(&T) -> Option<Vec<u8>> + Send + Sync>;
type Partition<T> = Arc<dyn Fn(&T, i32) -> i32 + Send + Sync>;
type HeaderList = Vec<(String, Option<Vec<u8>>)>;
type HeadersOf<T> = Arc<dyn Fn(&T) -> HeaderList + Send + Sync>;

/// What a [`KafkaSink`] is made of.
pub struct KafkaSinkBuilder<T> {
    topic: String,
    properties: Vec<(String, String)>,
    guarantee: DeliveryGuarantee,
    transactional_id_prefix: Option<String>,
    closures: Closures<T>,
}

struct Closures<T> {
    key: Option<Content<T>>,
    value: Option<Content<T>>,
    partition: Option<Partition<T>>,
    headers: Option<HeadersOf<T>>,
}

impl<T> Clone for Closures<T> {
    fn clone(&self) -> Self {
        let Closures { key, value, partition, headers } = self;
        Closures {
            key: key.clone(),
            value: value.clone(),
            partition: partition.clone(),
            headers: headers.clone(),
        }
    }
}

impl<T> fmt::Debug for KafkaSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSink").field("topic", &self.topic.topic).finish_non_exhaustive()
    }
}

impl<T: Clone + Send + 'static> KafkaSink<T> {
    /// A sink for `topic` of the cluster that `bootstrap_servers` (`HOST:PORT`, more after commas)
    /// belongs to: at least once, unless the builder is told otherwise.
    pub fn builder(bootstrap_servers: &str, topic: &str) -> KafkaSinkBuilder<T> {
        KafkaSinkBuilder {
            topic: topic.to_owned(),
            properties: vec![("bootstrap.servers".into(), bootstrap_servers.into())],
            guarantee: DeliveryGuarantee::default(),
            transactional_id_prefix: None,
            closures: Closures { key: None, value: None, partition: None, headers: None },
        }
    }
}

impl<T: Clone + Send + 'static> KafkaSinkBuilder<T> {
    /// The key of a row's record; `None` for none. Without this closure no record has one.
    #[must_use]
    pub fn key(mut self, key: impl Fn(&T) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        self.closures.key = Some(Arc::new(key));
        self
    }

    /// The value of a row's record; `None` is a tombstone, which deletes the key from a compacted
    /// topic. Required.
    #[must_use]
    pub fn value(mut self, value: impl Fn(&T) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        self.closures.value = Some(Arc::new(value));
        self
    }

    /// The partition of a row, of as many as the second argument says. Without this closure it is
    /// chosen by the key's hash as Kafka's Java client does it.
    #[must_use]
    pub fn partition(mut self, partition: impl Fn(&T, i32) -> i32 + Send + Sync + 'static) -> Self {
        self.closures.partition = Some(Arc::new(partition));
        self
    }

    /// The headers of a row's record, in order; they may have no value.
    #[must_use]
    pub fn headers(
        mut self,
        headers: impl Fn(&T) -> Vec<(String, Option<Vec<u8>>)> + Send + Sync + 'static,
    ) -> Self {
        self.closures.headers = Some(Arc::new(headers));
        self
    }

    /// How surely each row arrives.
    #[must_use]
    pub fn delivery_guarantee(mut self, guarantee: DeliveryGuarantee) -> Self {
        self.guarantee = guarantee;
        self
    }

    /// What the transactional ids begin with; exactly once needs it. No other sink on the cluster
    /// may have the same.
    #[must_use]
    pub fn transactional_id_prefix(mut self, prefix: &str) -> Self {
        self.transactional_id_prefix = Some(prefix.to_owned());
        self
    }

    /// A setting of the Kafka client, such as `compression.type`.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The sink.
    ///
    /// # Errors
    /// `FixInput` when something is missing, or the client does not have a property.
    pub fn build(self) -> Result<KafkaSink<T>> {
        let KafkaSinkBuilder { topic, properties, guarantee, transactional_id_prefix, closures } =
            self;
        if closures.value.is_none() {
            return Err(Error::fix_input(format!("the sink for topic `{topic}` has no `value`")));
        }
        let client = ClientProperties::of(&properties)?;
        let closures = Arc::new(closures);
        let sink = TopicSink::new(&topic, client, guarantee, transactional_id_prefix, closures)?;
        Ok(KafkaSink { topic: sink, rows: PhantomData })
    }
}

#[async_trait]
impl<T: 'static> Sink for KafkaSink<T> {
    async fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        self.topic.open(context).await
    }
}

impl<T: Clone + Send + 'static> Serialization for Closures<T> {
    fn serializer(&self, _context: &SinkContext, partitions: i32) -> Box<dyn Serializer> {
        Box::new(TypedSerializer { closures: self.clone(), partitions })
    }
}

struct TypedSerializer<T> {
    closures: Closures<T>,
    partitions: i32,
}

impl<T: Clone + Send + 'static> Serializer for TypedSerializer<T> {
    fn serialize(&mut self, batch: Batch, out: &mut Outgoing) -> Result<()> {
        let records: Records<T> = batch.downcast()?;
        let Closures { key, value, partition, headers } = &self.closures;
        for (row, &timestamp) in records.values.iter().zip(&records.timestamps) {
            let key = key.as_ref().and_then(|key| key(row));
            let value = value.as_ref().and_then(|value| value(row));
            let partition = partition.as_ref().map(|partition| partition(row, self.partitions));
            if let Some(partition) = partition
                && !(0..self.partitions).contains(&partition)
            {
                return Err(Error::fix_input(format!(
                    "the partition closure chose {partition} of {} partitions",
                    self.partitions
                )));
            }
            // A row without event time has the time of its sending.
            let timestamp_ms = (timestamp != Timestamp::MIN)
                .then(|| checked(timestamp.as_millis()))
                .transpose()?;
            let record = OutgoingRecord {
                key: key.map(|text| out.put(&text)),
                value: value.map(|text| out.put(&text)),
                partition,
                timestamp_ms,
                headers: headers.as_ref().map_or_else(Vec::new, |headers| headers(row)),
            };
            out.records.push(record);
        }
        Ok(())
    }
}
