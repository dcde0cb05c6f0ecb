use super::super::point::RecoveryPoint;
use super::reopening::remove_derived;
use super::*;

/// Opens it as a log is opened that has nothing but its batches.
fn reopen_by_batches(dir: &TempDir) -> Result<PartitionLog> {
    remove_derived(dir.path());
    reopen(dir)
}

fn reopen(dir: &TempDir) -> Result<PartitionLog> {
    PartitionLog::open(dir.path(), small_segments(), FsyncPolicy::Never, Seams::system())
}

/// A machine that was started anew has its logs closed before, or lost its power.
fn before_restart(dir: &TempDir) {
    let point = RecoveryPoint::read(dir.path()).unwrap().unwrap();
    let before = RecoveryPoint { boot: point.boot ^ 2, ..point };
    before.write(&RecoveryPoint::open(dir.path()).unwrap()).unwrap();
}

/// Six batches of two records in three segments; the file of the last one.
fn six(dir: &TempDir) -> (PartitionLog, PathBuf) {
    let log = open(dir, small_segments());
    (0..6).for_each(|_| _ = log.append(batch(2, 80), Origin::Client).unwrap());
    let last = log.view().active().base_offset;
    (log, dir.path().join(format!("{last:020}.log")))
}

#[test]
fn a_flipped_bit_in_what_is_on_the_disk_is_damage_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (log, last) = six(&dir);
    log.close().unwrap();
    let first = dir.path().join("00000000000000000000.log");
    for path in [first, last] {
        let good = std::fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(7) {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            let size = BatchHeader::parse(&good).unwrap().size_bytes;
            let leader_epoch = (12..16).contains(&(at % size));
            match reopen_by_batches(&dir) {
                Err(LogError::Damaged { .. }) => {}
                Ok(_) if leader_epoch => {}
                other => panic!("byte {at} of `{}`: {other:?}", path.display()),
            }
            let left = std::fs::metadata(&path).unwrap().len();
            assert_eq!(left, good.len() as u64, "nothing is cut off");
        }
        std::fs::write(&path, &good).unwrap();
    }
    reopen(&dir).unwrap();
}

#[test]
fn a_flipped_bit_that_opening_does_not_read_makes_no_log_shorter() {
    let dir = tempfile::tempdir().unwrap();
    let (log, last) = six(&dir);
    log.close().unwrap();
    let first = dir.path().join("00000000000000000000.log");
    for path in [first, last] {
        let good = std::fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(7) {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            let log = reopen(&dir).unwrap();
            assert_eq!((log.recovery().checked_bytes, log.log_end_offset()), (0, 12));
            let mut next = 0;
            let broken = loop {
                match log.read(next, 1 << 20, true, Isolation::LogEnd) {
                    Err(error) => break matches!(error, LogError::Damaged { .. }),
                    Ok(fetched) if fetched.records.is_empty() => break next < 12,
                    Ok(fetched) => {
                        let batches: Vec<_> = Batches::new(fetched.records).collect();
                        let intact = batches.iter().all(|batch| {
                            let Ok((header, bytes)) = batch else { return false };
                            let follows = header.base_offset == next;
                            next = header.next_offset();
                            follows && header.verify(bytes).is_ok()
                        });
                        if !intact {
                            break true;
                        }
                    }
                }
            };
            let size = BatchHeader::parse(&good).unwrap().size_bytes;
            let leader_epoch = (12..16).contains(&(at % size));
            assert!(broken || leader_epoch, "byte {at} of `{}`", path.display());
        }
        std::fs::write(&path, &good).unwrap();
    }
}

#[test]
fn a_log_that_lost_what_was_on_the_disk_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let (log, last) = six(&dir);
    log.close().unwrap();
    let good = std::fs::read(&last).unwrap();
    for left in [0, 1, good.len() / 2, good.len() - 1] {
        std::fs::write(&last, &good[..left]).unwrap();
        assert!(matches!(reopen(&dir), Err(LogError::Damaged { .. })), "{left} bytes left");
    }
    std::fs::remove_file(&last).unwrap();
    assert!(matches!(reopen(&dir), Err(LogError::Damaged { .. })));
}

#[test]
fn a_broken_batch_with_a_whole_one_behind_it_is_damage_even_if_no_sync_was_done() {
    let dir = tempfile::tempdir().unwrap();
    let (log, last) = six(&dir);
    drop(log);
    let good = std::fs::read(&last).unwrap();
    let mut bytes = good.clone();
    bytes[70] ^= 1;
    std::fs::write(&last, &bytes).unwrap();
    let error = reopen(&dir).unwrap_err();
    assert!(matches!(error, LogError::Damaged { position: 0, .. }), "{error}");
    // The same at the very end can't be told from a write that was not finished.
    let mut bytes = good.clone();
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    std::fs::write(&last, &bytes).unwrap();
    let log = reopen(&dir).unwrap();
    assert_eq!(log.log_end_offset(), 10);
    assert!(log.recovery().truncated_bytes > 0);
}

#[test]
fn a_loss_of_power_takes_what_was_not_synced_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = six(&dir);
    log.sync().unwrap();
    let synced = RecoveryPoint::read(dir.path()).unwrap().unwrap();
    assert_eq!(synced.offset, 12);
    (0..4).for_each(|_| _ = log.append(batch(2, 80), Origin::Client).unwrap());
    drop(log);
    // The pages of the first segment that was not synced came to the disk, but for one.
    let path = dir.path().join(format!("{:020}.log", 12));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100..110].fill(9);
    std::fs::write(&path, &bytes).unwrap();
    let opened = reopen_by_batches(&dir);
    assert!(matches!(opened, Err(LogError::Damaged { .. })), "no power was lost");
    before_restart(&dir);
    let log = reopen(&dir).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, 12));
    assert!(log.recovery().truncated_bytes > bytes.len() as u64);
    assert_eq!(log.append(batch(1, 1), Origin::Client).unwrap().base_offset, 12);
}

#[test]
fn what_a_loss_of_power_may_have_taken_is_read_and_what_was_synced_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = six(&dir);
    log.close().unwrap();
    before_restart(&dir);
    let log = reopen(&dir).unwrap();
    assert_eq!(log.recovery().checked_bytes, 0);
    let synced_bytes = log.size_bytes();
    (0..6).for_each(|_| _ = log.append(batch(2, 80), Origin::Client).unwrap());
    drop(log);
    let log = reopen(&dir).unwrap();
    let last = log.view().active().size_bytes();
    assert_eq!(log.recovery().checked_bytes, last, "the machine has run ever since");
    drop(log);
    // As far as the disk is concerned, nothing was synced since.
    let synced = RecoveryPoint::read(dir.path()).unwrap().unwrap();
    let older = RecoveryPoint { offset: 12, segment: 8, position: 480, boot: synced.boot ^ 2 };
    older.write(&RecoveryPoint::open(dir.path()).unwrap()).unwrap();
    let log = reopen(&dir).unwrap();
    assert!(log.recovery().checked_bytes >= log.size_bytes() - synced_bytes);
    assert!(log.recovery().checked_bytes < log.size_bytes());
    assert_eq!(log.log_end_offset(), 24);
}
