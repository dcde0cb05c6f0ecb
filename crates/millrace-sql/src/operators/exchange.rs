//! Spreads rows over subtasks by their keys.

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use millrace_core::{Batch, Columns, Error, KeyGroups, Partitioner, Result};
use std::sync::Arc;

use super::key_hash::hash_keys;

/// Sends each row to the owner of its key group.
pub(crate) struct KeyPartitioner {
    keys: Arc<[usize]>,
    key_groups: KeyGroups,
    hashes: Vec<u64>,
    /// For each target, the rows that go there.
    rows_of: Vec<Vec<u32>>,
}

impl KeyPartitioner {
    /// By the columns `keys`.
    pub fn new(keys: Arc<[usize]>, key_groups: KeyGroups) -> Self {
        KeyPartitioner { keys, key_groups, hashes: Vec::new(), rows_of: Vec::new() }
    }
}

impl Partitioner for KeyPartitioner {
    fn partition(
        &mut self,
        batch: Batch,
        targets: usize,
        out: &mut Vec<(usize, Batch)>,
    ) -> Result<()> {
        let columns: Columns = batch.downcast()?;
        let rows = columns.rows.num_rows();
        if rows == 0 {
            return Ok(());
        }
        if targets == 1 {
            out.push((0, Batch::new(columns)));
            return Ok(());
        }
        let keys: Vec<ArrayRef> =
            self.keys.iter().map(|&key| Arc::clone(columns.rows.column(key))).collect();
        hash_keys(&keys, rows, &mut self.hashes)?;
        self.rows_of.resize_with(targets, Vec::new);
        for (row, hash) in self.hashes.iter().enumerate() {
            let target = self.key_groups.owner(self.key_groups.group_of(*hash), targets);
            self.rows_of[target].push(row as u32);
        }
        for (target, rows_of) in self.rows_of.iter_mut().enumerate() {
            if rows_of.is_empty() {
                continue;
            }
            if rows_of.len() == rows {
                rows_of.clear();
                out.push((target, Batch::new(columns)));
                return Ok(());
            }
            let indices = UInt32Array::from(std::mem::take(rows_of));
            let taken = columns
                .rows
                .columns()
                .iter()
                .map(|column| take(column, &indices, None))
                .collect::<std::result::Result<Vec<_>, _>>()
                .and_then(|taken| RecordBatch::try_new(columns.rows.schema(), taken))
                .map_err(|error| Error::report(format!("rows cannot be spread: {error}")))?;
            out.push((target, Batch::new(Columns { rows: taken, ..columns.clone() })));
            // The index buffer comes back empty, with its room.
            *rows_of = into_vec(indices);
        }
        Ok(())
    }
}

fn into_vec(indices: UInt32Array) -> Vec<u32> {
    let (_, values, _) = indices.into_parts();
    let mut rows: Vec<u32> = values.into_inner().into_vec().unwrap_or_default();
    rows.clear();
    rows
}
