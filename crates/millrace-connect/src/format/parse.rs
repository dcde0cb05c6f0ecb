//! Single values from text, as Flink's `csv` and `json` formats read them.
//!
//! Where Flink would turn nonsense into a value without a word (any text but `true` is FALSE, a
//! DECIMAL that does not fit is NULL), these refuse; otherwise the same texts give the same values.
//! Surrounding white space is ignored, as there.

/// The decimal powers that an `f64` holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A date and time of day without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since 1970-01-01 00:00:00.
    pub seconds: i64,
    /// Within the second.
    pub nanos: u32,
}

/// What stands between date and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TimestampStyle {
    /// `2013-01-01 05:15:00.25`
    #[default]
    Sql,
    /// `2013-01-01T05:15:00.25`
    Iso8601,
}

/// A whole number of at most 64 bits; the caller narrows it.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    if digits.len() <= 18 {
        let mut value = 0i64;
        for &byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i64::from(digit);
        }
        return Some(if negative { -value } else { value });
    }
    // Near the limits of 64 bits: counted downwards, so that the smallest number fits too.
    let mut value = 0i64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// A binary floating point number, rounded to the nearest; `NaN` and `Infinity` are known.
pub(crate) fn float(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii();
    short_float(text).or_else(|| long_float(text))
}

/// Up to 15 digits with a point: digits and power are exact, so that one division rounds once.
fn short_float(text: &[u8]) -> Option<f64> {
    let (negative, body) = match text {
        [b'-', body @ ..] => (true, body),
        body => (false, body),
    };
    if body.is_empty() || body.len() > 16 {
        return None;
    }
    let (mut value, mut digits, mut fraction, mut after_point) = (0u64, 0, 0usize, false);
    for &byte in body {
        match byte {
            b'0'..=b'9' => {
                value = value * 10 + u64::from(byte - b'0');
                digits += 1;
                fraction += usize::from(after_point);
            }
            b'.' if !after_point => after_point = true,
            _ => return None,
        }
    }
    if digits == 0 || digits > 15 {
        return None;
    }
    let value = value as f64 / EXACT_POWERS[fraction];
    Some(if negative { -value } else { value })
}

fn long_float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    match text.trim_start_matches(['-', '+']) {
        "NaN" => return Some(f64::NAN),
        "Infinity" => {}
        // Rust knows more names of infinity than Java.
        body if body
            .bytes()
            .any(|byte| byte.is_ascii_alphabetic() && !matches!(byte, b'e' | b'E')) =>
        {
            return None;
        }
        _ => {}
    }
    text.parse().ok()
}

/// A single-precision number, rounded once.
pub(crate) fn float32(text: &[u8]) -> Option<f32> {
    let text = text.trim_ascii();
    let wide = long_float(text)?;
    if wide.is_finite() { std::str::from_utf8(text).ok()?.parse().ok() } else { Some(wide as f32) }
}

/// A DECIMAL(`precision`, `scale`) as its unscaled number, rounded half up to the scale. `None`
/// also when it has too many digits.
pub(crate) fn decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let text = text.trim_ascii();
    let (negative, body) = match text {
        [b'-', body @ ..] => (true, body),
        [b'+', body @ ..] => (false, body),
        body => (false, body),
    };
    let (mantissa, exponent) = match body.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&body[..at], i32::try_from(integer(&body[at + 1..])?).ok()?),
        None => (body, 0),
    };
    let point = mantissa.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // Digits that stand before the scale's last place: the others only round.
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let mut value = 0i128;
    let mut round_up = false;
    let digits = whole.iter().chain(fraction);
    let mut count = 0i64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        if count < kept {
            value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        } else if count == kept {
            round_up = digit >= 5;
        }
        count += 1;
    }
    if value != 0 {
        for _ in count..kept {
            value = value.checked_mul(10)?;
        }
    }
    value += i128::from(round_up);
    let limit = 10i128.checked_pow(u32::from(precision))?;
    if value >= limit {
        return None;
    }
    Some(if negative { -value } else { value })
}

/// `true` or `false`, in any case.
pub(crate) fn boolean(text: &[u8]) -> Option<bool> {
    let text = text.trim_ascii();
    if text.eq_ignore_ascii_case(b"true") {
        Some(true)
    } else if text.eq_ignore_ascii_case(b"false") {
        Some(false)
    } else {
        None
    }
}

/// `2013-1-31` or `2013-01-31`, as days since 1970-01-01.
pub(crate) fn date(text: &[u8]) -> Option<i32> {
    let text = text.trim_ascii();
    let mut parts = text.split(|&byte| byte == b'-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 || month.len() > 2 || day.len() > 2 {
        return None;
    }
    let days = days_from_civil(digits(year)?, digits(month)?, digits(day)?)?;
    i32::try_from(days).ok()
}

/// `05:15:00` with up to nine decimals, as nanoseconds of the day.
pub(crate) fn time(text: &[u8]) -> Option<i64> {
    let (seconds, nanos) = time_of_day(text.trim_ascii())?;
    Some(i64::from(seconds) * 1_000_000_000 + i64::from(nanos))
}

