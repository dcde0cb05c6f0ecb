//! Points in time, in milliseconds since 1970-01-01 00:00:00 UTC.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in event time or processing time: signed milliseconds since the Unix epoch.
///
/// [`Timestamp::MIN`] as a watermark says "nothing is known yet", [`Timestamp::MAX`] says "no row
/// will follow". Arithmetic saturates, so that the two ends stay where they are.
///
/// ```
/// use std::time::Duration;
/// use millrace_core::Timestamp;
///
/// let noon = Timestamp::from_millis(12 * 3_600_000);
/// assert_eq!(noon.minus(Duration::from_secs(3_600)).as_millis(), 11 * 3_600_000);
/// assert_eq!(Timestamp::MIN.minus(Duration::from_secs(1)), Timestamp::MIN);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before every row: the watermark of a split that has not been read yet.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// After every row: the watermark that ends a bounded input.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// The point `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This point moved later by `by`, at most [`Timestamp::MAX`]. `MIN` stays `MIN`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        if self == Self::MIN {
            return self;
        }
        Timestamp(self.0.saturating_add(millis_of(by)))
    }

    /// This point moved earlier by `by`, at least [`Timestamp::MIN`]. `MAX` stays `MAX`.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        if self == Self::MAX {
            return self;
        }
        Timestamp(self.0.saturating_sub(millis_of(by)))
    }

    /// The time from `earlier` to this point; zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }
}

fn millis_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("Timestamp::MIN"),
            Self::MAX => f.write_str("Timestamp::MAX"),
            Timestamp(millis) => write!(f, "Timestamp({millis})"),
        }
    }
}

/// `YYYY-MM-DD HH:MM:SS.mmm` in UTC; `-infinity` and `infinity` for the two ends.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => return f.write_str("-infinity"),
            Self::MAX => return f.write_str("infinity"),
            _ => {}
        }
        let (days, of_day) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03}",
            of_day / 3_600_000,
            of_day / 60_000 % 60,
            of_day / 1_000 % 60,
            of_day % 1_000
        )
    }
}

/// Days since 1970-01-01 to a proleptic Gregorian date. The year is counted from March, in eras of
/// 400 years, so that leap days fall at the end of a year and no table is needed.
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = i128::from(days) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    (year as i64, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_time_do_not_move() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(Timestamp::MIN.plus(hour), Timestamp::MIN);
        assert_eq!(Timestamp::MIN.minus(hour), Timestamp::MIN);
        assert_eq!(Timestamp::MAX.minus(hour), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.plus(hour), Timestamp::MAX);
    }

    #[test]
    fn timestamps_print_as_utc_dates() {
        let shown = |millis| Timestamp::from_millis(millis).to_string();
        assert_eq!(shown(0), "1970-01-01 00:00:00.000");
        assert_eq!(shown(951_782_400_000), "2000-02-29 00:00:00.000");
        assert_eq!(shown(1_357_034_220_007), "2013-01-01 09:57:00.007");
        assert_eq!(shown(-1), "1969-12-31 23:59:59.999");
        assert_eq!(Timestamp::MAX.to_string(), "infinity");
    }
}
