//! Exactly once, whatever crashes: writers are driven by hand as the runtime drives them, die at
//! random places, and are restored from the last manifest at another parallelism.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_connect::TableSpec;
use millrace_core::{CheckpointId, ErrorKind, Prepared, Sink, SinkWriter};
use rdkafka::producer::Producer;
use serde::{Deserialize, Serialize};

use super::cluster::{batch_of, brokers, committed, fresh, number, numbers};
use crate::harness::{open_sink, open_writer};

/// A small generator: the same seed gives the same story.
#[derive(Clone, Serialize, Deserialize)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// What a manifest would hold.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Manifest {
    prepared: Vec<Prepared>,
    next_row: i64,
}

/// A subtask as the runtime keeps it: what was prepared and not committed stays in the answers.
struct Subtask {
    writer: Box<dyn SinkWriter>,
    pending: BTreeMap<u64, Prepared>,
}

impl Subtask {
    async fn prepare(&mut self, checkpoint: u64) -> Prepared {
        let prepared = self.writer.prepare(CheckpointId(checkpoint)).await.unwrap();
        let state = prepared.state.clone();
        self.pending.insert(checkpoint, prepared);
        let committables = self.pending.values().flat_map(|one| one.committables.clone());
        Prepared { committables: committables.collect(), state }
    }

    async fn commit(&mut self, checkpoint: u64) {
        while let Some(entry) = self.pending.first_entry() {
            if *entry.key() > checkpoint {
                break;
            }
            let (id, prepared) = entry.remove_entry();
            self.writer.commit(CheckpointId(id), &prepared).await.unwrap();
        }
    }
}

/// What outlives a process.
#[derive(Clone, Serialize, Deserialize)]
struct Story {
    brokers: String,
    topic: String,
    dice: Dice,
    manifest: Manifest,
    checkpoint: u64,
    /// How many more runs end badly.
    crashes: u32,
    done: bool,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The process dies at once.
    Killed,
    /// The job fails and drops its tasks.
    Dropped,
    /// All is committed.
    Finished,
}

impl Story {
    /// One run of the job, with the sink of its process. `keep` stores manifests.
    async fn run(&mut self, sink: &dyn Sink, end: End, keep: &impl Fn(&Story)) {
        let parallelism = 1 + self.dice.below(3) as usize;
        let mut subtasks = Vec::new();
        for index in 0..parallelism {
            let restored = &self.manifest.prepared;
            let writer = open_writer(sink, index, parallelism, restored).await.unwrap();
            subtasks.push(Subtask { writer, pending: BTreeMap::new() });
        }
        let mut next_row = self.manifest.next_row;
        let steps = 3 + self.dice.below(10);
        let last = end == End::Finished;
        for step in 0..=steps {
            if self.dice.below(3) > 0 && step < steps {
                let index = self.dice.below(parallelism as u64) as usize;
                let rows = self.dice.below(40) as i64;
                let batch = batch_of(next_row..next_row + rows);
                subtasks[index].writer.write(batch).await.unwrap();
                next_row += rows;
                continue;
            }
            self.checkpoint += 1;
            let mut prepared = Vec::new();
            for subtask in &mut subtasks {
                prepared.push(subtask.prepare(self.checkpoint).await);
            }
            if self.dice.below(4) == 0 && !(last && step == steps) {
                // The manifest does not come to be; the next one covers these rows too.
                continue;
            }
            self.manifest = Manifest { prepared, next_row };
            keep(self);
            for subtask in &mut subtasks {
                if !last && self.dice.below(6) == 0 {
                    return die_if_told(end);
                }
                subtask.commit(self.checkpoint).await;
            }
        }
        die_if_told(end);
    }

    /// Runs the job to its end, or to the death of this process. `keep` stores what outlives it.
    async fn play(&mut self, keep: impl Fn(&Story)) {
        let table = exactly_once(&self.brokers, &self.topic);
        let sink = open_sink("kafka", &table).unwrap().sink;
        while self.crashes > 0 {
            self.crashes -= 1;
            let end = if self.dice.below(2) == 0 { End::Killed } else { End::Dropped };
            keep(self);
            self.run(&*sink, end, &keep).await;
        }
        self.run(&*sink, End::Finished, &keep).await;
        self.done = true;
        keep(self);
    }

