//! Keys of bytes, laid out one behind the other.

use std::ops::Range;

use millrace_core::{Error, Result};

use crate::DenseIndex;
use crate::codec::{Reader, Writer};

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
    /// The row number of `key`, which is added if it is new. Keys are the same when both hash and
    /// bytes are.
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
        self.index
            .find(hash, |row| self.hashes[row as usize] == hash && self.get(row as usize) == key)
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

    /// The length of all keys together, in bytes.
    pub fn key_bytes(&self) -> usize {
        self.arena.len()
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
}

/// Reads keys that [`ByteKeysCopy::encode`] wrote.
///
/// # Errors
/// `Restore` when the bytes are not whole.
pub fn read_byte_keys<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a [u8]>> {
    let mut lengths = Reader::new(reader.blob()?, "lengths of keys");
    let mut bytes = Reader::new(reader.blob()?, "keys");
    let mut keys = Vec::with_capacity(lengths.left() / size_of::<u32>());
    while !lengths.is_empty() {
        keys.push(bytes.take(lengths.u32()? as usize)?);
    }
    bytes.finish()?;
    Ok(keys)
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
    use crate::hash::hash_bytes;
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
                for (row, key) in rows.zip(read_byte_keys(&mut reader).unwrap()) {
                    prop_assert_eq!(restored.intern(hash_bytes(key), key) as usize, row);
                }
                reader.finish().unwrap();
            }
            for (row, &key) in model.iter().enumerate() {
                prop_assert_eq!(restored.get(row), key);
                prop_assert_eq!(restored.find(hash_bytes(key), key), Some(row as u32));
            }
        }
    }

    #[test]
    fn the_hash_tells_equal_bytes_apart() {
        // Null and the empty string have the same bytes, and hashes of their own.
        let mut keys = ByteKeys::default();
        assert_eq!((keys.intern(1, b""), keys.intern(2, b""), keys.intern(1, b"")), (0, 1, 0));
    }
}
