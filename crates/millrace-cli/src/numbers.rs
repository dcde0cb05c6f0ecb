//! Numbers for people.

use std::time::Duration;

/// `27,004`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `27,004 rows`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// `640 B`, `1.2 KiB`, `35.0 MiB`.
pub(crate) fn bytes(number: u64) -> String {
    let mut value = number as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1_024.0 {
            return if unit == "B" { format!("{number} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1_024.0;
    }
    format!("{value:.1} TiB")
}

/// `0.31 s`, `12 ms`, `4 min 10 s`.
pub(crate) fn lasting(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0..100 => format!("{ms} ms"),
        100..60_000 => format!("{:.2} s", duration.as_secs_f64()),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms / 1_000 % 60),
        _ => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// Rows a second: `87,110 rows/s`, `1.3 M rows/s`.
pub(crate) fn rate(rows: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds <= 0.0 {
        return "- rows/s".to_owned();
    }
    let rate = rows as f64 / seconds;
    if rate >= 1e6 {
        format!("{:.1} M rows/s", rate / 1e6)
    } else {
        format!("{} rows/s", grouped(rate as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            [0, 999, 1_000, 27_004, 1_234_567].map(grouped),
            ["0", "999", "1,000", "27,004", "1,234,567"]
        );
        assert_eq!([0, 1, 2].map(|n| counted(n, "row")), ["0 rows", "1 row", "2 rows"]);
    }

    #[test]
    fn sizes_and_times_carry_their_unit() {
        assert_eq!(
            [0, 1_023, 1_536, 36_700_160].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "35.0 MiB"]
        );
        assert_eq!(
            [12, 310, 61_000, 7_260_000].map(|ms| lasting(Duration::from_millis(ms))),
            ["12 ms", "0.31 s", "1 min 1 s", "2 h 1 min"]
        );
        assert_eq!(rate(2_600_000, Duration::from_secs(2)), "1.3 M rows/s");
        assert_eq!(rate(10, Duration::ZERO), "- rows/s");
    }
}
