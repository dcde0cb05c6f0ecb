//! Key groups: the unit in which keyed state moves when a job changes its parallelism.
//!
//! A row's key is hashed, the hash chooses one of `max_parallelism` key groups, and each subtask
//! owns a run of neighbouring groups. A snapshot holds keys, not groups, so the hash function may
//! differ from one version of Millrace to the next; within a process, exchange and restore use the
//! same one.

use std::ops::Range;

use crate::{Batch, Result};

/// One key group, from 0 to `max_parallelism - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyGroup(pub u16);

/// How keys are spread over groups, and groups over subtasks.
///
/// ```
/// use millrace_core::{KeyGroup, KeyGroups};
///
/// let groups = KeyGroups::default(); // 128, as in Flink
/// assert_eq!(groups.owned_by(0, 3), 0..43);
/// assert_eq!(groups.owner(KeyGroup(43), 3), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyGroups {
    max_parallelism: u16,
}

impl Default for KeyGroups {
    fn default() -> Self {
        KeyGroups { max_parallelism: 128 }
    }
}

impl KeyGroups {
    /// The largest possible number of key groups.
    pub const LIMIT: u16 = 32_768;

    /// `max_parallelism` key groups.
    ///
    /// # Panics
    /// Unless `1 <= max_parallelism <= KeyGroups::LIMIT`; options are checked before they get here.
    pub fn new(max_parallelism: u16) -> Self {
        assert!((1..=Self::LIMIT).contains(&max_parallelism), "1 to 32768 key groups");
        KeyGroups { max_parallelism }
    }

    /// How many groups there are, and so the largest parallelism of a keyed operator.
    pub fn max_parallelism(self) -> u16 {
        self.max_parallelism
    }

    /// The group of a key with this hash. The high bits choose, so that the low ones are left for
    /// the tables within a subtask.
    #[inline]
    pub fn group_of(self, hash: u64) -> KeyGroup {
        KeyGroup(((u128::from(hash) * u128::from(self.max_parallelism)) >> 64) as u16)
    }

    /// Which subtask of `parallelism` owns the group.
    #[inline]
    pub fn owner(self, group: KeyGroup, parallelism: usize) -> usize {
        usize::from(group.0) * parallelism / usize::from(self.max_parallelism)
    }

    /// The groups that subtask `index` of `parallelism` owns; empty when there are more subtasks
    /// than groups.
    pub fn owned_by(self, index: usize, parallelism: usize) -> Range<u16> {
        let groups = usize::from(self.max_parallelism);
        let first = |index: usize| (index * groups).div_ceil(parallelism) as u16;
        first(index)..first(index + 1)
    }
}

/// Spreads the rows of a batch over the subtasks of the next operator.
///
/// One instance serves one sending subtask; it may keep buffers, but no rows between calls: what
/// it was given is in `out` when it returns, so that barriers and watermarks keep their places.
pub trait Partitioner: Send {
    /// Moves the rows of `batch` to `out` as `(target, rows)` pairs, `target < targets`. Rows for
    /// one target keep their order and the batch's bound; empty batches are left out.
    ///
    /// # Errors
    /// When the batch is not of the type that the plan promised.
    fn partition(
        &mut self,
        batch: Batch,
        targets: usize,
        out: &mut Vec<(usize, Batch)>,
    ) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_group_has_exactly_one_owner_and_owner_agrees_with_owned_by(
            groups in 1u16..=300, parallelism in 1usize..40,
        ) {
            let key_groups = KeyGroups::new(groups);
            let mut next = 0;
            for index in 0..parallelism {
                let owned = key_groups.owned_by(index, parallelism);
                prop_assert_eq!(owned.start, next);
                next = owned.end;
                for group in owned {
                    prop_assert_eq!(key_groups.owner(KeyGroup(group), parallelism), index);
                }
            }
            prop_assert_eq!(next, groups);
        }

        #[test]
        fn a_hash_chooses_an_existing_group(groups in 1u16..=KeyGroups::LIMIT, hash: u64) {
            prop_assert!(KeyGroups::new(groups).group_of(hash).0 < groups);
        }
    }
}
