use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, Int64Array, StringArray};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Field, Int64Type, Schema};
use millrace_core::KeyGroups;
use millrace_runtime::testing::{OperatorHarness, operator_context};
use proptest::prelude::*;

use super::*;

/// `id` is the key, `name` may not be null in a row that is there.
fn schema(nullable: bool) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, nullable),
        Field::new("id", DataType::Int64, false),
        Field::new("n", DataType::Int64, true),
    ]))
}

fn spec(update_before: bool) -> Arc<NormalizeSpec> {
    Arc::new(NormalizeSpec { schema: schema(false), keys: vec![1], update_before })
}

/// What is known of a key: a name and a number.
type Row = (String, Option<i64>);

/// A batch of upserts; `None` is a deletion.
fn upserts(changes: &[(i64, Option<Row>)]) -> Columns {
    let names: StringArray =
        changes.iter().map(|(_, row)| row.as_ref().map(|(name, _)| name.as_str())).collect();
    let ids: Int64Array = changes.iter().map(|(id, _)| Some(*id)).collect();
    let numbers: Int64Array =
        changes.iter().map(|(_, row)| row.as_ref().and_then(|(_, n)| *n)).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(names), Arc::new(ids), Arc::new(numbers)];
    let rows = RecordBatch::try_new(schema(true), columns).unwrap();
    let kind = |(_, row): &(i64, Option<Row>)| match row {
        Some(_) => RowKind::UpdateAfter,
        None => RowKind::Delete,
    };
    Columns::changes(rows, changes.iter().map(kind).collect()).unwrap()
}

type Change = (RowKind, i64, Row);

fn changes_of(batches: Vec<Batch>) -> Vec<Change> {
    let mut all = Vec::new();
    for batch in batches {
        let columns: Columns = batch.downcast().unwrap();
        assert_eq!(columns.rows.schema(), schema(false));
        let names = columns.rows.column(0).as_string::<i32>();
        let ids = columns.rows.column(1).as_primitive::<Int64Type>();
        let numbers = columns.rows.column(2).as_primitive::<Int64Type>();
        for row in 0..columns.rows.num_rows() {
            let number = numbers.is_valid(row).then(|| numbers.value(row));
            all.push((columns.kind(row), ids.value(row), (names.value(row).to_owned(), number)));
        }
    }
    all
}

/// What has to come out, one row after the other.
fn expected(
    table: &mut BTreeMap<i64, Row>,
    changes: &[(i64, Option<Row>)],
    update_before: bool,
) -> Vec<Change> {
    let mut out = Vec::new();
    for (id, row) in changes {
        let former = table.get(id).cloned();
        match (former, row) {
            (Some(former), Some(row)) if former == *row => {}
            (Some(former), Some(row)) => {
                if update_before {
                    out.push((RowKind::UpdateBefore, *id, former));
                }
                out.push((RowKind::UpdateAfter, *id, row.clone()));
                table.insert(*id, row.clone());
            }
            (None, Some(row)) => {
                out.push((RowKind::Insert, *id, row.clone()));
                table.insert(*id, row.clone());
            }
            (Some(former), None) => {
                out.push((RowKind::Delete, *id, former));
                table.remove(id);
            }
            (None, None) => {}
        }
    }
    out
}

struct Subtasks {
    harnesses: Vec<OperatorHarness<ChangelogNormalize>>,
}

impl Subtasks {
    fn start(spec: &Arc<NormalizeSpec>, parallelism: usize, chains: Vec<Vec<Vec<u8>>>) -> Self {
        let start = |index| {
            let operator = ChangelogNormalize::new(Arc::clone(spec));
            let context = operator_context(index, parallelism, 1_024);
            OperatorHarness::restored(operator, &context, chains.clone()).unwrap()
        };
        Subtasks { harnesses: (0..parallelism).map(start).collect() }
    }

