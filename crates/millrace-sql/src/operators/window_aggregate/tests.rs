//! The columnar window operator against a naive model, row by row.

mod model;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Int64Type;
use millrace_core::{
    Batch, Columns, DropReason, ErrorKind, KeyGroups, Operator, Port, Restored, Timestamp,
};
use millrace_runtime::testing::{OperatorHarness, operator_context};
use millrace_runtime::window::WindowSpec;
use proptest::prelude::*;

use self::model::*;
use super::{
    AggregateFunction, AggregateSpec, WindowAggregate, WindowAggregateSpec, WindowColumns,
};
use crate::operators::key_hash::hash_keys;

struct Subtasks {
    spec: Arc<WindowAggregateSpec>,
    harnesses: Vec<OperatorHarness<WindowAggregate>>,
}

impl Subtasks {
    fn start(
        spec: &Arc<WindowAggregateSpec>,
        parallelism: usize,
        chains: Vec<Vec<Vec<u8>>>,
    ) -> Self {
        let start = |index| {
            let context = operator_context(index, parallelism, 3);
            let operator = WindowAggregate::new(Arc::clone(spec)).unwrap();
            OperatorHarness::restored(operator, &context, chains.clone()).unwrap()
        };
        Subtasks { spec: Arc::clone(spec), harnesses: (0..parallelism).map(start).collect() }
    }

    fn rows(&mut self, rows: &RecordBatch, bound: Timestamp) {
        let keys: Vec<ArrayRef> =
            self.spec.keys.iter().map(|&key| rows.column(key).clone()).collect();
        let mut hashes = Vec::new();
        hash_keys(&keys, rows.num_rows(), &mut hashes).unwrap();
        let groups = KeyGroups::default();
        let parallelism = self.harnesses.len();
        for (index, harness) in self.harnesses.iter_mut().enumerate() {
            let mine: UInt32Array = (0..rows.num_rows() as u32)
                .filter(|&row| {
                    let group = groups.group_of(hashes[row as usize]);
                    groups.owner(group, parallelism) == index
                })
                .collect::<Vec<_>>()
                .into();
            let rows = take_record_batch(rows, &mine).unwrap();
            harness
                .batch(Batch::new(Columns { rowtime: Some(0), bound, ..Columns::new(rows) }))
                .unwrap();
        }
    }

    fn take(&mut self, port: Port) -> Vec<Vec<Value>> {
        let mut all = Vec::new();
        for harness in &mut self.harnesses {
            for batch in harness.take(port) {
                let columns: Columns = batch.downcast().unwrap();
                assert!(port != Port::MAIN || columns.rows.num_rows() <= 3);
                assert!(port != Port::MAIN || columns.rows.schema() == self.spec.output());
                for row in 0..columns.rows.num_rows() {
                    let values = columns.rows.columns().iter();
                    all.push(values.map(|column| value_at(column, row)).collect());
                }
            }
        }
        all.sort();
        all
    }

    /// Late rows and rows in gaps; everything else must have been absorbed.
    fn dropped(&self) -> (u64, u64) {
        self.harnesses.iter().map(OperatorHarness::ledger).fold((0, 0), |(late, gap), ledger| {
            assert_eq!(ledger.unaccounted(), 0);
            let dropped = |reason| ledger.dropped(reason);
            (late + dropped(DropReason::Late), gap + dropped(DropReason::OutsideWindows))
        })
    }
}

