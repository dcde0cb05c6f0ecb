mod compaction;
mod damage;
mod files;
mod producers;
mod reopening;
mod retention;
mod transactions;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::storage::records::{BatchBuilder, BatchHeader, Batches};
use crate::storage::{Fetched, Origin};

fn open(dir: &TempDir, config: TopicConfig) -> PartitionLog {
    PartitionLog::open(dir.path(), config, FsyncPolicy::Never, Seams::system()).unwrap()
}

fn small_segments() -> TopicConfig {
    TopicConfig { segment_bytes: 600, index_interval_bytes: 100, ..TopicConfig::default() }
}

fn batch(records: usize, value_bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new();
    for at in 0..records {
        builder.push(at as i64, Some(b"key"), Some(&vec![at as u8; value_bytes]));
    }
    builder.build()
}

fn offsets(fetched: &Fetched) -> Vec<(i64, i64)> {
    let batches = Batches::new(fetched.records.clone());
    let headers = batches.map(|batch| batch.unwrap().0);
    headers.map(|header| (header.base_offset, header.last_offset())).collect()
}

/// What is said of the records of a batch that is refused, without its texts.
fn rejected(config: TopicConfig, batch: Bytes) -> (ResponseError, Vec<i32>) {
    let dir = TempDir::new().unwrap();
    match open(&dir, config).append(batch, Origin::Client).unwrap_err() {
        LogError::RejectedRecords { code, records } => {
            assert!(records.iter().all(|record| record.message.len() > 20), "{records:?}");
            (code, records.iter().map(|record| record.index).collect())
        }
        other => panic!("{other}"),
    }
}

/// A client that sent good records with a bad one was not told which one was bad.
#[test]
fn records_that_cannot_be_taken_are_named_among_those_sent_with_them() {
    let now_ms = Seams::system().clock.now().as_millis();
    let mut batch = BatchBuilder::new();
    for (at_ms, key) in [(now_ms, Some("a")), (now_ms, None), (now_ms, Some("")), (5, None)] {
        batch.push(at_ms, key.map(str::as_bytes), Some(b"v"));
    }
    let batch = batch.build();
    let compact = TopicConfig { compact: true, ..TopicConfig::default() };
    assert_eq!(rejected(compact, batch.clone()), (ResponseError::InvalidRecord, vec![1, 3]));
    let recent = TopicConfig { timestamp_before_max_ms: 60_000, ..TopicConfig::default() };
    assert_eq!(rejected(recent, batch), (ResponseError::InvalidTimestamp, vec![3]));
}

#[test]
fn at_most_a_thousand_records_are_named() {
    let mut batch = BatchBuilder::new();
    for _ in 0..1500 {
        batch.push(0, None, Some(b"v"));
    }
    let compact = TopicConfig { compact: true, ..TopicConfig::default() };
    let (_, indices) = rejected(compact, batch.build());
    assert_eq!(indices, (0..1000).collect::<Vec<i32>>());
}

/// The naive model: a list of batches.
#[derive(Default)]
struct Model {
    batches: Vec<(BatchHeader, Bytes)>,
}

impl Model {
    fn append(&mut self, batch: &Bytes) {
        let mut header = BatchHeader::parse(batch).unwrap();
        header.base_offset = self.end();
        self.batches.push((header, batch.clone()));
    }

    fn end(&self) -> i64 {
        self.batches.last().map_or(0, |(header, _)| header.next_offset())
    }
}

/// Reads all from `offset` on, and compares it with the model, content included.
fn compare(log: &PartitionLog, model: &Model, offset: i64, max_bytes: usize) {
    let mut next = offset;
    let mut expected = model.batches.iter().filter(|(header, _)| header.last_offset() >= offset);
    while next < model.end() {
        let fetched = log.read(next, max_bytes, true, Isolation::ReadUncommitted).unwrap();
        let batches: Vec<_> = Batches::new(fetched.records).map(|batch| batch.unwrap()).collect();
        assert!(!batches.is_empty(), "nothing at {next}");
        let bytes: usize = batches.iter().map(|(header, _)| header.size_bytes).sum();
        assert!(batches.len() == 1 || bytes <= max_bytes);
        for (header, batch) in batches {
            let (expected_header, expected_batch) = expected.next().unwrap();
            assert_eq!(&header, expected_header);
            assert_eq!(batch[12..], expected_batch[12..]);
            next = header.next_offset();
        }
    }
    assert!(expected.next().is_none());
}

