//! Random workers, deaths and restarts against a model that keeps each record by itself.

use std::collections::BTreeMap;
use std::ops::Range;

use kafka_protocol::protocol::StrBytes;
use proptest::prelude::*;

use super::super::partition::{
    Acknowledged, Acknowledgement, Cause, Holder, Limits, SharePartition,
};
use super::super::record::QueueRecord;

const LIMITS: Limits =
    Limits { lock_duration_ms: 50, delivery_count_limit: 3, max_in_flight_records: 12 };

#[derive(Clone, Debug)]
enum Step {
    /// The log grows, by records or by what nobody sees.
    Append {
        count: i64,
        visible: bool,
    },
    Fetch {
        worker: usize,
        max_records: usize,
        read_offsets: i64,
    },
    /// About offsets that the worker may or may not hold.
    Acknowledge {
        worker: usize,
        skip: usize,
        count: i64,
        kinds: Vec<u8>,
    },
    /// A session ends, the last one or, once more, the one before.
    Close {
        worker: usize,
        is_late: bool,
    },
    Retain {
        count: i64,
    },
    Pass {
        ms: i64,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 0..3usize;
    prop_oneof![
        3 => (1..6i64, prop::bool::weighted(0.8))
            .prop_map(|(count, visible)| Step::Append { count, visible }),
        6 => (worker.clone(), 0..6usize, 1..12i64).prop_map(|(worker, max_records, read_offsets)| {
            Step::Fetch { worker, max_records, read_offsets }
        }),
        6 => (worker.clone(), 0..5usize, 1..4i64, prop::collection::vec(0..4u8, 1..4)).prop_map(
            |(worker, skip, count, kinds)| Step::Acknowledge { worker, skip, count, kinds }
        ),
        1 => (worker, any::<bool>())
            .prop_map(|(worker, is_late)| Step::Close { worker, is_late }),
        1 => (1..4i64).prop_map(|count| Step::Retain { count }),
        4 => (1..40i64).prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::Restart),
    ]
}

/// How it is with one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waiting,
    Held { worker: usize, until_ms: i64 },
    Accepted,
    Rejected,
    DeadLettered,
    Retained,
    NoRecord,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    fate: Fate,
    deliveries: i16,
}

struct Run {
    partition: SharePartition,
    records: BTreeMap<i64, Known>,
    log_start: i64,
    log_end: i64,
    now_ms: i64,
    /// Of each worker.
    sessions: [u64; 3],
}

fn name(worker: usize) -> StrBytes {
    StrBytes::from_string(format!("worker-{worker}"))
}

impl Run {
    fn new() -> Self {
        let partition = SharePartition::new(0);
        Run {
            partition,
            records: BTreeMap::new(),
            log_start: 0,
            log_end: 0,
            now_ms: 0,
            sessions: [1; 3],
        }
    }

    fn visible(&self, read: Range<i64>) -> Vec<Range<i64>> {
        let seen = self.records.range(read).filter(|(_, known)| known.fate != Fate::NoRecord);
        seen.map(|(offset, _)| *offset..*offset + 1).collect()
    }

    fn holder(&self, worker: usize) -> Holder {
        Holder { worker: name(worker), session: self.sessions[worker] }
    }

    fn append(&mut self, count: i64, visible: bool) {
        for offset in self.log_end..self.log_end + count {
            let fate = if visible { Fate::Waiting } else { Fate::NoRecord };
            self.records.insert(offset, Known { fate, deliveries: 0 });
        }
        self.log_end += count;
    }

    fn fetch(&mut self, worker: usize, max_records: usize, read_offsets: i64) -> usize {
        self.settle();
        let Some(from) = self.partition.wanted_offset(&LIMITS) else { return 0 };
        let from = from.max(self.log_start);
        let read = from..self.log_end.min(from + read_offsets);
        if read.is_empty() {
            return 0;
        }
        let visible = self.visible(read.clone());
        let got = self.partition.acquire(
            &self.holder(worker),
            read.clone(),
            &visible,
            max_records,
            &LIMITS,
            self.now_ms,
        );
        let mut count = 0;
        for run in got {
            for offset in run.first_offset..=run.last_offset {
                assert!(read.contains(&offset));
                let known = self.records.get_mut(&offset).expect("it is in the log");
                assert_eq!(known.fate, Fate::Waiting, "offset {offset} was handed out");
                known.deliveries += 1;
                assert_eq!(known.deliveries, run.delivery_count);
                let until_ms = self.now_ms + LIMITS.lock_duration_ms;
                known.fate = Fate::Held { worker, until_ms };
                count += 1;
            }
        }
        assert!(count <= max_records);
        count
    }

