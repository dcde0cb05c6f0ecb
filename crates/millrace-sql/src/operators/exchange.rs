//! Spreads rows over subtasks by their keys.

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use millrace_core::{Batch, Columns, Error, KeyGroups, Partitioner, Result, RowKinds};
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
            let kinds = columns.kinds.as_ref().map(|kinds| taken_kinds(kinds, &indices));
            let kinds = kinds.transpose()?;
            out.push((target, Batch::new(Columns { rows: taken, kinds, ..columns.clone() })));
            // The index buffer comes back empty, with its room.
            *rows_of = into_vec(indices);
        }
        Ok(())
    }
}

/// The kinds of the rows with these numbers.
pub(super) fn taken_kinds(kinds: &RowKinds, rows: &UInt32Array) -> Result<RowKinds> {
    let taken = take(kinds.array(), rows, None)
        .map_err(|error| Error::report(format!("kinds of rows cannot be spread: {error}")))?;
    RowKinds::from_array(taken.as_primitive().clone())
}

fn into_vec(indices: UInt32Array) -> Vec<u32> {
    let (_, values, _) = indices.into_parts();
    let mut rows: Vec<u32> = values.into_inner().into_vec().unwrap_or_default();
    rows.clear();
    rows
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;
    use millrace_core::{RowKind, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn batch(keys: &[Option<String>]) -> Columns {
        let count = keys.len();
        let numbers = Int64Array::from_iter_values(0..count as i64);
        let keys = StringArray::from_iter(keys.iter());
        let rows = RecordBatch::try_from_iter([
            ("key", Arc::new(keys) as ArrayRef),
            ("number", Arc::new(numbers) as ArrayRef),
        ]);
        let bound = Timestamp::from_millis(7);
        let kinds = [RowKind::Insert, RowKind::Delete].into_iter().cycle().take(count);
        let rows = rows.expect("two columns of one length");
        Columns { bound, kinds: Some(kinds.collect()), ..Columns::new(rows) }
    }

    proptest! {
        #[test]
        fn each_row_goes_in_order_to_the_one_target_of_its_key(
            keys in prop::collection::vec(prop::option::of("[a-d]{0,2}"), 0..40),
            targets in 1usize..5,
        ) {
            let mut partitioner = KeyPartitioner::new([0].into(), KeyGroups::default());
            let mut target_of_key = std::collections::BTreeMap::new();
            // Twice, since the buffers are kept.
            for _ in 0..2 {
                let mut out = Vec::new();
                partitioner.partition(Batch::new(batch(&keys)), targets, &mut out).unwrap();
                let mut seen = Vec::new();
                for (target, part) in out {
                    let part: Columns = part.downcast().unwrap();
                    prop_assert!(target < targets && part.rows.num_rows() > 0);
                    prop_assert_eq!(part.bound, Timestamp::from_millis(7));
                    let numbers = part.rows.column(1).as_primitive::<Int64Type>();
                    prop_assert!(numbers.values().is_sorted());
                    for (row, &number) in numbers.values().iter().enumerate() {
                        let kind = [RowKind::Insert, RowKind::Delete][number as usize % 2];
                        prop_assert_eq!(part.kind(row), kind);
                        let key = keys[usize::try_from(number).unwrap()].clone();
                        prop_assert_eq!(*target_of_key.entry(key).or_insert(target), target);
                        seen.push(number);
                    }
                    prop_assert_eq!(part.rows.column(0).len(), numbers.len());
                }
                seen.sort_unstable();
                prop_assert_eq!(seen, (0..keys.len() as i64).collect::<Vec<_>>());
            }
        }
    }
}