#[derive(Clone, Debug)]
enum Step {
    Append { records: usize, value_bytes: usize },
    Reopen,
    Read { at: prop::sample::Index, max_bytes: usize },
    CutTail(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..5usize, 0..120usize)
            .prop_map(|(records, value_bytes)| Step::Append { records, value_bytes }),
        1 => Just(Step::Reopen),
        3 => (any::<prop::sample::Index>(), 0..2000usize)
            .prop_map(|(at, max_bytes)| Step::Read { at, max_bytes }),
        1 => any::<prop::sample::Index>().prop_map(Step::CutTail),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_log_is_a_list_of_batches_whatever_happens_to_its_process(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(&dir, small_segments());
        let mut model = Model::default();
        // What opening found is on the disk, and can no longer be an unfinished write.
        let mut opened_at = 0;
        for step in steps {
            match step {
                Step::Append { records, value_bytes } => {
                    let batch = batch(records, value_bytes);
                    let appended = log.append(batch.clone(), Origin::Client).unwrap();
                    prop_assert_eq!(appended.base_offset, model.end());
                    model.append(&batch);
                    prop_assert_eq!(appended.last_offset + 1, model.end());
                }
                Step::Reopen => {
                    drop(log);
                    log = open(&dir, small_segments());
                    opened_at = log.log_end_offset();
                    prop_assert_eq!(log.recovery().truncated_bytes, 0);
                }
                Step::Read { at, max_bytes } => {
                    compare(&log, &model, at.index(model.end() as usize + 1) as i64, max_bytes);
                }
                // What a process leaves that dies in the middle of its last write.
                Step::CutTail(at) => {
                    let last = log.view().active();
                    if last.size_bytes() == 0 || log.log_end_offset() == opened_at {
                        continue;
                    }
                    let (header, _) = model.batches.pop().unwrap();
                    drop(log);
                    let size = last.size_bytes();
                    let kept = size - header.size_bytes as u64 + at.index(header.size_bytes) as u64;
                    last.truncate(kept).unwrap();
                    log = open(&dir, small_segments());
                    opened_at = log.log_end_offset();
                    prop_assert_eq!(log.recovery().truncated_bytes, at.index(header.size_bytes) as u64);
                }
            }
            prop_assert_eq!(log.log_end_offset(), model.end());
        }
        compare(&log, &model, 0, 1 << 20);
    }
}

#[test]
fn a_reader_gets_whole_batches_up_to_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, TopicConfig::default());
    let batch = batch(2, 50);
    for _ in 0..3 {
        log.append(batch.clone(), Origin::Client).unwrap();
    }
    let read = |offset, max_bytes, at_least_one| {
        offsets(&log.read(offset, max_bytes, at_least_one, Isolation::LogEnd).unwrap())
    };
    assert_eq!(read(0, 1 << 20, false), [(0, 1), (2, 3), (4, 5)]);
    assert_eq!(read(3, 1 << 20, false), [(2, 3), (4, 5)]);
    assert_eq!(read(0, 2 * batch.len(), false), [(0, 1), (2, 3)]);
    assert_eq!(read(0, 2 * batch.len() - 1, false), [(0, 1)]);
    assert_eq!(read(2, 10, true), [(2, 3)]);
    assert_eq!(read(2, 10, false), []);
    assert_eq!(read(6, 10, true), []);
    for outside in [-1, 7, i64::MAX] {
        let error = log.read(outside, 10, true, Isolation::LogEnd).unwrap_err();
        assert_eq!(error.code(), ResponseError::OffsetOutOfRange);
    }
}

