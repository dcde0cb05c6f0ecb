//! Filter and projection.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::FilterBuilder;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion_expr::Expr;
use millrace_core::{
    Batch, Collector, Columns, DropReason, Error, Operator, Port, Result, RowKinds,
};

use super::evaluate::{Evaluator, column_names, conjunction, part_of, show_row};

/// What a calc does, compiled; shared by its subtasks.
#[derive(Debug)]
pub(crate) struct CalcProgram {
    /// Over the columns that come in.
    condition: Option<Evaluator>,
    /// The columns that come in and are needed behind the condition.
    kept: Vec<usize>,
    kept_schema: SchemaRef,
    /// Over the kept columns.
    columns: Vec<Evaluator>,
    output: SchemaRef,
    rowtime: Option<usize>,
    /// Columns that take no null, of the table of this name.
    not_null: Vec<usize>,
    target: String,
}

impl CalcProgram {
    /// Compiles conditions and columns over `input`. Rows where a column of `not_null` is null
    /// fail the job in the name of `target`.
    ///
    /// # Errors
    /// `Report` when an expression does not fit the input.
    pub fn new(
        input: &Schema,
        conditions: impl IntoIterator<Item = Expr>,
        columns: &[(Expr, DataType)],
        output: SchemaRef,
        rowtime: Option<usize>,
    ) -> Result<Self> {
        let condition = conjunction(conditions)
            .map(|condition| Evaluator::new(&condition, &DataType::Boolean, input))
            .transpose()?;
        let names = column_names(columns.iter().map(|(expr, _)| expr));
        let (kept, kept_schema) = part_of(input, &names);
        let columns = columns
            .iter()
            .map(|(expr, data_type)| Evaluator::new(expr, data_type, &kept_schema))
            .collect::<Result<_>>()?;
        Ok(CalcProgram {
            condition,
            kept,
            kept_schema,
            columns,
            output,
            rowtime,
            not_null: Vec::new(),
            target: String::new(),
        })
    }

    /// Adds columns that take no null.
    #[must_use]
    pub fn refusing_nulls(self, not_null: Vec<usize>, target: impl Into<String>) -> Self {
        CalcProgram { not_null, target: target.into(), ..self }
    }

    /// The rows that stay, with the columns that are needed, and their kinds.
    fn filtered(
        &self,
        rows: &RecordBatch,
        kinds: Option<RowKinds>,
    ) -> Result<(RecordBatch, Option<RowKinds>)> {
        let arrow = |error| Error::report(format!("filtering failed: {error}"));
        let mask = self.condition.as_ref().map(|condition| condition.matches(rows)).transpose()?;
        let mask = mask.filter(|mask| mask.true_count() < mask.len());
        let kept = self.kept.iter().map(|&index| Arc::clone(rows.column(index)));
        let (columns, count, kinds) = match mask {
            None => (kept.collect(), rows.num_rows(), kinds),
            Some(mask) => {
                let predicate = FilterBuilder::new(&mask).optimize().build();
                let columns = kept
                    .map(|column| predicate.filter(&column))
                    .collect::<std::result::Result<Vec<_>, _>>()
                    .map_err(arrow)?;
                let filter = |kinds: RowKinds| {
                    let kinds = predicate.filter(kinds.array()).map_err(arrow)?;
                    RowKinds::from_array(kinds.as_primitive().clone())
                };
                (columns, predicate.count(), kinds.map(filter).transpose()?)
            }
        };
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let schema = Arc::clone(&self.kept_schema);
        let kept = RecordBatch::try_new_with_options(schema, columns, &options).map_err(arrow)?;
        Ok((kept, kinds))
    }

