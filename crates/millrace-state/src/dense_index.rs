//! From a key's hash to its row number.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// A hash index that numbers keys `0, 1, 2, …` in the order in which they first come. The keys
/// themselves lie elsewhere; callers compare them.
///
/// Row numbers are `u32`: five bytes a slot, so that the index of 100,000 keys fits the second
/// cache.
#[derive(Clone, Debug, Default)]
pub struct DenseIndex {
    table: HashTable<u32>,
}

impl DenseIndex {
    /// The number of the key with `hash`, and whether it is new and thereby became `rows()`.
    /// `equal` says whether the key of a row is this one; `hash_of` gives a row's hash, for when
    /// the index grows.
    ///
    /// # Panics
    /// When there are `u32::MAX` keys: state of that size needs more subtasks.
    #[inline]
    pub fn find_or_insert(
        &mut self,
        hash: u64,
        equal: impl Fn(u32) -> bool,
        hash_of: impl Fn(u32) -> u64,
    ) -> (u32, bool) {
        let next = self.table.len();
        match self.table.entry(hash, |&row| equal(row), |&row| hash_of(row)) {
            Entry::Occupied(slot) => (*slot.get(), false),
            Entry::Vacant(slot) => {
                let row = number(next);
                slot.insert(row);
                (row, true)
            }
        }
    }

    /// The number of the key with `hash`, if it is there.
    #[inline]
    pub fn find(&self, hash: u64, equal: impl Fn(u32) -> bool) -> Option<u32> {
        self.table.find(hash, |&row| equal(row)).copied()
    }

    /// How many keys there are.
    pub fn rows(&self) -> usize {
        self.table.len()
    }

    /// Forgets all keys and keeps the memory.
    pub fn clear(&mut self) {
        self.table.clear();
    }

    /// Memory that the index takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.table.allocation_size()
    }
}

#[inline]
fn number(rows: usize) -> u32 {
    assert!(rows < u32::MAX as usize, "a table of 2^32 keys; raise the parallelism");
    rows as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash_u64;

    #[test]
    fn keys_are_numbered_in_the_order_in_which_they_first_come() {
        let mut index = DenseIndex::default();
        let mut keys: Vec<u64> = Vec::new();
        let mut intern = |key: u64| {
            let (row, new) = index.find_or_insert(
                hash_u64(key),
                |row| keys[row as usize] == key,
                |row| hash_u64(keys[row as usize]),
            );
            if new {
                keys.push(key);
            }
            row
        };
        for round in 0..2 {
            for key in 0..10_000u64 {
                assert_eq!(intern(key * 7), key as u32, "round {round}");
            }
        }
        assert_eq!(index.rows(), 10_000);
        assert_eq!(index.find(hash_u64(14), |row| keys[row as usize] == 14), Some(2));
        assert_eq!(index.find(hash_u64(15), |row| keys[row as usize] == 15), None);
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let mut index = DenseIndex::default();
        let keys = ["a", "b", "c"];
        for (expected, key) in keys.iter().enumerate() {
            let (row, new) = index.find_or_insert(1, |row| keys[row as usize] == *key, |_| 1);
            assert_eq!((row as usize, new), (expected, true));
        }
    }
}
