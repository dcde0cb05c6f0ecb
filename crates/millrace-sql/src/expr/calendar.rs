//! Calendar arithmetic (proleptic Gregorian, UTC), and timestamps as text.

const DAY_MS: i64 = 86_400_000;

/// A point in time, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    pub year: i64,
    /// From 1.
    pub month: i64,
    /// From 1.
    pub day: i64,
    /// Milliseconds of the day.
    pub of_day_ms: i64,
}

/// Days since 1970-01-01 of a date. The year is counted from March, in eras of 400 years, so that
/// leap days fall at the end of a year.
pub(super) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date that lies `days` after 1970-01-01.
pub(super) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// How many days a month has.
pub(super) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Civil {
    pub fn of_millis(millis: i64) -> Self {
        let (year, month, day) = civil_from_days(millis.div_euclid(DAY_MS));
        Civil { year, month, day, of_day_ms: millis.rem_euclid(DAY_MS) }
    }

    pub fn to_millis(self) -> i64 {
        days_from_civil(self.year, self.month, self.day) * DAY_MS + self.of_day_ms
    }

    /// The same day some months later, or the last day of that month if it is shorter.
    pub fn plus_months(self, months: i64) -> Self {
        let index = self.year * 12 + self.month - 1 + months;
        let (year, month) = (index.div_euclid(12), index.rem_euclid(12) + 1);
        Civil { year, month, day: self.day.min(days_in_month(year, month)), ..self }
    }

    /// The number of the day in its year, from 1.
    pub fn day_of_year(self) -> i64 {
        days_from_civil(self.year, self.month, self.day) - days_from_civil(self.year, 1, 1) + 1
    }
}

/// Reads digits from the front, at least `least` and at most `most` of them.
fn digits(text: &mut &[u8], least: usize, most: usize) -> Option<i64> {
    let count = text.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    if count < least {
        return None;
    }
    let value = text[..count].iter().fold(0, |value, byte| value * 10 + i64::from(byte - b'0'));
    *text = &text[count..];
    Some(value)
}

fn byte(text: &mut &[u8], expected: u8) -> Option<()> {
    let (first, rest) = text.split_first()?;
    *text = rest;
    (*first == expected).then_some(())
}

/// A date and the nanoseconds of its day: `2013-01-31`, `2013-1-31 5:17:00`, `2013-01-31 05:17:00.25`.
/// Only dates that exist.
pub(super) fn parse_timestamp(text: &str) -> Option<(i64, i64)> {
    let mut rest = text.as_bytes();
    let days = parse_date_part(&mut rest)?;
    if rest.is_empty() {
        return Some((days, 0));
    }
    byte(&mut rest, b' ')?;
    Some((days, parse_time_part(&mut rest)?))
}

/// A date alone, in days since 1970-01-01.
pub(super) fn parse_date(text: &str) -> Option<i64> {
    let mut rest = text.as_bytes();
    parse_date_part(&mut rest).filter(|_| rest.is_empty())
}

/// Like [`parse_timestamp`], but the last day of its month stands for the days behind it, up to
/// the 31st: so Java resolves dates unless told otherwise.
pub(super) fn parse_timestamp_leniently(text: &str) -> Option<(i64, i64)> {
    parse_timestamp(text).or_else(|| {
        let (date, time) = text.split_once(' ').unwrap_or((text, "00:00:00"));
        let mut rest = date.as_bytes();
        let (year, month, day) = parse_numbers(&mut rest).filter(|_| rest.is_empty())?;
        Some((clamped_date(year, month, day)?, parse_time(time)?))
    })
}

/// A time of day, in nanoseconds.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    parse_time_part(&mut text.as_bytes()).filter(|nanos| *nanos < DAY_MS * 1_000_000)
}

fn parse_date_part(rest: &mut &[u8]) -> Option<i64> {
    let (year, month, day) = parse_numbers(rest)?;
    valid_date(year, month, day)
}

fn parse_numbers(rest: &mut &[u8]) -> Option<(i64, i64, i64)> {
    let year = digits(rest, 4, 4)?;
    byte(rest, b'-')?;
    let month = digits(rest, 1, 2)?;
    byte(rest, b'-')?;
    Some((year, month, digits(rest, 1, 2)?))
}