    fn run(
        &self,
        rows: &RecordBatch,
        kinds: Option<RowKinds>,
    ) -> Result<(RecordBatch, Option<RowKinds>)> {
        let (filtered, kinds) = self.filtered(rows, kinds)?;
        let columns: Vec<_> =
            self.columns.iter().map(|column| column.evaluate(&filtered)).collect::<Result<_>>()?;
        for &index in &self.not_null {
            if columns[index].null_count() > 0 {
                let row = (0..filtered.num_rows()).find(|&row| columns[index].is_null(row));
                return Err(self.null_in(index, &filtered, row.unwrap_or(0)));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(filtered.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)
            .map(|rows| (rows, kinds))
            .map_err(|error| {
                Error::report(format!("a projection does not fit its columns: {error}"))
            })
    }

    fn null_in(&self, index: usize, rows: &RecordBatch, row: usize) -> Error {
        let name = self.output.field(index).name();
        Error::fix_input(format!(
            "column `{name}` of `{}` is NOT NULL, but got a null",
            self.target
        ))
        .caused_by(format!("the row was made of {}", show_row(rows, row)))
        .hint("filter such rows, or replace the null with COALESCE")
    }
}

/// Runs a [`CalcProgram`]; it has no state.
pub(crate) struct CalcOperator {
    program: Arc<CalcProgram>,
}

impl CalcOperator {
    pub fn new(program: Arc<CalcProgram>) -> Self {
        CalcOperator { program }
    }
}

impl Operator for CalcOperator {
    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        let columns: Columns = batch.downcast()?;
        let (rows, kinds) = self.program.run(&columns.rows, columns.kinds)?;
        out.dropped(DropReason::Filtered, columns.rows.num_rows() - rows.num_rows());
        out.passed(rows.num_rows());
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let result = Columns { rows, rowtime: self.program.rowtime, bound: columns.bound, kinds };
        out.emit(Port::MAIN, Batch::new(result))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int32Array;
    use arrow::datatypes::{Field, Int32Type};
    use datafusion_expr::{col, lit};
    use millrace_runtime::testing::OperatorHarness;

    use super::*;

    fn program(condition: Option<Expr>, not_null: Vec<usize>) -> Arc<CalcProgram> {
        let input = Schema::new(vec![
            Field::new("a", DataType::Int32, true),
            Field::new("unused", DataType::Utf8, true),
        ]);
        let output = Arc::new(Schema::new(vec![Field::new("b", DataType::Int32, true)]));
        let columns = [(col("a") + lit(1_i32), DataType::Int32)];
        let program = CalcProgram::new(&input, condition, &columns, output, None).unwrap();
        Arc::new(program.refusing_nulls(not_null, "target"))
    }

    fn batch(values: Vec<Option<i32>>) -> Batch {
        let unused = arrow::array::StringArray::from(vec!["x"; values.len()]);
        let rows = RecordBatch::try_from_iter_with_nullable([
            ("a", Arc::new(Int32Array::from(values)) as _, true),
            ("unused", Arc::new(unused) as _, true),
        ]);
        Batch::new(Columns::new(rows.unwrap()))
    }

    fn harness(program: Arc<CalcProgram>) -> OperatorHarness<CalcOperator> {
        OperatorHarness::new(CalcOperator::new(program)).unwrap()
    }

    #[test]
    fn rows_where_the_condition_is_false_or_null_are_counted_as_filtered() {
        let mut harness = harness(program(Some(col("a").gt(lit(1_i32))), Vec::new()));
        harness.batch(batch(vec![Some(1), None, Some(2), Some(3)])).unwrap();
        harness.batch(batch(vec![Some(0)])).unwrap();
        let ledger = harness.ledger().clone();
        assert_eq!((ledger.passed, ledger.dropped(DropReason::Filtered)), (2, 3));
        assert_eq!(ledger.unaccounted(), 0);
        let mut batches = harness.take(Port::MAIN);
        assert_eq!(batches.len(), 1, "an empty batch is not sent");
        let rows: Columns = batches.remove(0).downcast().unwrap();
        assert_eq!(rows.rows.column(0).as_primitive::<Int32Type>().values(), &[3, 4]);
    }

    #[test]
    fn rows_of_a_changelog_keep_their_kinds_through_a_filter() {
        use millrace_core::RowKind::{Delete, UpdateAfter, UpdateBefore};
        let mut harness = harness(program(Some(col("a").gt(lit(1_i32))), Vec::new()));
        let rows: Columns = batch(vec![Some(1), Some(2), Some(3)]).downcast().unwrap();
        let kinds = [UpdateBefore, UpdateAfter, Delete].into_iter().collect();
        harness.batch(Batch::new(Columns::changes(rows.rows, kinds).unwrap())).unwrap();
        let rows: Columns = harness.take(Port::MAIN).remove(0).downcast().unwrap();
        assert_eq!(rows.kinds, Some([UpdateAfter, Delete].into_iter().collect()));
    }

    #[test]
    fn a_null_where_none_may_be_names_column_table_and_row() {
        let mut harness = harness(program(None, vec![0]));
        let error = harness.batch(batch(vec![Some(1), None])).unwrap_err();
        let report = error.full_report();
        assert!(report.contains("column `b` of `target` is NOT NULL"), "{report}");
        assert!(report.contains("{a: null}"), "{report}");
    }
}
