//! What opening does not read is known all the same.

use super::*;
use crate::storage::TransactionOutcome::{Abort, Commit};

/// Leaves nothing but batches, and what was decided about them.
pub(super) fn remove_derived(dir: &Path) {
    for path in derived(dir) {
        std::fs::remove_file(path).unwrap();
    }
}

/// The files that follow from the batches.
fn derived(dir: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_derived = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "index" || extension == "snapshot")
    };
    let mut paths: Vec<_> = paths.filter(is_derived).collect();
    paths.sort();
    paths
}

/// The same log, opened from a copy of its batches alone.
fn from_batches(dir: &TempDir) -> (TempDir, PartitionLog) {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    remove_derived(copy.path());
    let log = open(&copy, small_segments());
    (copy, log)
}

/// Compares all that a log knows.
fn assert_same(log: &PartitionLog, expected: &PartitionLog) {
    let (found, wanted) = (log.view(), expected.view());
    assert_eq!(found.log_end, wanted.log_end);
    assert_eq!(found.last_stable(), wanted.last_stable());
    let contents = |view: &View| -> Vec<_> {
        let content = |segment: &Arc<Segment>| (segment.base_offset, segment.with(Clone::clone));
        view.segments.iter().map(content).collect()
    };
    assert_eq!(contents(&found), contents(&wanted));
    for (found, wanted) in found.segments.iter().zip(&*wanted.segments) {
        // One that is made again when it is needed has fewer entries.
        let index = |segment: &Segment| lock::read(&segment.opened().unwrap().index).clone();
        assert!(index(found).is_part_of(&index(wanted)));
    }
    let aborted = |log: &PartitionLog| lock::read(&log.shared.aborted).clone();
    assert_eq!(aborted(log), aborted(expected));
    let producers = |log: &PartitionLog| {
        let mut producers = lock::mutex(&log.shared.writer).producers.clone();
        // When they were heard of is the only thing that the batches don't say.
        producers.heard_at(0);
        producers
    };
    assert_eq!(producers(log), producers(expected));
}

#[test]
fn opening_reads_what_came_behind_the_last_snapshot_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, small_segments());
    (0..40).for_each(|_| _ = log.append(batch(2, 80), Origin::Client).unwrap());
    assert!(log.view().segments.len() > 10);
    let last = log.view().active().size_bytes();
    drop(log);
    // Killed: the last segment, as its beginning was the last snapshot.
    let log = open(&dir, small_segments());
    assert_eq!(log.recovery(), &Recovery { checked_bytes: last, ..Recovery::default() });
    log.close().unwrap();
    // Stopped: nothing.
    let log = open(&dir, small_segments());
    assert_eq!(log.recovery(), &Recovery::default());
    let (_copy, expected) = from_batches(&dir);
    assert_eq!(expected.recovery().checked_bytes, expected.size_bytes());
    assert_same(&log, &expected);
    // What comes behind the snapshot in the same segment is read, and the beginning is not.
    let appended = batch(1, 1);
    log.append(appended.clone(), Origin::Client).unwrap();
    drop(log);
    let log = open(&dir, small_segments());
    assert_eq!(log.recovery().checked_bytes, appended.len() as u64);
}

#[test]
fn maintenance_takes_a_snapshot_when_much_came_or_a_little_and_then_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = TopicConfig { retention_ms: None, ..TopicConfig::default() };
    let checked_bytes = |log: PartitionLog| {
        drop(log);
        let log = open(&dir, config.clone());
        (log.recovery().checked_bytes, log)
    };
    let log = open(&dir, config.clone());
    let appended = batch(1, 600 << 10);
    log.append(appended.clone(), Origin::Client).unwrap();
    (0..3).for_each(|_| log.maintain().unwrap());
    let (read, log) = checked_bytes(log);
    assert_eq!(read, appended.len() as u64, "too little");
    log.append(appended.clone(), Origin::Client).unwrap();
    log.maintain().unwrap();
    let (read, log) = checked_bytes(log);
    assert_eq!(read, 2 * appended.len() as u64, "more may come");
    log.maintain().unwrap();
    log.maintain().unwrap();
    let (read, log) = checked_bytes(log);
    assert_eq!(read, 0, "nothing came");
    (0..28).for_each(|_| _ = log.append(appended.clone(), Origin::Client).unwrap());
    log.maintain().unwrap();
    let (read, _) = checked_bytes(log);
    assert_eq!(read, 0, "much came");
}

