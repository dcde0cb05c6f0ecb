//! The typed window operator against a naive model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millrace_core::{
    Batch, DropReason, ErrorKind, KeyGroups, Operator, Port, Records, Restored, Timestamp,
};
use millrace_state::hash::hash_key;
use proptest::prelude::*;

use super::{Aggregate, WindowOperator, WindowResult, WindowSpec, count, fold};
use crate::testing::{OperatorHarness, operator_context};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

/// Key and number.
type Row = (u8, u32);
type Output = WindowResult<u8, Vec<u32>>;

/// Gathers the numbers, sorted, so that a row that is lost, doubled or in the wrong window shows.
fn gather() -> impl Aggregate<Input = Row, Output = Vec<u32>> {
    let insert = |all: &mut Vec<u32>, number: u32| {
        let place = all.partition_point(|&other| other < number);
        all.insert(place, number);
    };
    fold(
        Vec::new(),
        move |all, row: &Row| insert(all, row.1),
        move |all, other: &Vec<u32>| other.iter().for_each(|&number| insert(all, number)),
    )
}

fn operator(spec: WindowSpec) -> impl Operator {
    WindowOperator::new(spec, |row: &Row| row.0, gather())
}

/// What windows should do, by the definition: every window is kept by itself, for ever.
#[derive(Default)]
struct Model {
    size: i64,
    slide: i64,
    offset: i64,
    lateness: i64,
    windows: BTreeMap<(i64, u8), Vec<u32>>,
    watermark: Option<i64>,
}

impl Model {
    fn end(&self, window: i64) -> i64 {
        self.offset + window * self.slide + self.size
    }

    fn holding(&self, t: i64) -> Vec<i64> {
        let around = (t - self.offset).div_euclid(self.slide);
        (around - self.size - 2..=around + 1)
            .filter(|&window| t < self.end(window) && self.end(window) - self.size <= t)
            .collect()
    }

    /// The fate of the row, and the windows that had fired and got it.
    fn add(&mut self, row: Row, t: i64, bound: Option<i64>) -> (Fate, Vec<(i64, u8)>) {
        let windows = self.holding(t);
        if windows.is_empty() {
            return (Fate::Gap, Vec::new());
        }
        let limit = bound.max(self.watermark);
        let open: Vec<i64> = windows
            .into_iter()
            .filter(|&window| limit.is_none_or(|w| self.end(window) - 1 + self.lateness > w))
            .collect();
        if open.is_empty() {
            return (Fate::Late, Vec::new());
        }
        let mut again = Vec::new();
        for window in open {
            let numbers = self.windows.entry((window, row.0)).or_default();
            numbers.push(row.1);
            numbers.sort_unstable();
            if self.watermark.is_some_and(|w| self.end(window) - 1 <= w) {
                again.push((window, row.0));
            }
        }
        (Fate::Kept, again)
    }

    fn result(&self, (window, key): (i64, u8)) -> (i64, i64, u8, Vec<u32>) {
        let end = self.end(window);
        (end - self.size, end, key, self.windows[&(window, key)].clone())
    }

    fn advance(&mut self, watermark: i64) -> Vec<(i64, i64, u8, Vec<u32>)> {
        let before = self.watermark;
        self.watermark = before.max(Some(watermark));
        let due = |window| {
            self.end(window) - 1 <= watermark
                && before.is_none_or(|before| self.end(window) - 1 > before)
        };
        let due: Vec<(i64, u8)> =
            self.windows.keys().filter(|(window, _)| due(*window)).copied().collect();
        due.into_iter().map(|due| self.result(due)).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Kept,
    Late,
    Gap,
}

#[derive(Clone, Debug)]
enum Step {
    /// Rows of a split: key and rowtime.
    Rows(usize, Vec<(u8, i64)>),
    /// The split's watermark goes on.
    Advance(usize, i64),
    Snapshot(bool),
    /// A snapshot, then a new start from it at this parallelism.
    Restore(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let row = (0u8..12, -100i64..260);
    prop_oneof![
        6 => (0usize..2, prop::collection::vec(row, 1..25)).prop_map(|(s, rows)| Step::Rows(s, rows)),
        4 => (0usize..2, 0i64..60).prop_map(|(s, by)| Step::Advance(s, by)),
        1 => prop::bool::ANY.prop_map(Step::Snapshot),
        1 => (1usize..4).prop_map(Step::Restore),
    ]
}

/// All subtasks of the operator.
struct Subtasks<O> {
    harnesses: Vec<OperatorHarness<O>>,
}

impl<O: Operator> Subtasks<O> {
    fn start(make: impl Fn() -> O, parallelism: usize, chains: Vec<Vec<Vec<u8>>>) -> Self {
        let start = |index| {
            let context = operator_context(index, parallelism, 3);
            OperatorHarness::restored(make(), &context, chains.clone()).unwrap()
        };
        Subtasks { harnesses: (0..parallelism).map(start).collect() }
    }

