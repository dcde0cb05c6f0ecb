//! Lengths of time in options, as Flink writes them: `10 s`, `1min`, `500 ms`.

use std::time::Duration;

use millrace_core::{Error, Result};

/// Reads the value of the option `name`; a number alone is milliseconds.
///
/// # Errors
/// `FixInput` naming the option.
pub(crate) fn parse(name: &str, text: &str) -> Result<Duration> {
    let wrong = || {
        Error::fix_input(format!("option `{name}` cannot be `{text}`"))
            .hint("write a whole number and a unit: ns, us, ms, s, min, h or d")
    };
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let count: u64 = trimmed[..digits].parse().map_err(|_| wrong())?;
    let seconds = |per: u64| count.checked_mul(per).map(Duration::from_secs).ok_or_else(wrong);
    match trimmed[digits..].trim().to_ascii_lowercase().as_str() {
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => Ok(Duration::from_nanos(count)),
        "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => {
            Ok(Duration::from_micros(count))
        }
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => {
            Ok(Duration::from_millis(count))
        }
        "s" | "sec" | "secs" | "second" | "seconds" => seconds(1),
        "m" | "min" | "minute" | "minutes" => seconds(60),
        "h" | "hour" | "hours" => seconds(3_600),
        "d" | "day" | "days" => seconds(86_400),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_flink_writes_them() {
        for (text, millis) in [
            ("10 s", 10_000),
            ("1min", 60_000),
            ("500", 500),
            ("2 H", 7_200_000),
            ("1 d", 86_400_000),
        ] {
            assert_eq!(parse("x", text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "s", "-1 s", "1.5 s", "1 week", "99999999999999999999 s"] {
            assert!(parse("x", text).is_err(), "{text}");
        }
    }
}
