//! Keys of any type with one value each: the tables of the typed API.

use std::cmp::Ordering;
use std::hash::Hash;
use std::ops::Range;

use millrace_core::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::changes::range_of;
use crate::codec::{Reader, Writer};
use crate::hash::hash_key;
use crate::snapshot::{PaneRows, PaneTable};
use crate::{ChangedChunks, DenseIndex};

/// A dense table of keys and values. Key and value lie beside each other, so that an update costs
/// one miss of the cache behind the index, not two.
///
/// ```
/// use millrace_state::EntryTable;
///
/// let mut table = EntryTable::default();
/// for word in ["a", "b", "a"] {
///     *table.upsert(word, || 0) += 1;
/// }
/// assert_eq!(table.entries(), [("a", 2), ("b", 1)]);
/// ```
#[derive(Clone, Debug)]
pub struct EntryTable<K, V> {
    index: DenseIndex,
    entries: Vec<(K, V)>,
    changes: ChangedChunks,
    /// How many rows the last snapshot had.
    stored_rows: usize,
}

impl<K, V> Default for EntryTable<K, V> {
    fn default() -> Self {
        EntryTable {
            index: DenseIndex::default(),
            entries: Vec::new(),
            changes: ChangedChunks::default(),
            stored_rows: 0,
        }
    }
}

impl<K: Hash + Eq, V> EntryTable<K, V> {
    /// The value of `key`, to be changed; made by `create` when the key is new.
    #[inline]
    pub fn upsert(&mut self, key: K, create: impl FnOnce() -> V) -> &mut V {
        let row = self.upsert_row(key, create);
        &mut self.entries[row].1
    }

    /// As [`EntryTable::upsert`], but gives the row number.
    #[inline]
    pub fn upsert_row(&mut self, key: K, create: impl FnOnce() -> V) -> usize {
        let EntryTable { index, entries, changes, .. } = self;
        let (row, new) = index.find_or_insert(
            hash_key(&key),
            |row| entries[row as usize].0 == key,
            |row| hash_key(&entries[row as usize].0),
        );
        let row = row as usize;
        if new {
            entries.push((key, create()));
            changes.grow(entries.len());
        }
        changes.mark(row);
        row
    }

    /// The value of `key`, if it is there.
    pub fn get(&self, key: &K) -> Option<&V> {
        let row = self.find_row(key)?;
        Some(&self.entries[row as usize].1)
    }

    /// The row of `key`, if it is there.
    #[inline]
    pub fn find_row(&self, key: &K) -> Option<u32> {
        self.index.find(hash_key(key), |row| self.entries[row as usize].0 == *key)
    }

    /// The value of a row, to be changed.
    #[inline]
    pub fn value_mut(&mut self, row: usize) -> &mut V {
        self.changes.mark(row);
        &mut self.entries[row].1
    }
}

impl<K, V> EntryTable<K, V> {
    /// All keys and values, in the order in which the keys first came.
    pub fn entries(&self) -> &[(K, V)] {
        &self.entries
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets all keys and keeps the memory.
    pub fn clear(&mut self) {
        self.index.clear();
        self.entries.clear();
        self.changes.reset();
        self.stored_rows = 0;
    }
}

/// What was copied of an [`EntryTable`] at a barrier.
#[derive(Debug)]
pub struct EntryCopy<K, V> {
    rows_before: usize,
    rows: usize,
    keys: Vec<K>,
    chunks: Vec<(usize, Vec<V>)>,
}

impl<K, V> PaneTable for EntryTable<K, V>
where
    K: Clone + Serialize + Send + 'static,
    V: Clone + Serialize + Send + 'static,
{
    type Copied = EntryCopy<K, V>;

    fn rows(&self) -> usize {
        self.entries.len()
    }

    fn bytes(&self) -> usize {
        self.index.bytes() + self.entries.capacity() * size_of::<(K, V)>() + self.changes.bytes()
    }

    fn spare(&self) -> bool {
        self.entries.capacity() / 4 > self.entries.len()
    }

    fn copied_bytes(&self, full: bool) -> usize {
        let (keys, values) = if full {
            (self.entries.len(), self.entries.len())
        } else {
            (self.entries.len() - self.stored_rows, self.changes.changed_rows())
        };
        keys * size_of::<K>() + values * size_of::<V>()
    }

    fn copy(&mut self, full: bool) -> Option<EntryCopy<K, V>> {
        if !full && !self.changes.any() {
            return None;
        }
        if full {
            self.changes.reset();
            self.changes.grow(self.entries.len());
            self.stored_rows = 0;
        }
        let rows = self.entries.len();
        let values = |range: Range<usize>| -> Vec<V> {
            self.entries[range].iter().map(|(_, value)| value.clone()).collect()
        };
        let copied = EntryCopy {
            rows_before: self.stored_rows,
            rows,
            keys: self.entries[self.stored_rows..].iter().map(|(key, _)| key.clone()).collect(),
            chunks: self
                .changes
                .ranges(rows)
                .map(|range| (range.start / crate::CHUNK_ROWS, values(range)))
                .collect(),
        };
        self.changes.clear();
        self.stored_rows = rows;
        Some(copied)
    }

    fn encode(copied: EntryCopy<K, V>, writer: &mut Writer) -> Result<()> {
        writer.u64(copied.rows_before as u64);
        writer.u64(copied.rows as u64);
        writer.blob(|writer| writer.values(&copied.keys))?;
        writer.u64(copied.chunks.len() as u64);
        for (chunk, values) in &copied.chunks {
            writer.u64(*chunk as u64);
            writer.blob(|writer| writer.values(values))?;
        }
        Ok(())
    }

    fn clear(&mut self) {
        EntryTable::clear(self);
    }
}

/// The rows of an [`EntryTable`] as a chain of snapshots has them.
#[derive(Debug)]
pub struct EntryRows<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K, V> Default for EntryRows<K, V> {
    fn default() -> Self {
        EntryRows { keys: Vec::new(), values: Vec::new() }
    }
}

impl<K, V> EntryRows<K, V> {
    /// Keys and values, in the order in which the keys first came.
    pub fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        self.keys.into_iter().zip(self.values)
    }
}

