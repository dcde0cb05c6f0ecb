//! Topics that are made and deleted many at once, and the process dies anywhere in between.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::storage::Origin;

/// A disk that keeps what files the process would have left behind, had it died before one of its
/// operations.
#[derive(Debug)]
struct KillDisk {
    root: std::path::PathBuf,
    left: Mutex<u32>,
    left_behind: TempDir,
    operations: AtomicU64,
}

impl KillDisk {
    fn new(root: &Path) -> Self {
        KillDisk {
            root: root.to_owned(),
            left: Mutex::new(u32::MAX),
            left_behind: tempfile::tempdir().unwrap(),
            operations: AtomicU64::new(0),
        }
    }

    /// It dies before this operation from now on.
    fn dies_before(&self, operation: u32) {
        *self.left.lock().unwrap() = operation;
        self.operations.store(0, Relaxed);
    }

    fn is_dead(&self) -> bool {
        *self.left.lock().unwrap() == 0
    }

    fn operation(&self) {
        self.operations.fetch_add(1, Relaxed);
        let mut left = self.left.lock().unwrap();
        match *left {
            0 => {}
            1 => {
                copy(&self.root, self.left_behind.path());
                *left = 0;
            }
            _ => *left -= 1,
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => {
                fs::create_dir(&to).unwrap();
                copy(&entry.path(), &to);
            }
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

impl Disk for KillDisk {
    fn write(&self, file: &File, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.operation();
        SystemDisk.write(file, parts)
    }

    fn sync(&self, _: &File) -> io::Result<()> {
        self.operation();
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.operation();
        Ok(())
    }
}

fn name(topic: usize) -> String {
    format!("t{topic}")
}

fn create(broker: &Broker, topics: &BTreeSet<usize>) {
    let new = topics.iter().map(|topic| new_topic(&name(*topic), 2)).collect();
    for created in broker.topics().create_all(new) {
        created.unwrap();
    }
}

fn delete(broker: &Broker, topics: &BTreeSet<usize>) {
    let names: Vec<String> = topics.iter().map(|topic| name(*topic)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for deleted in broker.topics().delete_all(&names) {
        deleted.unwrap();
    }
    broker.topics().remove_deleted();
}

fn some_topics() -> impl Strategy<Value = BTreeSet<usize>> {
    prop::collection::btree_set(0..6usize, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    /// What was acknowledged before the process dies is there, and what was not is there whole or
    /// not at all.
    #[test]
    fn a_process_that_dies_leaves_whole_topics(
        rounds in prop::collection::vec(some_topics(), 1..6),
        dies_before in 1..60u32,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(KillDisk::new(dir.path()));
        let broker = open(dir.path(), FsyncPolicy::Always, disk.clone());
        disk.dies_before(dies_before);
        let mut known = BTreeSet::new();
        let mut unsure = BTreeSet::new();
        for round in &rounds {
            let (gone, made): (BTreeSet<_>, BTreeSet<_>) =
                round.iter().partition(|topic| known.contains(*topic));
            delete(&broker, &gone);
            if disk.is_dead() {
                unsure = gone;
                break;
            }
            known.retain(|topic| !gone.contains(topic));
            create(&broker, &made);
            if disk.is_dead() {
                unsure = made;
                break;
            }
            known.extend(&made);
        }
        if !disk.is_dead() {
            disk.dies_before(1);
            disk.operation();
        }
        let left_behind = disk.left_behind.path();
        let again = open(left_behind, FsyncPolicy::Always, Arc::new(SystemDisk));
        for topic in 0..6 {
            let found = again.topics().get(&name(topic));
            if !unsure.contains(&topic) {
                prop_assert_eq!(found.is_some(), known.contains(&topic), "topic {}", topic);
            }
            let Some(found) = found else { continue };
            prop_assert_eq!(found.partition_count(), 2);
            for log in found.partitions() {
                let appended = log.append(batch(BatchBuilder::new(), 1, 0), Origin::Client);
                wait_for(log.durable(appended.unwrap().last_offset)).unwrap();
            }
        }
        for dir in ["creating", "deleted"] {
            prop_assert_eq!(fs::read_dir(left_behind.join(dir)).unwrap().count(), 0);
        }
    }
}

/// Making 500 topics took 3,000 syncs one after the other, and as many again were to come: seconds
/// for what takes Kafka less than one.
#[test]
fn topics_that_are_made_or_deleted_together_share_the_syncs_of_their_directory() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(KillDisk::new(dir.path()));
    let broker = open(dir.path(), FsyncPolicy::Always, disk.clone());
    let topics: BTreeSet<usize> = (0..40).collect();
    let operations = |work: &dyn Fn()| {
        disk.dies_before(u32::MAX);
        work();
        disk.operations.load(Relaxed)
    };
    // Each writes its file and syncs that and its directory.
    assert_eq!(operations(&|| create(&broker, &topics)), 40 * 3 + 1);
    assert_eq!(operations(&|| drop(broker.topics().create(new_topic("large", 200)).unwrap())), 4);
    // What nothing was appended to has nothing to sync.
    assert_eq!(
        operations(&|| broker.topics().list().iter().for_each(|topic| {
            topic.partitions().iter().for_each(|log| log.sync().unwrap());
        })),
        0
    );
    assert_eq!(operations(&|| delete(&broker, &topics)), 1);
    let fsync = FsyncPolicy::Always;
    assert_eq!(operations(&|| broker.close().unwrap()), 0);
    drop(broker);
    // The data directory's own names.
    assert_eq!(operations(&|| drop(open(dir.path(), fsync, disk.clone()))), 1);
}

#[test]
fn names_that_cannot_be_told_apart_are_refused_within_one_request_too() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path(), FsyncPolicy::Never, Arc::new(SystemDisk));
    let new = ["a.b", "ok", "a_b", "a.b"].map(|name| new_topic(name, 1)).to_vec();
    let made: Vec<_> = broker.topics().create_all(new).into_iter().collect();
    let codes: Vec<_> = made.iter().map(|made| made.as_ref().err().map(|e| e.code())).collect();
    use kafka_protocol::error::ResponseError::{InvalidTopicException, TopicAlreadyExists};
    let expected = [None, None, Some(InvalidTopicException), Some(TopicAlreadyExists)];
    assert_eq!(codes, expected);
    assert_eq!(broker.topics().list().iter().filter(|topic| !topic.internal).count(), 2);
}