#[test]
fn hostile_batches_are_refused_with_the_code_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, TopicConfig::default());
    let good = batch(2, 10);
    let signed = |change: &dyn Fn(&mut BatchHeader)| {
        let mut header = BatchHeader::parse(&good).unwrap();
        change(&mut header);
        let mut bytes = header.encode(&good[61..]).to_vec();
        bytes.extend_from_slice(&good[61..]);
        Bytes::from(bytes)
    };
    let flipped = {
        let mut bytes = good.to_vec();
        bytes[70] ^= 1;
        Bytes::from(bytes)
    };
    let twice = Bytes::from([&good[..], &good[..]].concat());
    for (bytes, code) in [
        (Bytes::new(), ResponseError::InvalidRecord),
        (twice, ResponseError::InvalidRecord),
        (flipped, ResponseError::CorruptMessage),
        (good.slice(..good.len() - 1), ResponseError::CorruptMessage),
        (signed(&|header| header.base_offset = i64::MAX), ResponseError::InvalidRecord),
        (signed(&|header| header.last_offset_delta = -1), ResponseError::InvalidRecord),
        (signed(&|header| header.last_offset_delta = i32::MAX), ResponseError::InvalidRecord),
        (signed(&|header| header.record_count = i32::MAX), ResponseError::InvalidRecord),
        (signed(&|header| header.record_count = 1), ResponseError::InvalidRecord),
        (signed(&|header| header.attributes.0 = 1 << 5), ResponseError::InvalidRecord),
        (signed(&|header| header.attributes.0 = 1 << 4), ResponseError::InvalidRecord),
        (signed(&|header| header.attributes.0 = 4), ResponseError::InvalidRecord),
        (signed(&|header| header.attributes.0 = 7), ResponseError::InvalidRecord),
        (signed(&|header| header.producer_id = 1), ResponseError::InvalidRecord),
        (signed(&|header| header.base_timestamp_ms = i64::MAX), ResponseError::InvalidTimestamp),
        (batch(1, 2_000_000), ResponseError::MessageTooLarge),
    ] {
        assert_eq!(log.append(bytes, Origin::Client).unwrap_err().code(), code);
    }
    assert_eq!(log.log_end_offset(), 0);
    assert_eq!(log.size_bytes(), 0);
    log.append(signed(&|header| header.base_offset = 12345), Origin::Client).unwrap();
}

#[tokio::test]
async fn under_always_nothing_is_seen_before_it_is_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let config = TopicConfig::default();
    let log = PartitionLog::open(dir.path(), config, FsyncPolicy::Always, Seams::system()).unwrap();
    let appended = log.append(batch(2, 10), Origin::Client).unwrap();
    assert_eq!((log.high_watermark(), log.log_end_offset()), (0, 2));
    let fetched = log.read(0, 1 << 20, true, Isolation::ReadUncommitted).unwrap();
    assert!(fetched.records.is_empty());
    let waiting = log.wait_beyond(0, Isolation::ReadUncommitted);
    let (synced, ()) = tokio::join!(log.durable(appended.last_offset), waiting);
    synced.unwrap();
    assert_eq!(log.high_watermark(), 2);
    assert!(log.durable(2).await.is_err());
}

#[test]
fn the_log_stamps_records_where_the_topic_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let config = TopicConfig { log_append_time: true, ..TopicConfig::default() };
    let log = open(&dir, config);
    let appended = log.append(batch(2, 10), Origin::Client).unwrap();
    let fetched = log.read(0, 1 << 20, true, Isolation::LogEnd).unwrap();
    let (header, bytes) = Batches::new(fetched.records).next().unwrap().unwrap();
    assert!(header.attributes.is_log_append_time());
    assert_eq!(Some(header.max_timestamp_ms), appended.append_time_ms);
    assert_eq!(header.verify(&bytes), Ok(()));
}
