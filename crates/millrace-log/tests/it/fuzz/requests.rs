//! Spoilt requests over the network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::records::RecordBatchDecoder;
use millrace_log::broker::NewTopic;
use millrace_log::storage::records::BatchBuilder;
use millrace_log::{Broker, BrokerConfig, SaslMechanism, Server, Users};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;

use super::mutate::{Dice, spoil};
use super::seeds::{Seed, TOPIC, seeds};
use super::watch::{panics, peak_bytes, watch};
use super::{dice, replay, rounds};
use crate::client::{Client, Log, seal, text};

/// The topic of the client that behaves, which no spoilt request can name by chance.
const OWN: &str = "of-one-who-behaves-7f3a";

const ATTACKERS: u64 = 8;
const MAX_CONNECTIONS: usize = 64;

/// Beyond what tests beside this one take.
const MAX_GROWTH_BYTES: u64 = 1 << 30;
const MAX_ASKED_BYTES: u64 = 8 << 30;

/// An attacker waits for an answer no longer than this: some requests are meant to wait.
const PATIENCE: Duration = Duration::from_millis(60);

/// Length, key, version and correlation id, which most rounds leave alone.
const FIXED_BYTES: usize = 12;

/// The versions of each request, as the server says them, and of Produce those that it serves.
async fn served(client: &mut Client) -> Vec<(i16, i16, i16)> {
    let response = client.send(0, ApiVersionsRequest::default()).await;
    let first = |api: &ApiVersion| match api.api_key {
        key if key == ApiKey::Produce as i16 => 3,
        _ => api.min_version,
    };
    response.api_keys.iter().map(|api| (api.api_key, first(api), api.max_version)).collect()
}

#[tokio::test]
async fn there_is_a_seed_for_every_request_that_is_served() {
    let log = Log::start().await;
    let seeds = seeds(Uuid::nil());
    for (key, min, max) in served(&mut log.client().await).await {
        let of_key: Vec<&Seed> = seeds.iter().filter(|seed| seed.key == key).collect();
        assert!(!of_key.is_empty(), "request {key}");
        for version in min..=max {
            let longest = of_key.iter().map(|seed| seed.frame(version).len()).max();
            assert!(longest > Some(FIXED_BYTES), "request {key} in version {version}");
        }
    }
}

/// What the server is sent in one round; the length of each frame may be a lie.
fn spoilt(seeds: &[Seed], versions: &[(i16, i16, i16)], dice: &mut Dice) -> BytesMut {
    let mut all = BytesMut::new();
    for _ in 0..=dice.below(2) {
        let frame = |dice: &mut Dice| {
            let seed = dice.pick(seeds);
            let (_, min, max) = *versions.iter().find(|(key, ..)| *key == seed.key).unwrap();
            seed.frame(min + i16::try_from(dice.below((max - min + 1) as usize)).unwrap())
        };
        let mut bytes = frame(dice);
        let other = frame(dice);
        // Now and then it is left whole, so that there is something for others to meet.
        for _ in 0..dice.below(3) {
            let kept = if dice.one_in(20) { 4 } else { FIXED_BYTES };
            spoil(&mut bytes, kept, &other[kept..], dice);
        }
        if dice.one_in(30) && bytes.len() > FIXED_BYTES {
            // Its key, with the version of another.
            let kept = dice.below(2) * 2 + 4;
            bytes[kept..kept + 2].copy_from_slice(&other[kept..kept + 2]);
        }
        seal(&mut bytes);
        if dice.one_in(30) {
            let lie = *dice.pick(&[-1, 0, 3, 7, 8, 1 << 16, 100 << 20, i32::MAX, i32::MIN]);
            bytes[..4].copy_from_slice(&lie.to_be_bytes());
        }
        all.extend_from_slice(&bytes);
    }
    if dice.one_in(50) {
        all.clear();
        (0..dice.below(300)).for_each(|_| all.put_u8(dice.roll() as u8));
    }
    all
}

