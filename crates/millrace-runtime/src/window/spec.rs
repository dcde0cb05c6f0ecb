//! Which windows there are, and which pane a row belongs to: arithmetic only.
//!
//! Windows are numbered: window `k` is `[offset + k·slide, offset + k·slide + size)`. A row belongs
//! to a run of neighbouring windows. To update one accumulator a row instead of one a window, rows
//! are gathered in *panes*: stretches of event time between two neighbouring window edges, so that
//! all rows of a pane belong to the same windows (Li et al., "No pane, no gain", 2005). Pane `p` is
//! `[pane offset + p·pane, … + pane)` with `pane = gcd(size, slide)`; when windows leave gaps
//! between them, the window itself is the pane.
//!
//! The arithmetic is done in 128 bits and saturates at the ends of time: a window that would begin
//! before [`Timestamp::MIN`] begins there, one that would end after [`Timestamp::MAX`] ends there
//! and closes when the watermark is `MAX`.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use millrace_core::{Error, Result, Timestamp};
use serde::{Deserialize, Serialize};

/// A stretch of event time, `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimeWindow {
    /// The first point inside.
    pub start: Timestamp,
    /// The first point behind.
    pub end: Timestamp,
}

impl TimeWindow {
    /// The last point inside: the rowtime of the window's results.
    pub fn max_timestamp(self) -> Timestamp {
        match self.end {
            // An end that saturated stands for a point behind `MAX`.
            Timestamp::MAX => Timestamp::MAX,
            end => Timestamp::from_millis(end.as_millis().saturating_sub(1)),
        }
    }
}

/// Tumbling or hopping windows over event time.
///
/// ```
/// use std::time::Duration;
/// use millrace_core::Timestamp;
/// use millrace_runtime::window::WindowSpec;
///
/// let minutes = |n: u64| Duration::from_secs(60 * n);
/// let spec = WindowSpec::hopping(minutes(60), minutes(15), Duration::ZERO).unwrap();
/// let at = |minute: i64| Timestamp::from_millis(minute * 60_000);
///
/// // A row at minute 20 belongs to the windows that begin at minutes -30, -15, 0 and 15.
/// assert_eq!(spec.windows_at(at(20)), -2..2);
/// assert_eq!(spec.window(1).start, at(15));
/// // When the watermark is at minute 35, the window of minutes -30 to 30 is closed.
/// assert_eq!(spec.first_open(at(35)), Some(-1));
/// // The row stands in one pane, of minutes 15 to 30.
/// assert_eq!(spec.pane_at(at(20)), Some(1));
/// assert_eq!(spec.panes_of(1), 1..5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WindowSpec {
    size_ms: i64,
    slide_ms: i64,
    /// In `0..slide_ms`.
    offset_ms: i64,
    allowed_lateness_ms: i64,
    /// The greatest common divisor of size and slide; for windows with gaps, the size.
    pane_ms: i64,
}

/// The longest size, slide or lateness: about 73 million years, so that sums stay in bounds.
const LONGEST_MS: i64 = i64::MAX / 4;

impl WindowSpec {
    /// Windows of `size`, one beginning where the other ends, the first after the epoch at
    /// `offset`.
    ///
    /// # Errors
    /// `FixInput` when the size is zero or not of whole milliseconds.
    pub fn tumbling(size: Duration, offset: Duration) -> Result<Self> {
        Self::hopping(size, size, offset)
    }

    /// Windows of `size`, one beginning every `slide`. With `slide > size` they leave gaps.
    ///
    /// # Errors
    /// `FixInput` when size or slide is zero or not of whole milliseconds.
    pub fn hopping(size: Duration, slide: Duration, offset: Duration) -> Result<Self> {
        let (size_ms, slide_ms) = (positive_ms("size", size)?, positive_ms("slide", slide)?);
        let offset_ms = whole_ms("offset", offset)? % slide_ms;
        let pane_ms = if slide_ms > size_ms { size_ms } else { gcd(size_ms, slide_ms) };
        Ok(WindowSpec { size_ms, slide_ms, offset_ms, allowed_lateness_ms: 0, pane_ms })
    }

    /// The same windows, which take late rows (and fire again for them) until the watermark is
    /// `lateness` past their end.
    ///
    /// # Errors
    /// `FixInput` when the lateness is not of whole milliseconds.
    pub fn with_allowed_lateness(mut self, lateness: Duration) -> Result<Self> {
        self.allowed_lateness_ms = whole_ms("allowed lateness", lateness)?;
        Ok(self)
    }

    /// How long a window is.
    pub fn size(&self) -> Duration {
        Duration::from_millis(self.size_ms.unsigned_abs())
    }

    /// From one window's beginning to the next.
    pub fn slide(&self) -> Duration {
        Duration::from_millis(self.slide_ms.unsigned_abs())
    }

    /// Where the first window at or after the epoch begins; less than the slide.
    pub fn offset(&self) -> Duration {
        Duration::from_millis(self.offset_ms.unsigned_abs())
    }

    /// How long after its end a window takes late rows.
    pub fn allowed_lateness(&self) -> Duration {
        Duration::from_millis(self.allowed_lateness_ms.unsigned_abs())
    }

