//! What windows must give, worked out the slow way: each row of each split against each window.

use std::collections::BTreeMap;

use super::source::Row;

/// Windows as the scenario has them, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    pub size: i64,
    pub slide: i64,
    pub offset: i64,
    pub allowed_lateness: i64,
}

/// A result: key, the window's begin, how many rows, and their sum.
pub type Outcome = (u8, i64, u64, i64);

/// All that must come out.
#[derive(Debug, Default)]
pub struct Expected {
    /// The last result of each key and window, sorted.
    pub results: Vec<Outcome>,
    /// Rows all of whose windows had closed, sorted.
    pub late: Vec<Row>,
    /// How many rows belong to no window.
    pub outside_windows: u64,
}

pub fn expected(splits: &[Vec<Row>], windows: Windows, delay: i64) -> Expected {
    let mut expected = Expected::default();
    let mut sums: BTreeMap<(u8, i64), (u64, i64)> = BTreeMap::new();
    for split in splits {
        let mut watermark = i64::MIN;
        for row in split {
            let all = windows_of(row.rowtime_ms, windows);
            let open =
                |&begin: &i64| begin + windows.size - 1 + windows.allowed_lateness > watermark;
            let taken: Vec<i64> = all.iter().copied().filter(open).collect();
            if all.is_empty() {
                expected.outside_windows += 1;
            } else if taken.is_empty() {
                expected.late.push(*row);
            }
            for begin in taken {
                let (count, sum) = sums.entry((row.key, begin)).or_default();
                *count += 1;
                *sum += row.value;
            }
            watermark = watermark.max(row.rowtime_ms - delay);
        }
    }
    let results = sums.into_iter().map(|((key, begin), (count, sum))| (key, begin, count, sum));
    expected.results = results.collect();
    expected.late.sort_unstable();
    expected
}

/// The begins of all windows that hold `time`.
fn windows_of(time: i64, windows: Windows) -> Vec<i64> {
    let mut begin = windows.offset;
    while begin <= time {
        begin += windows.slide;
    }
    while begin > time {
        begin -= windows.slide;
    }
    let mut all = Vec::new();
    while begin + windows.size > time {
        all.push(begin);
        begin -= windows.slide;
    }
    all
}
