use super::*;

/// A log of ten batches of one record each, some to a segment, stamped 1000, 2000 and so on.
fn ten(dir: &TempDir, config: &TopicConfig) -> PartitionLog {
    let log = open(dir, config.clone());
    for at in 1..=10 {
        let mut builder = BatchBuilder::new();
        builder.push(at * 1000, Some(b"key"), Some(&[0; 200]));
        log.append(builder.build(), Origin::Client).unwrap();
    }
    log
}

fn starts(log: &PartitionLog) -> Vec<i64> {
    log.view().segments.iter().map(|segment| segment.base_offset).collect()
}

#[test]
fn deleted_records_stay_deleted_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let log = ten(&dir, &small_segments());
    assert_eq!(starts(&log), [0, 2, 4, 6, 8]);
    assert_eq!(log.delete_records_before(5).unwrap(), 5);
    assert_eq!(log.delete_records_before(3).unwrap(), 5);
    assert_eq!(starts(&log), [4, 6, 8]);
    drop(log);
    let log = open(&dir, small_segments());
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (5, 10));
    let error = log.read(4, 1000, true, Isolation::LogEnd).unwrap_err();
    assert_eq!(error.code(), ResponseError::OffsetOutOfRange);
    let error = log.delete_records_before(11).unwrap_err();
    assert_eq!(error.code(), ResponseError::OffsetOutOfRange);
    assert_eq!(log.delete_records_before(-1).unwrap(), 10);
    drop(log);
    let log = open(&dir, small_segments());
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (10, 10));
    assert_eq!(log.append(batch(1, 1), Origin::Client).unwrap().base_offset, 10);
}

#[test]
fn a_log_whose_records_were_lost_begins_where_it_was_to_begin() {
    let dir = tempfile::tempdir().unwrap();
    let log = ten(&dir, &TopicConfig::default());
    log.delete_records_before(10).unwrap();
    log.view().active().truncate(0).unwrap();
    std::fs::remove_file(dir.path().join("recovery-point")).unwrap();
    drop(log);
    let log = open(&dir, TopicConfig::default());
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (10, 10));
}

#[test]
fn old_segments_go_even_the_last_and_who_reads_one_reads_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = ten(&dir, &small_segments());
    let reader = log.view();
    log.maintain().unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (10, 10));
    assert_eq!(starts(&log), [10]);
    let first = &reader.segments[0];
    assert!(!first.read(&first.opened().unwrap(), 0, 100).unwrap().is_empty());
    let files = std::fs::read_dir(dir.path()).unwrap();
    let logs = files.filter(|file| {
        file.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "log")
    });
    assert_eq!(logs.count(), 1);
}

#[test]
fn the_oldest_segments_go_until_the_rest_is_small_enough() {
    let dir = tempfile::tempdir().unwrap();
    let config = TopicConfig { retention_ms: None, ..small_segments() };
    let log = ten(&dir, &config);
    log.maintain().unwrap();
    assert_eq!(log.log_start_offset(), 0);
    let segment_bytes = log.view().segments[0].size_bytes();
    let size_bytes = log.size_bytes();
    // As in Kafka: only as long as the rest is not smaller than the limit.
    let retention_bytes = Some(size_bytes - 2 * segment_bytes - 1);
    log.set_config(TopicConfig { retention_bytes, ..config });
    log.maintain().unwrap();
    assert_eq!(log.log_start_offset(), 4);
}

#[test]
fn compacted_topics_are_not_deleted_from() {
    let dir = tempfile::tempdir().unwrap();
    let config = TopicConfig { compact: true, delete: false, ..small_segments() };
    let log = ten(&dir, &config);
    let error = log.delete_records_before(5).unwrap_err();
    assert_eq!(error.code(), ResponseError::PolicyViolation);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]

    #[test]
    fn offsets_for_times_are_those_of_a_walk_over_all_records(
        stamps in prop::collection::vec(prop::collection::vec(0..100i64, 1..4), 1..40),
        start in any::<prop::sample::Index>(),
        compressed in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let compression = compressed.then_some(crate::storage::records::Codec::Lz4);
        let config = TopicConfig { compression, segment_ms: 1 << 40, ..small_segments() };
        let log = open(&dir, config);
        for stamps in &stamps {
            let mut builder = BatchBuilder::new();
            for stamp in stamps {
                builder.push(*stamp, Some(b"key"), Some(&[0; 60]));
            }
            log.append(builder.build(), Origin::Client).unwrap();
        }
        let all: Vec<i64> = stamps.concat();
        let start = start.index(all.len());
        log.delete_records_before(start as i64).unwrap();
        let first = |wanted: &dyn Fn(i64) -> bool| {
            let at = (start..all.len()).find(|at| wanted(all[*at]));
            at.map(|at| (at as i64, all[at]))
        };
        for time_ms in 0..101 {
            let found = log.offset_for_time(time_ms, Isolation::ReadUncommitted).unwrap();
            prop_assert_eq!(found, first(&|stamp| stamp >= time_ms));
        }
        let largest = all[start..].iter().max().copied().unwrap();
        prop_assert_eq!(log.max_timestamp().unwrap(), first(&|stamp| stamp == largest));
    }
}
