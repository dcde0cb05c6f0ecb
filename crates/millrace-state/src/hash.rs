//! The hash of keys.
//!
//! Exchange and state must agree on which subtask owns a key, so partitioners and tables hash by
//! these functions and no others. Seeds are fixed: the same keys go the same way in each run, and a
//! run can be repeated. Snapshots hold keys and not hashes, so the function may change from one
//! version to the next.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;
use millrace_core::{KeyGroup, KeyGroups};

/// Chosen at random once.
const SEED: u64 = 0x6d69_6c6c_7261_6365;

/// The hasher of all keys, for tables of the standard library's kind.
#[inline]
pub fn hasher() -> FixedState {
    FixedState::with_seed(SEED)
}

/// The hash of a key of the typed API.
#[inline]
pub fn hash_key<K: Hash + ?Sized>(key: &K) -> u64 {
    hasher().hash_one(key)
}

/// The hash of a key of one integer-like column.
#[inline]
pub fn hash_u64(key: u64) -> u64 {
    hasher().hash_one(key)
}

/// The hash of a key that was encoded as bytes. The length belongs to it, so that neighbouring
/// fields cannot be confused.
#[inline]
pub fn hash_bytes(key: &[u8]) -> u64 {
    hasher().hash_one(key)
}

/// Which keys a subtask owns.
#[derive(Clone, Debug)]
pub struct OwnedKeys {
    key_groups: KeyGroups,
    groups: std::ops::Range<u16>,
}

impl OwnedKeys {
    /// The keys of subtask `index` of `parallelism`.
    pub fn new(key_groups: KeyGroups, index: usize, parallelism: usize) -> Self {
        OwnedKeys { key_groups, groups: key_groups.owned_by(index, parallelism) }
    }

    /// Whether a key with this hash belongs to the subtask.
    pub fn owns(&self, hash: u64) -> bool {
        let KeyGroup(group) = self.key_groups.group_of(hash);
        self.groups.contains(&group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_same_in_each_run() {
        // A change of these values is allowed; that they differ between two runs is not.
        assert_eq!(hash_u64(7), hash_key(&7u64));
        assert_eq!(hash_bytes(b"JFK"), hash_key(&b"JFK"[..]));
        assert_ne!(hash_bytes(b"JFK"), hash_bytes(b"LGA"));
    }

    #[test]
    fn neighbouring_integers_spread_evenly_over_key_groups() {
        let key_groups = KeyGroups::default();
        let mut counts = [0u32; 128];
        for key in 0..128_000u64 {
            counts[usize::from(key_groups.group_of(hash_u64(key)).0)] += 1;
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 800 && *most < 1_200, "{least} to {most} of about 1,000 keys a group");
    }
}