impl<K: DeserializeOwned, V: DeserializeOwned> PaneRows for EntryRows<K, V> {
    fn apply(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let rows_before = reader.u64()?;
        let rows = reader.u64()?;
        if rows_before != self.keys.len() as u64 || rows < rows_before {
            return Err(reader.broken(format_args!(
                "a difference from {rows_before} to {rows} rows follows {} rows",
                self.keys.len()
            )));
        }
        let mut keys = Reader::new(reader.blob()?, "keys");
        let added = rows - rows_before;
        // A key takes a byte at least; only one of no bytes is possible, and once.
        if added > keys.left().max(1) as u64 {
            return Err(keys.broken(format_args!("{added} keys in {} bytes", keys.left())));
        }
        for _ in 0..added {
            self.keys.push(keys.value()?);
        }
        keys.finish()?;
        for _ in 0..reader.count(2 * size_of::<u64>())? {
            let chunk = usize::try_from(reader.u64()?).unwrap_or(usize::MAX);
            let mut values = Reader::new(reader.blob()?, "values");
            for row in range_of(chunk, self.keys.len()) {
                let value = values.value()?;
                match row.cmp(&self.values.len()) {
                    Ordering::Less => self.values[row] = value,
                    Ordering::Equal => self.values.push(value),
                    Ordering::Greater => {
                        return Err(values.broken(format_args!("row {row} comes too early")));
                    }
                }
            }
            values.finish()?;
        }
        if self.values.len() != self.keys.len() {
            return Err(reader.broken("there are keys without values"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(table: &mut EntryTable<u32, u64>, full: bool) -> Option<Vec<u8>> {
        let mut writer = Writer::default();
        EntryTable::encode(table.copy(full)?, &mut writer).unwrap();
        Some(writer.into_bytes())
    }

    proptest! {
        #[test]
        fn a_full_copy_and_differences_give_back_the_table(
            rounds in proptest::collection::vec(
                (proptest::collection::vec((0u32..2_000, 1u64..9), 0..300), prop::bool::weighted(0.2)),
                1..6,
            ),
        ) {
            let mut table = EntryTable::<u32, u64>::default();
            let mut stored = EntryRows::<u32, u64>::default();
            for (round, (updates, full)) in rounds.iter().enumerate() {
                for &(key, by) in updates {
                    *table.upsert(key, || 0) += by;
                }
                let full = *full || round == 0;
                if full {
                    stored = EntryRows::default();
                }
                match part(&mut table, full) {
                    None => prop_assert!(updates.is_empty() && !full),
                    Some(bytes) => {
                        let mut reader = Reader::new(&bytes, "test");
                        stored.apply(&mut reader).unwrap();
                        reader.finish().unwrap();
                    }
                }
                let rows: Vec<_> =
                    stored.keys.iter().copied().zip(stored.values.iter().copied()).collect();
                prop_assert_eq!(&rows[..], table.entries());
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut rows = EntryRows::<(), ()>::default();
            let _ = rows.apply(&mut Reader::new(&bytes, "test"));
            let mut rows = EntryRows::<String, Vec<u64>>::default();
            let _ = rows.apply(&mut Reader::new(&bytes, "test"));
        }
    }

    #[test]
    fn a_difference_copies_changed_chunks_alone() {
        let mut table = EntryTable::<u32, u64>::default();
        for key in 0..10_000 {
            table.upsert(key, || 0);
        }
        let full = part(&mut table, true).unwrap().len();
        assert_eq!(part(&mut table, false), None);
        *table.upsert(5_000, || 0) += 1;
        let delta = part(&mut table, false).unwrap().len();
        assert!(delta < full / 20, "{delta} of {full} bytes");
    }
}
