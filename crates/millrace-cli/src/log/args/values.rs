//! The values of arguments.

use millrace_log::{FsyncPolicy, Limits};

use crate::args::{key_value, positive};
use crate::duration::parse_duration;

pub(super) fn partitions(text: &str) -> Result<i32, String> {
    i32::try_from(positive(text)?).map_err(|_| "it is too large".to_owned())
}

pub(super) fn fsync_policy(text: &str) -> Result<FsyncPolicy, String> {
    match text {
        "always" => Ok(FsyncPolicy::Always),
        "never" => Ok(FsyncPolicy::Never),
        _ => parse_duration(text)
            .map(FsyncPolicy::Interval)
            .map_err(|reason| format!("{reason}, or `always`, or `never`")),
    }
}

/// A limit of the log by its name in Kafka, and its value.
pub(super) fn limit(text: &str) -> Result<(String, String), String> {
    let (name, value) = key_value(text)?;
    Limits::default().set(&name, &value).map_err(|error| error.to_string())?;
    Ok((name, value))
}

/// Bytes from `64KiB`, `100MiB`, `1GiB`, `4096`.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let (digits, shift) = ["KiB", "MiB", "GiB"]
        .into_iter()
        .zip([10, 20, 30])
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?.trim_end(), shift)))
        .unwrap_or((text, 0));
    match digits.parse::<usize>() {
        Ok(number) => number
            .checked_mul(1 << shift)
            .filter(|bytes| (1..=1 << 40).contains(bytes))
            .ok_or_else(|| "it must be between 1 byte and 1024 GiB".to_owned()),
        Err(_) => Err("write bytes, or a unit as in `64KiB`, `100MiB`, `1GiB`".to_owned()),
    }
}

pub(super) fn separator(text: &str) -> Result<String, String> {
    match text.replace("\\t", "\t") {
        text if text.is_empty() => Err("it must not be empty".to_owned()),
        text => Ok(text),
    }
}

/// A regular expression for whole names.
pub(super) fn pattern(text: &str) -> Result<regex::Regex, String> {
    regex::Regex::new(&format!("^(?:{text})$"))
        .map_err(|_| format!("`{text}` is not a regular expression; `.*` matches anything"))
}

pub(super) fn mirror_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if (1..=64).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("up to 64 letters, digits, `.`, `-`, `_` are allowed".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn when_records_are_forced_to_the_disk_is_a_word_or_a_time() {
        assert_eq!(fsync_policy("always"), Ok(FsyncPolicy::Always));
        assert_eq!(fsync_policy("never"), Ok(FsyncPolicy::Never));
        assert_eq!(fsync_policy("50ms"), Ok(FsyncPolicy::Interval(Duration::from_millis(50))));
        assert!(fsync_policy("sometimes").unwrap_err().contains("`always`"));
        assert!(fsync_policy("1").unwrap_err().contains("`1s`"));
    }

    #[test]
    fn sizes_have_units_and_do_not_overflow() {
        assert_eq!(size("4096"), Ok(4_096));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1 GiB"), Ok(1 << 30));
        for text in ["", "0", "-1", "1MB", "99999999999999999999", "18014398509481984KiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        let matches = |text: &str, name: &str| pattern(text).unwrap().is_match(name);
        assert!(matches("a|b", "a") && matches("a.*", "abc"));
        assert!(!matches("a|b", "ab") && !matches("a", "xa"));
        assert!(pattern("(").unwrap_err().contains("`(`"));
    }

    #[test]
    fn names_and_separators_are_checked() {
        assert_eq!(separator("\\t"), Ok("\t".to_owned()));
        assert!(separator("").is_err());
        assert!(mirror_name("to-b.2").is_ok());
        assert!(mirror_name("").is_err() && mirror_name("a b").is_err());
    }
}