/// Sends it over a connection of its own, and says how many answers came.
async fn send(address: SocketAddr, bytes: &[u8]) -> u64 {
    let mut answers = 0;
    let Ok(mut stream) = TcpStream::connect(address).await else { return answers };
    if stream.write_all(bytes).await.is_ok() {
        let mut client = Client::over(stream);
        while let Ok(Some(_)) = timeout(PATIENCE, client.read_frame()).await {
            answers += 1;
        }
    }
    answers
}

/// A client that writes, reads, commits and asks, over one connection, and must always get what is right.
async fn behave(address: SocketAddr, stop: Arc<AtomicBool>) -> u64 {
    let mut client = Client::connect(address).await;
    let topic = TopicName(text(OWN));
    let mut offset = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut batch = BatchBuilder::new();
        let value = format!("value {offset}");
        batch.push(1_700_000_000_000, None, Some(value.as_bytes()));
        let data = PartitionProduceData::default().with_records(Some(batch.build()));
        let data =
            TopicProduceData::default().with_name(topic.clone()).with_partition_data(vec![data]);
        let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000);
        let response = client.send(9, request.with_topic_data(vec![data])).await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!((answer.error_code, answer.base_offset), (0, offset), "own record");

        let partition =
            FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
        let wanted = FetchTopic::default().with_topic(topic.clone());
        let request = FetchRequest::default().with_max_bytes(1 << 20);
        let wanted = wanted.with_partitions(vec![partition]);
        let response = client.send(12, request.with_topics(vec![wanted])).await;
        let mut records = response.responses[0].partitions[0].records.clone().unwrap();
        let sets = RecordBatchDecoder::decode_all(&mut records).unwrap();
        assert_eq!(sets[0].records[0].value.as_deref(), Some(value.as_bytes()), "what is read");

        offset += 1;
        commit(&mut client, &topic, offset).await;
        assert_eq!(committed(&mut client, &topic).await, offset, "what is committed");
    }
    u64::try_from(offset).unwrap()
}

async fn commit(client: &mut Client, topic: &TopicName, offset: i64) {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let commit = OffsetCommitRequestTopic::default()
        .with_name(topic.clone())
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(OWN)))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![commit]);
    assert_eq!(client.send(8, request).await.topics[0].partitions[0].error_code, 0);
}

async fn committed(client: &mut Client, topic: &TopicName) -> i64 {
    let wanted = OffsetFetchRequestTopics::default()
        .with_name(topic.clone())
        .with_partition_indexes(vec![0]);
    let wanted = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(text(OWN)))
        .with_topics(Some(vec![wanted]));
    let response = client.send(8, OffsetFetchRequest::default().with_groups(vec![wanted])).await;
    response.groups[0].topics[0].partitions[0].committed_offset
}

fn create_own(server: &Server) {
    let mut new = NewTopic { name: OWN.to_owned(), partitions: 1, ..NewTopic::default() };
    // The records are from long ago.
    new.configs.insert("retention.ms".to_owned(), "-1".to_owned());
    server.broker().topics().create(new).unwrap();
}

/// What attackers share.
struct Siege {
    test: &'static str,
    address: SocketAddr,
    broker: Arc<Broker>,
    versions: Vec<(i16, i16, i16)>,
    next: AtomicU64,
    rounds: u64,
    answers: AtomicU64,
}

impl Siege {
    /// Lets attackers at the server, in rounds, until all are done or there was a panic. Only requests
    /// of these versions are sent.
    async fn lay(log: &Log, test: &'static str, versions: Vec<(i16, i16, i16)>) {
        let siege = Arc::new(Siege {
            test,
            address: log.server.address(),
            broker: log.server.broker().clone(),
            versions,
            next: AtomicU64::new(0),
            rounds: rounds(1),
            answers: AtomicU64::new(0),
        });
        let attackers: Vec<_> =
            (0..ATTACKERS).map(|_| tokio::spawn(siege.clone().attack())).collect();
        for attacker in attackers {
            attacker.await.unwrap();
        }
        let answers = siege.answers.load(Ordering::Relaxed);
        println!("{test}: {} rounds, {answers} answers", siege.rounds);
        // What is refused at the door shows nothing of what is behind it.
        assert!(answers > siege.rounds / 20, "{answers} answers in {} rounds", siege.rounds);
    }

