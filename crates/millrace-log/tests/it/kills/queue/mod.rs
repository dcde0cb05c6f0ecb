//! The log's process is killed again and again while workers of a queue get records and accept,
//! release and reject them, hang, and die themselves; then what they saw is checked (see
//! `queue_history`). The variables are those of the test beside.

mod requests;
mod worker;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{CreateTopicsRequest, TopicName};

use super::process::BrokerProcess;
use super::rpc::{Dice, Link, Run, TOPIC, end_offset, parse, pause};
use super::{PARTITIONS, create_topic, producer, read_all, seeds};
use crate::client::text;
use crate::queue_history::{DeadLetter, QueueHistory};
use worker::Seen;

const GROUP: &str = "workers";
const DEAD_LETTERS: &str = "dead-letters";
const LOCK_MS: u64 = 150;
const COUNT_LIMIT: i16 = 3;
const PRODUCERS: u32 = 2;
const WORKERS: u64 = 4;
const KILLS: u64 = 4;
const LIFE_MS: u64 = 200;

/// More than the locks of all tries of a record, and the looks that the broker takes at its queues.
const DRAIN_TIME: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn each_record_of_a_queue_comes_to_one_end_though_log_and_workers_are_killed() {
    if std::env::var("MILLRACE_KAFKA_BROKER").is_ok() {
        println!("skipped: Kafka has no dead letters, and no limit of tries for one group");
        return;
    }
    for seed in seeds() {
        let (history, kept) = run(seed).await;
        let broken = history.check();
        let taken = |word: &&crate::queue_history::Word| matches!(word.answer, Some((_, 0)));
        println!(
            "seed {seed}: {} records, handed out {} times; of {} words {} were taken, {} were \
             refused; {} sessions ended, {} dead letters, {kept} heartbeats after a restart",
            history.log.len(),
            history.deliveries.len(),
            history.words.len(),
            history.words.iter().filter(taken).count(),
            history.words.iter().filter(|word| word.answer.is_some_and(|(_, c)| c != 0)).count(),
            history.ends.len(),
            history.dead_letters.len(),
        );
        assert!(
            broken.is_empty(),
            "{} rules broken; replay: MILLRACE_LOG_SEED={seed} cargo test -p millrace-log --test it \
             kills::queue -- --nocapture\n{}",
            broken.len(),
            broken[..broken.len().min(20)].join("\n")
        );
        assert!(history.words.iter().filter(taken).count() > 50, "workers did nothing");
        assert!(!history.dead_letters.is_empty());
    }
}

/// What happened, and how many heartbeats went on after a restart.
async fn run(seed: u64) -> (QueueHistory, u64) {
    let mut dice = Dice::new(seed);
    let mut broker = BrokerProcess::start().await;
    let run = Run::new(broker.address());
    let mut lives = vec![(wall_ms(), u64::MAX)];
    create_topic(&run).await;
    create_dead_letters(&run).await;
    requests::configure(&mut Link::new(run.address)).await;

    let producers: Vec<_> = (0..PRODUCERS)
        .map(|index| {
            tokio::spawn(producer::produce(run.clone(), index, dice.below(u64::MAX >> 1), 40))
        })
        .collect();
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| tokio::spawn(worker::work(run.clone(), number, dice.below(u64::MAX >> 1))))
        .collect();
    for _ in 0..KILLS {
        pause(LIFE_MS / 2 + dice.below(LIFE_MS)).await;
        live_again(&mut broker, &run, &mut lives).await;
    }
    pause(LIFE_MS).await;
    run.stop.store(true, Ordering::SeqCst);
    for producer in producers {
        producer.await.expect("a producer failed");
    }
    let mut seen = Vec::new();
    for worker in workers {
        seen.push(worker.await.expect("a worker failed"));
    }
    live_again(&mut broker, &run, &mut lives).await;

    let log = read_all(&run).await;
    let log: BTreeMap<_, _> = log
        .into_iter()
        .flat_map(|(partition, records)| {
            records.into_iter().map(move |(offset, record)| ((partition, offset), record))
        })
        .collect();
    seen.push(drain(&run).await);
    let kept = seen.iter().map(|seen| seen.kept).sum();
    let mut history = QueueHistory {
        topic: TOPIC.to_owned(),
        group: GROUP.to_owned(),
        lock_micros: LOCK_MS * 1_000,
        count_limit: COUNT_LIMIT,
        dead_letters: dead_letters(&run, &lives).await,
        log,
        ..QueueHistory::default()
    };
    for Seen { deliveries, words, ends, forgotten, .. } in seen {
        history.deliveries.extend(deliveries);
        history.words.extend(words);
        history.ends.extend(ends);
        history.forgotten.extend(forgotten);
    }
    (history, kept)
}

/// Kills the broker and starts it again.
async fn live_again(broker: &mut BrokerProcess, run: &Run, lives: &mut Vec<(u64, u64)>) {
    broker.kill();
    if let Some((_, end)) = lives.last_mut() {
        *end = wall_ms();
    }
    run.life.fetch_add(1, Ordering::SeqCst);
    // So that no two lives are in one millisecond.
    pause(3).await;
    lives.push((wall_ms(), u64::MAX));
    broker.restart().await;
}

#[expect(clippy::disallowed_methods, reason = "the broker's records have times of this clock")]
fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// The times of its records say in which life each was written.
async fn create_dead_letters(run: &Run) {
    let config = CreatableTopicConfig::default()
        .with_name(text("message.timestamp.type"))
        .with_value(Some(text("LogAppendTime")));
    let topic = CreatableTopic::default()
        .with_name(TopicName(text(DEAD_LETTERS)))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(vec![config]);
    let request = CreateTopicsRequest::default().with_timeout_ms(5_000).with_topics(vec![topic]);
    let response = Link::new(run.address).ask(5, &request).await.expect("the broker is up");
    assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0].error_message);
}

/// Accepts all that is left, until the group is at the end of the log.
async fn drain(run: &Run) -> Seen {
    let link = &mut Link::new(run.address);
    let mut ends = BTreeMap::new();
    for partition in 0..i32::from(PARTITIONS) {
        let end = end_offset(link, partition).await.expect("the broker is up");
        ends.insert(partition, end);
    }
    let is_done = async || requests::start_offsets(link).await.as_ref() == Some(&ends);
    let drained = worker::drain(run.clone(), WORKERS, is_done);
    match tokio::time::timeout(DRAIN_TIME, drained).await {
        Ok(seen) => seen,
        Err(_) => {
            let offsets = requests::start_offsets(&mut Link::new(run.address)).await;
            panic!("the queue is at {offsets:?} after {DRAIN_TIME:?}, and the log ends at {ends:?}")
        }
    }
}

async fn dead_letters(run: &Run, lives: &[(u64, u64)]) -> Vec<DeadLetter> {
    let records = requests::dead_letters(&mut Link::new(run.address)).await;
    let letters = records.into_iter().map(|(appended_ms, record)| {
        let at = appended_ms as u64;
        let life = lives.iter().position(|(begin, end)| (*begin..=*end).contains(&at));
        let headers = record.headers.iter().map(|(name, value)| {
            let name = name.strip_prefix("__dlq.errors.").expect("the records have no headers");
            let value = value.as_deref().unwrap_or_default();
            (name.to_owned(), String::from_utf8_lossy(value).into_owned())
        });
        DeadLetter {
            record: parse(&record.value.expect("records have values")),
            life: life.expect("it was written in some life") as u64,
            headers: headers.collect(),
        }
    });
    letters.collect()
}
