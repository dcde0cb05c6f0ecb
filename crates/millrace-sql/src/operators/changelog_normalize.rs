//! From upserts to changes: what a row was before its update is known to this operator alone.
//!
//! A table of upserts says what the row of a key is now, or that it is gone, of which only the key
//! is known. The operator keeps the newest row of each key, and puts out what changed: a new row,
//! an update with the row as it was before it (where somebody needs that), the whole row that is
//! gone. What changes nothing is dropped and counted: a row that is what it was, the deletion of a
//! row that is not there. So a changelog that is read again from somewhere in the past comes out
//! right in the end.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use millrace_core::{
    Batch, Collector, Columns, DropReason, Error, Operator, OperatorContext, Port, Restored,
    Result, RowKind, RowKinds, Snapshot, SnapshotRequest,
};
use millrace_state::hash::OwnedKeys;
use millrace_state::{KeyedRow, KeyedRows};

use super::key_hash::hash_keys;
use super::row_layout::{columns_of_rows, rows_of};

/// How many stored rows are restored at a time.
const RESTORED_ROWS: usize = 4_096;

/// What a [`ChangelogNormalize`] does; shared by its subtasks.
#[derive(Clone, Debug)]
pub(crate) struct NormalizeSpec {
    /// The columns that go out; those that come in may have nulls where the key has none.
    pub schema: SchemaRef,
    /// The columns of the key.
    pub keys: Vec<usize>,
    /// Whether updates begin with the row as it was before.
    pub update_before: bool,
}

impl NormalizeSpec {
    fn types(&self) -> Vec<DataType> {
        self.schema.fields().iter().map(|field| field.data_type().clone()).collect()
    }

    /// The columns of the key, in words.
    pub fn key_names(&self) -> String {
        let names: Vec<&str> =
            self.keys.iter().map(|&key| self.schema.field(key).name().as_str()).collect();
        names.join(", ")
    }

    /// What keys and rows are made of.
    fn layout(&self) -> String {
        let column = |index: usize| {
            let field = self.schema.field(index);
            format!("{} {}", field.name(), field.data_type())
        };
        let keys: Vec<String> = self.keys.iter().map(|&key| column(key)).collect();
        let rows: Vec<String> = (0..self.schema.fields().len()).map(column).collect();
        format!("newest rows by {}: {}", keys.join(", "), rows.join(", "))
    }
}

/// Makes changes of upserts by the rows that it keeps.
pub(crate) struct ChangelogNormalize {
    spec: Arc<NormalizeSpec>,
    layout: String,
    newest: KeyedRows,
    context: Option<OperatorContext>,
    keys: Laid,
    rows: Laid,
    hashes: Vec<u64>,
}

/// Rows of a batch as bytes, end to end.
#[derive(Default)]
struct Laid {
    arena: Vec<u8>,
    ends: Vec<usize>,
}

impl Laid {
    fn set(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        rows_of(columns, rows, &mut self.arena, &mut self.ends)
    }

    fn push(&mut self, row: &[u8]) {
        self.arena.extend_from_slice(row);
        self.ends.push(self.arena.len());
    }

    fn get(&self, row: usize) -> &[u8] {
        let begin = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.arena[begin..self.ends[row]]
    }

    fn len(&self) -> usize {
        self.ends.len()
    }
}

/// The rows that go out of a batch: which they are, and what they say.
#[derive(Default)]
struct Changes {
    /// Rows as they were before, from the state.
    former: Laid,
    /// Whether a row is one of the former rows (1) or of the batch (0), and its number there.
    places: Vec<(usize, usize)>,
    kinds: Vec<RowKind>,
}

impl Changes {
    fn push(&mut self, row: usize, kind: RowKind) {
        self.places.push((0, row));
        self.kinds.push(kind);
    }

    fn push_former(&mut self, row: &[u8], kind: RowKind) {
        self.places.push((1, self.former.len()));
        self.former.push(row);
        self.kinds.push(kind);
    }
}

impl ChangelogNormalize {
    pub fn new(spec: Arc<NormalizeSpec>) -> Self {
        ChangelogNormalize {
            layout: spec.layout(),
            spec,
            newest: KeyedRows::default(),
            context: None,
            keys: Laid::default(),
            rows: Laid::default(),
            hashes: Vec::new(),
        }
    }

