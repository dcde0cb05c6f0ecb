//! The groups of one pane: keys and a column of accumulators for each aggregate.

use std::ops::Range;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use millrace_core::Result;
use millrace_state::codec::{Reader, Writer};
use millrace_state::{CHUNK_ROWS, ChangedChunks, PaneRows, PaneTable};

use super::WindowAggregateSpec;
use super::accumulator::{Accumulator, Rows, accumulator, select};
use super::group_keys::{BatchKeys, GroupKeys};

/// A table of groups. Group `i` has key `i` and value `i` of each accumulator.
pub struct GroupTable {
    keys: GroupKeys,
    accumulators: Vec<Box<dyn Accumulator>>,
    changes: ChangedChunks,
    stored_groups: usize,
}

/// Memory that is used again for each batch.
#[derive(Default)]
pub struct Scratch {
    groups: Vec<u32>,
    kept_groups: Vec<u32>,
    kept_rows: Vec<u32>,
}

/// The types of a query's keys.
pub fn key_types(spec: &WindowAggregateSpec) -> Vec<DataType> {
    spec.keys.iter().map(|&key| spec.input.field(key).data_type().clone()).collect()
}

impl GroupTable {
    /// A table without groups.
    ///
    /// # Errors
    /// `Report` when the query has an aggregate that the planner should have refused.
    pub fn new(spec: &WindowAggregateSpec) -> Result<Self> {
        let accumulators =
            spec.aggregates.iter().map(|aggregate| accumulator(aggregate, &spec.input));
        Ok(GroupTable {
            keys: GroupKeys::new(&key_types(spec)),
            accumulators: accumulators.collect::<Result<_>>()?,
            changes: ChangedChunks::default(),
            stored_groups: 0,
        })
    }

    /// Adds the rows of a batch with these numbers.
    ///
    /// # Errors
    /// `Report` when a column is not of the planned type.
    pub fn add(
        &mut self,
        spec: &WindowAggregateSpec,
        batch: &RecordBatch,
        keys: &BatchKeys,
        rows: &[u32],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Scratch { groups, kept_groups, kept_rows } = scratch;
        self.keys.intern(keys, rows, groups);
        self.grow(groups);
        for (accumulator, aggregate) in self.accumulators.iter_mut().zip(&spec.aggregates) {
            let argument = aggregate.argument.map(|column| batch.column(column));
            let all = Rows { groups, rows, argument };
            let rows = match select(aggregate, batch, all, kept_groups, kept_rows) {
                true => Rows { groups: kept_groups, rows: kept_rows, argument },
                false => all,
            };
            accumulator.update(rows)?;
        }
        Ok(())
    }

    /// Adds what the groups `from` of another table hold.
    ///
    /// # Errors
    /// `Report` when it is a table of another query.
    pub fn merge(&mut self, other: &GroupTable, from: &[u32]) -> Result<()> {
        let mut into = Vec::with_capacity(from.len());
        self.keys.intern_from(&other.keys, from, &mut into);
        self.grow(&into);
        for (mine, others) in self.accumulators.iter_mut().zip(&other.accumulators) {
            mine.merge(&**others, from, &into)?;
        }
        Ok(())
    }

    /// Makes room for new groups and notes which ones change.
    fn grow(&mut self, groups: &[u32]) {
        let rows = self.keys.len();
        self.changes.grow(rows);
        groups.iter().for_each(|&group| self.changes.mark(group as usize));
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.grow(rows));
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The hash of a group's key.
    pub fn hash(&self, group: usize) -> u64 {
        self.keys.hash(group)
    }

    /// Keys and results of some groups, as columns.
    ///
    /// # Errors
    /// When a result can't be expressed in its type.
    pub fn finish(&self, groups: Range<usize>) -> Result<Vec<ArrayRef>> {
        let mut columns = self.keys.columns(groups.clone())?;
        for accumulator in &self.accumulators {
            columns.push(accumulator.finish(groups.clone())?);
        }
        Ok(columns)
    }
}

/// # Content of a pane in a snapshot
///
/// ```text
/// groups before u64, groups u64, keys from `groups before` on
/// changed chunks: count u64, numbers u64
/// each accumulator: blob of its values in these chunks
/// ```
impl PaneTable for GroupTable {
    /// Values of fixed width are copied as the bytes that are stored.
    type Copied = Result<Vec<u8>>;