    async fn attack(self: Arc<Self>) {
        let mut seeds = self.seeds();
        loop {
            let round = self.next.fetch_add(1, Ordering::Relaxed);
            if round >= self.rounds {
                return;
            }
            if round.is_multiple_of(100) {
                seeds = self.seeds();
            }
            let spoilt = spoilt(&seeds, &self.versions, &mut dice(round));
            let answers = send(self.address, &spoilt).await;
            self.answers.fetch_add(answers, Ordering::Relaxed);
            assert_eq!(panics(), Vec::<String>::new(), "near: {}", replay(self.test, round));
        }
    }

    /// The seeds; their topic may have been deleted, and gets another id then.
    fn seeds(&self) -> Vec<Seed> {
        let topics = self.broker.topics();
        if topics.get(TOPIC).is_none() {
            let new = NewTopic { name: TOPIC.to_owned(), partitions: 1, ..NewTopic::default() };
            // Another attacker may be quicker.
            let _ = topics.create(new);
        }
        let mut seeds = seeds(topics.get(TOPIC).map_or(Uuid::nil(), |topic| topic.id));
        seeds.retain(|seed| self.versions.iter().any(|(key, ..)| *key == seed.key));
        seeds
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn spoilt_requests_harm_nobody_else() {
    watch();
    let log = Log::start_with(|config| config.max_connections = MAX_CONNECTIONS).await;
    create_own(&log.server);
    let address = log.server.address();
    let stop = Arc::new(AtomicBool::new(false));
    let behaving = tokio::spawn(behave(address, stop.clone()));
    let before = peak_bytes();
    let versions = served(&mut log.client().await).await;
    Siege::lay(&log, "spoilt_requests_harm", versions).await;
    stop.store(true, Ordering::Relaxed);
    let written = behaving.await.expect("the client that behaves met an error");
    assert!(written > 5, "it wrote only {written} records");
    check_memory(before);
    // All places are free again, and the server serves.
    let mut clients = Vec::new();
    for _ in 0..MAX_CONNECTIONS / 2 {
        let mut client = log.client().await;
        assert!(!served(&mut client).await.is_empty());
        clients.push(client);
    }
    drop(clients);
    // What was written by whom ever can be opened again.
    let log = log.restart().await;
    let mut client = log.client().await;
    let offset = committed(&mut client, &TopicName(text(OWN))).await;
    assert_eq!(u64::try_from(offset), Ok(written));
    let end = log.server.broker().partition(OWN, 0).unwrap().log_end_offset();
    assert_eq!(u64::try_from(end), Ok(written));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spoilt_proofs_let_nobody_in_and_harm_nobody() {
    watch();
    let log = Log::start_with(|config: &mut BrokerConfig| {
        Users::open(&config.data_dir).unwrap().set_password("ann", "another").unwrap();
        config.sasl_mechanisms = SaslMechanism::ALL.to_vec();
    })
    .await;
    let versions = served(&mut log.client().await).await;
    let before = peak_bytes();
    let unproved: Vec<_> =
        versions.into_iter().filter(|(key, ..)| matches!(key, 17 | 18 | 36)).collect();
    assert_eq!(unproved.len(), 3);
    Siege::lay(&log, "spoilt_proofs", unproved).await;
    check_memory(before);
    assert!(!served(&mut log.client().await).await.is_empty());
}

fn check_memory(before: Option<(u64, u64)>) {
    let Some(((had, had_asked), (has, has_asked))) = before.zip(peak_bytes()) else { return };
    let (grown, asked) = (has - had, has_asked - had_asked);
    assert!(grown < MAX_GROWTH_BYTES, "memory grew by {} MiB", grown >> 20);
    assert!(asked < MAX_ASKED_BYTES, "{} MiB of memory were asked for", asked >> 20);
}