    /// Takes the rows of a batch one after the other; gives back how many change nothing, too.
    fn follow(&mut self, columns: &Columns) -> Result<(Changes, usize)> {
        let count = columns.rows.num_rows();
        let keys: Vec<ArrayRef> =
            self.spec.keys.iter().map(|&key| Arc::clone(columns.rows.column(key))).collect();
        hash_keys(&keys, count, &mut self.hashes)?;
        self.keys.set(&keys, count)?;
        self.rows.set(columns.rows.columns(), count)?;
        let (mut changes, mut unchanged) = (Changes::default(), 0);
        for row in 0..count {
            let (hash, key, now) = (self.hashes[row], self.keys.get(row), self.rows.get(row));
            let adds = columns.kind(row).adds();
            match self.newest.get(hash, key) {
                Some(former) if adds && former == now => unchanged += 1,
                Some(former) if adds => {
                    if self.spec.update_before {
                        changes.push_former(former, RowKind::UpdateBefore);
                    }
                    changes.push(row, RowKind::UpdateAfter);
                    self.newest.insert(hash, key, now)?;
                }
                None if adds => {
                    changes.push(row, RowKind::Insert);
                    self.newest.insert(hash, key, now)?;
                }
                Some(former) => {
                    changes.push_former(former, RowKind::Delete);
                    self.newest.remove(hash, key);
                }
                None => unchanged += 1,
            }
        }
        Ok((changes, unchanged))
    }

    /// The rows that go out, as columns.
    fn gathered(&self, rows: &RecordBatch, changes: &Changes) -> Result<RecordBatch> {
        let former = &changes.former;
        let columns = if former.len() == 0 {
            let places = changes.places.iter().map(|&(_, row)| row as u32);
            let places = UInt32Array::from_iter_values(places);
            rows.columns().iter().map(|column| take(column, &places, None)).collect()
        } else {
            let former = (0..former.len()).map(|row| former.get(row));
            let former = columns_of_rows(&self.spec.types(), former)?;
            let both = rows.columns().iter().zip(&former);
            both.map(|(now, former)| interleave(&[now, former], &changes.places)).collect()
        };
        let columns: std::result::Result<Vec<ArrayRef>, ArrowError> = columns;
        columns
            .and_then(|columns| RecordBatch::try_new(Arc::clone(&self.spec.schema), columns))
            .map_err(|cause| Error::report("rows of a changelog do not fit").caused_by(cause))
    }

    /// Adds stored rows whose keys this subtask owns.
    fn adopt(&mut self, entries: &[KeyedRow], owned: &OwnedKeys) -> Result<()> {
        let rows = entries.iter().map(|(_, row)| &row[..]);
        let columns = columns_of_rows(&self.spec.types(), rows)?;
        let keys: Vec<ArrayRef> =
            self.spec.keys.iter().map(|&key| Arc::clone(&columns[key])).collect();
        hash_keys(&keys, entries.len(), &mut self.hashes)?;
        for ((key, row), &hash) in entries.iter().zip(&self.hashes) {
            if !owned.owns(hash) {
                continue;
            }
            if self.newest.get(hash, key).is_some() {
                return Err(Error::restore("stored state holds a key twice"));
            }
            self.newest.insert(hash, key, row)?;
        }
        Ok(())
    }
}

impl Operator for ChangelogNormalize {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.context = Some(context.clone());
        Ok(())
    }

    fn restore(&mut self, state: Restored) -> Result<()> {
        let context = self.context.as_ref().ok_or_else(|| Error::report("restore before open"))?;
        let subtask = context.subtask;
        let owned = OwnedKeys::new(context.key_groups, subtask.index, subtask.parallelism);
        for chain in &state.chains {
            let mut stored = KeyedRows::read(chain, &self.layout)?;
            loop {
                let entries: Vec<_> = stored.by_ref().take(RESTORED_ROWS).collect();
                if entries.is_empty() {
                    break;
                }
                self.adopt(&entries, &owned)?;
            }
        }
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        let columns: Columns = batch.downcast()?;
        let (changes, unchanged) = self.follow(&columns)?;
        out.absorbed(columns.rows.num_rows() - unchanged);
        out.dropped(DropReason::Unchanged, unchanged);
        if changes.places.is_empty() {
            return Ok(());
        }
        let rows = self.gathered(&columns.rows, &changes)?;
        let kinds: RowKinds = changes.kinds.into_iter().collect();
        out.emit(Port::MAIN, Batch::new(Columns::changes(rows, kinds)?))
    }

    fn snapshot(&mut self, request: SnapshotRequest) -> Result<Snapshot> {
        Ok(self.newest.snapshot(request, &self.layout))
    }

    fn state_bytes(&self) -> usize {
        self.newest.bytes()
    }
}

#[cfg(test)]
mod tests;
