//! A producer with its queue: records go in, deliveries are counted.
//!
//! librdkafka queues records and sends them from threads of its own. The queue is bounded (by
//! `queue.buffering.max.messages` and `.kbytes`): when it is full, [`Outbox::send`] waits, and with
//! it the job. Deliveries are reported on the producer's polling thread, never on the job's.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use millrace_core::seam::{Clock, Seams};
use millrace_core::{Error, Result};
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::Notify;

use super::outgoing::{Outgoing, OutgoingRecord};
use crate::kafka::client::{LoggedClient, client_error_of};
use crate::kafka::relay::{Relay, Relayed, create};
use crate::kafka::wire::Witness;

/// How often a full queue is looked at, should a delivery's wake-up be missed.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A producer, what was given to it, and what became of that.
pub(crate) struct Outbox {
    producer: ThreadedProducer<DeliveryReports>,
    deliveries: Arc<Deliveries>,
    topic: Arc<str>,
    /// Records given to the producer.
    sent: u64,
}

/// What the polling thread has been told.
#[derive(Default)]
struct Deliveries {
    counts: Mutex<Counts>,
    /// Wakes whoever waits for room, or for the last delivery.
    progress: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    delivered: u64,
    failed: u64,
    /// The last record that was delivered.
    last: Option<Witness>,
    /// Why the first failed one did.
    failure: Option<RDKafkaErrorCode>,
}

impl Deliveries {
    fn counts(&self) -> Counts {
        *self.counts.lock().expect("no holder panics")
    }
}

/// Hears from librdkafka.
pub(crate) struct DeliveryReports {
    client: LoggedClient,
    deliveries: Arc<Deliveries>,
}

impl ClientContext for DeliveryReports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.client.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.client.stats_raw(statistics);
    }
}

impl Relayed for DeliveryReports {
    fn relay(&self) -> Option<&Relay> {
        self.client.relay()
    }
}

impl ProducerContext for DeliveryReports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        let mut counts = self.deliveries.counts.lock().expect("no holder panics");
        match result {
            Ok(record) => {
                counts.delivered += 1;
                counts.last =
                    Some(Witness { partition: record.partition(), offset: record.offset() });
            }
            Err((cause, _)) => {
                counts.failed += 1;
                let code = cause.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                counts.failure.get_or_insert(code);
            }
        }
        drop(counts);
        self.deliveries.progress.notify_one();
    }
}

impl Outbox {
    /// A producer with these settings, for `topic`, whose connections go through `relay`. Starts its threads; connects in the background.
    ///
    /// # Errors
    /// `FixInput` for a setting that librdkafka refuses.
    pub fn new(config: &ClientConfig, relay: Option<Relay>, topic: Arc<str>) -> Result<Self> {
        let deliveries = Arc::new(Deliveries::default());
        let client = LoggedClient::new(format!("topic `{topic}`"), relay);
        let reports = DeliveryReports { client, deliveries: Arc::clone(&deliveries) };
        let producer = create(config, reports).map_err(|cause| {
            Error::fix_input("a Kafka producer cannot be made with these options").caused_by(cause)
        })?;
        Ok(Outbox { producer, deliveries, topic, sent: 0 })
    }

    /// How many records were given to it.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// The last record that was delivered.
    pub fn witness(&self) -> Option<Witness> {
        self.deliveries.counts().last
    }

    /// The producer, for what concerns transactions. Its methods block.
    pub fn producer(&self) -> &ThreadedProducer<DeliveryReports> {
        &self.producer
    }

    /// Queues records, waiting for room where there is none.
    ///
    /// # Errors
    /// Why an earlier record could not be delivered, or one of these can't be queued.
    pub async fn send(&mut self, records: &Outgoing, clock: &dyn Clock) -> Result<()> {
        self.check()?;
        for record in &records.records {
            while let Err(cause) = self.offer(records, record) {
                if cause.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(self.failed(cause));
                }
                self.wait(clock).await;
                self.check()?;
            }
            self.sent += 1;
        }
        Ok(())
    }

    fn offer(&self, records: &Outgoing, record: &OutgoingRecord) -> Result<(), KafkaError> {
        let mut offered = BaseRecord::<[u8], [u8]>::to(&self.topic);
        offered.key = records.text(&record.key);
        offered.payload = records.text(&record.value);
        offered.partition = record.partition;
        offered.timestamp = record.timestamp_ms;
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            offered.headers = Some(record.headers.iter().fold(headers, |headers, (key, value)| {
                headers.insert(Header { key, value: value.as_deref() })
            }));
        }
        self.producer.send(offered).map_err(|(cause, _)| cause)
    }

    /// Waits until everything that was queued is delivered.
    ///
    /// # Errors
    /// Why a record could not be delivered. librdkafka gives each one up after
    /// `delivery.timeout.ms`, so this ends.
    pub async fn delivered(&self, clock: &dyn Clock) -> Result<()> {
        loop {
            let counts = self.deliveries.counts();
            self.check()?;
            if counts.delivered + counts.failed >= self.sent {
                return Ok(());
            }
            self.wait(clock).await;
        }
    }

    async fn wait(&self, clock: &dyn Clock) {
        tokio::select! {
            () = self.deliveries.progress.notified() => {}
            () = clock.sleep(LOOK_AGAIN) => {}
        }
    }

    /// # Errors
    /// Why a record could not be delivered, if one could not, or why brokers turn the producer away.
    pub fn check(&self) -> Result<()> {
        if let Some(refusal) = self.relay().and_then(Relay::refusal) {
            return Err(refusal.context(self.doing()));
        }
        match self.failure_code() {
            None => Ok(()),
            Some(code) => Err(self.error(code)),
        }
    }

    fn relay(&self) -> Option<&Relay> {
        self.producer.context().relay()
    }

    /// Why the producer can't go on, if it can't: its fatal error, or the first failed delivery.
    pub fn failure_code(&self) -> Option<RDKafkaErrorCode> {
        let failure = self.deliveries.counts().failure?;
        Some(self.producer.client().fatal_error().map_or(failure, |(code, _)| code))
    }

    fn failed(&self, cause: KafkaError) -> Error {
        match self.producer.client().fatal_error() {
            Some((code, _)) => self.error(code),
            None => client_error_of(self.relay(), self.doing(), cause),
        }
    }

    fn error(&self, code: RDKafkaErrorCode) -> Error {
        client_error_of(self.relay(), self.doing(), KafkaError::MessageProduction(code))
    }

    fn doing(&self) -> String {
        format!("cannot write to topic `{}`", self.topic)
    }

    /// Closes the producer where it may block; what was not delivered is dropped.
    pub fn close(self, seams: &Seams) {
        // It runs whether anybody waits for its end or not.
        drop(seams.spawner.spawn_blocking(Box::new(move || drop(self))));
    }
}
