//! Expressions, compiled for batches of one schema.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, Operator, binary_expr};
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use millrace_core::{Error, Result};

/// An expression over the columns of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Evaluator {
    expr: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    /// Set where the expression is a column and nothing else.
    column: Option<usize>,
}

impl Evaluator {
    /// Compiles `expr`, which gives a `data_type`, for batches of `schema`.
    ///
    /// # Errors
    /// `Report`: the planner has typed it, so it can be compiled.
    pub fn new(expr: &Expr, data_type: &DataType, schema: &Schema) -> Result<Self> {
        let bug = |error: DataFusionError| {
            Error::report(format!(
                "expression `{expr}` cannot be compiled: {}",
                error.strip_backtrace()
            ))
        };
        let column = match expr {
            Expr::Column(column) => {
                Some(schema.index_of(&column.name).map_err(|error| bug(error.into()))?)
            }
            _ => None,
        };
        let dfschema = DFSchema::try_from(schema.clone()).map_err(bug)?;
        let compiled = create_physical_expr(
            expr,
            &dfschema,
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        )
        .map_err(bug)?;
        Ok(Evaluator { expr: compiled, data_type: data_type.clone(), column })
    }

    /// The values for the rows of `batch`.
    ///
    /// # Errors
    /// `FixInput` when a value is wrong (a text that is no number, a division by zero), `Report`
    /// when the type is not the promised one.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        if let Some(column) = self.column {
            return Ok(Arc::clone(batch.column(column)));
        }
        let value = self.expr.evaluate(batch).map_err(evaluation_error)?;
        let array = value.into_array(batch.num_rows()).map_err(evaluation_error)?;
        if *array.data_type() != self.data_type {
            return Err(Error::report(format!(
                "`{}` gave a {} instead of a {}",
                self.expr,
                array.data_type(),
                self.data_type
            )));
        }
        Ok(array)
    }

    /// Like [`Evaluator::evaluate`], for conditions: which rows it is true of.
    ///
    /// # Errors
    /// As for `evaluate`.
    pub fn matches(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let array = self.evaluate(batch)?;
        let values = array.as_boolean();
        Ok(match values.nulls() {
            None => values.clone(),
            Some(nulls) => BooleanArray::new(values.values() & nulls.inner(), None),
        })
    }
}

/// All conditions as one, if there are any.
pub(crate) fn conjunction(conditions: impl IntoIterator<Item = Expr>) -> Option<Expr> {
    conditions.into_iter().reduce(|left, right| binary_expr(left, Operator::And, right))
}

/// The names of the columns in some expressions.
pub(crate) fn column_names<'a>(exprs: impl IntoIterator<Item = &'a Expr>) -> BTreeSet<String> {
    exprs
        .into_iter()
        .flat_map(|expr| {
            expr.column_refs().into_iter().map(|column| column.name.clone()).collect::<Vec<_>>()
        })
        .collect()
}

/// A part of a schema, in its order.
pub(crate) fn part_of(schema: &Schema, names: &BTreeSet<String>) -> (Vec<usize>, SchemaRef) {
    let kept: Vec<usize> = (0..schema.fields().len())
        .filter(|&index| names.contains(schema.field(index).name()))
        .collect();
    let fields: Vec<_> = kept.iter().map(|&index| schema.field(index).clone()).collect();
    (kept, Arc::new(Schema::new(fields)))
}

/// An error of evaluation: the input's fault, unless it is of a kind that no input can cause.
fn evaluation_error(error: DataFusionError) -> Error {
    match error {
        DataFusionError::ArrowError(inner, _) => match *inner {
            ArrowError::DivideByZero => {
                Error::fix_input("division by zero").hint("guard the divisor: x / NULLIF(y, 0)")
            }
            ArrowError::CastError(text) => {
                Error::fix_input(text).hint("TRY_CAST gives null for what cannot be cast")
            }
            ArrowError::ArithmeticOverflow(text) => {
                Error::fix_input(format!("a number is too large: {text}"))
            }
            other => Error::report(format!("an expression failed: {other}")),
        },
        DataFusionError::Context(_, inner) => evaluation_error(*inner),
        other => Error::report(format!("an expression failed: {}", other.strip_backtrace())),
    }
}

/// A row as people read it: `{origin: JFK, dep_delay: null}`.
pub(crate) fn show_row(batch: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default().with_null("null");
    let values = batch.columns().iter().zip(batch.schema_ref().fields()).map(|(column, field)| {
        let shown = ArrayFormatter::try_new(column.as_ref(), &options)
            .map_or_else(|_| "?".to_owned(), |formatter| formatter.value(row).to_string());
        format!("{}: {shown}", field.name())
    });
    format!("{{{}}}", values.collect::<Vec<_>>().join(", "))
}
