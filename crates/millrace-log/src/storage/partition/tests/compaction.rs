use std::collections::BTreeMap;

use super::*;
use crate::storage::TransactionOutcome::{Abort, Commit};
use crate::storage::records::{Codec, Marker, Records, decode};

fn compacted() -> TopicConfig {
    let mut config = small_segments();
    (config.compact, config.delete) = (true, false);
    config.min_cleanable_dirty_ratio = 0.0;
    config
}

type Found = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

/// All records of data in the log: offset, key, value; and how many markers there are.
fn all(log: &PartitionLog) -> (Vec<Found>, usize) {
    let (mut records, mut markers) = (Vec::new(), 0);
    let mut next = log.log_start_offset();
    while next < log.log_end_offset() {
        let fetched = log.read(next, 300, true, Isolation::LogEnd).unwrap();
        assert!(!fetched.records.is_empty(), "nothing at {next}");
        for batch in Batches::new(fetched.records) {
            let (header, batch) = batch.unwrap();
            assert_eq!(header.verify(&batch), Ok(()));
            assert!(header.last_offset() >= next);
            next = header.next_offset();
            if Marker::read(&header, &batch).is_some() {
                markers += 1;
                continue;
            }
            let block = decode(&header, &batch).unwrap();
            for record in Records::new(&header, &block).map(Result::unwrap) {
                let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                records.push((record.offset, owned(record.key), owned(record.value)));
            }
        }
    }
    (records, markers)
}

fn put(log: &PartitionLog, key: u8, value: Option<u8>) -> i64 {
    let mut builder = BatchBuilder::new();
    builder.push(0, Some(&[key]), value.map(|value| [value; 100]).as_ref().map(|v| &v[..]));
    log.append(builder.build(), Origin::Client).unwrap().base_offset
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<(u8, Option<u8>)>),
    Transaction(Vec<(u8, Option<u8>)>, bool),
    Maintain,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let record = || (0..6u8, prop::option::weighted(0.8, any::<u8>()));
    let records = || prop::collection::vec(record(), 1..5);
    let step = prop_oneof![
        6 => records().prop_map(Step::Put),
        2 => (records(), any::<bool>()).prop_map(|(records, c)| Step::Transaction(records, c)),
        2 => Just(Step::Maintain),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

fn build(mut builder: BatchBuilder, records: &[(u8, Option<u8>)]) -> Bytes {
    for (key, value) in records {
        builder.push(0, Some(&[*key]), value.map(|value| [value; 40]).as_ref().map(|v| &v[..]));
    }
    builder.build()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    /// The table that a reader makes of the log is that of the whole history, and each record that
    /// is left has its old offset and content.
    #[test]
    fn compaction_changes_no_table(
        steps in steps(),
        codec in prop::sample::select(vec![None, Some(Codec::Zstd)]),
        delete_retention_ms in prop::sample::select(vec![0, 1 << 40]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let config = TopicConfig { compression: codec, delete_retention_ms, ..compacted() };
        let mut log = open(&dir, config.clone());
        let mut history = BTreeMap::new();
        let mut aborted = Vec::new();
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Put(records) => {
                    let batch = build(BatchBuilder::new(), &records);
                    let base = log.append(batch, Origin::Client).unwrap().base_offset;
                    history.extend((base..).zip(records));
                }
                Step::Transaction(records, commit) => {
                    let id = at as i64;
                    let builder = BatchBuilder::new().producer(id, 0, 0).transactional();
                    let batch = build(builder, &records);
                    let base = log.append(batch, Origin::Client).unwrap().base_offset;
                    let outcome = if commit { Commit } else { Abort };
                    log.append_marker(id, 0, 0, outcome).unwrap().unwrap();
                    if commit {
                        history.extend((base..).zip(records));
                    } else {
                        aborted.extend((base..).take(records.len()));
                    }
                }
                Step::Maintain => log.maintain().unwrap(),
                Step::Reopen => {
                    drop(log);
                    log = open(&dir, config.clone());
                }
            }
            prop_assert_eq!(log.last_stable_offset(), log.log_end_offset());
        }
        let (records, _) = all(&log);
        let mut seen = BTreeMap::new();
        for (offset, key, value) in records {
            if aborted.contains(&offset) {
                continue;
            }
            let (expected_key, expected_value) = history[&offset];
            prop_assert_eq!(key.unwrap(), [expected_key]);
            prop_assert_eq!(&value, &expected_value.map(|value| vec![value; 40]));
            seen.insert(expected_key, value);
        }
        seen.retain(|_, value| value.is_some());
        let mut expected = BTreeMap::new();
        for (key, value) in history.values() {
            expected.insert(*key, value.map(|value| vec![value; 40]));
        }
        expected.retain(|_, value| value.is_some());
        prop_assert_eq!(seen, expected);
    }
}