    /// Plays the story in processes of its own, one after the other as they die.
    fn played_out(mut self) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), serde_json::to_vec(&self).unwrap()).unwrap();
        while !self.done {
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "kafka_sink::exactly_once::a_process_that_may_die",
                    "--nocapture",
                ])
                .env(STORY, file.path())
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&child.stderr);
            let as_told = child.status.success() || text.contains(LAST_WORDS);
            assert!(as_told, "a run failed by itself: {text}");
            self = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
        }
        self
    }
}

/// Names the file of the story to a process that is to play it.
const STORY: &str = "MILLRACE_TEST_STORY";
const LAST_WORDS: &str = "dies as told";

/// A process of [`Story::played_out`]; nothing in any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_may_die() {
    let Some(file) = std::env::var_os(STORY) else { return };
    let mut story: Story = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let keep = |story: &Story| std::fs::write(&file, serde_json::to_vec(story).unwrap()).unwrap();
    story.play(keep).await;
}

/// Ends the process with all its writers as they are.
fn die_if_told(end: End) {
    if end == End::Killed {
        eprintln!("{LAST_WORDS}");
        // Neither destructors nor other threads have a say in this.
        std::process::abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test of the real thing")]
async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

fn exactly_once<'a>(brokers: &'a str, topic: &'a str) -> TableSpec {
    numbers(
        brokers,
        topic,
        [("sink.delivery-guarantee", "exactly-once"), ("sink.transactional-id-prefix", topic)],
    )
}

/// The seeds to try: `MILLRACE_SEED` replays one, `MILLRACE_SEEDS` asks for more than a few.
fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("MILLRACE_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("MILLRACE_SEEDS").unwrap_or(6)).collect(),
    }
}

