//! `COUNT(*)` and `COUNT(x)`.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use millrace_core::Result;
use millrace_state::codec::{Reader, Writer};

use super::{Accumulator, Rows, same};
use crate::operators::window_aggregate::fixed::{read_ranges, write_ranges};

/// How many rows each group has had.
#[derive(Default)]
pub struct Count {
    counts: Vec<i64>,
}

impl Accumulator for Count {
    fn grow(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        for &group in rows.groups {
            self.counts[group as usize] += 1;
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, from: &[u32], into: &[u32]) -> Result<()> {
        let other: &Self = same(other)?;
        for (&from, &into) in from.iter().zip(into) {
            let sum = &mut self.counts[into as usize];
            *sum = sum.saturating_add(other.counts[from as usize]);
        }
        Ok(())
    }

    fn finish(&self, groups: Range<usize>) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(self.counts[groups].to_vec())))
    }

    fn write(&mut self, groups: &[Range<usize>], _full: bool, writer: &mut Writer) -> Result<()> {
        write_ranges(&self.counts, groups, writer);
        Ok(())
    }

    fn read(&mut self, groups: &[Range<usize>], reader: &mut Reader<'_>) -> Result<()> {
        read_ranges(&mut self.counts, groups, reader)?;
        // No program writes these; a count below zero would later overflow.
        match self.counts.iter().any(|&count| count < 0) {
            true => Err(reader.broken("a count is below zero")),
            false => Ok(()),
        }
    }

    fn clear(&mut self) {
        self.counts.clear();
    }

    fn bytes(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }

    fn written_bytes(&self, groups: usize, _full: bool) -> usize {
        groups * size_of::<i64>()
    }
}