fn spec(
    window: WindowSpec,
    keys: Vec<usize>,
    aggregates: Vec<AggregateSpec>,
) -> Arc<WindowAggregateSpec> {
    let emit = WindowColumns { start: true, end: true, time: true };
    Arc::new(WindowAggregateSpec { window, input: schema(), rowtime: 0, keys, aggregates, emit })
}

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_operator_agrees_with_windows_kept_one_by_one(
        size in 1i64..50, slide in 1i64..70, offset in 0i64..20,
        keys in keys(), aggregates in aggregates(),
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let window =
            WindowSpec::hopping(ms(size), ms(slide.max(size / 12 + 1)), ms(offset)).unwrap();
        let spec = spec(window, keys, aggregates);
        let mut model = Model {
            spec: Arc::clone(&spec), windows: BTreeMap::new(), watermark: None, late: 0, gap: 0,
        };
        let mut subtasks = Subtasks::start(&spec, 1, Vec::new());
        let mut splits = [None::<i64>; 2];
        let mut dropped = (0, 0);
        let end = Step::Advance(usize::MAX, 0);
        for step in steps.iter().chain([&end]) {
            match step {
                Step::Rows(split, rows) => {
                    let bound = splits[*split];
                    let late: Vec<Row> =
                        rows.iter().filter(|row| model.add(row, bound)).cloned().collect();
                    subtasks.rows(&batch(rows), bound.map_or(Timestamp::MIN, at));
                    prop_assert_eq!(subtasks.take(Port::MAIN), Vec::<Vec<Value>>::new());
                    let late = batch(&late);
                    let mut late: Vec<Vec<Value>> = (0..late.num_rows())
                        .map(|row| late.columns().iter().map(|c| value_at(c, row)).collect())
                        .collect();
                    late.sort();
                    prop_assert_eq!(subtasks.take(Port::SIDE), late);
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
                        for harness in &mut subtasks.harnesses {
                            harness.watermark(at(watermark)).unwrap();
                        }
                        prop_assert_eq!(subtasks.take(Port::MAIN), model.advance(watermark));
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
                    let (late, gap) = subtasks.dropped();
                    dropped = (dropped.0 + late, dropped.1 + gap);
                    subtasks = Subtasks::start(&spec, *parallelism, chains);
                }
            }
        }
        let (late, gap) = subtasks.dropped();
        prop_assert_eq!((dropped.0 + late, dropped.1 + gap), (model.late, model.gap));
    }

    #[test]
    fn a_damaged_snapshot_is_a_restore_error(
        keys in keys(), aggregates in aggregates(), rows in prop::collection::vec(row(), 1..40),
        at_byte in 0usize..2_000, value: u8, cut in prop_oneof![3 => Just(0usize), 1 => 0usize..500],
    ) {
        let spec = spec(WindowSpec::tumbling(ms(50), ms(0)).unwrap(), keys, aggregates);
        let mut harness =
            OperatorHarness::new(WindowAggregate::new(Arc::clone(&spec)).unwrap()).unwrap();
        harness.batch(columns(&rows)).unwrap();
        harness.snapshot(true).unwrap();
        let mut part = harness.chain().remove(0);
        part.truncate(part.len() - cut.min(part.len()));
        if let Some(byte) = part.get_mut(at_byte) {
            *byte = value;
        }
        // With a right checksum, so that what lies behind it is put to the test.
        if let Some(content) = part.len().checked_sub(4) {
            let crc = crc32c::crc32c(&part[..content]);
            part[content..].copy_from_slice(&crc.to_le_bytes());
        }
        let mut operator = WindowAggregate::new(spec).unwrap();
        operator.open(&operator_context(0, 1, 10)).unwrap();
        if let Err(error) = operator.restore(Restored { chains: vec![vec![part]] }) {
            prop_assert_eq!(error.kind(), ErrorKind::Restore, "{}", error);
        }
    }
}

fn columns(rows: &[Row]) -> Batch {
    Batch::new(Columns { rowtime: Some(0), ..Columns::new(batch(rows)) })
}

fn plain_row(rowtime: i64, float: Option<f64>) -> Row {
    Row {
        rowtime,
        number: Some(1),
        text: Some("a".to_owned()),
        small: Some(1),
        float,
        decimal: Some(100),
        truth: Some(true),
    }
}

#[test]
fn keys_of_floats_are_compared_by_their_bits() {
    let window = WindowSpec::tumbling(ms(10), ms(0)).unwrap();
    let count = aggregate(AggregateFunction::CountStar, NUMBER, false, false);
    let operator = WindowAggregate::new(spec(window, vec![FLOAT], vec![count])).unwrap();
    let mut harness = OperatorHarness::new(operator).unwrap();
    let floats = [0.0, -0.0, f64::NAN, f64::NAN, 0.0];
    let rows: Vec<Row> = floats.iter().map(|&float| plain_row(1, Some(float))).collect();
    harness.batch(columns(&rows)).unwrap();
    harness.watermark(Timestamp::MAX).unwrap();
    let results: Columns = harness.take(Port::MAIN).remove(0).downcast().unwrap();
    let counts = results.rows.column(1).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(counts, [2, 1, 2]);
}

