//! The log's process is killed again and again while producers write and a group reads; then the
//! history of what they saw is checked (see `history`).
//!
//! `MILLRACE_LOG_SEED` runs one seed, `MILLRACE_LOG_SEEDS` that many. With `MILLRACE_KAFKA_BROKER` set
//! to the path of `scripts/kafka/broker.sh`, the process that is killed is a real Kafka broker.

#![expect(clippy::disallowed_methods, reason = "the test works on the real clock")]

mod member;
mod process;
mod producer;
mod queue;
mod rpc;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use millrace_core::seam::Seams;
use millrace_log::{Broker, BrokerConfig, Server};

use crate::client::text;
use crate::history::{EndOffset, History};
use process::BrokerProcess;
use rpc::{Dice, Link, Run, end_offset, fetch, pause, topic};

/// Partitions of the topic.
pub const PARTITIONS: u8 = 3;
const PRODUCERS: u32 = 3;
const MEMBERS: u64 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_the_log_keeps_its_word() {
    for seed in seeds() {
        let history = run(seed).await;
        let broken = history.check();
        let acknowledged = history.sends.iter().filter(|send| send.acknowledged.is_some()).count();
        println!(
            "seed {seed}: {} records sent, {acknowledged} acknowledged, {} in the log, {} read by \
             {} starts, {} commits, {} end offsets",
            history.sends.len(),
            history.log.values().map(Vec::len).sum::<usize>(),
            history.deliveries.len(),
            history.starts.len(),
            history.commits.len(),
            history.end_offsets.len(),
        );
        assert!(
            broken.is_empty(),
            "{} rules broken; replay: MILLRACE_LOG_SEED={seed} cargo test -p millrace-log --test it \
             kills:: -- --nocapture\n{}",
            broken.len(),
            broken[..broken.len().min(20)].join("\n")
        );
        assert!(acknowledged > 50, "only {acknowledged} records were acknowledged");
        assert!(!history.deliveries.is_empty() && !history.commits.is_empty());
    }
}

/// The seeds that the environment asks for.
pub fn seeds() -> Vec<u64> {
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match variable("MILLRACE_LOG_SEED") {
        Some(seed) => vec![seed],
        None => (1..=variable("MILLRACE_LOG_SEEDS").unwrap_or(3)).collect(),
    }
}

async fn run(seed: u64) -> History {
    let mut dice = Dice::new(seed);
    let mut broker = BrokerProcess::start().await;
    let run = Run::new(broker.address());
    create_topic(&run).await;
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|index| {
            let seed = dice.below(u64::MAX >> 1);
            tokio::spawn(producer::produce(run.clone(), index, seed, 8))
        })
        .collect();
    let members: Vec<_> = (0..MEMBERS)
        .map(|number| tokio::spawn(member::consume(run.clone(), number, dice.below(u64::MAX >> 1))))
        .collect();
    let asker = tokio::spawn(ask_for_ends(run.clone(), dice.below(u64::MAX >> 1)));

    for _ in 0..broker.kills() {
        pause(broker.life_ms() / 2 + dice.below(broker.life_ms())).await;
        broker.kill();
        if dice.below(2) == 0 {
            pause(dice.below(200)).await;
        }
        broker.restart().await;
    }
    pause(broker.life_ms()).await;
    run.stop.store(true, Ordering::SeqCst);

    let mut history = History::default();
    for producer in producers {
        history.sends.extend(producer.await.expect("a producer failed"));
    }
    let mut deliveries = Vec::new();
    for member in members {
        let seen = member.await.expect("a member failed");
        deliveries.extend(seen.deliveries);
        history.commits.extend(seen.commits);
        history.starts.extend(seen.starts);
    }
    deliveries.sort_by_key(|(moment, _)| *moment);
    history.deliveries = deliveries.into_iter().map(|(_, delivery)| delivery).collect();
    history.end_offsets = asker.await.expect("the asker failed");

    broker.kill();
    broker.restart().await;
    history.log = read_all(&run).await;
    history
}

async fn create_topic(run: &Run) {
    let mut link = Link::new(run.address);
    let request = CreateTopicsRequest::default().with_timeout_ms(5_000).with_topics(vec![
        CreatableTopic::default()
            .with_name(topic())
            .with_num_partitions(i32::from(PARTITIONS))
            .with_replication_factor(1)
            // The records' time stamps are of 1970.
            .with_configs(vec![
                CreatableTopicConfig::default()
                    .with_name(text("retention.ms"))
                    .with_value(Some(text("-1"))),
            ]),
    ]);
    let response = link.ask(5, &request).await.expect("the broker is up");
    assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0].error_message);
}

async fn ask_for_ends(run: Run, seed: u64) -> Vec<EndOffset> {
    let mut dice = Dice::new(seed);
    let mut link = Link::new(run.address);
    let mut ends = Vec::new();
    while !run.stopped() {
        let partition = dice.below(u64::from(PARTITIONS)) as i32;
        let called = run.now();
        if let Some(offset) = end_offset(&mut link, partition).await {
            ends.push(EndOffset { partition, called, answered: run.now(), offset });
        }
        pause(2 + dice.below(10)).await;
    }
    ends
}

async fn read_all(run: &Run) -> BTreeMap<i32, Vec<(i64, crate::history::RecordId)>> {
    let mut link = Link::new(run.address);
    let mut log = BTreeMap::new();
    for partition in 0..i32::from(PARTITIONS) {
        let end = loop {
            match end_offset(&mut link, partition).await {
                Some(end) => break end,
                None => pause(50).await,
            }
        };
        let (mut records, mut position) = (Vec::new(), 0);
        while position < end {
            let Some(found) = fetch(&mut link, partition, position, 1 << 20).await else {
                continue;
            };
            assert!(found.error != 1, "offset {position} of {partition} is out of range");
            position = found.next;
            records.extend(found.records);
        }
        log.insert(partition, records);
    }
    log
}

/// Not a test of its own: the process that the test above kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "serves the log for the test that kills it"]
async fn serves_to_be_killed() {
    let Ok(data) = std::env::var("MILLRACE_LOG_SERVE") else { return };
    let mut config = BrokerConfig::new(data);
    config.listen = std::env::var("MILLRACE_LOG_LISTEN").unwrap();
    let broker = Broker::open(config, Seams::system()).unwrap();
    let _server = Server::start(broker).await.unwrap();
    std::future::pending::<()>().await;
}