fn clamped_date(year: i64, month: i64, day: i64) -> Option<i64> {
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day);
    valid.then(|| days_from_civil(year, month, day.min(days_in_month(year, month))))
}

fn valid_date(year: i64, month: i64, day: i64) -> Option<i64> {
    let valid = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    valid.then(|| days_from_civil(year, month, day))
}

/// Takes all of `rest`.
fn parse_time_part(rest: &mut &[u8]) -> Option<i64> {
    let hour = digits(rest, 1, 2)?;
    byte(rest, b':')?;
    let minute = digits(rest, 1, 2)?;
    byte(rest, b':')?;
    let second = digits(rest, 1, 2)?;
    let mut nanos = 0;
    if !rest.is_empty() {
        byte(rest, b'.')?;
        let before = rest.len();
        nanos = digits(rest, 0, 9)?;
        for _ in before - rest.len()..9 {
            nanos *= 10;
        }
    }
    // Midnight may be written as the end of the day before.
    let of_hour = minute + second + nanos;
    let valid = rest.is_empty()
        && (hour < 24 || (hour == 24 && of_hour == 0))
        && minute < 60
        && second < 60;
    valid.then_some(((hour * 60 + minute) * 60 + second) * 1_000_000_000 + nanos)
}

/// A piece of a pattern such as `yyyy-MM-dd HH:mm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Year,
    Month(usize),
    Day(usize),
    Hour(usize),
    Minute(usize),
    Second(usize),
    /// So many digits of the second's fraction.
    Fraction(usize),
    Literal(String),
}

/// Reads a pattern of Java's `DateTimeFormatter`, as far as it means the same in all places.
///
/// # Errors
/// The letters that are not supported.
pub(super) fn parse_pattern(pattern: &str) -> Result<Vec<Piece>, String> {
    let mut pieces: Vec<Piece> = Vec::new();
    let chars: Vec<char> = pattern.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        let run = chars[at..].iter().take_while(|other| **other == c).count();
        if c == '\'' {
            let (text, next) = quoted(&chars, at)?;
            literal(&mut pieces, &text);
            at = next;
            continue;
        }
        if !c.is_ascii_alphabetic() {
            if "[]{}#".contains(c) {
                return Err(c.to_string());
            }
            literal(&mut pieces, &c.to_string());
            at += 1;
            continue;
        }
        let piece = match (c, run) {
            ('y' | 'u', 4) => Piece::Year,
            ('M', 1..=2) => Piece::Month(run),
            ('d', 1..=2) => Piece::Day(run),
            ('H', 1..=2) => Piece::Hour(run),
            ('m', 1..=2) => Piece::Minute(run),
            ('s', 1..=2) => Piece::Second(run),
            ('S', 1..=9) => Piece::Fraction(run),
            _ => return Err(chars[at..at + run].iter().collect()),
        };
        pieces.push(piece);
        at += run;
    }
    Ok(pieces)
}

fn literal(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Literal(before)) => before.push_str(text),
        _ => pieces.push(Piece::Literal(text.to_owned())),
    }
}

/// The text between quotes that begin at `at`, where two quotes are one, and what follows them.
fn quoted(chars: &[char], at: usize) -> Result<(String, usize), String> {
    if chars.get(at + 1) == Some(&'\'') {
        return Ok(("'".into(), at + 2));
    }
    let mut text = String::new();
    let mut next = at + 1;
    loop {
        match (chars.get(next), chars.get(next + 1)) {
            (Some('\''), Some('\'')) => {
                text.push('\'');
                next += 2;
            }
            (Some('\''), _) => return Ok((text, next + 1)),
            (Some(c), _) => {
                text.push(*c);
                next += 1;
            }
            (None, _) => return Err("'".into()),
        }
    }
}