/// Prints how long opening takes with and without the files of what is known: `cargo test -p
/// millrace-log --lib -- --ignored --nocapture how_long_opening_takes`. `MILLRACE_LOG_SEGMENTS` is
/// how many segments of 1 MiB there are.
#[test]
#[ignore = "it measures, and writes 2 GB"]
fn how_long_opening_takes() {
    let segments = std::env::var("MILLRACE_LOG_SEGMENTS").map_or(2000, |n| n.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let config = TopicConfig { segment_bytes: 1 << 20, retention_ms: None, ..Default::default() };
    let log = open(&dir, config.clone());
    let data = batch(100, 630);
    let batches = segments * (1 << 20) / data.len();
    (0..batches).for_each(|_| _ = log.append(data.clone(), Origin::Client).unwrap());
    log.sync().unwrap();
    println!("{} segments, {} MB", log.view().segments.len(), log.size_bytes() / 1_000_000);
    let clock = Seams::system().clock;
    let timed = |how: &str| {
        let from = clock.elapsed();
        let log = open(&dir, config.clone());
        let ms = (clock.elapsed() - from).as_millis();
        println!("{how}: {ms} ms, {} bytes read", log.recovery().checked_bytes);
        log
    };
    drop(log);
    let log = timed("after a kill");
    log.close().unwrap();
    drop(log);
    drop(timed("after a stop"));
    remove_derived(dir.path());
    drop(timed("from the batches alone"));
}

/// What happens to a file of what is known.
#[derive(Clone, Debug)]
enum Harm {
    Remove,
    Cut(prop::sample::Index),
    Flip(prop::sample::Index),
    /// It is as it was at the opening before.
    Older,
    /// It is that of another segment.
    Other(prop::sample::Index),
}

#[derive(Clone, Debug)]
enum Step {
    Data { id: i64, records: usize, transactional: bool },
    End { id: i64, commit: bool },
    Maintain,
    Reopen { close: bool, harms: Vec<(prop::sample::Index, Harm)> },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let harm = prop_oneof![
        Just(Harm::Remove),
        any::<prop::sample::Index>().prop_map(Harm::Cut),
        any::<prop::sample::Index>().prop_map(Harm::Flip),
        Just(Harm::Older),
        any::<prop::sample::Index>().prop_map(Harm::Other),
    ];
    let harms = prop::collection::vec((any::<prop::sample::Index>(), harm), 0..3);
    let step = prop_oneof![
        8 => (0..4i64, 1..4usize, any::<bool>())
            .prop_map(|(id, records, transactional)| Step::Data { id, records, transactional }),
        3 => (0..4i64, any::<bool>()).prop_map(|(id, commit)| Step::End { id, commit }),
        1 => Just(Step::Maintain),
        2 => (any::<bool>(), harms).prop_map(|(close, harms)| Step::Reopen { close, harms }),
    ];
    prop::collection::vec(step, 1..80)
}

fn data(id: i64, sequence: i32, records: usize, transactional: bool) -> Bytes {
    let mut builder = BatchBuilder::new().producer(id, 0, sequence);
    if transactional {
        builder = builder.transactional();
    }
    (0..records).for_each(|at| builder.push(at as i64, Some(b"key"), Some(&[0; 50])));
    builder.build()
}

fn harm(dir: &TempDir, older: &[(PathBuf, Vec<u8>)], at: &prop::sample::Index, harm: &Harm) {
    let files = derived(dir.path());
    if files.is_empty() {
        return;
    }
    let path = at.get(&files);
    let mut bytes = std::fs::read(path).unwrap();
    if bytes.is_empty() {
        // An earlier harm cut it so.
        return;
    }
    match harm {
        Harm::Remove => return std::fs::remove_file(path).unwrap(),
        Harm::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Harm::Flip(at) => {
            let at = at.index(bytes.len());
            bytes[at] ^= 1;
        }
        Harm::Older => match older.iter().find(|(other, _)| other == path) {
            Some((_, older)) => bytes.clone_from(older),
            None => return,
        },
        Harm::Other(at) => bytes = std::fs::read(at.get(&files)).unwrap(),
    }
    std::fs::write(path, bytes).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_known_follows_from_the_batches_whatever_happens_to_the_files(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let config = TopicConfig { retention_ms: None, ..small_segments() };
        let mut log = open(&dir, config.clone());
        let mut sequences = [0; 4];
        let mut older = Vec::new();
        for step in steps {
            match step {
                Step::Data { id, records, transactional } => {
                    let sequence = &mut sequences[id as usize];
                    let batch = data(id, *sequence, records, transactional);
                    if log.append(batch, Origin::Client).is_ok() {
                        *sequence += records as i32;
                    }
                }
                Step::End { id, commit } => {
                    let open = log.open_transactions();
                    // An end of nothing is remembered, and not written.
                    if open.iter().any(|open| open.producer_id == id) {
                        let outcome = if commit { Commit } else { Abort };
                        log.append_marker(id, 0, 0, outcome).unwrap().unwrap();
                    }
                }
                Step::Maintain => log.maintain().unwrap(),
                Step::Reopen { close, harms } => {
                    if close {
                        log.close().unwrap();
                    }
                    drop(log);
                    harms.iter().for_each(|(at, kind)| harm(&dir, &older, at, kind));
                    log = open(&dir, config.clone());
                    let (_copy, expected) = from_batches(&dir);
                    assert_same(&log, &expected);
                    older = derived(dir.path()).into_iter().map(|path| {
                        let bytes = std::fs::read(&path).unwrap();
                        (path, bytes)
                    }).collect();
                }
            }
        }
    }
}