    fn acknowledge(&mut self, worker: usize, skip: usize, count: i64, kinds: &[u8]) {
        let held = self.records.iter().filter(|(_, known)| matches!(known.fate, Fate::Held { .. }));
        let Some(first_offset) = held.map(|(offset, _)| *offset).nth(skip) else { return };
        let last_offset = first_offset + count - 1;
        let kinds: Vec<_> = kinds.iter().take(count as usize).collect();
        let kinds = if kinds.len() == count as usize { kinds } else { vec![kinds[0]] };
        let kinds: Vec<_> =
            kinds.iter().filter_map(|id| Acknowledgement::from_id(**id as i8)).collect();
        let batch = Acknowledged { first_offset, last_offset, kinds: kinds.clone() };
        let outcome = self.partition.acknowledge(&self.holder(worker), &[batch], self.now_ms);
        let is_holder = |offset| match self.records.get(&offset).map(|known| known.fate) {
            Some(Fate::Held { worker: holder, until_ms }) => {
                holder == worker && self.now_ms < until_ms
            }
            _ => false,
        };
        assert_eq!(outcome.is_ok(), (first_offset..=last_offset).all(is_holder));
        let Ok(rejected) = outcome else { return };
        for (at, offset) in (first_offset..=last_offset).enumerate() {
            let known = self.records.get_mut(&offset).expect("it was held");
            known.fate = match kinds.get(at).unwrap_or(&kinds[0]) {
                Acknowledgement::Accept | Acknowledgement::Gap => Fate::Accepted,
                Acknowledgement::Release => Fate::Waiting,
                Acknowledgement::Reject => Fate::Rejected,
            };
            let told = rejected.iter().any(|r| r.offset == offset && r.cause == Cause::Rejected);
            assert_eq!(told, known.fate == Fate::Rejected);
        }
    }

    /// Time acts on machine and model.
    fn settle(&mut self) {
        self.partition.expire_locks(self.now_ms);
        for known in self.records.values_mut() {
            if matches!(known.fate, Fate::Held { until_ms, .. } if until_ms <= self.now_ms) {
                known.fate = Fate::Waiting;
            }
        }
        let given_up = self.partition.give_up(&LIMITS);
        let mut told = given_up.iter().map(|record| (record.offset, record.delivery_count));
        for (offset, known) in &mut self.records {
            if known.fate == Fate::Waiting && known.deliveries >= LIMITS.delivery_count_limit {
                assert_eq!(told.next(), Some((*offset, known.deliveries)));
                known.fate = Fate::DeadLettered;
            }
        }
        assert_eq!(told.next(), None);
    }

    fn release(&mut self, is_released: impl Fn(usize) -> bool) {
        for known in self.records.values_mut() {
            if matches!(known.fate, Fate::Held { worker, .. } if is_released(worker)) {
                known.fate = Fate::Waiting;
            }
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Append { count, visible } => self.append(*count, *visible),
            Step::Fetch { worker, max_records, read_offsets } => {
                self.fetch(*worker, *max_records, *read_offsets);
            }
            Step::Acknowledge { worker, skip, count, kinds } => {
                self.acknowledge(*worker, *skip, *count, kinds);
            }
            Step::Close { worker, is_late: true } => {
                let session = self.sessions[*worker] - 1;
                let before = Holder { worker: name(*worker), session };
                assert!(!self.partition.release(&before));
            }
            Step::Close { worker, is_late: false } => {
                self.partition.release(&self.holder(*worker));
                self.sessions[*worker] += 1;
                self.release(|one| one == *worker);
            }
            Step::Retain { count } => {
                self.log_start = self.log_end.min(self.log_start + count);
                self.partition.advance_start(self.log_start);
                for (_, known) in self.records.range_mut(..self.log_start) {
                    if matches!(known.fate, Fate::Waiting | Fate::Held { .. }) {
                        known.fate = Fate::Retained;
                    }
                }
            }
            Step::Pass { ms } => self.now_ms += ms,
            Step::Restart => {
                let value = Some(self.partition.store());
                let (group, topic) = ("g".to_owned(), uuid::Uuid::nil());
                let record = QueueRecord::Partition { group, topic, partition: 0, value };
                let (key, value) = record.encode();
                let read = QueueRecord::decode(&key, value.as_deref());
                let Ok(QueueRecord::Partition { value: Some(stored), .. }) = read else {
                    panic!("{read:?}")
                };
                self.partition = SharePartition::restore(&stored);
                self.release(|_| true);
            }
        }
        assert!(self.partition.in_flight_records() <= LIMITS.max_in_flight_records);
        assert!(self.partition.start_offset() <= self.partition.end_offset());
    }

    /// A worker that accepts whatever it gets comes to the end of the log.
    fn drain(&mut self) {
        self.release(|_| true);
        for worker in 0..3 {
            self.partition.release(&self.holder(worker));
        }
        for _ in 0..=2 * self.log_end {
            let before = self.partition.clone();
            if self.fetch(0, 5, 7) > 0 {
                let held = self.records.iter();
                let held = held.filter(|(_, known)| matches!(known.fate, Fate::Held { .. }));
                let count = held.count();
                for _ in 0..count {
                    self.acknowledge(0, 0, 1, &[1]);
                }
            } else if self.partition == before {
                break;
            }
        }
        for (offset, known) in &self.records {
            let is_over = !matches!(known.fate, Fate::Waiting | Fate::Held { .. });
            assert!(is_over, "offset {offset} is left {:?}", known.fate);
        }
        assert_eq!(self.partition.start_offset(), self.log_end);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn each_record_has_one_holder_at_a_time_and_one_end(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let mut run = Run::new();
        for step in &steps {
            run.take(step);
        }
        run.drain();
    }
}
