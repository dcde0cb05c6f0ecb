//! Which transactions were aborted, for readers that leave them out.

use super::Ended;
use crate::storage::{AbortedTransaction, TransactionOutcome};

/// The aborted transactions of a partition, by their markers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::storage) struct AbortedIndex {
    entries: Vec<AbortedEntry>,
}

/// A transaction that was aborted, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct AbortedEntry {
    pub transaction: AbortedTransaction,
    /// The last stable offset when it had ended: what ends later begins there or behind.
    pub stable_offset: i64,
}

impl AbortedIndex {
    /// Takes in a transaction that ended now, with the last stable offset after it.
    pub fn ended(&mut self, ended: &Ended, stable_offset: i64) {
        let Ended { producer_id, first_offset, last_offset, outcome } = *ended;
        if outcome == TransactionOutcome::Abort {
            let transaction = AbortedTransaction { producer_id, first_offset, last_offset };
            self.entries.push(AbortedEntry { transaction, stable_offset });
        }
    }

    /// Takes in transactions that all ended behind those that are known.
    pub fn extend(&mut self, entries: &[AbortedEntry]) {
        self.entries.extend_from_slice(entries);
    }

    /// Those whose markers are from one offset to before another.
    pub fn ended_within(&self, from: i64, end: i64) -> Vec<AbortedEntry> {
        let at =
            |offset| self.entries.partition_point(|entry| entry.transaction.last_offset < offset);
        self.entries[at(from)..at(end).max(at(from))].to_vec()
    }

    /// Drops those that ended before the offset.
    pub fn forget_before(&mut self, offset: i64) {
        self.entries.retain(|entry| entry.transaction.last_offset >= offset);
    }

    /// Drops those whose markers were at these offsets, which ascend.
    pub fn forget_markers(&mut self, offsets: &[i64]) {
        self.entries.retain(|entry| offsets.binary_search(&entry.transaction.last_offset).is_err());
    }

    /// Those that have records from `offset` to before `end`.
    pub fn between(&self, offset: i64, end: i64) -> Vec<AbortedTransaction> {
        let from = self.entries.partition_point(|entry| entry.transaction.last_offset < offset);
        let mut found = Vec::new();
        for entry in &self.entries[from..] {
            if entry.transaction.first_offset < end {
                found.push(entry.transaction);
            }
            if entry.stable_offset >= end {
                break;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transactions_that_reach_into_the_range_are_found() {
        let mut index = AbortedIndex::default();
        let all = [(1, 0, 10, 5), (2, 5, 12, 8), (3, 8, 30, 31), (1, 40, 41, 42)];
        for (producer_id, first_offset, last_offset, stable_offset) in all {
            let outcome = TransactionOutcome::Abort;
            let ended = Ended { producer_id, first_offset, last_offset, outcome };
            index.ended(&ended, stable_offset);
        }
        let ids = |offset, end| -> Vec<i64> {
            index.between(offset, end).iter().map(|found| found.producer_id).collect()
        };
        assert_eq!(ids(0, 50), [1, 2, 3, 1]);
        assert_eq!(ids(0, 5), [1]);
        assert_eq!(ids(0, 6), [1, 2]);
        assert_eq!(ids(11, 20), [2, 3]);
        assert_eq!(ids(13, 40), [3]);
        assert!(ids(31, 40).is_empty());
    }
}
