//! A disk without room refuses, and takes nothing that was there.

use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kafka_protocol::error::ResponseError;
use proptest::prelude::*;

use super::*;
use crate::LogError;
use crate::storage::Origin;

/// A disk with room for so many bytes more.
#[derive(Debug)]
struct FullDisk(AtomicU64);

impl Disk for FullDisk {
    fn write(&self, file: &File, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let left = self.0.load(Relaxed);
        let fits = left.min(bytes.len() as u64);
        self.0.fetch_sub(fits, Relaxed);
        let is_full = fits < bytes.len() as u64;
        bytes.truncate(fits as usize);
        if !bytes.is_empty() {
            SystemDisk.write(file, &mut [IoSlice::new(&bytes)])?;
        }
        if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        SystemDisk.sync(file)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        SystemDisk.sync_dir(dir)
    }
}

const PLENTY: u64 = u64::MAX / 2;

fn values(log: &PartitionLog) -> BTreeMap<i64, u64> {
    read_all(log).0.into_iter().map(|(offset, (_, value))| (offset, value)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_full_disk_takes_nothing_that_was_acknowledged_and_the_log_goes_on_when_there_is_room(
        room in prop::collection::vec((prop_oneof![0..300u64, 0..2_000_000u64], any::<bool>()), 1..6),
        paddings in prop::collection::vec(prop_oneof![4 => 0..200usize, 1 => Just(700 << 10)], 1..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(FullDisk(AtomicU64::new(PLENTY)));
        let mut broker = open(dir.path(), FsyncPolicy::Always, disk.clone());
        broker.topics().create(new_topic("t", 2)).unwrap();
        let mut known = vec![BTreeMap::new(); 2];
        let (mut value, mut offset) = (0, None);
        for (room, restarts) in room {
            for left in [room, PLENTY] {
                disk.0.store(left, Relaxed);
                for (at, padding) in paddings.iter().enumerate() {
                    let partition = at % 2;
                    let log = broker.partition("t", partition as i32).unwrap();
                    value += 1;
                    match log.append(batch(BatchBuilder::new(), value, *padding), Origin::Client) {
                        Ok(appended) => {
                            wait_for(log.durable(appended.last_offset)).unwrap();
                            known[partition].insert(appended.base_offset, value);
                        }
                        Err(error) => {
                            prop_assert_eq!(error.code(), ResponseError::KafkaStorageError);
                            prop_assert!(left < PLENTY, "{error}");
                        }
                    }
                    // What is there can be read all the time, and a group's offsets stand.
                    prop_assert_eq!(&values(&log), &known[partition]);
                    let committed_now = wait_for(commit(&broker, "g", 0, value as i64));
                    prop_assert!(committed_now || left < PLENTY);
                    if committed_now {
                        offset = Some(value as i64);
                    }
                    prop_assert_eq!(committed(&broker, "g", 0), offset);
                }
                if restarts && left < PLENTY {
                    // Killed while the disk is full.
                    drop(broker);
                    disk.0.store(PLENTY, Relaxed);
                    broker = open(dir.path(), FsyncPolicy::Always, disk.clone());
                    for (partition, known) in (0..).zip(&known) {
                        let log = broker.partition("t", partition).unwrap();
                        prop_assert_eq!(&values(&log), known);
                    }
                    prop_assert_eq!(committed(&broker, "g", 0), offset);
                }
            }
        }
    }
}

#[test]
fn retention_makes_room_on_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FullDisk(AtomicU64::new(PLENTY)));
    let broker = open(dir.path(), FsyncPolicy::Never, disk.clone());
    let mut topic = new_topic("t", 1);
    topic.configs.insert("retention.bytes".to_owned(), (2 << 20).to_string());
    topic.configs.insert("retention.ms".to_owned(), "-1".to_owned());
    broker.topics().create(topic).unwrap();
    let log = broker.partition("t", 0).unwrap();
    for value in 0..10 {
        log.append(batch(BatchBuilder::new(), value, 600 << 10), Origin::Client).unwrap();
    }
    disk.0.store(0, Relaxed);
    assert!(matches!(
        log.append(batch(BatchBuilder::new(), 10, 0), Origin::Client),
        Err(LogError::Io { .. })
    ));
    log.maintain().unwrap();
    let start = log.log_start_offset();
    assert!(start > 0 && log.size_bytes() < 4 << 20);
    // What could not be written is not needed: the first segment that is left says it.
    drop((log, broker));
    disk.0.store(PLENTY, Relaxed);
    let broker = open(dir.path(), FsyncPolicy::Never, disk);
    let log = broker.partition("t", 0).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (start, 10));
    assert_eq!(
        log.append(batch(BatchBuilder::new(), 10, 0), Origin::Client).unwrap().base_offset,
        10
    );
}