    /// Gives each subtask the rows of its keys; what comes out is in order for each key.
    fn rows(&mut self, columns: &Columns) -> Vec<Change> {
        let mut hashes = Vec::new();
        let rows = columns.rows.num_rows();
        hash_keys(&[Arc::clone(columns.rows.column(1))], rows, &mut hashes).unwrap();
        let (groups, parallelism) = (KeyGroups::default(), self.harnesses.len());
        let mut all = Vec::new();
        for (index, harness) in self.harnesses.iter_mut().enumerate() {
            let owner =
                |row: &u32| groups.owner(groups.group_of(hashes[*row as usize]), parallelism);
            let mine: Vec<u32> = (0..rows as u32).filter(|row| owner(row) == index).collect();
            let kinds = mine.iter().map(|&row| columns.kind(row as usize)).collect();
            let rows = take_record_batch(&columns.rows, &UInt32Array::from(mine)).unwrap();
            harness.batch(Batch::new(Columns::changes(rows, kinds).unwrap())).unwrap();
            assert_eq!(harness.ledger().unaccounted(), 0);
            all.extend(changes_of(harness.take(Port::MAIN)));
        }
        all
    }

    fn chains(&mut self, full: bool) -> Vec<Vec<Vec<u8>>> {
        let chain = |harness: &mut OperatorHarness<ChangelogNormalize>| {
            harness.snapshot(full).unwrap();
            harness.chain()
        };
        self.harnesses.iter_mut().map(chain).collect()
    }
}

/// Keeps the order of each key only.
fn by_key(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by_key(|(_, id, _)| *id);
    changes
}

proptest! {
    #[test]
    fn changes_are_those_of_a_table_that_is_kept_row_by_row(
        rounds in prop::collection::vec(
            (
                prop::collection::vec(
                    (0i64..12, prop::option::weighted(0.7, ("[ab]{0,2}", prop::option::of(0i64..3)))),
                    0..40,
                ),
                // Whether a snapshot follows, whether it is full, and whether the job starts anew
                // from it, at which parallelism.
                prop::option::of((any::<bool>(), prop::option::of(1usize..4))),
            ),
            1..8,
        ),
        parallelism in 1usize..4,
        update_before: bool,
    ) {
        let spec = spec(update_before);
        let mut subtasks = Subtasks::start(&spec, parallelism, Vec::new());
        let mut table = BTreeMap::new();
        for (changes, snapshot) in rounds {
            let out = subtasks.rows(&upserts(&changes));
            let expected = expected(&mut table, &changes, update_before);
            prop_assert_eq!(by_key(out), by_key(expected));
            if let Some((full, restart)) = snapshot {
                // A chain begins with a full snapshot after each start.
                let chains = subtasks.chains(full || restart.is_some());
                if let Some(parallelism) = restart {
                    subtasks = Subtasks::start(&spec, parallelism, chains);
                }
            }
        }
    }
}

fn row(name: &str) -> Option<Row> {
    Some((name.to_owned(), None))
}

#[test]
fn what_changes_nothing_is_dropped_and_counted() {
    let mut subtasks = Subtasks::start(&spec(true), 1, Vec::new());
    let out =
        subtasks.rows(&upserts(&[(1, row("a")), (1, row("a")), (2, None), (1, None), (1, None)]));
    let a = || ("a".to_owned(), None);
    assert_eq!(out, [(RowKind::Insert, 1, a()), (RowKind::Delete, 1, a())]);
    let ledger = subtasks.harnesses[0].ledger();
    assert_eq!((ledger.absorbed, ledger.dropped(DropReason::Unchanged)), (2, 3));
}

#[test]
fn rows_of_other_columns_are_refused_by_name() {
    let mut subtasks = Subtasks::start(&spec(true), 1, Vec::new());
    subtasks.rows(&upserts(&[(1, row("a"))]));
    let chains = subtasks.chains(true);
    let other = NormalizeSpec { schema: schema(false), keys: vec![2], update_before: true };
    let operator = ChangelogNormalize::new(Arc::new(other));
    let error =
        OperatorHarness::restored(operator, &operator_context(0, 1, 8), chains).err().unwrap();
    assert_eq!(error.kind(), millrace_core::ErrorKind::Restore);
    assert!(error.full_report().contains("newest rows by n Int64"), "{}", error.full_report());
}