    /// Whether every row belongs to exactly one window.
    pub fn is_tumbling(&self) -> bool {
        self.size_ms == self.slide_ms
    }

    /// Whether no row belongs to more than one window, so that a window is one pane.
    pub fn is_disjoint(&self) -> bool {
        self.slide_ms >= self.size_ms
    }

    /// The bounds of window `index`.
    pub fn window(&self, index: i64) -> TimeWindow {
        let start = self.start_of(index);
        TimeWindow { start: saturate(start), end: saturate(start + i128::from(self.size_ms)) }
    }

    /// The windows that hold `rowtime`, by number; empty in a gap (and for [`Timestamp::MAX`] where
    /// its window would have no number).
    pub fn windows_at(&self, rowtime: Timestamp) -> Range<i64> {
        let from_offset = i128::from(rowtime.as_millis()) - i128::from(self.offset_ms);
        let slide = i128::from(self.slide_ms);
        let behind_last = from_offset.div_euclid(slide) + 1;
        let first = (from_offset - i128::from(self.size_ms)).div_euclid(slide) + 1;
        clamp(first)..clamp(behind_last)
    }

    /// The first window that a row judged at `limit` may still contribute to: its end - 1 and the
    /// allowed lateness are after `limit`. `None` when all are closed.
    pub fn first_open(&self, limit: Timestamp) -> Option<i64> {
        self.first_after(limit, self.allowed_lateness_ms)
    }

    /// The first window whose time has not yet come at `watermark`: all before it have fired.
    /// `None` when all have.
    pub fn first_unfired(&self, watermark: Timestamp) -> Option<i64> {
        self.first_after(watermark, 0)
    }

    /// The first `k` with `end(k) - 1 + lateness > limit`.
    fn first_after(&self, limit: Timestamp, lateness_ms: i64) -> Option<i64> {
        if limit == Timestamp::MAX {
            return None;
        }
        if limit == Timestamp::MIN {
            return Some(i64::MIN);
        }
        let past = i128::from(limit.as_millis()) + 1
            - i128::from(lateness_ms)
            - i128::from(self.size_ms)
            - i128::from(self.offset_ms);
        Some(clamp(past.div_euclid(i128::from(self.slide_ms)) + 1))
    }

    /// The pane that holds `rowtime`, by number; `None` in a gap.
    pub fn pane_at(&self, rowtime: Timestamp) -> Option<i64> {
        let windows = self.windows_at(rowtime);
        if windows.is_empty() || self.slide_ms > self.size_ms {
            return (!windows.is_empty()).then_some(windows.start);
        }
        let from_offset =
            i128::from(rowtime.as_millis()) - i128::from(self.offset_ms % self.pane_ms);
        Some(clamp(from_offset.div_euclid(i128::from(self.pane_ms))))
    }

    /// The stretch of event time of pane `index`.
    pub fn pane(&self, index: i64) -> TimeWindow {
        if self.slide_ms > self.size_ms {
            return self.window(index);
        }
        let start = i128::from(self.offset_ms % self.pane_ms)
            + i128::from(index) * i128::from(self.pane_ms);
        TimeWindow { start: saturate(start), end: saturate(start + i128::from(self.pane_ms)) }
    }

    /// The panes that window `index` is made of.
    pub fn panes_of(&self, index: i64) -> Range<i64> {
        if self.slide_ms > self.size_ms {
            return index..index.saturating_add(1);
        }
        let pane = i128::from(self.pane_ms);
        let first = (self.start_of(index) - i128::from(self.offset_ms % self.pane_ms)) / pane;
        clamp(first)..clamp(first + i128::from(self.size_ms) / pane)
    }

    /// The windows that pane `index` is part of.
    pub fn windows_of(&self, pane: i64) -> Range<i64> {
        if self.slide_ms > self.size_ms {
            return pane..pane.saturating_add(1);
        }
        let start = i128::from(self.offset_ms % self.pane_ms)
            + i128::from(pane) * i128::from(self.pane_ms)
            - i128::from(self.offset_ms);
        let slide = i128::from(self.slide_ms);
        let first = (start - i128::from(self.size_ms)).div_euclid(slide) + 1;
        clamp(first)..clamp(start.div_euclid(slide) + 1)
    }

    fn start_of(&self, index: i64) -> i128 {
        i128::from(self.offset_ms) + i128::from(index) * i128::from(self.slide_ms)
    }
}

/// As plans and messages name it: `TUMBLE(3600000 ms)`, `HOP(3600000 ms every 60000 ms)`.
impl fmt::Display for WindowSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_tumbling() {
            write!(f, "TUMBLE({} ms", self.size_ms)?;
        } else {
            write!(f, "HOP({} ms every {} ms", self.size_ms, self.slide_ms)?;
        }
        match self.offset_ms {
            0 => f.write_str(")"),
            offset => write!(f, " from {offset} ms)"),
        }
    }
}