/// A disk on which the files of a directory may have so many bytes.
#[derive(Debug)]
struct SmallDisk {
    dir: std::path::PathBuf,
    limit: AtomicU64,
}

impl SmallDisk {
    fn used(dir: &Path) -> u64 {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        let sizes = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
            true => Self::used(&entry.path()),
            false => entry.metadata().unwrap().len(),
        });
        sizes.sum()
    }

    /// No byte more fits.
    fn fill(&self) {
        self.limit.store(Self::used(&self.dir), Relaxed);
    }
}

impl Disk for SmallDisk {
    fn write(&self, file: &File, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        if Self::used(&self.dir) + bytes as u64 > self.limit.load(Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        SystemDisk.write(file, parts)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        SystemDisk.sync(file)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        SystemDisk.sync_dir(dir)
    }
}

/// A broker with ten large records in a topic of several segments, on a disk that has no room.
fn full(dir: &Path) -> (Arc<Broker>, Arc<PartitionLog>, Arc<SmallDisk>) {
    let disk = Arc::new(SmallDisk { dir: dir.to_owned(), limit: AtomicU64::new(PLENTY) });
    let broker = open(dir, FsyncPolicy::Never, disk.clone());
    let mut topic = new_topic("t", 1);
    topic.configs.insert("retention.ms".to_owned(), "-1".to_owned());
    broker.topics().create(topic).unwrap();
    let log = broker.partition("t", 0).unwrap();
    for value in 0..10 {
        log.append(batch(BatchBuilder::new(), value, 300 << 10), Origin::Client).unwrap();
    }
    disk.fill();
    (broker, log, disk)
}

#[test]
fn records_are_deleted_up_to_any_offset_on_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, log, disk) = full(dir.path());
    let names = std::fs::read_dir(log.dir()).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    let begins = |offset: &i64| names.contains(&format!("{offset:020}.log"));
    assert!(names.iter().filter(|name| name.ends_with(".log")).count() > 2, "{names:?}");
    let inside = |offset: &i64| !begins(offset) && !begins(&(offset + 1));
    let offset = (4..10).find(inside).unwrap();
    assert_eq!(log.delete_records_before(offset).unwrap(), offset);
    log.append(batch(BatchBuilder::new(), 10, 0), Origin::Client).unwrap();
    // Within the first segment that is left there is nothing to drop, and no room to say so.
    disk.fill();
    assert!(matches!(log.delete_records_before(offset + 1), Err(LogError::Io { .. })));
    assert_eq!(log.log_start_offset(), offset);
    drop((log, broker));
    let broker = open(dir.path(), FsyncPolicy::Never, disk);
    assert_eq!(broker.partition("t", 0).unwrap().log_start_offset(), offset);
}

#[test]
fn a_shorter_retention_can_be_set_on_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, log, _) = full(dir.path());
    let set = |name: &str, value: &str| {
        let all = [("retention.ms", "-1"), (name, value)];
        let configs = all.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        broker.topics().set_configs("t", configs)
    };
    // This makes no room: it is refused and not in force.
    let error = set("retention.bytes", &"9".repeat(15)).unwrap_err();
    assert_eq!(error.code(), ResponseError::KafkaStorageError);
    assert_eq!(log.config().retention_bytes, None);
    set("retention.bytes", &(1 << 20).to_string()).unwrap();
    assert_eq!(log.config().retention_bytes, Some(1 << 20));
    assert!(log.log_start_offset() > 0);
    log.append(batch(BatchBuilder::new(), 10, 0), Origin::Client).unwrap();
}