#[test]
fn results_carry_the_window_time_as_their_rowtime() {
    let window = WindowSpec::tumbling(ms(10), ms(0)).unwrap();
    let operator = WindowAggregate::new(spec(window, vec![], vec![])).unwrap();
    let mut harness = OperatorHarness::new(operator).unwrap();
    harness.batch(columns(&[plain_row(11, None)])).unwrap();
    harness.watermark(at(19)).unwrap();
    let results: Columns = harness.take(Port::MAIN).remove(0).downcast().unwrap();
    assert_eq!(results.rowtimes().unwrap().values().to_vec(), [19]);
}

#[test]
fn allowed_lateness_is_refused() {
    let window = WindowSpec::tumbling(ms(10), ms(0)).unwrap().with_allowed_lateness(ms(1)).unwrap();
    let error = WindowAggregate::new(spec(window, vec![], vec![])).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Report);
}

fn golden() -> OperatorHarness<WindowAggregate> {
    use AggregateFunction::*;
    let window = WindowSpec::hopping(ms(20), ms(10), ms(0)).unwrap();
    let aggregates = vec![
        aggregate(CountStar, NUMBER, false, false),
        aggregate(Sum, DECIMAL, false, false),
        aggregate(Avg, SMALL, false, true),
        aggregate(Max, TEXT, false, false),
        aggregate(Count, FLOAT, true, false),
    ];
    let spec = spec(window, vec![NUMBER, TEXT], aggregates);
    let mut harness = OperatorHarness::new(WindowAggregate::new(spec).unwrap()).unwrap();
    harness.watermark(at(3)).unwrap();
    let mut rows = vec![plain_row(5, Some(0.5)), plain_row(6, None), plain_row(17, Some(1.5))];
    rows[1].text = None;
    // Enough that a difference is worth while.
    rows.extend((0..300).map(|number| Row { number: Some(number), ..plain_row(8, None) }));
    harness.batch(columns(&rows)).unwrap();
    harness.snapshot(true).unwrap();
    harness.batch(columns(&[plain_row(7, Some(2.5)), plain_row(28, None)])).unwrap();
    harness.snapshot(false).unwrap();
    harness
}

#[test]
fn stored_state_of_version_1_stays_readable() {
    let full = include_bytes!("../../../tests/golden/columnar-window-v1-full.bin").to_vec();
    let delta = include_bytes!("../../../tests/golden/columnar-window-v1-delta.bin").to_vec();
    let mut written = golden();
    assert_eq!(written.chain(), [full.clone(), delta.clone()]);
    let operator = WindowAggregate::new(Arc::clone(&written.operator().spec)).unwrap();
    let context = operator_context(0, 1, 1_024);
    let mut restored =
        OperatorHarness::restored(operator, &context, vec![vec![full, delta]]).unwrap();
    for harness in [&mut written, &mut restored] {
        harness.watermark(Timestamp::MAX).unwrap();
    }
    let results = |harness: &mut OperatorHarness<WindowAggregate>| {
        let batches = harness.take(Port::MAIN).into_iter();
        batches.map(|batch| batch.downcast::<Columns>().unwrap().rows).collect::<Vec<_>>()
    };
    assert_eq!(results(&mut restored), results(&mut written));
}

#[test]
#[ignore = "writes the golden files of a new version"]
fn write_golden_files() {
    let chain = golden().chain();
    assert_eq!(chain.len(), 2, "a full part and a difference");
    std::fs::write("tests/golden/columnar-window-v1-full.bin", &chain[0]).unwrap();
    std::fs::write("tests/golden/columnar-window-v1-delta.bin", &chain[1]).unwrap();
}
