//! `rows-per-second`: how many rows may have been given out by now.

use std::time::Duration;

/// Rows are granted in ticks of 10 ms, so that a fast source still gives whole batches and a slow
/// one still looks alive.
const TICKS_PER_SECOND: u128 = 100;

/// The pace of one of several splits that share a rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    rows_per_second: u64,
    splits: u64,
}

impl Pace {
    pub fn new(rows_per_second: u64, splits: u64) -> Self {
        Pace { rows_per_second, splits }
    }

    /// How many rows may be out `elapsed` after the start: at once those of the first tick.
    pub fn due(&self, elapsed: Duration) -> u64 {
        let ticks = elapsed.as_millis() * TICKS_PER_SECOND / 1_000 + 1;
        let rows = (u128::from(self.rows_per_second) * ticks)
            .div_ceil(TICKS_PER_SECOND * u128::from(self.splits));
        u64::try_from(rows).unwrap_or(u64::MAX)
    }

    /// When, after the start, more than `rows` are due.
    pub fn next(&self, rows: u64) -> Duration {
        let ticks = u128::from(rows) * TICKS_PER_SECOND * u128::from(self.splits)
            / u128::from(self.rows_per_second);
        let millis = ticks * 1_000 / TICKS_PER_SECOND;
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_second_brings_the_rate() {
        let pace = Pace::new(1_000, 1);
        assert_eq!(pace.due(Duration::ZERO), 10);
        assert_eq!(pace.due(Duration::from_millis(990)), 1_000);
    }

    proptest! {
        #[test]
        fn more_rows_are_due_at_the_time_said_and_not_before(
            rate in 1u64..2_000_000,
            splits in 1u64..5,
            rows in 0u64..10_000_000,
        ) {
            let pace = Pace::new(rate, splits);
            let at = pace.next(rows);
            prop_assert!(pace.due(at) > rows);
            if at >= Duration::from_millis(10) {
                prop_assert!(pace.due(at - Duration::from_millis(10)) <= rows);
            }
        }
    }
}
