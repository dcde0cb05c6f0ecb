//! The keys that `SET` knows.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlparser::tokenizer::Span;

use crate::error::{Fault, Result};
use crate::spelling;

/// What may stand behind a key.
enum Value {
    Text,
    Duration,
    /// From 1 to this.
    Count(u64),
    Factor,
    Flag,
    OneOf(&'static [&'static str]),
}

/// The extension that admits hopping windows with gaps between them.
pub(crate) const HOP_GAPS: &str = "millrace.sql.hop-gaps";

const KEYS: &[(&str, Value)] = &[
    ("execution.checkpointing.dir", Value::Text),
    ("execution.checkpointing.interval", Value::Duration),
    ("execution.checkpointing.min-pause", Value::Duration),
    ("execution.checkpointing.num-retained", Value::Count(1_000_000)),
    ("execution.checkpointing.timeout", Value::Duration),
    ("execution.runtime-mode", Value::OneOf(&["streaming"])),
    (HOP_GAPS, Value::Flag),
    ("parallelism.default", Value::Count(32_768)),
    ("pipeline.max-parallelism", Value::Count(32_768)),
    ("pipeline.name", Value::Text),
    (
        "restart-strategy.type",
        Value::OneOf(&["none", "off", "disable", "fixed-delay", "exponential-delay"]),
    ),
    (
        "restart-strategy.exponential-delay.attempts-before-reset-backoff",
        Value::Count(u32::MAX as u64),
    ),
    ("restart-strategy.exponential-delay.backoff-multiplier", Value::Factor),
    ("restart-strategy.exponential-delay.initial-backoff", Value::Duration),
    ("restart-strategy.exponential-delay.jitter-factor", Value::Factor),
    ("restart-strategy.exponential-delay.max-backoff", Value::Duration),
    ("restart-strategy.exponential-delay.reset-backoff-threshold", Value::Duration),
    ("restart-strategy.fixed-delay.attempts", Value::Count(u32::MAX as u64)),
    ("restart-strategy.fixed-delay.delay", Value::Duration),
    ("table.exec.source.idle-timeout", Value::Duration),
    ("table.local-time-zone", Value::OneOf(&["UTC", "Etc/UTC"])),
];

/// Settings in force, by key; only known keys with checked values.
pub(crate) type Settings = BTreeMap<String, String>;

/// Checks a setting and puts it in force.
pub(crate) fn set(settings: &mut Settings, key: &str, value: &str, span: Span) -> Result<()> {
    let Some((_, kind)) = KEYS.iter().find(|(known, _)| *known == key) else {
        let fault = Fault::new(span, format!("setting `{key}` is not known"));
        return Err(match spelling::nearest(key, KEYS.iter().map(|(known, _)| *known)) {
            Some(known) => fault.hint(format!("did you mean `{known}`?")),
            None => fault.hint("a setting that does nothing is not accepted; remove it"),
        });
    };
    let wrong =
        |what: String| Err(Fault::new(span, format!("`{key}` cannot be `{value}`")).hint(what));
    match kind {
        Value::Text if value.is_empty() => return wrong("it cannot be empty".into()),
        Value::Text => {}
        Value::Duration if duration(value).is_none() => {
            return wrong(
                "write a number and a unit, such as `500 ms`, `10 s`, `5 min` or `1 h`".into(),
            );
        }
        Value::Duration => {}
        Value::Count(most) => {
            if !value.parse::<u64>().is_ok_and(|count| (1..=*most).contains(&count)) {
                return wrong(format!("it is a whole number from 1 to {most}"));
            }
        }
        Value::Factor => {
            if !value.parse::<f64>().is_ok_and(|factor| factor.is_finite() && factor >= 0.0) {
                return wrong("it is a number from 0 on".into());
            }
        }
        Value::Flag if !["true", "false"].contains(&value) => {
            return wrong("it is `true` or `false`".into());
        }
        Value::Flag => {}
        Value::OneOf(values) => {
            if !values.contains(&value) {
                return wrong(format!("possible here: {}", values.join(", ")));
            }
        }
    }
    settings.insert(key.to_owned(), value.to_owned());
    Ok(())
}

/// A duration as Flink writes it: a whole number and a unit; without a unit, milliseconds.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(millrace_sql::parse_duration("5 min"), Some(Duration::from_secs(300)));
/// assert_eq!(millrace_sql::parse_duration("250"), Some(Duration::from_millis(250)));
/// assert_eq!(millrace_sql::parse_duration("soon"), None);
/// ```
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let count: u64 = text[..digits].parse().ok()?;
    let nanos: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "ns" | "nano" | "nanosecond" | "nanoseconds" => 1,
        "us" | "µs" | "micro" | "microsecond" | "microseconds" => 1_000,
        "" | "ms" | "milli" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        _ => return None,
    };
    Some(Duration::from_nanos(count.checked_mul(nanos)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_one(key: &str, value: &str) -> Result<Settings> {
        let mut settings = Settings::new();
        set(&mut settings, key, value, Span::empty()).map(|()| settings)
    }

    #[test]
    fn known_settings_are_kept_and_unknown_ones_refused() {
        let settings = set_one("parallelism.default", "4").expect("known");
        assert_eq!(settings["parallelism.default"], "4");
        for (key, value) in [
            ("parallelism.defualt", "4"),
            ("parallelism.default", "0"),
            ("parallelism.default", "-1"),
            ("execution.checkpointing.interval", "often"),
            ("execution.checkpointing.interval", "99999999999999999999 s"),
            ("table.local-time-zone", "Europe/Berlin"),
            ("millrace.sql.hop-gaps", "yes"),
        ] {
            assert!(set_one(key, value).is_err(), "{key} = {value}");
        }
    }

    #[test]
    fn durations_have_flinks_units() {
        let cases = [("10s", 10_000), ("1 d", 86_400_000), ("7", 7), (" 2 h ", 7_200_000)];
        for (text, ms) in cases {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "1.5 s", "1 parsec", "20000000000 d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
