//! Which offset of the target stands for which offset of the source.
//!
//! A record has another offset in the copy: retention, compaction and the markers of transactions
//! leave gaps at the source, and the marker of each of the mirror's own transactions takes an
//! offset at the target. A run is a piece without gaps on either side: its records have source
//! offsets `source..source + records` and target offsets `target..target + records`. Each
//! transaction adds its runs.
//!
//! The newest [`SLOTS`] runs of a partition are kept. They are stored in a compacted topic of the
//! target under a key that comes again after as many runs, so that this topic is bounded, too.
//! Whoever is behind the oldest one, or in records whose runs were not kept, goes on at an earlier
//! place: it sees records twice, and misses none.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// Runs kept of each partition.
const SLOTS: u64 = 4_096;

/// Runs that one transaction may add to a partition; of more, some in between are left out. A
/// compacted topic may have a gap after each record.
const RUNS_A_TRANSACTION: usize = 64;

/// Records that have consecutive offsets on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) source: i64,
    pub(super) target: i64,
    pub(super) records: i64,
}

impl Run {
    /// Whether a record with these offsets continues it.
    pub(super) fn is_continued_by(&self, source: i64, target: i64) -> bool {
        source == self.source + self.records && target == self.target + self.records
    }
}

/// A run as it is stored: its number tells which of two that had the same slot is newer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    topic: String,
    partition: i32,
    number: u64,
    source: i64,
    target: i64,
    records: i64,
}

impl Stored {
    /// The key under which it is stored.
    pub(super) fn key(&self) -> String {
        format!("{}:{}:{}", self.topic, self.partition, self.number % SLOTS)
    }
}

/// The runs of all partitions.
#[derive(Debug, Default)]
pub(super) struct OffsetMap {
    partitions: BTreeMap<(String, i32), Runs>,
}

#[derive(Debug, Default)]
struct Runs {
    next_number: u64,
    /// By their offsets, on both sides.
    kept: VecDeque<Run>,
}

impl OffsetMap {
    /// From what is stored, in any order. Of runs with the same slot the newest counts.
    pub(super) fn of(stored: impl IntoIterator<Item = Stored>) -> Self {
        let mut numbered: BTreeMap<(String, i32, u64), Run> = BTreeMap::new();
        for run in stored {
            let Stored { topic, partition, number, source, target, records } = run;
            numbered.insert((topic, partition, number), Run { source, target, records });
        }
        let mut map = OffsetMap::default();
        for ((topic, partition, number), run) in numbered {
            let runs = map.partitions.entry((topic, partition)).or_default();
            runs.next_number = number;
            runs.push(run);
        }
        map
    }

    /// Whether the mirror has ever begun with this partition.
    pub(super) fn knows(&self, topic: &str, partition: i32) -> bool {
        self.partitions.contains_key(&(topic.to_owned(), partition))
    }

    /// The source offset to go on from.
    pub(super) fn progress(&self, topic: &str, partition: i32) -> Option<i64> {
        let last = self.partitions.get(&(topic.to_owned(), partition))?.kept.back()?;
        Some(last.source + last.records)
    }

    /// What to store for these runs of a partition, in their order. Some in between are left out if
    /// there are many; the last one never is.
    pub(super) fn numbered(&self, topic: &str, partition: i32, runs: &[Run]) -> Vec<Stored> {
        let next = self.partitions.get(&(topic.to_owned(), partition)).map_or(0, |r| r.next_number);
        let step = runs.len().div_ceil(RUNS_A_TRANSACTION).max(1);
        let kept = runs.iter().rev().step_by(step).collect::<Vec<_>>().into_iter().rev();
        (next..)
            .zip(kept)
            .map(|(number, run)| Stored {
                topic: topic.to_owned(),
                partition,
                number,
                source: run.source,
                target: run.target,
                records: run.records,
            })
            .collect()
    }

    /// Takes over what was stored by a transaction that has been committed.
    pub(super) fn extend(&mut self, stored: Vec<Stored>) {
        for run in stored {
            let runs = self.partitions.entry((run.topic, run.partition)).or_default();
            runs.next_number = run.number;
            runs.push(Run { source: run.source, target: run.target, records: run.records });
        }
    }

    /// The target offset from which a reader goes on that would have read `offset` next at the
    /// source: that of the first record behind it, or an earlier one. None if that is not known:
    /// then only the partition's beginning is early enough.
    pub(super) fn translate(&self, topic: &str, partition: i32, offset: i64) -> Option<i64> {
        let kept = &self.partitions.get(&(topic.to_owned(), partition))?.kept;
        let behind = kept.partition_point(|run| run.source <= offset);
        let run = kept.get(behind.checked_sub(1)?)?;
        Some(run.target + (offset - run.source).min(run.records))
    }
}

