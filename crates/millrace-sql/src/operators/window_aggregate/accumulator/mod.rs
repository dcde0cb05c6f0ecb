//! One column of accumulators for each aggregate of a query.
//!
//! An accumulator takes all rows that a batch has for a pane in one call; within it, loops are
//! typed. Rows that an aggregate passes over (nulls, a `FILTER` that is not true) have been left
//! out before.

mod count;
mod distinct;
mod extreme_text;
mod fold;
mod operations;

use std::any::Any;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef,
    UInt8Type,
};
use millrace_core::{Error, Result};
use millrace_state::codec::{Reader, Writer};

use self::count::Count;
use self::distinct::Distinct;
use self::extreme_text::TextExtreme;
use self::fold::Folded;
use self::operations::{
    AvgDecimal, AvgFloat, AvgInteger, Extreme, SumDecimal, SumFloat, SumInteger,
};
use super::{AggregateFunction, AggregateSpec};
use crate::operators::row_layout::by_primitive;

/// Rows for an accumulator: row `rows[i]` of `argument` belongs to group `groups[i]`.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// The group of each row.
    pub groups: &'a [u32],
    /// The number of each row in `argument`.
    pub rows: &'a [u32],
    /// The column that is aggregated, without nulls at `rows`; absent for `COUNT(*)`.
    pub argument: Option<&'a ArrayRef>,
}

impl Rows<'_> {
    /// The column that is aggregated.
    fn argument(&self) -> Result<&ArrayRef> {
        self.argument.ok_or_else(|| Error::report("an aggregate function has no argument"))
    }
}

/// The accumulators of one aggregate, a value for each group.
pub trait Accumulator: Any + Send {
    /// There are `groups` groups now; new ones have seen no rows.
    fn grow(&mut self, groups: usize);