fn whole_ms(what: &str, duration: Duration) -> Result<i64> {
    if !duration.subsec_nanos().is_multiple_of(1_000_000) {
        return Err(Error::fix_input(format!(
            "the window's {what} of {duration:?} is not a whole number of milliseconds"
        ))
        .hint("event time has a resolution of one millisecond"));
    }
    i64::try_from(duration.as_millis())
        .ok()
        .filter(|&ms| ms <= LONGEST_MS)
        .ok_or_else(|| Error::fix_input(format!("the window's {what} of {duration:?} is too long")))
}

fn positive_ms(what: &str, duration: Duration) -> Result<i64> {
    match whole_ms(what, duration)? {
        0 => Err(Error::fix_input(format!("the window's {what} is zero"))
            .hint("a window takes at least one millisecond")),
        ms => Ok(ms),
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn clamp(number: i128) -> i64 {
    number.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

fn saturate(millis: i128) -> Timestamp {
    Timestamp::from_millis(clamp(millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(millis: i64) -> Duration {
        Duration::from_millis(millis as u64)
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn sizes_that_event_time_cannot_express_are_refused() {
        for size in [Duration::ZERO, Duration::from_nanos(1_500_000), Duration::MAX] {
            let error = WindowSpec::tumbling(size, Duration::ZERO).unwrap_err();
            assert_eq!(error.kind(), millrace_core::ErrorKind::FixInput, "{error}");
        }
    }

    #[test]
    fn a_hop_of_a_tenth_has_ten_panes_a_window() {
        let spec = WindowSpec::hopping(ms(1_000), ms(100), ms(30)).unwrap();
        assert_eq!(spec.panes_of(0).count(), 10);
        assert_eq!(spec.windows_of(spec.pane_at(at(35)).unwrap()).count(), 10);
    }

    #[test]
    fn everything_is_open_at_first_and_closed_at_last() {
        let spec = WindowSpec::tumbling(ms(10), ms(0)).unwrap();
        assert_eq!(spec.first_open(Timestamp::MIN), Some(i64::MIN));
        assert_eq!(spec.first_open(Timestamp::MAX), None);
        assert_eq!(spec.first_unfired(Timestamp::MAX), None);
    }

    proptest! {
        #[test]
        fn windows_panes_and_closing_agree_with_their_definitions(
            size in 1i64..60, slide in 1i64..60, offset in 0i64..200, lateness in 0i64..50,
            t in -500i64..500, limit in -600i64..600,
        ) {
            let spec = WindowSpec::hopping(ms(size), ms(slide), ms(offset)).unwrap()
                .with_allowed_lateness(ms(lateness)).unwrap();
            let holds = |k: i64| {
                let start = offset % slide + k * slide;
                start <= t && t < start + size
            };
            let expected: Vec<i64> = (-1_500..1_500).filter(|&k| holds(k)).collect();
            let found = spec.windows_at(at(t));
            prop_assert_eq!(found.clone().collect::<Vec<_>>(), expected.clone());
            match spec.pane_at(at(t)) {
                None => prop_assert!(expected.is_empty()),
                Some(pane) => {
                    let bounds = spec.pane(pane);
                    prop_assert!(bounds.start <= at(t) && at(t) < bounds.end);
                    prop_assert_eq!(spec.windows_of(pane), found.clone());
                    for k in found {
                        prop_assert!(spec.panes_of(k).contains(&pane));
                        prop_assert_eq!(spec.pane(spec.panes_of(k).start).start, spec.window(k).start);
                        prop_assert_eq!(spec.pane(spec.panes_of(k).end - 1).end, spec.window(k).end);
                    }
                }
            }
            let open = spec.first_open(at(limit)).unwrap();
            let last_point = |k: i64| spec.window(k).max_timestamp().as_millis();
            prop_assert!(last_point(open) + lateness > limit);
            prop_assert!(last_point(open - 1) + lateness <= limit);
            let unfired = spec.first_unfired(at(limit)).unwrap();
            prop_assert!(last_point(unfired) > limit && last_point(unfired - 1) <= limit);
        }

        #[test]
        fn the_ends_of_time_neither_overflow_nor_fall_outside(
            size in 1i64..=LONGEST_MS, slide in 1i64..=LONGEST_MS, offset in 0i64..=LONGEST_MS,
            lateness in 0i64..=LONGEST_MS,
            near in 0i64..3, end: bool,
        ) {
            let t = if end { i64::MAX - near } else { i64::MIN + near };
            let spec = WindowSpec::hopping(ms(size), ms(slide), ms(offset)).unwrap()
                .with_allowed_lateness(ms(lateness)).unwrap();
            spec.first_open(at(t));
            spec.first_unfired(at(t));
            let windows = spec.windows_at(at(t));
            prop_assert_eq!(spec.pane_at(at(t)).is_none(), windows.is_empty());
            if let Some(pane) = spec.pane_at(at(t)) {
                let bounds = spec.pane(pane);
                prop_assert!(bounds.start <= at(t) && at(t) <= bounds.max_timestamp());
                prop_assert_eq!(spec.windows_of(pane), windows.clone());
                for k in [windows.start, windows.end - 1] {
                    let window = spec.window(k);
                    prop_assert!(window.start <= at(t) && at(t) <= window.max_timestamp());
                }
            }
        }
    }
}
