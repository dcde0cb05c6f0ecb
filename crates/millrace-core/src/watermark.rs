//! Watermarks per split, and exact lateness.
//!
//! # The rule
//!
//! Let a split's rows be `r1, r2, …` in their order, with rowtimes `t(i)` and candidate watermarks
//! `c(i)` (with a fixed delay, `c(i) = t(i) - delay`). The split's watermark before row `i` is
//! `w(i) = max(c(1..i-1))`, at first `Timestamp::MIN`. Row `i` is late for a window that ends
//! (exclusively) at `e` when `e - 1 + allowed lateness <= w(i)`. So lateness depends on the rows
//! before it in its split, and on neither batch size, parallelism nor scheduling.
//!
//! # How it travels
//!
//! Each batch has a `bound`, the `w` at which its rows are judged. A row with `t(i) > w(i)` cannot
//! be late for any window that holds it, at any smaller bound either, so one bound serves a whole
//! batch of such rows. Only before a row with `t(i) <= w(i)` whose `w(i)` is not the batch's bound
//! is the batch cut. [`cut_at_late_rows`] finds the places.
//!
//! The merged watermark at an operator never passes the bound of a batch that still comes, except
//! when a split was idle meanwhile or appeared later. Operators therefore judge by the larger of
//! the two.

use std::ops::Range;

use crate::{Batch, Result, Timestamp};

/// Makes watermarks for the rows of a source. Shared by all its splits.
pub trait WatermarkStrategy: Send + Sync {
    /// A new assigner, for one split, that has seen rows up to the watermark `reached`
    /// (`Timestamp::MIN` for a split that begins).
    fn assigner(&self, reached: Timestamp) -> Result<Box<dyn WatermarkAssigner>>;
}

/// Follows one split.
pub trait WatermarkAssigner: Send {
    /// Gives rows their event time and bound, and hands them to `out` cut at late rows: before
    /// each piece, the task sends the watermark that is the piece's bound.
    ///
    /// # Errors
    /// `FixInput` when a row has no event time, with its content.
    fn assign(&mut self, batch: Batch, out: &mut Vec<(Timestamp, Batch)>) -> Result<()>;

    /// The split's watermark after all rows so far.
    fn reached(&self) -> Timestamp;
}

/// Where a batch must be cut so that each piece has one bound for all its rows.
///
/// `rows` yields each row's rowtime and candidate watermark; `reached` is the split's watermark
/// before them and is moved on past them. The pieces cover all rows, in order.
///
/// ```
/// use millrace_core::Timestamp;
/// use millrace_core::watermark::cut_at_late_rows;
///
/// let at = Timestamp::from_millis;
/// // Delay 2. The third row (5) comes when the watermark is 8: it is cut off, with bound 8.
/// let rows = [7, 10, 5, 11].map(|t| (at(t), at(t - 2)));
/// let mut reached = Timestamp::MIN;
/// let pieces = cut_at_late_rows(rows, &mut reached);
/// assert_eq!(pieces, [(0..2, Timestamp::MIN), (2..4, at(8))]);
/// assert_eq!(reached, at(9));
/// ```
pub fn cut_at_late_rows(
    rows: impl IntoIterator<Item = (Timestamp, Timestamp)>,
    reached: &mut Timestamp,
) -> Vec<(Range<usize>, Timestamp)> {
    let mut pieces = Vec::new();
    let (mut start, mut bound, mut watermark) = (0, *reached, *reached);
    let mut count = 0;
    for (index, (rowtime, candidate)) in rows.into_iter().enumerate() {
        if rowtime <= watermark && watermark != bound {
            if index > start {
                pieces.push((start..index, bound));
            }
            (start, bound) = (index, watermark);
        }
        watermark = watermark.max(candidate);
        count = index + 1;
    }
    if count > start {
        pieces.push((start..count, bound));
    }
    *reached = watermark;
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_row_is_late_by_its_bound_exactly_when_it_is_late_by_the_rows_before_it(
            times in proptest::collection::vec(0i64..200, 0..60),
            delay in 0i64..50,
            batch in 1usize..20,
            window in 1i64..40,
        ) {
            let at = Timestamp::from_millis;
            let late = |t: i64, w: Timestamp| at((t.div_euclid(window) + 1) * window - 1) <= w;
            let mut expected = Vec::new();
            let mut running = Timestamp::MIN;
            for &t in &times {
                expected.push(late(t, running));
                running = running.max(at(t - delay));
            }
            let mut found = Vec::new();
            let mut reached = Timestamp::MIN;
            for chunk in times.chunks(batch) {
                let rows = chunk.iter().map(|&t| (at(t), at(t - delay)));
                let mut covered = 0;
                for (range, bound) in cut_at_late_rows(rows, &mut reached) {
                    prop_assert_eq!(range.start, covered);
                    covered = range.end;
                    found.extend(chunk[range].iter().map(|&t| late(t, bound)));
                }
                prop_assert_eq!(covered, chunk.len());
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(reached, running);
        }
    }
}