/// A TIMESTAMP, or with `zoned` a TIMESTAMP_LTZ, which ends in `Z`.
pub(crate) fn timestamp(text: &[u8], style: TimestampStyle, zoned: bool) -> Option<Moment> {
    let mut text = text.trim_ascii();
    if zoned {
        text = text.strip_suffix(b"Z")?;
    }
    let separator = match style {
        TimestampStyle::Sql => b' ',
        TimestampStyle::Iso8601 => b'T',
    };
    if text.len() < 19 || text[10] != separator || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let days = days_from_civil(digits(&text[..4])?, digits(&text[5..7])?, digits(&text[8..10])?)?;
    let (seconds, nanos) = time_of_day(&text[11..])?;
    Some(Moment { seconds: days * 86_400 + i64::from(seconds), nanos })
}

fn time_of_day(text: &[u8]) -> Option<(u32, u32)> {
    if text.len() < 8 || text[2] != b':' || text[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (digits(&text[..2])?, digits(&text[3..5])?, digits(&text[6..8])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos = match &text[8..] {
        [] => 0,
        [b'.', fraction @ ..] if (1..=9).contains(&fraction.len()) => {
            digits(fraction)? * 10u32.pow(9 - fraction.len() as u32)
        }
        _ => return None,
    };
    Some((hour * 3_600 + minute * 60 + second, nanos))
}

/// At most nine digits and nothing else.
fn digits(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    let mut value = 0u32;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u32::from(digit))?;
    }
    Some(value)
}

/// Days since 1970-01-01 of a proleptic Gregorian date; `None` where there is no such day.
fn days_from_civil(year: u32, month: u32, day: u32) -> Option<i64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > length {
        return None;
    }
    // Counted in years that begin in March, so that the leap day is a year's last.
    let (year, month) = (i64::from(year) - i64::from(month <= 2), i64::from(month));
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_know_their_limits() {
        assert_eq!(integer(b" 42 "), Some(42));
        assert_eq!(integer(b"+7"), Some(7));
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer(b"9223372036854775807"), Some(i64::MAX));
        for text in ["9223372036854775808", "-9223372036854775809", "", "-", "1.0", "1e3", "0x1"] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn floats_read_what_java_reads_and_not_more() {
        assert_eq!(float(b"-0.25"), Some(-0.25));
        assert_eq!(float(b"1e3"), Some(1000.0));
        assert_eq!(float(b".5"), Some(0.5));
        assert!(float(b"NaN").unwrap().is_nan());
        assert_eq!(float(b"-Infinity"), Some(f64::NEG_INFINITY));
        for text in ["", "-", ".", "inf", "nan", "1,5", "1.2.3", "NA"] {
            assert_eq!(float(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn decimals_round_half_up_and_refuse_what_does_not_fit() {
        assert_eq!(decimal(b"12.345", 5, 2), Some(1235));
        assert_eq!(decimal(b"-12.344", 5, 2), Some(-1234));
        assert_eq!(decimal(b"1.5e2", 5, 2), Some(15_000));
        assert_eq!(decimal(b"0.004", 5, 2), Some(0));
        assert_eq!(decimal(b"999.995", 5, 2), None);
        assert_eq!(decimal(b"1000", 5, 2), None);
        assert_eq!(decimal(b"5e-1", 3, 0), Some(1));
        assert_eq!(decimal(b"0e999999999", 3, 0), Some(0));
        assert_eq!(decimal(b"1e2147483647", 38, 37), None);
        assert_eq!(decimal(b".", 3, 0), None);
    }

    #[test]
    fn timestamps_have_one_form_in_each_style() {
        let sql = |text: &str| timestamp(text.as_bytes(), TimestampStyle::Sql, false);
        assert_eq!(
            sql("2013-01-01 09:57:00.007"),
            Some(Moment { seconds: 1_357_034_220, nanos: 7_000_000 })
        );
        assert_eq!(sql("1969-12-31 23:59:59"), Some(Moment { seconds: -1, nanos: 0 }));
        for text in [
            "2013-01-01T09:57:00",
            "2013-02-29 00:00:00",
            "2013-01-01 24:00:00",
            "2013-01-01 09:57",
            "2013-01-01 09:57:00.",
            "2013-01-01 09:57:00Z",
            "2013-01-01",
        ] {
            assert_eq!(sql(text), None, "{text}");
        }
        let iso = timestamp(b"2013-01-01T09:57:00Z", TimestampStyle::Iso8601, true);
        assert_eq!(iso, Some(Moment { seconds: 1_357_034_220, nanos: 0 }));
    }

    proptest! {
        #[test]
        fn short_floats_equal_the_library(digits in 0u64..1_000_000_000_000_000, point in 0usize..15) {
            let mut text = format!("{digits:015}");
            text.insert(point, '.');
            prop_assert_eq!(float(text.as_bytes()), Some(text.parse::<f64>().unwrap()));
        }

        #[test]
        fn dates_invert_their_display(days in -700_000i64..2_900_000) {
            let shown = millrace_core::Timestamp::from_millis(days * 86_400_000).to_string();
            prop_assert_eq!(date(&shown.as_bytes()[..10]), Some(days as i32));
        }
    }
}