    fn rows(&self) -> usize {
        self.keys.len()
    }

    fn bytes(&self) -> usize {
        let values = self.accumulators.iter().map(|accumulator| accumulator.bytes());
        self.keys.bytes() + values.sum::<usize>() + self.changes.bytes()
    }

    fn spare(&self) -> bool {
        // A few hundred bytes a group are normal; a floor keeps small tables in use.
        self.bytes() > 64 * 1024 && self.bytes() / 1024 > self.keys.len()
    }

    fn copied_bytes(&self, full: bool) -> usize {
        let (from, changed) = match full {
            true => (0, self.keys.len()),
            false => (self.stored_groups, self.changes.changed_rows()),
        };
        let values =
            self.accumulators.iter().map(|accumulator| accumulator.written_bytes(changed, full));
        self.keys.copied_bytes(from) + values.sum::<usize>()
    }

    fn copy(&mut self, full: bool) -> Option<Self::Copied> {
        if !full && !self.changes.any() {
            return None;
        }
        let copied = self.write(full);
        self.changes.clear();
        self.stored_groups = self.keys.len();
        Some(copied)
    }

    fn encode(copied: Self::Copied, writer: &mut Writer) -> Result<()> {
        let bytes = copied?;
        writer.raw(&bytes);
        Ok(())
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.clear());
        self.changes.reset();
        self.stored_groups = 0;
    }
}

impl GroupTable {
    fn write(&mut self, full: bool) -> Result<Vec<u8>> {
        let groups = self.keys.len();
        if full {
            self.changes.reset();
            self.changes.grow(groups);
            self.stored_groups = 0;
        }
        let ranges: Vec<Range<usize>> = self.changes.ranges(groups).collect();
        let mut writer = Writer::default();
        writer.u64(self.stored_groups as u64);
        writer.u64(groups as u64);
        self.keys.write(self.stored_groups, &mut writer)?;
        writer.u64(ranges.len() as u64);
        ranges.iter().for_each(|range| writer.u64((range.start / CHUNK_ROWS) as u64));
        for accumulator in &mut self.accumulators {
            writer.blob(|writer| accumulator.write(&ranges, full, writer))?;
        }
        Ok(writer.into_bytes())
    }
}

impl PaneRows for GroupTable {
    fn apply(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let (before, groups) = (reader.u64()?, reader.u64()?);
        if before != self.keys.len() as u64 {
            return Err(reader.broken(format_args!(
                "a difference from {before} groups follows {}",
                self.keys.len()
            )));
        }
        let before = self.keys.len();
        self.keys.read(reader)?;
        if groups != self.keys.len() as u64 {
            return Err(reader.broken(format_args!("{} keys of {groups}", self.keys.len())));
        }
        let groups = self.keys.len();
        let ranges = read_ranges(before, groups, reader)?;
        for accumulator in &mut self.accumulators {
            accumulator.grow(groups);
            let mut values = Reader::new(reader.blob()?, "accumulators");
            accumulator.read(&ranges, &mut values)?;
            values.finish()?;
        }
        Ok(())
    }
}

/// The changed chunks, ascending, the new groups all among them.
fn read_ranges(before: usize, groups: usize, reader: &mut Reader<'_>) -> Result<Vec<Range<usize>>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for _ in 0..reader.count(size_of::<u64>())? {
        let chunk = usize::try_from(reader.u64()?).unwrap_or(usize::MAX);
        let start = chunk.saturating_mul(CHUNK_ROWS);
        if start >= groups || ranges.last().is_some_and(|last| last.end > start) {
            return Err(reader.broken(format_args!("chunk {chunk} is out of place")));
        }
        ranges.push(start..(start + CHUNK_ROWS).min(groups));
    }
    let new_chunks = groups.div_ceil(CHUNK_ROWS) - before / CHUNK_ROWS;
    let expected = if groups > before { new_chunks } else { 0 };
    let from = before / CHUNK_ROWS * CHUNK_ROWS;
    if ranges.iter().filter(|range| range.start >= from).count() < expected {
        return Err(reader.broken("there are keys without values"));
    }
    Ok(ranges)
}
