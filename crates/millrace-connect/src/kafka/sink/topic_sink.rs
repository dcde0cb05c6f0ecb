//! The sink behind tables, typed streams and dead letters: a topic, and what to write to it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_core::{Error, Result, Sink, SinkContext, SinkWriter};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;

use super::guarantee::DeliveryGuarantee;
use super::outbox::Outbox;
use super::outgoing::Serialization;
use super::plain_writer::PlainWriter;
use super::transaction::{
    NameLocks, TransactionSettings, TransactionalWriter, has_transactions, recover,
};
use crate::blocking::blocking;
use crate::kafka::client::client_error;
use crate::kafka::properties::ClientProperties;
use crate::kafka::wire::WireClient;

/// What producers have unless the table says otherwise: the defaults of Kafka's own client, and
/// bounds for the memory of the queue.
const DEFAULTS: [(&str, &str); 5] = [
    ("partitioner", "murmur2_random"),
    ("message.timeout.ms", "120000"),
    ("message.max.bytes", "1048576"),
    ("queue.buffering.max.messages", "500000"),
    ("queue.buffering.max.kbytes", "65536"),
];
/// `transaction.timeout.ms` where neither the table nor the broker says anything: Kafka's default
/// of the largest that brokers allow.
const TRANSACTION_TIMEOUT_MS: u32 = 900_000;
/// How long a topic that is unknown is waited for: brokers may be creating it.
const TOPIC_PATIENCE: Duration = Duration::from_secs(5);
const METADATA_LIMIT: Duration = Duration::from_secs(10);

/// Writes batches to a topic.
pub(crate) struct TopicSink {
    pub topic: Arc<str>,
    pub client: ClientProperties,
    pub guarantee: DeliveryGuarantee,
    /// With `ExactlyOnce`: what transactional ids begin with.
    pub transactional_id_prefix: Option<String>,
    pub serialization: Arc<dyn Serialization>,
    locks: NameLocks,
}

impl TopicSink {
    /// A sink for `topic`.
    ///
    /// # Errors
    /// `FixInput` for options that exclude each other.
    pub fn new(
        topic: &str,
        client: ClientProperties,
        guarantee: DeliveryGuarantee,
        transactional_id_prefix: Option<String>,
        serialization: Arc<dyn Serialization>,
    ) -> Result<Self> {
        if client.get("transactional.id").is_some() {
            return Err(Error::fix_input(
                "option `properties.transactional.id` cannot be set: each writer has ids of its own",
            )
            .hint("use `sink.delivery-guarantee` and `sink.transactional-id-prefix`"));
        }
        let prefix = transactional_id_prefix.as_deref();
        if let (DeliveryGuarantee::ExactlyOnce, None | Some("")) = (guarantee, prefix) {
            return Err(Error::fix_input(
                "option `sink.transactional-id-prefix` is missing: \
                 `sink.delivery-guarantee` = `exactly-once` needs it",
            )
            .hint("choose a text that no other sink on this Kafka cluster has"));
        }
        Ok(TopicSink {
            topic: topic.into(),
            client,
            guarantee,
            transactional_id_prefix,
            serialization,
            locks: NameLocks::default(),
        })
    }

    /// The producers' settings, but for transactions.
    fn config(&self, bootstrap_servers: &str) -> ClientConfig {
        let mut config = self.client.config(bootstrap_servers);
        for (name, value) in DEFAULTS {
            let alias = match name {
                "message.timeout.ms" => "delivery.timeout.ms",
                other => other,
            };
            if self.client.get(name).or_else(|| self.client.get(alias)).is_none() {
                config.set(name, value);
            }
        }
        let acks = self.client.get("acks").or_else(|| self.client.get("request.required.acks"));
        let ordered = self.client.get("enable.idempotence").is_none()
            && acks.is_none_or(|acks| matches!(acks, "all" | "-1"));
        if ordered && self.guarantee != DeliveryGuarantee::None {
            // What a broker took but could not answer is not written twice by trying again.
            config.set("enable.idempotence", "true");
        }
        config
    }

    fn outbox(&self, bootstrap_servers: &str) -> Result<Outbox> {
        let relay = self.client.relay().cloned();
        Outbox::new(&self.config(bootstrap_servers), relay, Arc::clone(&self.topic))
    }

    async fn open_plain(
        &self,
        context: &SinkContext,
        bootstrap_servers: &str,
    ) -> Result<Box<dyn SinkWriter>> {
        let outbox = self.outbox(bootstrap_servers)?;
        let (outbox, partitions) = self.partitions(outbox, context).await?;
        let serializer = self.serialization.serializer(context, partitions);
        let waits = self.guarantee == DeliveryGuarantee::AtLeastOnce;
        Ok(Box::new(PlainWriter::new(outbox, serializer, context.seams.clone(), waits)))
    }

    async fn open_transactional(
        &self,
        context: &SinkContext,
        bootstrap_servers: String,
        prefix: &str,
        timeout_ms: u32,
    ) -> Result<Box<dyn SinkWriter>> {
        let asking = self.outbox(&bootstrap_servers)?;
        let (asking, partitions) = self.partitions(asking, context).await?;
        asking.close(&context.seams);
        let mut config = self.config(&bootstrap_servers);
        let delivery = self.client.get("message.timeout.ms");
        let delivery = delivery.or_else(|| self.client.get("delivery.timeout.ms"));
        let longest = delivery.and_then(|text| text.parse().ok()).unwrap_or(120_000);
        // librdkafka refuses to try longer than the transaction lives.
        config.set("message.timeout.ms", u32::min(longest, timeout_ms).to_string());
        let settings = TransactionSettings {
            topic: Arc::clone(&self.topic),
            bootstrap_servers,
            config,
            client: self.client.clone(),
            prefix: prefix.to_owned(),
            timeout_ms,
            locks: self.locks.clone(),
        };
        let serializer = self.serialization.serializer(context, partitions);
        let (index, seams) = (context.subtask.index, context.seams.clone());
        Ok(Box::new(TransactionalWriter::new(Arc::new(settings), serializer, index, seams)))
    }