#[test]
fn tombstones_stay_for_one_pass_and_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let config = TopicConfig { delete_retention_ms: 0, ..compacted() };
    let log = open(&dir, config);
    put(&log, 1, Some(1));
    let tombstone = put(&log, 1, None);
    let fill = || (0..8).for_each(|at| _ = put(&log, 100, Some(at)));
    fill();
    log.maintain().unwrap();
    let offsets = || all(&log).0.iter().map(|(offset, ..)| *offset).collect::<Vec<_>>();
    assert_eq!(offsets()[0], tombstone);
    fill();
    log.maintain().unwrap();
    assert!(!offsets().contains(&tombstone));
    for _ in 0..5 {
        fill();
        log.maintain().unwrap();
    }
    // Only those of the last round are not put together with their neighbours yet.
    assert!(log.view().segments.len() <= 8, "{}", log.view().segments.len());
}

#[test]
fn aborted_records_go_and_markers_stay_while_they_are_needed() {
    let dir = tempfile::tempdir().unwrap();
    let config = TopicConfig { delete_retention_ms: 0, ..compacted() };
    let mut log = open(&dir, config.clone());
    for (id, outcome) in [(1, Commit), (2, Abort)] {
        let builder = BatchBuilder::new().producer(id, 0, 0).transactional();
        let batch = build(builder, &[(id as u8, Some(1))]);
        log.append(batch, Origin::Client).unwrap();
        log.append_marker(id, 0, 0, outcome).unwrap().unwrap();
    }
    for round in 1..4 {
        (0..8).for_each(|at| _ = put(&log, 100, Some(at)));
        log.maintain().unwrap();
        let (records, markers) = all(&log);
        assert_eq!(records[0].0, 0, "the committed record stays");
        assert!(records.iter().all(|(offset, ..)| *offset != 2), "the aborted one is gone");
        // The committed one's marker has to stay with it; the other is waited for like a tombstone.
        assert_eq!(markers, if round == 1 { 2 } else { 1 });
        drop(log);
        log = open(&dir, config.clone());
        assert_eq!(log.last_stable_offset(), log.log_end_offset());
    }
}

#[test]
fn open_transactions_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, compacted());
    let builder = BatchBuilder::new().producer(1, 0, 0).transactional();
    log.append(build(builder, &[(7, Some(1))]), Origin::Client).unwrap();
    (0..8).for_each(|at| _ = put(&log, 7, Some(at)));
    log.maintain().unwrap();
    assert_eq!(all(&log).0.len(), 9);
    log.append_marker(1, 0, 0, Commit).unwrap().unwrap();
    (0..8).for_each(|at| _ = put(&log, 7, Some(at)));
    log.maintain().unwrap();
    assert!(all(&log).0.len() < 9);
}

#[test]
fn a_swap_is_finished_by_the_next_opening_wherever_it_was_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, compacted());
    (0..12).for_each(|at| _ = put(&log, at % 2, Some(at)));
    let segments = log.view().segments.clone();
    let (first, removed) = (segments[0].base_offset, segments[1].base_offset);
    let expected = all(&log);
    drop(log);
    // The first two segments in one file, as a pass would write them that drops nothing.
    let file = |offset: i64, name: &str| dir.path().join(format!("{offset:020}.{name}"));
    let mut merged = std::fs::read(file(first, "log")).unwrap();
    merged.extend(std::fs::read(file(removed, "log")).unwrap());
    let intent = format!(r#"{{"version":1,"base_offset":{first},"removed":[{removed}]}}"#);
    std::fs::write(file(first, "log.cleaned"), &merged).unwrap();
    drop(open(&dir, compacted()));
    assert!(!file(first, "log.cleaned").exists(), "nothing names it");
    assert!(file(removed, "log").exists());
    std::fs::write(file(first, "log.cleaned"), &merged).unwrap();
    std::fs::write(dir.path().join("swap.json"), &intent).unwrap();
    assert_eq!(all(&open(&dir, compacted())), expected);
    assert!(!file(removed, "log").exists());
    // Interrupted between renaming and removing.
    std::fs::write(file(removed, "log"), &merged[..0]).unwrap();
    std::fs::write(dir.path().join("swap.json"), &intent).unwrap();
    assert_eq!(all(&open(&dir, compacted())), expected);
    assert!(!file(removed, "log").exists());
}
