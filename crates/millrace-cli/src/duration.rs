use std::time::Duration;

/// Reads `10s`, `500 ms`, `1 min`, `2h`, `1 d`: what Flink takes for options, but the unit is
/// required: a bare number would be milliseconds there, and is more often meant as seconds.
///
/// # Errors
/// A sentence for people, for anything else and for zero.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
        return Err(format!("it has no unit; did you mean `{text}s`?"));
    }
    match millrace_sql::parse_duration(text) {
        Some(Duration::ZERO) => Err("it must be more than zero".to_owned()),
        Some(duration) => Ok(duration),
        None => Err("write a whole number and a unit, such as `500ms`, `10s` or `1min`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_a_unit_and_some_length() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1 min"), Ok(Duration::from_secs(60)));
        for text in ["", "10", "0s", "-1s", "1.5s", "soon"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