impl Runs {
    fn push(&mut self, run: Run) {
        self.next_number += 1;
        self.kept.push_back(run);
        if self.kept.len() as u64 > SLOTS {
            self.kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(runs: &[(i64, i64, i64)]) -> OffsetMap {
        let mut map = OffsetMap::default();
        for &(source, target, records) in runs {
            let run = Run { source, target, records };
            map.extend(map.numbered("t", 0, &[run]));
        }
        map
    }

    #[test]
    fn a_reader_goes_on_with_the_first_record_it_has_not_read() {
        // The source begins at 10 and has gaps at 13 and at 20..30; markers stand at 3 and 5.
        let map = map(&[(10, 0, 3), (14, 4, 1), (15, 6, 5), (30, 12, 2)]);
        let translate = |offset| map.translate("t", 0, offset);
        assert_eq!(translate(9), None);
        assert_eq!([10, 12].map(translate), [Some(0), Some(2)]);
        // What stands between a run's end and the next run's begin are markers alone.
        assert_eq!([13, 14].map(translate), [Some(3), Some(4)]);
        assert_eq!([15, 19, 20, 25].map(translate), [Some(6), Some(10), Some(11), Some(11)]);
        // A group may be ahead of the mirror; it waits at the end of what was copied.
        assert_eq!([32, 100].map(translate), [Some(14), Some(14)]);
        assert_eq!(map.progress("t", 0), Some(32));
        assert_eq!(map.translate("t", 1, 10), None);
    }

    #[test]
    fn a_partition_that_was_begun_and_has_no_records_yet_is_known() {
        let map = map(&[(7, 0, 0)]);
        assert!(map.knows("t", 0) && !map.knows("t", 1));
        assert_eq!(map.progress("t", 0), Some(7));
        assert_eq!(map.translate("t", 0, 9), Some(0));
    }

    #[test]
    fn what_is_stored_gives_the_same_map_after_compaction_too() {
        let (mut map, mut topic) = (OffsetMap::default(), BTreeMap::new());
        let runs = SLOTS as i64 + 100;
        for number in 0..runs {
            let run = Run { source: number * 3, target: number * 2, records: 1 };
            let stored = map.numbered("t", 0, &[run]);
            for run in &stored {
                topic.insert(run.key(), run.clone());
            }
            map.extend(stored);
        }
        assert_eq!(topic.len() as u64, SLOTS);
        let again = OffsetMap::of(topic.into_values());
        assert_eq!(again.progress("t", 0), map.progress("t", 0));
        for offset in [0, 299, 300, 301, 302, runs * 3] {
            assert_eq!(again.translate("t", 0, offset), map.translate("t", 0, offset), "{offset}");
        }
        let run = Run { source: runs * 3, target: 0, records: 1 };
        assert_eq!(again.numbered("t", 0, &[run]), map.numbered("t", 0, &[run]));
    }

    #[test]
    fn a_translation_never_skips_a_record_and_is_exact_where_runs_are_kept() {
        use proptest::prelude::*;
        // Per record: a gap before it at the source, and whether a marker stands before it at the
        // target; and how many of them a transaction takes.
        let records = prop::collection::vec((0_i64..3, any::<bool>()), 1..300);
        proptest!(|(records in records, transaction in 1_usize..200)| {
            let (mut source, mut target, mut copied, mut map) = (5, 0, Vec::new(), OffsetMap::default());
            let (mut thinned, mut pieces) = (false, Vec::new());
            for piece in records.chunks(transaction) {
                let mut runs: Vec<Run> = Vec::new();
                for (gap, marker) in piece {
                    source += gap;
                    target += i64::from(*marker);
                    match runs.last_mut() {
                        Some(run) if run.is_continued_by(source, target) => run.records += 1,
                        _ => runs.push(Run { source, target, records: 1 }),
                    }
                    copied.push((source, target));
                    (source, target) = (source + 1, target + 1);
                }
                thinned |= runs.len() > RUNS_A_TRANSACTION;
                let stored = map.numbered("t", 0, &runs);
                prop_assert!(stored.len() <= RUNS_A_TRANSACTION);
                map.extend(stored);
                pieces.push(runs);
            }
            prop_assert_eq!(map.progress("t", 0), copied.last().map(|(source, _)| source + 1));
            for offset in 0..source + 2 {
                let unread = copied.iter().filter(|(at, _)| *at >= offset);
                let begin = map.translate("t", 0, offset).unwrap_or(0);
                let seen = copied.iter().filter(|(_, at)| *at >= begin);
                if thinned {
                    prop_assert!(seen.count() >= unread.count(), "{} skips, of {:?}", offset, pieces);
                } else {
                    prop_assert_eq!(seen.count(), unread.count(), "{}, of {:?}", offset, pieces);
                }
            }
        });
    }
}
