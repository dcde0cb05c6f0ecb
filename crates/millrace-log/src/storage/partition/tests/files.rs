//! How many files a log has open, and what is read from one that is gone.

use super::*;

/// The files in this directory that the process has open.
fn open_files(dir: &TempDir) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = links.filter_map(|link| std::fs::read_link(link.unwrap().path()).ok());
    targets.filter(|target| target.starts_with(dir.path())).count()
}

fn open_few(dir: &TempDir, fsync: FsyncPolicy, config: TopicConfig) -> PartitionLog {
    let files = OpenFiles::new(3, Arc::new(SystemDisk));
    PartitionLog::open_among(dir.path(), config, fsync, Seams::system(), files).unwrap()
}

#[test]
fn a_log_of_many_segments_has_few_files_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    let append = |log: &PartitionLog, model: &mut Model| {
        for at in 0..60 {
            let batch = batch(2, 60 + at);
            log.append(batch.clone(), Origin::Client).unwrap();
            model.append(&batch);
        }
    };
    for fsync in [FsyncPolicy::Never, FsyncPolicy::Always] {
        let log = open_few(&dir, fsync, small_segments());
        assert_eq!(open_files(&dir), 1, "but for the segment that is written to, none");
        append(&log, &mut model);
        // What has to be synced stays open until it is.
        log.sync().unwrap();
        assert!(log.view().segments.len() > 20);
        for offset in [0, 7, 100] {
            compare(&log, &model, offset, 1 << 20);
            assert_eq!(open_files(&dir), 4);
        }
        for (offset, time_ms) in [(0, 0), (1, 1)] {
            let found = log.offset_for_time(time_ms, Isolation::LogEnd).unwrap();
            assert_eq!(found, Some((offset, time_ms)));
        }
    }
    assert_eq!(open_files(&dir), 0);
}

#[test]
fn who_reads_a_segment_that_was_never_open_goes_on_when_another_file_takes_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = TopicConfig { retention_ms: None, ..small_segments() };
    (config.compact, config.delete, config.min_cleanable_dirty_ratio) = (true, false, 0.0);
    let log = open_few(&dir, FsyncPolicy::Never, config.clone());
    (0..20).for_each(|_| _ = log.append(batch(1, 150), Origin::Client).unwrap());
    log.close().unwrap();
    drop(log);
    let log = open_few(&dir, FsyncPolicy::Never, config);
    let reader = log.view();
    log.maintain().unwrap();
    assert!(log.size_bytes() < reader.segments.iter().map(|segment| segment.size_bytes()).sum());
    let mut next = 0;
    for segment in &reader.segments[..reader.segments.len() - 1] {
        let opened = segment.opened().unwrap();
        let bytes = segment.read(&opened, 0, segment.size_bytes() as usize).unwrap();
        for batch in Batches::new(bytes.into()) {
            let (header, bytes) = batch.unwrap();
            assert_eq!((header.base_offset, header.verify(&bytes)), (next, Ok(())));
            next = header.next_offset();
        }
        assert_eq!(next, segment.next_offset());
    }
    drop(reader);
    assert!(open_files(&dir) <= 4);
}
