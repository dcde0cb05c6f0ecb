//! The newest offset of each key.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasherDefault, Hasher};

/// Keys of one pass; behind that many the rest is left to the next. 32 bytes each.
const MAX_KEYS: usize = 2 << 20;

/// Keys by 128 bits of their hash, which are taken for the key itself. They are drawn anew for each
/// pass, so that nobody can make two keys meet on purpose.
#[derive(Debug)]
pub(super) struct NewestOffsets {
    seed: u64,
    offsets: HashMap<u128, i64, BuildHasherDefault<DefaultHasher>>,
    through: i64,
}

impl NewestOffsets {
    pub fn new(seed: u64, through: i64) -> Self {
        NewestOffsets { seed, offsets: HashMap::default(), through }
    }

    fn hash(&self, key: &[u8]) -> u128 {
        let half = |salt: u64| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(self.seed ^ salt);
            hasher.write(key);
            u128::from(hasher.finish())
        };
        (half(0) << 64) | half(0x9e37_79b9_7f4a_7c15)
    }

    /// Takes in a record; offsets come ascending.
    pub fn note(&mut self, key: &[u8], offset: i64) {
        self.offsets.insert(self.hash(key), offset);
    }

    /// Whether a later record has this key.
    pub fn has_newer(&self, key: &[u8], offset: i64) -> bool {
        self.offsets.get(&self.hash(key)).is_some_and(|newest| *newest > offset)
    }

    pub fn is_full(&self) -> bool {
        self.offsets.len() >= MAX_KEYS
    }

    /// The offset up to which all keys are in here.
    pub fn through(&self) -> i64 {
        self.through
    }

    pub fn end_at(&mut self, offset: i64) {
        self.through = self.through.min(offset);
    }
}