    /// Adds rows.
    ///
    /// # Errors
    /// `Report` when the column is not of the planned type.
    fn update(&mut self, rows: Rows<'_>) -> Result<()>;

    /// Adds what the groups `from` of another column of the same kind hold to the groups `into`.
    ///
    /// # Errors
    /// `Report` when it is of another kind.
    fn merge(&mut self, other: &dyn Accumulator, from: &[u32], into: &[u32]) -> Result<()>;

    /// The results of some groups.
    ///
    /// # Errors
    /// When a result can't be expressed in its type.
    fn finish(&self, groups: Range<usize>) -> Result<ArrayRef>;

    /// Writes the values of groups that changed; all of them for a `full` copy.
    ///
    /// # Errors
    /// When a value can't be encoded.
    fn write(&mut self, groups: &[Range<usize>], full: bool, writer: &mut Writer) -> Result<()>;

    /// Reads what `write` wrote over what is there. `grow` has been called.
    ///
    /// # Errors
    /// `Restore` when the bytes are not that.
    fn read(&mut self, groups: &[Range<usize>], reader: &mut Reader<'_>) -> Result<()>;

    /// Forgets all groups and keeps the memory.
    fn clear(&mut self);

    /// Memory that the values take, in bytes.
    fn bytes(&self) -> usize;

    /// About how many bytes `write` gives for so many groups.
    fn written_bytes(&self, groups: usize, full: bool) -> usize;
}

/// The other side of a merge, as the type that it must have.
fn same<A: Accumulator>(other: &dyn Accumulator) -> Result<&A> {
    let other: &dyn Any = other;
    other.downcast_ref().ok_or_else(|| Error::report("accumulators of two kinds were merged"))
}

/// An empty column of accumulators.
///
/// # Errors
/// `Report` for a function of types that the planner should have refused.
pub fn accumulator(spec: &AggregateSpec, input: &SchemaRef) -> Result<Box<dyn Accumulator>> {
    let argument = spec.argument.map(|column| input.field(column).data_type().clone());
    match (spec.distinct, argument) {
        // The smallest of distinct values is the smallest.
        (true, Some(argument)) if !is_extreme(spec.function) => {
            Ok(Box::new(Distinct::new(&argument, plain(spec, Some(&argument))?)))
        }
        (_, argument) => plain(spec, argument.as_ref()),
    }
}

fn is_extreme(function: AggregateFunction) -> bool {
    matches!(function, AggregateFunction::Min | AggregateFunction::Max)
}

fn plain(spec: &AggregateSpec, argument: Option<&DataType>) -> Result<Box<dyn Accumulator>> {
    let output = spec.output.data_type();
    match (spec.function, argument) {
        (AggregateFunction::CountStar, None) | (AggregateFunction::Count, Some(_)) => {
            Ok(Box::new(Count::default()))
        }
        (AggregateFunction::Sum, Some(argument)) => sum(argument, output),
        (AggregateFunction::Avg, Some(argument)) => avg(argument, output),
        (AggregateFunction::Min, Some(argument)) => extreme::<true>(argument),
        (AggregateFunction::Max, Some(argument)) => extreme::<false>(argument),
        (function, argument) => Err(unplanned(function, argument)),
    }
}

fn sum(argument: &DataType, output: &DataType) -> Result<Box<dyn Accumulator>> {
    let output = output.clone();
    Ok(match argument {
        DataType::Int8 => Box::new(Folded::new(SumInteger::<Int8Type>::default(), output)),
        DataType::Int16 => Box::new(Folded::new(SumInteger::<Int16Type>::default(), output)),
        DataType::Int32 => Box::new(Folded::new(SumInteger::<Int32Type>::default(), output)),
        DataType::Int64 => Box::new(Folded::new(SumInteger::<Int64Type>::default(), output)),
        DataType::Float32 => Box::new(Folded::new(SumFloat::<Float32Type>::default(), output)),
        DataType::Float64 => Box::new(Folded::new(SumFloat::<Float64Type>::default(), output)),
        DataType::Decimal128(_, _) => Box::new(Folded::new(SumDecimal, output)),
        _ => return Err(unplanned(AggregateFunction::Sum, Some(argument))),
    })
}

fn avg(argument: &DataType, output: &DataType) -> Result<Box<dyn Accumulator>> {
    let data_type = output.clone();
    Ok(match (argument, output) {
        (DataType::Int8, _) => Box::new(Folded::new(AvgInteger::<Int8Type>::default(), data_type)),
        (DataType::Int16, _) => {
            Box::new(Folded::new(AvgInteger::<Int16Type>::default(), data_type))
        }
        (DataType::Int32, _) => {
            Box::new(Folded::new(AvgInteger::<Int32Type>::default(), data_type))
        }
        (DataType::Int64, _) => {
            Box::new(Folded::new(AvgInteger::<Int64Type>::default(), data_type))
        }
        (DataType::Float32, _) => {
            Box::new(Folded::new(AvgFloat::<Float32Type>::default(), data_type))
        }
        (DataType::Float64, _) => {
            Box::new(Folded::new(AvgFloat::<Float64Type>::default(), data_type))
        }
        (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) => {
            Box::new(Folded::new(AvgDecimal::new(*from, *to)?, data_type))
        }
        _ => return Err(unplanned(AggregateFunction::Avg, Some(argument))),
    })
}

fn extreme<const MIN: bool>(argument: &DataType) -> Result<Box<dyn Accumulator>> {
    fn folded<T, const MIN: bool>(argument: &DataType) -> Box<dyn Accumulator>
    where
        Extreme<T, MIN>: operations::Operation,
    {
        Box::new(Folded::new(Extreme::<T, MIN>::default(), argument.clone()))
    }
    fn primitive<T>(argument: &DataType, min: bool) -> Box<dyn Accumulator>
    where
        Extreme<T, true>: operations::Operation,
        Extreme<T, false>: operations::Operation,
    {
        if min { folded::<T, true>(argument) } else { folded::<T, false>(argument) }
    }
    match argument {
        DataType::Utf8 => Ok(Box::new(TextExtreme::<MIN>::default())),
        // A boolean is compared as 0 and 1.
        DataType::Boolean => Ok(folded::<UInt8Type, MIN>(argument)),
        _ => {
            use arrow::datatypes::*;
            Ok(by_primitive!(
                argument,
                primitive(argument, MIN),
                return Err(unplanned(AggregateFunction::Min, Some(argument)))
            ))
        }
    }
}

fn unplanned(function: AggregateFunction, argument: Option<&DataType>) -> Error {
    let argument = argument.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    Error::report(format!("{function:?} of {argument} reached a window aggregation"))
}

/// Leaves out the rows that an aggregate passes over. Gives back whether any were left out; if so,
/// what is left stands in `groups` and `rows`.
pub fn select(
    spec: &AggregateSpec,
    batch: &RecordBatch,
    all: Rows<'_>,
    groups: &mut Vec<u32>,
    rows: &mut Vec<u32>,
) -> bool {
    let filter = spec.filter.map(|column| batch.column(column).as_boolean());
    let nulls = all.argument.and_then(|column| column.nulls()).filter(|n| n.null_count() > 0);
    if filter.is_none() && nulls.is_none() {
        return false;
    }
    groups.clear();
    rows.clear();
    let mut keep = |is_kept: &dyn Fn(usize) -> bool| {
        for (&group, &row) in all.groups.iter().zip(all.rows) {
            if is_kept(row as usize) {
                groups.push(group);
                rows.push(row);
            }
        }
    };
    match (filter, nulls) {
        (None, None) => {}
        (None, Some(nulls)) => keep(&|row| nulls.is_valid(row)),
        (Some(filter), nulls) => keep(&|row| {
            filter.is_valid(row)
                && filter.value(row)
                && nulls.is_none_or(|nulls| nulls.is_valid(row))
        }),
    }
    true
}
