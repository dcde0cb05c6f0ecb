//! Accumulators of fixed width over columns of numbers.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType};
use millrace_core::{Error, Result};
use millrace_state::codec::{Reader, Writer};

use super::operations::Operation;
use super::{Accumulator, Rows, same};
use crate::operators::window_aggregate::fixed::{read_ranges, write_ranges};

/// A column of states of the operation `O`.
pub struct Folded<O: Operation> {
    operation: O,
    states: Vec<O::State>,
    /// The result's type, with its precision, scale or time zone.
    output: DataType,
}

impl<O: Operation> Folded<O> {
    /// No groups yet.
    pub fn new(operation: O, output: DataType) -> Self {
        Folded { operation, states: Vec::new(), output }
    }
}

impl<O: Operation> Accumulator for Folded<O> {
    fn grow(&mut self, groups: usize) {
        self.states.resize(groups, O::State::default());
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let argument = rows.argument()?;
        // Booleans are compared as numbers; all other types come as they are.
        let converted = match argument.as_primitive_opt::<O::Argument>() {
            Some(_) => None,
            None => Some(convert(argument, &O::Argument::DATA_TYPE)?),
        };
        let column = converted.as_ref().unwrap_or(argument).as_primitive::<O::Argument>();
        let values = &column.values()[..];
        let Folded { operation, states, .. } = self;
        for (&group, &row) in rows.groups.iter().zip(rows.rows) {
            operation.add(&mut states[group as usize], values[row as usize]);
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, from: &[u32], into: &[u32]) -> Result<()> {
        let other: &Self = same(other)?;
        for (&from, &into) in from.iter().zip(into) {
            let from = other.states[from as usize];
            self.operation.merge(&mut self.states[into as usize], from);
        }
        Ok(())
    }

    fn finish(&self, groups: Range<usize>) -> Result<ArrayRef> {
        let results = self.states[groups].iter().map(|state| self.operation.result(state));
        let column: PrimitiveArray<O::Result> = results.collect();
        if self.output == DataType::Boolean {
            let column: ArrayRef = Arc::new(column);
            return convert(&column, &DataType::Boolean);
        }
        Ok(Arc::new(column.with_data_type(self.output.clone())))
    }

    fn write(&mut self, groups: &[Range<usize>], _full: bool, writer: &mut Writer) -> Result<()> {
        write_ranges(&self.states, groups, writer);
        Ok(())
    }

    fn read(&mut self, groups: &[Range<usize>], reader: &mut Reader<'_>) -> Result<()> {
        read_ranges(&mut self.states, groups, reader)?;
        match self.states.iter().all(|state| self.operation.is_sound(state)) {
            true => Ok(()),
            false => Err(reader.broken("an accumulator holds what no rows give")),
        }
    }

    fn clear(&mut self) {
        self.states.clear();
    }

    fn bytes(&self) -> usize {
        self.states.capacity() * size_of::<O::State>()
    }

    fn written_bytes(&self, groups: usize, _full: bool) -> usize {
        groups * size_of::<O::State>()
    }
}

fn convert(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    cast(column, to).map_err(|cause| {
        Error::report(format!("a column of {} came where {to} was planned", column.data_type()))
            .caused_by(cause)
    })
}