    /// How many partitions the topic has.
    async fn partitions(&self, outbox: Outbox, context: &SinkContext) -> Result<(Outbox, i32)> {
        let clock = &context.seams.clock;
        let until = clock.elapsed() + TOPIC_PATIENCE;
        let mut outbox = outbox;
        loop {
            let (topic, client) = (Arc::clone(&self.topic), self.client.clone());
            let (returned, answer) = blocking(&context.seams, move || {
                let asked = outbox.producer().client();
                let doing = || format!("cannot write to topic `{topic}`");
                let ask = |limit| asked.fetch_metadata(Some(&topic), limit);
                let metadata = client.ask_within(METADATA_LIMIT, doing, ask)?;
                let found = metadata.topics().iter().find(|found| found.name() == &*topic);
                let error = found.and_then(|found| found.error());
                let count = found.map_or(0, |found| found.partitions().len());
                Ok((outbox, (count, error.map(RDKafkaErrorCode::from))))
            })
            .await?;
            outbox = returned;
            let code = match answer {
                (0, None) => RDKafkaErrorCode::UnknownTopic,
                (count, None) => return Ok((outbox, i32::try_from(count).unwrap_or(i32::MAX))),
                (_, Some(RDKafkaErrorCode::UnknownTopicOrPartition)) => {
                    RDKafkaErrorCode::UnknownTopic
                }
                (_, Some(code)) => code,
            };
            if clock.elapsed() >= until {
                let doing = format!("cannot write to topic `{}`", self.topic);
                return Err(client_error(doing, KafkaError::MetadataFetch(code)));
            }
            clock.sleep(Duration::from_millis(100)).await;
        }
    }

    /// Refuses checkpoints so seldom that Kafka would abort transactions before they are committed.
    fn check_interval(&self, context: &SinkContext, timeout_ms: u32) -> Result<()> {
        let interval = context.checkpoint_interval.unwrap_or_default();
        if interval < Duration::from_millis(u64::from(timeout_ms)) {
            return Ok(());
        }
        Err(Error::fix_input(format!(
            "rows for topic `{}` would be lost: checkpoints, which commit transactions, begin every \
             {} ms, and Kafka aborts a transaction after `transaction.timeout.ms` ({timeout_ms})",
            self.topic,
            interval.as_millis()
        ))
        .hint(
            "take checkpoints more often, or raise `properties.transaction.timeout.ms` (and the \
             brokers' `transaction.max.timeout.ms`)",
        ))
    }

    /// `transaction.timeout.ms`: the table's, or else the longest that the broker allows, so that a
    /// prepared transaction outlives a long absence of the job.
    async fn transaction_timeout_ms(&self, wire: &mut WireClient) -> Result<u32> {
        const NAME: &str = "transaction.timeout.ms";
        let longest = wire.transaction_max_timeout_ms().await?;
        let wanted = self.client.get(NAME).map(str::parse::<u32>).transpose();
        let wanted = wanted.map_err(|cause| {
            Error::fix_input(format!("option `properties.{NAME}` is no length of time"))
                .caused_by(cause)
        })?;
        match (wanted, longest) {
            (Some(wanted), Some(longest)) if i64::from(wanted) > longest => {
                Err(Error::fix_input(format!(
                    "option `properties.{NAME}` is {wanted}, but the brokers allow \
                     `transaction.max.timeout.ms` = {longest} at most"
                ))
                .hint("a transaction must outlast a checkpoint interval and a restart of the job"))
            }
            (Some(wanted), _) => Ok(wanted),
            (None, Some(longest)) => Ok(u32::try_from(longest).unwrap_or(u32::MAX)),
            (None, None) => {
                tracing::warn!(
                    "the brokers do not tell `transaction.max.timeout.ms`: transactions to topic \
                     `{}` live for {TRANSACTION_TIMEOUT_MS} ms",
                    self.topic
                );
                Ok(TRANSACTION_TIMEOUT_MS)
            }
        }
    }
}

#[async_trait]
impl Sink for TopicSink {
    async fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        let bootstrap_servers = self.client.brokers(&context.seams).await?;
        let transactional = self.guarantee == DeliveryGuarantee::ExactlyOnce;
        let prefix = self.transactional_id_prefix.as_deref().filter(|_| transactional);
        let mut timeout_ms = TRANSACTION_TIMEOUT_MS;
        // A checkpoint from before the guarantee was lowered has transactions too.
        if transactional || has_transactions(&context)? {
            let clock = Arc::clone(&context.seams.clock);
            let mut wire = self.client.wire_client(&bootstrap_servers, clock);
            timeout_ms = self.transaction_timeout_ms(&mut wire).await?;
            if transactional {
                self.check_interval(&context, timeout_ms)?;
            }
            if transactional && context.subtask.index == 0 {
                tracing::info!(
                    "transactions to topic `{}` live for {timeout_ms} ms: a checkpoint and a \
                     restart have to be done within that time, or prepared rows are lost",
                    self.topic
                );
            }
            recover(&mut wire, &context, prefix, timeout_ms).await?;
        }
        match prefix {
            Some(prefix) => {
                self.open_transactional(&context, bootstrap_servers, prefix, timeout_ms).await
            }
            None => self.open_plain(&context, &bootstrap_servers).await,
        }
    }
}
