//! The ledger: where every row went.
//!
//! Each node counts the rows that came in and says of each what became of it. At every checkpoint
//! the counts are cut by the barrier, summed over subtasks, and three laws are checked:
//!
//! - source: `read = passed + Σ dropped`;
//! - operator: `rows_in = passed + absorbed + Σ dropped`, where *absorbed* rows live on in state (a
//!   window's accumulators) and *passed* ones leave one for one;
//! - edge: rows sent before the barrier by all writers = rows received before it by all readers.
//!
//! A difference is a bug, and is reported as one.

use serde::{Deserialize, Serialize};

/// Why a row went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropReason {
    /// A condition of the query was not true of it.
    Filtered,
    /// Every window that it belongs to had closed when it came.
    Late,
    /// It falls in the gap between hopping windows.
    OutsideWindows,
    /// It said what the table says already: an upsert that changes nothing, or the deletion of a
    /// row that is not there.
    Unchanged,
    /// It could not be decoded, and the table's policy is to skip.
    Skipped,
    /// It could not be decoded, and went to the dead-letter output.
    DeadLettered,
    /// It could not be decoded, and the job failed of it.
    Failed,
}

impl DropReason {
    /// All reasons, in the order in which ledgers print them.
    pub const ALL: [DropReason; 7] = [
        DropReason::Filtered,
        DropReason::Late,
        DropReason::OutsideWindows,
        DropReason::Unchanged,
        DropReason::Skipped,
        DropReason::DeadLettered,
        DropReason::Failed,
    ];

    /// The reason as ledgers and metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            DropReason::Filtered => "filtered",
            DropReason::Late => "late",
            DropReason::OutsideWindows => "outside windows",
            DropReason::Unchanged => "unchanged",
            DropReason::Skipped => "skipped",
            DropReason::DeadLettered => "dead-lettered",
            DropReason::Failed => "failed to decode",
        }
    }
}

/// The counts of one node since the job's first start, in rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerCounts {
    /// Rows that came in: read by a source, received by an operator or a sink.
    pub rows_in: u64,
    /// Rows that left one for one. For a sink: rows committed.
    pub passed: u64,
    /// Rows that live on in state or its results. For a sink: rows written and not yet committed.
    pub absorbed: u64,
    /// Rows that went no further, by [`DropReason`] in the order of [`DropReason::ALL`]. Stored
    /// by name, so that stored ledgers stay readable when there are more reasons.
    #[serde(default, with = "dropped_by_name")]
    pub dropped: [u64; DropReason::ALL.len()],
    /// Rows sent by each output port.
    pub rows_out: Vec<u64>,
}

impl LedgerCounts {
    /// Counts `rows` as gone for `reason`.
    pub fn add_dropped(&mut self, reason: DropReason, rows: u64) {
        self.dropped[reason as usize] += rows;
    }

    /// The rows gone for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Adds the counts of another subtask, or of the runs before this one.
    pub fn add(&mut self, other: &LedgerCounts) {
        self.rows_in += other.rows_in;
        self.passed += other.passed;
        self.absorbed += other.absorbed;
        for (mine, theirs) in self.dropped.iter_mut().zip(other.dropped) {
            *mine += theirs;
        }
        if self.rows_out.len() < other.rows_out.len() {
            self.rows_out.resize(other.rows_out.len(), 0);
        }
        for (mine, theirs) in self.rows_out.iter_mut().zip(&other.rows_out) {
            *mine += theirs;
        }
    }

    /// Rows that came in less rows whose fate is known; anything but zero is a bug.
    pub fn unaccounted(&self) -> i128 {
        let known = u128::from(self.passed)
            + u128::from(self.absorbed)
            + self.dropped.iter().map(|&rows| u128::from(rows)).sum::<u128>();
        i128::from(self.rows_in) - known as i128
    }
}

mod dropped_by_name {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::DropReason;

    type Dropped = [u64; DropReason::ALL.len()];

    pub(super) fn serialize<S: Serializer>(dropped: &Dropped, to: S) -> Result<S::Ok, S::Error> {
        let by_name: BTreeMap<DropReason, u64> =
            DropReason::ALL.into_iter().zip(*dropped).filter(|&(_, rows)| rows > 0).collect();
        by_name.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Dropped, D::Error> {
        let mut dropped = Dropped::default();
        for (reason, rows) in BTreeMap::<DropReason, u64>::deserialize(from)? {
            dropped[reason as usize] = rows;
        }
        Ok(dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_a_fate_shows_in_the_balance() {
        let mut counts = LedgerCounts { rows_in: 10, passed: 6, ..LedgerCounts::default() };
        counts.add_dropped(DropReason::Late, 3);
        assert_eq!(counts.unaccounted(), 1);
        counts.absorbed = 1;
        assert_eq!(counts.unaccounted(), 0);
    }

    #[test]
    fn drop_reasons_are_stored_by_name() {
        let mut counts = LedgerCounts { rows_in: 5, ..LedgerCounts::default() };
        counts.add_dropped(DropReason::OutsideWindows, 5);
        let stored = serde_json::to_value(&counts).unwrap();
        assert_eq!(stored["dropped"], serde_json::json!({"outside-windows": 5}));
        assert_eq!(serde_json::from_value::<LedgerCounts>(stored).unwrap(), counts);
    }

    #[test]
    fn counts_of_subtasks_add_up_field_by_field() {
        let mut sum = LedgerCounts::default();
        let mut one = LedgerCounts { rows_in: 2, passed: 2, rows_out: vec![2, 1], ..sum.clone() };
        one.add_dropped(DropReason::Filtered, 5);
        sum.add(&one);
        sum.add(&one);
        assert_eq!((sum.rows_in, sum.dropped(DropReason::Filtered)), (4, 10));
        assert_eq!(sum.rows_out, [4, 2]);
    }
}