#[test]
fn each_row_shows_once_whatever_crashes_and_at_any_parallelism() {
    let brokers = brokers();
    for seed in seeds() {
        eprintln!("replay with MILLRACE_SEED={seed}");
        let story = Story {
            brokers: brokers.clone(),
            topic: fresh(&format!("once-{seed}")),
            dice: Dice(seed),
            manifest: Manifest::default(),
            checkpoint: 0,
            crashes: 4,
            done: false,
        };
        let story = story.played_out();
        let records = committed(&story.brokers, &story.topic);
        let mut found: Vec<i64> = records.iter().map(number).collect();
        found.sort_unstable();
        let expected: Vec<i64> = (0..story.manifest.next_row).collect();
        assert_eq!(found, expected, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prepared_transaction_is_invisible_until_a_restart_commits_it() {
    let brokers = brokers();
    let topic = fresh("prepared");
    let table = exactly_once(&brokers, &topic);
    let sink = open_sink("kafka", &table).unwrap().sink;
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    writer.write(batch_of(0..10)).await.unwrap();
    let prepared = writer.prepare(CheckpointId(1)).await.unwrap();
    assert_eq!(prepared.committables.len(), 1);
    assert_eq!(prepared.committables[0].rows, 10);
    writer.write(batch_of(10..20)).await.unwrap();
    drop(writer);
    // Twice: a start that dies after it has committed is followed by another from there.
    for _ in 0..2 {
        let restored = std::slice::from_ref(&prepared);
        drop(open_writer(&*sink, 0, 1, restored).await.unwrap());
        let records = tokio::task::block_in_place(|| committed(&brokers, &topic));
        assert_eq!(records.iter().map(number).max(), Some(9));
        assert_eq!(records.len(), 10);
    }
}

/// The second subtask dies with rows that no manifest names; at the smaller parallelism nobody has
/// its transactional ids any more. Left open, its transaction would hold up all readers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_subtask_left_open_is_aborted_at_a_smaller_parallelism() {
    let brokers = brokers();
    let topic = fresh("smaller");
    let table = exactly_once(&brokers, &topic);
    let sink = open_sink("kafka", &table).unwrap().sink;
    let mut writer = open_writer(&*sink, 1, 2, &[]).await.unwrap();
    writer.write(batch_of(0..10)).await.unwrap();
    writer.prepare(CheckpointId(1)).await.unwrap();
    drop(writer);
    let mut successor = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    // In all partitions, behind what was left there: an open transaction would hide them.
    successor.write(batch_of(100..200)).await.unwrap();
    let prepared = successor.prepare(CheckpointId(2)).await.unwrap();
    successor.commit(CheckpointId(2), &prepared).await.unwrap();
    let records = tokio::task::block_in_place(|| committed(&brokers, &topic));
    let mut found: Vec<i64> = records.iter().map(number).collect();
    found.sort_unstable();
    assert_eq!(found, (100..200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interval_without_rows_prepares_nothing() {
    let brokers = brokers();
    let topic = fresh("empty");
    let table = exactly_once(&brokers, &topic);
    let sink = open_sink("kafka", &table).unwrap().sink;
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    writer.write(batch_of([])).await.unwrap();
    let prepared = writer.prepare(CheckpointId(1)).await.unwrap();
    assert_eq!(prepared.committables, []);
    writer.commit(CheckpointId(1), &prepared).await.unwrap();
}

/// The transaction waits for its restart longer than its time-out: its rows are gone, and a job
/// that went on from here would never say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prepared_transaction_that_kafka_aborted_fails_the_restart() {
    let brokers = brokers();
    let topic = fresh("aborted");
    let table = exactly_once(&brokers, &topic);
    let sink = open_sink("kafka", &table).unwrap().sink;
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    writer.write(batch_of(0..10)).await.unwrap();
    let prepared = writer.prepare(CheckpointId(1)).await.unwrap();
    drop(writer);
    let id = prepared.committables[0].payload["transactional_id"].as_str().unwrap().to_owned();
    // Whoever takes the id over aborts what is open there.
    let servers = brokers.clone();
    tokio::task::block_in_place(move || {
        let thief: rdkafka::producer::BaseProducer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("transactional.id", id)
            .create()
            .unwrap();
        thief.init_transactions(Duration::from_secs(20)).unwrap();
    });
    let error = open_writer(&*sink, 0, 1, &[prepared]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Restore);
    assert!(error.message().contains("10 rows"), "{error}");
    assert!(error.message().contains("aborted"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_instance_stops_the_first_and_says_so() {
    let brokers = brokers();
    let topic = fresh("fenced");
    let table = exactly_once(&brokers, &topic);
    let first = open_sink("kafka", &table).unwrap().sink;
    let mut writer = open_writer(&*first, 0, 1, &[]).await.unwrap();
    writer.write(batch_of(0..10)).await.unwrap();
    let second = open_sink("kafka", &table).unwrap().sink;
    let _successor = open_writer(&*second, 0, 1, &[]).await.unwrap();
    pause(Duration::from_millis(300)).await;
    writer.write(batch_of(10..20)).await.ok();
    let error = writer.prepare(CheckpointId(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixInput, "{}", error.full_report());
    assert!(error.message().contains("another instance"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_longer_than_the_brokers_allow_is_refused_at_the_start() {
    let brokers = brokers();
    let topic = fresh("long");
    let table = numbers(
        &brokers,
        &topic,
        [
            ("sink.delivery-guarantee", "exactly-once"),
            ("sink.transactional-id-prefix", "long"),
            ("properties.transaction.timeout.ms", "86400000"),
        ],
    );
    let sink = open_sink("kafka", &table).unwrap().sink;
    let error = open_writer(&*sink, 0, 1, &[]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::FixInput);
    assert!(error.message().contains("`transaction.max.timeout.ms` = 900000"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_that_come_after_the_time_out_of_transactions_are_refused_at_the_start() {
    let brokers = brokers();
    let options = [
        ("sink.delivery-guarantee", "exactly-once"),
        ("sink.transactional-id-prefix", "seldom"),
        ("properties.transaction.timeout.ms", "60000"),
    ];
    let topic = fresh("seldom");
    let table = numbers(&brokers, &topic, options);
    let sink = open_sink("kafka", &table).unwrap().sink;
    let every = |interval_s| millrace_core::SinkContext {
        checkpoint_interval: Some(Duration::from_secs(interval_s)),
        ..crate::harness::sink_context(0, 1, &[])
    };
    let error = sink.open(every(60)).await.err().expect("it is refused");
    assert_eq!(error.kind(), ErrorKind::FixInput, "{}", error.full_report());
    assert!(error.message().contains("every 60000 ms"), "{error}");
    assert!(error.message().contains("`transaction.timeout.ms` (60000)"), "{error}");
    assert!(sink.open(every(59)).await.is_ok());
}