/// Writes milliseconds since the epoch by a pattern.
pub(super) fn format_pattern(pieces: &[Piece], millis: i64, out: &mut String) {
    use std::fmt::Write;
    let civil = Civil::of_millis(millis);
    let of_day = civil.of_day_ms;
    for piece in pieces {
        // Writing to a string does not fail.
        let _ = match piece {
            Piece::Year => write!(out, "{:04}", civil.year),
            Piece::Month(width) => write!(out, "{:0width$}", civil.month),
            Piece::Day(width) => write!(out, "{:0width$}", civil.day),
            Piece::Hour(width) => write!(out, "{:0width$}", of_day / 3_600_000),
            Piece::Minute(width) => write!(out, "{:0width$}", of_day / 60_000 % 60),
            Piece::Second(width) => write!(out, "{:0width$}", of_day / 1_000 % 60),
            Piece::Fraction(width) => {
                let nanos = format!("{:09}", of_day % 1_000 * 1_000_000);
                write!(out, "{}", &nanos[..*width])
            }
            Piece::Literal(text) => write!(out, "{text}"),
        };
    }
}

/// Reads a text by a pattern: milliseconds since the epoch. The whole text must fit; what the
/// pattern has no piece for is the first of its kind.
pub(super) fn parse_by_pattern(pieces: &[Piece], text: &str) -> Option<i64> {
    let mut rest = text.as_bytes();
    let (mut year, mut month, mut day) = (1970, 1, 1);
    let (mut hour, mut minute, mut second, mut millis) = (0, 0, 0, 0);
    let two = |rest: &mut &[u8], width: usize| digits(rest, width, 2);
    for piece in pieces {
        match piece {
            Piece::Year => year = digits(&mut rest, 4, 4)?,
            Piece::Month(width) => month = two(&mut rest, *width)?,
            Piece::Day(width) => day = two(&mut rest, *width)?,
            Piece::Hour(width) => hour = two(&mut rest, *width)?,
            Piece::Minute(width) => minute = two(&mut rest, *width)?,
            Piece::Second(width) => second = two(&mut rest, *width)?,
            Piece::Fraction(width) => {
                let value = digits(&mut rest, *width, *width)?;
                let exponent = 3 - i32::try_from(*width).ok()?;
                let power = 10_i64.pow(exponent.unsigned_abs());
                millis = if exponent >= 0 { value * power } else { value / power };
            }
            Piece::Literal(text) => rest = rest.strip_prefix(text.as_bytes())?,
        }
    }
    if !rest.is_empty() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = clamped_date(year, month, day)?;
    Some(days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1_000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days_are_each_others_inverse() {
        for days in (-800_000..800_000).step_by(37) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(civil_from_days(days_from_civil(2000, 2, 29)), (2000, 2, 29));
    }

    #[test]
    fn dates_that_do_not_exist_are_not_read() {
        for text in
            ["2021-02-29", "2021-13-01", "2021-00-01", "2021-1-", "21-01-01", "", "2021-01-01 "]
        {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
        assert_eq!(parse_timestamp("1970-01-02 00:00:00.25"), Some((1, 250_000_000)));
        assert_eq!(parse_timestamp("1970-1-2 1:2:0"), Some((1, 3_720_000_000_000)));
        assert_eq!(parse_timestamp("1970-1-2 1:2"), None);
    }

    #[test]
    fn patterns_write_and_read_the_same() {
        let pieces = parse_pattern("dd/MM/yyyy 'at' HH:mm:ss.SSS").expect("a pattern");
        let mut text = String::new();
        format_pattern(&pieces, 1_582_979_696_789, &mut text);
        assert_eq!(text, "29/02/2020 at 12:34:56.789");
        assert_eq!(parse_by_pattern(&pieces, &text), Some(1_582_979_696_789));
        assert_eq!(parse_pattern("EEE d"), Err("EEE".into()));
    }

    #[test]
    fn a_month_later_never_spills_into_the_next() {
        let end_of_january = Civil { year: 2021, month: 1, day: 31, of_day_ms: 5 };
        assert_eq!(
            end_of_january.plus_months(1),
            Civil { year: 2021, month: 2, day: 28, of_day_ms: 5 }
        );
        assert_eq!(end_of_january.plus_months(-11).month, 2);
        assert_eq!(end_of_january.plus_months(-11).year, 2020);
    }
}
