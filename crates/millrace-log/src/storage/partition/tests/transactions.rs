use std::collections::BTreeSet;

use super::*;
use crate::storage::TransactionOutcome::{self, Abort, Commit};
use crate::storage::records::Marker;

fn data(id: i64, sequence: i32, records: usize, transactional: bool) -> Bytes {
    let mut builder = BatchBuilder::new().producer(id, 0, sequence);
    if transactional {
        builder = builder.transactional();
    }
    for at in 0..records {
        builder.push(at as i64, Some(b"key"), None);
    }
    builder.build()
}

/// Reads as a consumer does: what the aborted list names is left out until the marker.
fn committed_from(log: &PartitionLog, offset: i64, max_bytes: usize) -> Vec<i64> {
    let mut seen = Vec::new();
    let mut next = offset;
    while next < log.last_stable_offset() {
        let fetched = log.read(next, max_bytes, true, Isolation::ReadCommitted).unwrap();
        let mut aborted = fetched.aborted;
        aborted.sort_by_key(|transaction| transaction.first_offset);
        let mut aborted = aborted.into_iter().peekable();
        let mut left_out = BTreeSet::new();
        assert!(!fetched.records.is_empty(), "nothing at {next}");
        for batch in Batches::new(fetched.records) {
            let (header, batch) = batch.unwrap();
            while let Some(begun) =
                aborted.next_if(|transaction| transaction.first_offset <= header.last_offset())
            {
                left_out.insert(begun.producer_id);
            }
            next = header.next_offset();
            if let Some(marker) = Marker::read(&header, &batch) {
                if marker.outcome == Abort {
                    left_out.remove(&header.producer_id);
                }
            } else if !header.attributes.is_transactional()
                || !left_out.contains(&header.producer_id)
            {
                seen.extend((header.base_offset..next).filter(|seen| *seen >= offset));
            }
        }
    }
    seen
}

/// A log of single records: who wrote each, and what became of it.
#[derive(Default)]
struct Written {
    records: Vec<(i64, Fate)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Plain,
    Open,
    Committed,
    Aborted,
    Marker,
}

impl Written {
    fn end(&mut self, id: i64, outcome: TransactionOutcome) -> bool {
        let fate = if outcome == Commit { Fate::Committed } else { Fate::Aborted };
        let mut any = false;
        for (_, open) in self.records.iter_mut().filter(|r| r.0 == id && r.1 == Fate::Open) {
            *open = fate;
            any = true;
        }
        if any {
            self.records.push((id, Fate::Marker));
        }
        any
    }

    fn stable(&self) -> i64 {
        let first = self.records.iter().position(|(_, fate)| *fate == Fate::Open);
        first.unwrap_or(self.records.len()) as i64
    }

    fn committed_from(&self, offset: i64) -> Vec<i64> {
        let seen = |at: &i64| matches!(self.records[*at as usize].1, Fate::Plain | Fate::Committed);
        (offset..self.stable()).filter(seen).collect()
    }
}

fn open_transactions(log: &PartitionLog) -> Vec<(i64, i32, Option<i64>)> {
    let open = log.open_transactions();
    open.iter().map(|p| (p.producer_id, p.last_sequence, p.transaction_start_offset)).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Data { id: i64, records: usize, transactional: bool },
    End { id: i64, commit: bool },
    Reopen,
    Read { at: prop::sample::Index, max_bytes: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..4i64, 1..4usize, any::<bool>())
            .prop_map(|(id, records, transactional)| Step::Data { id, records, transactional }),
        3 => (0..4i64, any::<bool>()).prop_map(|(id, commit)| Step::End { id, commit }),
        1 => Just(Step::Reopen),
        2 => (any::<prop::sample::Index>(), 0..1000usize)
            .prop_map(|(at, max_bytes)| Step::Read { at, max_bytes }),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_committed_reader_sees_what_was_committed_and_nothing_else(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(&dir, small_segments());
        let mut written = Written::default();
        let mut sequences = [0; 4];
        for step in steps {
            match step {
                Step::Data { id, records, transactional } => {
                    let sequence = &mut sequences[id as usize];
                    let batch = data(id, *sequence, records, transactional);
                    let is_open = written.records.contains(&(id, Fate::Open));
                    let appended = log.append(batch.clone(), Origin::Client);
                    if is_open && !transactional {
                        let code = appended.unwrap_err().code();
                        prop_assert_eq!(code, ResponseError::InvalidTxnState);
                        continue;
                    }
                    let appended = appended.unwrap();
                    prop_assert_eq!(appended.base_offset, written.records.len() as i64);
                    // Sent again, it is known, also after a restart.
                    let again = log.append(batch, Origin::Client).unwrap();
                    prop_assert_eq!(again.last_offset, appended.last_offset);
                    prop_assert!(again.duplicate && !appended.duplicate);
                    *sequence += records as i32;
                    let fate = if transactional { Fate::Open } else { Fate::Plain };
                    written.records.extend(std::iter::repeat_n((id, fate), records));
                }
                Step::End { id, commit } => {
                    let outcome = if commit { Commit } else { Abort };
                    let ended = log.append_marker(id, 0, 0, outcome).unwrap();
                    prop_assert_eq!(ended.is_some(), written.end(id, outcome));
                }
                Step::Reopen => {
                    let known = open_transactions(&log);
                    drop(log);
                    log = open(&dir, small_segments());
                    prop_assert_eq!(open_transactions(&log), known);
                }
                Step::Read { at, max_bytes } => {
                    let at = at.index(written.stable() as usize + 1) as i64;
                    let seen = committed_from(&log, at, max_bytes);
                    prop_assert_eq!(seen, written.committed_from(at));
                }
            }
            prop_assert_eq!(log.log_end_offset(), written.records.len() as i64);
            prop_assert_eq!(log.last_stable_offset(), written.stable());
        }
        prop_assert_eq!(committed_from(&log, 0, 100), written.committed_from(0));
    }
}

#[tokio::test]
async fn a_transaction_stays_undecided_until_its_marker_is_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let config = TopicConfig::default();
    let log = PartitionLog::open(dir.path(), config, FsyncPolicy::Always, Seams::system()).unwrap();
    let appended = log.append(data(1, 0, 2, true), Origin::Client).unwrap();
    log.durable(appended.last_offset).await.unwrap();
    assert_eq!((log.high_watermark(), log.last_stable_offset()), (2, 0));
    let marker = log.append_marker(1, 0, 0, Abort).unwrap().unwrap();
    assert_eq!((log.high_watermark(), log.last_stable_offset()), (2, 0));
    log.durable(marker.last_offset).await.unwrap();
    assert_eq!((log.high_watermark(), log.last_stable_offset()), (3, 3));
    assert_eq!(committed_from(&log, 0, 1000), [] as [i64; 0]);
}

#[test]
fn a_producer_fenced_by_a_marker_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, TopicConfig::default());
    log.append(data(1, 0, 2, true), Origin::Client).unwrap();
    log.append_marker(1, 1, 0, Abort).unwrap().unwrap();
    assert_eq!(log.append_marker(1, 1, 0, Abort).unwrap(), None);
    let error = log.append(data(1, 2, 1, true), Origin::Client).unwrap_err();
    assert_eq!(error.code(), ResponseError::InvalidProducerEpoch);
    assert_eq!(log.append_marker(2, 5, 0, Commit).unwrap(), None);
    let error = log.append(data(2, 0, 1, true), Origin::Client).unwrap_err();
    assert_eq!(error.code(), ResponseError::InvalidProducerEpoch);
}
