//! Requests that may fail with their connection, and the moments of a run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{FetchRequest, ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::Request;
use kafka_protocol::records::RecordBatchDecoder;
use tokio::net::TcpStream;

use crate::client::{Client, text};
use crate::history::{Moment, RecordId};

pub const TOPIC: &str = "events";

/// What all clients of a run share.
#[derive(Clone)]
pub struct Run {
    pub address: SocketAddr,
    pub stop: Arc<AtomicBool>,
    clock: Arc<AtomicU64>,
    /// How often the broker was started again; it grows while no broker lives.
    pub life: Arc<AtomicU64>,
    began: Instant,
}

impl Run {
    pub fn new(address: SocketAddr) -> Self {
        Run {
            address,
            stop: Arc::default(),
            clock: Arc::default(),
            life: Arc::default(),
            began: Instant::now(),
        }
    }

    /// The next moment of the run's one clock.
    pub fn now(&self) -> Moment {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// The time since the run began.
    pub fn micros(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    pub fn life(&self) -> u64 {
        self.life.load(Ordering::SeqCst)
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// A connection that is made anew when it was lost.
pub struct Link {
    address: SocketAddr,
    client: Option<Client>,
}

impl Link {
    pub fn new(address: SocketAddr) -> Self {
        Link { address, client: None }
    }

    /// The answer, or none when the connection ended before it came.
    pub async fn ask<T: Request>(&mut self, version: i16, request: &T) -> Option<T::Response> {
        let asked = async {
            if self.client.is_none() {
                let stream = TcpStream::connect(self.address).await.ok()?;
                stream.set_nodelay(true).ok()?;
                self.client = Some(Client::over(stream));
            }
            let client = self.client.as_mut().expect("just made");
            let id = client.try_write::<T>(version, request).await.ok()?;
            client.read::<T>(version, id).await
        };
        let answer = tokio::time::timeout(Duration::from_secs(10), asked).await.ok().flatten();
        if answer.is_none() {
            self.client = None;
            pause(20).await;
        }
        answer
    }
}

pub async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

pub fn topic() -> TopicName {
    TopicName(text(TOPIC))
}

/// What a fetch found.
pub struct Found {
    pub records: Vec<(i64, RecordId)>,
    /// Where the next fetch begins.
    pub next: i64,
    pub error: i16,
}

/// Records from `offset` on; none when the connection was lost.
pub async fn fetch(link: &mut Link, partition: i32, offset: i64, max_bytes: i32) -> Option<Found> {
    let asked = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(max_bytes);
    let request = FetchRequest::default()
        .with_max_wait_ms(20)
        .with_min_bytes(1)
        .with_max_bytes(max_bytes)
        .with_session_epoch(-1)
        .with_topics(vec![FetchTopic::default().with_topic(topic()).with_partitions(vec![asked])]);
    let response = link.ask(11, &request).await?;
    let Some(answer) = response.responses.first().and_then(|topic| topic.partitions.first()) else {
        return Some(Found { records: Vec::new(), next: offset, error: response.error_code });
    };
    let mut bytes = whole_batches(answer.records.clone().unwrap_or_default());
    let mut found = Found { records: Vec::new(), next: offset, error: answer.error_code };
    for set in RecordBatchDecoder::decode_all(&mut bytes).expect("whole batches come back") {
        for record in set.records.into_iter().filter(|record| record.offset >= offset) {
            let value = record.value.expect("records of the run have values");
            found.records.push((record.offset, parse(&value)));
            found.next = record.offset + 1;
        }
    }
    Some(found)
}

/// Without the piece of a batch that a limit of bytes may leave at the end.
pub fn whole_batches(bytes: Bytes) -> Bytes {
    let mut end = 0;
    while let Some(length) = bytes.get(end + 8..end + 12) {
        let next = end + 12 + u32::from_be_bytes(length.try_into().unwrap()) as usize;
        if next > bytes.len() {
            break;
        }
        end = next;
    }
    bytes.slice(..end)
}

/// The end of a partition; none when the question was not answered.
pub async fn end_offset(link: &mut Link, partition: i32) -> Option<i64> {
    let asked = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(-1)
        .with_timestamp(-1);
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![
        ListOffsetsTopic::default().with_name(topic()).with_partitions(vec![asked]),
    ]);
    let response = link.ask(5, &request).await?;
    let answer = response.topics.first()?.partitions.first()?;
    (answer.error_code == 0).then_some(answer.offset)
}

pub fn value(record: RecordId) -> Bytes {
    Bytes::from(record.to_string())
}

pub fn parse(value: &[u8]) -> RecordId {
    let text = std::str::from_utf8(value).expect("the text that was sent");
    let (producer, number) = text.split_once('/').expect("the text that was sent");
    RecordId { producer: producer.parse().unwrap(), number: number.parse().unwrap() }
}

/// A small generator of random numbers (xorshift), so that a seed gives the same choices again.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}
