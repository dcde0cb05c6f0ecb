//! Keys of bytes, laid out one behind the other.

use std::ops::Range;

use millrace_core::{Error, Result};

use crate::DenseIndex;
use crate::codec::{Reader, Writer};
use crate::hash::hash_bytes;

/// A dense table of byte strings in one arena: adding a key allocates nothing of its own.
///
/// ```
/// use millrace_state::ByteKeys;
/// use millrace_state::hash::hash_bytes;
///
/// let mut keys = ByteKeys::default();
/// let jfk = keys.intern(hash_bytes(b"JFK"), b"JFK");
/// let lga = keys.intern(hash_bytes(b"LGA"), b"LGA");
/// assert_eq!(keys.intern(hash_bytes(b"JFK"), b"JFK"), jfk);
/// assert_eq!(keys.get(lga as usize), b"LGA");
/// ```
#[derive(Clone, Debug, Default)]
pub struct ByteKeys {
    index: DenseIndex,
    arena: Vec<u8>,
    /// Where each key ends in the arena; it begins where the one before ends.
    ends: Vec<usize>,
    /// Each key's hash: growing the index need not read the arena again.
    hashes: Vec<u64>,
}

impl ByteKeys {
    /// The row number of `key`, which is added if it is new. `hash` is [`hash_bytes`] of it.
    #[inline]
    pub fn intern(&mut self, hash: u64, key: &[u8]) -> u32 {
        let ByteKeys { index, arena, ends, hashes } = self;
        let (row, new) = index.find_or_insert(
            hash,
            |row| hashes[row as usize] == hash && &arena[range_of(ends, row as usize)] == key,
            |row| hashes[row as usize],
        );
        if new {
            arena.extend_from_slice(key);
            ends.push(arena.len());
            hashes.push(hash);
        }
        row
    }

    /// The row number of `key`, if it is there.
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |row| self.get(row as usize) == key)
    }

    /// The key of a row.
    #[inline]
    pub fn get(&self, row: usize) -> &[u8] {
        &self.arena[range_of(&self.ends, row)]
    }

    /// The hash of a row's key.
    #[inline]
    pub fn hash(&self, row: usize) -> u64 {
        self.hashes[row]
    }

    /// How many keys there are.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Forgets all keys and keeps the memory.
    pub fn clear(&mut self) {
        self.index.clear();
        self.arena.clear();
        self.ends.clear();
        self.hashes.clear();
    }

    /// Memory that the table takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.index.bytes()
            + self.arena.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.hashes.capacity() * size_of::<u64>()
    }

    /// Copies the keys of `rows`, for a snapshot.
    pub fn copy(&self, rows: Range<usize>) -> ByteKeysCopy {
        let begin = if rows.start == 0 { 0 } else { self.ends[rows.start - 1] };
        let end = if rows.end == 0 { 0 } else { self.ends[rows.end - 1] };
        ByteKeysCopy {
            bytes: self.arena[begin..end].to_vec(),
            ends: self.ends[rows].iter().map(|end| end - begin).collect(),
        }
    }

    /// Adds keys that [`ByteKeysCopy::encode`] wrote; gives back how many.
    ///
    /// # Errors
    /// `Restore` when the bytes are not whole, or hold a key twice.
    pub fn decode(&mut self, reader: &mut Reader<'_>) -> Result<usize> {
        let lengths = reader.blob()?;
        let mut lengths = Reader::new(lengths, "byte keys");
        let mut bytes = Reader::new(reader.blob()?, "byte keys");
        let before = self.rows();
        while !lengths.is_empty() {
            let key = bytes.take(lengths.u32()? as usize)?;
            let row = self.rows();
            if self.intern(hash_bytes(key), key) as usize != row {
                return Err(Error::restore("stored state holds a key twice"));
            }
        }
        bytes.finish()?;
        Ok(self.rows() - before)
    }
}

fn range_of(ends: &[usize], row: usize) -> Range<usize> {
    let begin = if row == 0 { 0 } else { ends[row - 1] };
    begin..ends[row]
}

/// Keys copied at a barrier.
#[derive(Clone, Debug, Default)]
pub struct ByteKeysCopy {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ByteKeysCopy {
    /// Writes the keys: their lengths, then their bytes.
    pub fn encode(&self, writer: &mut Writer) -> Result<()> {
        writer.blob(|writer| {
            let mut begin = 0;
            for &end in &self.ends {
                let length = u32::try_from(end - begin)
                    .map_err(|_| Error::fix_input("a key is longer than 4 GiB"))?;
                writer.u32(length);
                begin = end;
            }
            Ok(())
        })?;
        writer.bytes(&self.bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn byte_keys_agree_with_a_list_and_survive_encoding_in_two_parts(
            words in proptest::collection::vec("[a-c]{0,3}", 0..200), cut in 0usize..50,
        ) {
            let mut keys = ByteKeys::default();
            let mut model: Vec<&[u8]> = Vec::new();
            for word in &words {
                let word = word.as_bytes();
                let expected = model.iter().position(|&key| key == word).unwrap_or_else(|| {
                    model.push(word);
                    model.len() - 1
                });
                prop_assert_eq!(keys.intern(hash_bytes(word), word) as usize, expected);
            }
            let cut = cut.min(keys.rows());
            let mut restored = ByteKeys::default();
            for rows in [0..cut, cut..keys.rows()] {
                let mut writer = Writer::default();
                keys.copy(rows.clone()).encode(&mut writer).unwrap();
                let bytes = writer.into_bytes();
                let mut reader = Reader::new(&bytes, "test");
                prop_assert_eq!(restored.decode(&mut reader).unwrap(), rows.len());
                reader.finish().unwrap();
            }
            for (row, &key) in model.iter().enumerate() {
                prop_assert_eq!(restored.get(row), key);
                prop_assert_eq!(restored.find(hash_bytes(key), key), Some(row as u32));
            }
        }
    }

    #[test]
    fn a_key_that_is_stored_twice_is_a_restore_error() {
        let mut keys = ByteKeys::default();
        keys.intern(hash_bytes(b"a"), b"a");
        let mut writer = Writer::default();
        keys.copy(0..1).encode(&mut writer).unwrap();
        let bytes = writer.into_bytes();
        let error = keys.decode(&mut Reader::new(&bytes, "test")).unwrap_err();
        assert_eq!(error.kind(), millrace_core::ErrorKind::Restore);
    }
}