    fn owner(&self, key: u8) -> usize {
        let groups = KeyGroups::default();
        groups.owner(groups.group_of(hash_key(&key)), self.harnesses.len())
    }

    fn rows(&mut self, rows: &[(Row, Timestamp)], bound: Timestamp) {
        for index in 0..self.harnesses.len() {
            let mut mine = Records::with_capacity(0, bound);
            for &(row, t) in rows.iter().filter(|((key, _), _)| self.owner(*key) == index) {
                mine.push(row, t);
            }
            self.harnesses[index].batch(Batch::new(mine)).unwrap();
        }
    }

    fn results(&mut self) -> Vec<(i64, i64, u8, Vec<u32>)> {
        let mut all = Vec::new();
        for harness in &mut self.harnesses {
            for (result, t) in harness.take_records::<Output>(Port::MAIN) {
                assert_eq!(t, result.window.max_timestamp());
                let (start, end) = (result.window.start, result.window.end);
                all.push((start.as_millis(), end.as_millis(), result.key, result.value));
            }
        }
        all.sort();
        all
    }

    fn late(&mut self) -> Vec<u32> {
        let mut all: Vec<u32> = self
            .harnesses
            .iter_mut()
            .flat_map(|harness| harness.take_records::<Row>(Port::SIDE))
            .map(|(row, _)| row.1)
            .collect();
        all.sort_unstable();
        all
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_operator_agrees_with_windows_kept_one_by_one(
        size in 1i64..50, slide in 1i64..70, offset in 0i64..20,
        lateness in prop_oneof![Just(0i64), 0i64..60],
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let slide = slide.max(size / 12 + 1);
        let offset = offset % slide;
        let spec = WindowSpec::hopping(ms(size), ms(slide), ms(offset)).unwrap()
            .with_allowed_lateness(ms(lateness)).unwrap();
        let mut model = Model { size, slide, offset, lateness, ..Model::default() };
        let mut subtasks = Subtasks::start(|| operator(spec), 1, Vec::new());
        let mut splits = [None::<i64>; 2];
        let mut number = 0;
        let mut fates = BTreeMap::from([(0u8, 0u64), (1, 0), (2, 0)]);
        let end = Step::Advance(usize::MAX, 0);
        for step in steps.iter().chain([&end]) {
            match step {
                Step::Rows(split, rows) => {
                    let bound = splits[*split];
                    let (mut late, mut again) = (Vec::new(), BTreeSet::new());
                    let rows: Vec<(Row, Timestamp)> = rows.iter().map(|&(key, t)| {
                        number += 1;
                        let (fate, fired) = model.add((key, number), t, bound);
                        again.extend(fired);
                        *fates.get_mut(&(fate as u8)).unwrap() += 1;
                        if fate == Fate::Late {
                            late.push(number);
                        }
                        ((key, number), at(t))
                    }).collect();
                    subtasks.rows(&rows, bound.map_or(Timestamp::MIN, at));
                    let mut updates: Vec<_> = again.into_iter().map(|w| model.result(w)).collect();
                    updates.sort();
                    prop_assert_eq!(subtasks.results(), updates);
                    prop_assert_eq!(subtasks.late(), late);
                }
                Step::Advance(split, by) => {
                    let watermark = match splits.get_mut(*split) {
                        Some(reached) => {
                            *reached = Some(reached.unwrap_or(-60) + by);
                            splits[0].zip(splits[1]).map(|(a, b)| a.min(b))
                        }
                        None => Some(i64::MAX),
                    };
                    if let Some(watermark) = watermark {
                        let mut expected = model.advance(watermark);
                        expected.sort();
                        for harness in &mut subtasks.harnesses {
                            harness.watermark(at(watermark)).unwrap();
                        }
                        prop_assert_eq!(subtasks.results(), expected);
                    }
                }
                Step::Snapshot(full) => {
                    for harness in &mut subtasks.harnesses {
                        harness.snapshot(*full).unwrap();
                    }
                }
                Step::Restore(parallelism) => {
                    let chains = subtasks.harnesses.iter_mut().map(|harness| {
                        harness.snapshot(false).unwrap();
                        harness.chain()
                    }).collect();
                    // A new start counts from zero; the runtime adds what went before.
                    for harness in &subtasks.harnesses {
                        let ledger = harness.ledger();
                        prop_assert_eq!(ledger.unaccounted(), 0);
                        take_fates(&mut fates, ledger);
                    }
                    subtasks = Subtasks::start(|| operator(spec), *parallelism, chains);
                }
            }
        }
        for harness in &subtasks.harnesses {
            prop_assert_eq!(harness.ledger().unaccounted(), 0);
            take_fates(&mut fates, harness.ledger());
            prop_assert!(harness.operator().state_bytes() < 10_000, "panes are freed");
        }
        prop_assert!(fates.values().all(|&left| left == 0), "{fates:?}");
    }
}

/// Takes what the ledger says off what the model says.
fn take_fates(fates: &mut BTreeMap<u8, u64>, ledger: &millrace_core::LedgerCounts) {
    let told = [
        (Fate::Kept, ledger.absorbed),
        (Fate::Late, ledger.dropped(DropReason::Late)),
        (Fate::Gap, ledger.dropped(DropReason::OutsideWindows)),
    ];
    for (fate, rows) in told {
        let left = fates.get_mut(&(fate as u8)).unwrap();
        *left = left.wrapping_sub(rows);
    }
}

fn tumbling(size: i64) -> WindowSpec {
    WindowSpec::tumbling(ms(size), Duration::ZERO).unwrap()
}

fn counting(spec: WindowSpec) -> OperatorHarness<impl Operator> {
    OperatorHarness::new(WindowOperator::new(spec, |row: &Row| row.0, count())).unwrap()
}

fn rows(times: &[i64]) -> Batch {
    let values: Vec<Row> = (0..times.len() as u32).map(|number| (0, number)).collect();
    Batch::new(Records::new(values, times.iter().copied().map(at).collect()))
}

#[test]
fn a_row_without_event_time_is_refused() {
    let mut harness = counting(tumbling(10));
    let error = harness.batch(rows(&[i64::MIN])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixInput);
}

#[test]
fn rows_at_the_ends_of_time_are_counted() {
    let mut harness = counting(tumbling(10));
    harness.batch(rows(&[i64::MIN + 1, i64::MAX, i64::MAX - 1, 0])).unwrap();
    harness.watermark(Timestamp::MAX).unwrap();
    let results = harness.take_records::<WindowResult<u8, u64>>(Port::MAIN);
    assert_eq!(results.iter().map(|(result, _)| result.value).collect::<Vec<_>>(), [1, 1, 2]);
    assert_eq!(results[2].1, Timestamp::MAX);
    harness.batch(rows(&[i64::MAX])).unwrap();
    assert_eq!(harness.ledger().dropped(DropReason::Late), 1, "after the end, all is late");
}

#[test]
fn a_row_does_not_get_into_a_window_that_its_own_split_has_closed() {
    let spec = WindowSpec::hopping(ms(10), ms(5), Duration::ZERO).unwrap();
    let mut harness = counting(spec);
    harness.batch(rows(&[7])).unwrap();
    // The row's split has reached 9, though the operator has not: window 0..10 is closed to it.
    let late = Records { values: vec![(0u8, 1u32)], timestamps: vec![at(8)], bound: at(9) };
    harness.batch(Batch::new(late)).unwrap();
    harness.watermark(Timestamp::MAX).unwrap();
    let results = harness.take_records::<WindowResult<u8, u64>>(Port::MAIN);
    let counts: Vec<_> =
        results.iter().map(|(row, _)| (row.window.start.as_millis(), row.value)).collect();
    assert_eq!(counts, [(0, 1), (5, 2)]);
}

#[test]
fn firing_puts_out_batches_of_the_wanted_size() {
    let operator = WindowOperator::new(tumbling(10), |row: &Row| row.1, count());
    let context = operator_context(0, 1, 100);
    let mut harness = OperatorHarness::restored(operator, &context, Vec::new()).unwrap();
    let values: Vec<Row> = (0..250).map(|number| (0, number)).collect();
    harness.batch(Batch::new(Records::new(values.clone(), vec![at(1); 250]))).unwrap();
    harness.batch(Batch::new(Records::new(values, vec![at(11); 250]))).unwrap();
    assert_eq!(harness.watermark(at(30)).unwrap(), 5);
    let sizes: Vec<_> = harness.take(Port::MAIN).iter().map(Batch::rows).collect();
    assert_eq!(sizes, [100; 5]);
}

#[test]
fn a_window_far_away_in_time_costs_no_walk_through_empty_ones() {
    let mut harness = counting(tumbling(1));
    harness.batch(rows(&[i64::MIN / 2, i64::MAX / 2])).unwrap();
    harness.watermark(Timestamp::MAX).unwrap();
    assert_eq!(harness.take_records::<WindowResult<u8, u64>>(Port::MAIN).len(), 2);
}

#[test]
fn state_of_another_window_or_key_is_refused() {
    let mut harness = counting(tumbling(10));
    harness.batch(rows(&[1])).unwrap();
    harness.snapshot(false).unwrap();
    let restore = |mut operator: Box<dyn Operator>| {
        operator.open(&operator_context(0, 1, 10)).unwrap();
        operator.restore(Restored { chains: vec![harness.chain()] })
    };
    let same = WindowOperator::new(tumbling(10), |row: &Row| row.0, count());
    assert!(restore(Box::new(same)).is_ok());
    let longer = WindowOperator::new(tumbling(20), |row: &Row| row.0, count());
    assert_eq!(restore(Box::new(longer)).unwrap_err().kind(), ErrorKind::Restore);
    let keyed_otherwise = WindowOperator::new(tumbling(10), |row: &Row| row.1, count());
    assert_eq!(restore(Box::new(keyed_otherwise)).unwrap_err().kind(), ErrorKind::Restore);
}

#[test]
fn a_quiet_operator_writes_nothing() {
    let mut harness = counting(tumbling(10));
    assert_eq!(harness.snapshot(false).unwrap(), "empty");
    harness.batch(rows(&[1])).unwrap();
    assert_eq!(harness.snapshot(false).unwrap(), "full");
    assert_eq!(harness.snapshot(false).unwrap(), "unchanged");
    harness.watermark(at(5)).unwrap();
    assert_eq!(harness.snapshot(false).unwrap(), "delta");
}

#[test]
fn the_stored_state_of_version_1_stays_readable() {
    let golden = include_bytes!("../../tests/golden/typed-window-v1.bin");
    let make = || WindowOperator::new(tumbling(10), |row: &Row| row.0, count());
    let mut harness = OperatorHarness::new(make()).unwrap();
    harness.watermark(at(3)).unwrap();
    harness.batch(rows(&[4, 5, 16])).unwrap();
    harness.snapshot(true).unwrap();
    assert_eq!(harness.chain(), [golden.to_vec()]);
    let context = operator_context(0, 1, 10);
    let chains = vec![vec![golden.to_vec()]];
    let mut restored = OperatorHarness::restored(make(), &context, chains).unwrap();
    restored.watermark(at(9)).unwrap();
    let results = restored.take_records::<WindowResult<u8, u64>>(Port::MAIN);
    assert_eq!(results.len(), 1);
    assert_eq!(results[0].0.value, 2);
}

#[test]
#[ignore = "writes the golden file of a new version"]
fn write_the_golden_file() {
    let mut harness = counting(tumbling(10));
    harness.watermark(at(3)).unwrap();
    harness.batch(rows(&[4, 5, 16])).unwrap();
    harness.snapshot(true).unwrap();
    std::fs::write("tests/golden/typed-window-v1.bin", &harness.chain()[0]).unwrap();
}
