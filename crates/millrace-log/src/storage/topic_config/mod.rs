//! The settings of a topic.

mod table;

use std::collections::BTreeMap;

pub use table::{ConfigType, KNOWN_CONFIGS, KnownConfig, known_config};

use self::table::Allowed;
use crate::storage::records::Codec;
use crate::{LogError, Result};

/// A topic's settings, as far as its partitions act on them; the rest is only kept and shown.
///
/// ```
/// use std::collections::BTreeMap;
/// use millrace_log::storage::TopicConfig;
///
/// let set = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
/// let config = TopicConfig::parse(&set).unwrap();
/// assert!(config.compact && !config.delete);
/// assert_eq!(config.max_message_bytes, 1_048_588);
/// let unknown = BTreeMap::from([("cleanup.polcy".to_owned(), "compact".to_owned())]);
/// assert!(TopicConfig::parse(&unknown).is_err());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TopicConfig {
    /// Old segments are dropped.
    pub delete: bool,
    /// Only the newest record of each key is kept.
    pub compact: bool,
    /// The codec of stored batches, if not the producer's.
    pub compression: Option<Codec>,
    /// The level of `compression`, if not the codec's own.
    pub compression_level: Option<i32>,
    /// How long compaction keeps tombstones and markers.
    pub delete_retention_ms: i64,
    /// Bytes of records between two entries of the index.
    pub index_interval_bytes: u32,
    /// Records older than this may be compacted however clean the log is.
    pub max_compaction_lag_ms: i64,
    /// The largest batch that is taken.
    pub max_message_bytes: usize,
    /// How far in the future a time stamp may be.
    pub timestamp_after_max_ms: i64,
    /// How far in the past a time stamp may be.
    pub timestamp_before_max_ms: i64,
    /// Records get the log's time stamp.
    pub log_append_time: bool,
    /// The share of the log not yet compacted from which on compaction is worth it.
    pub min_cleanable_dirty_ratio: f64,
    /// Compaction leaves younger records alone.
    pub min_compaction_lag_ms: i64,
    /// The size above which old segments are dropped.
    pub retention_bytes: Option<u64>,
    /// The age above which old segments are dropped.
    pub retention_ms: Option<i64>,
    /// The size at which a segment is closed.
    pub segment_bytes: u32,
    /// A segment is closed earlier by up to this time.
    pub segment_jitter_ms: i64,
    /// The time after which a segment is closed.
    pub segment_ms: i64,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self::parse(&BTreeMap::new()).unwrap_or_else(|error| panic!("the defaults: {error}"))
    }
}

impl TopicConfig {
    /// Reads what is set; everything else has its default.
    ///
    /// # Errors
    /// [`LogError::Config`] for an unknown name, a value that is not of its type, or one that is
    /// not allowed; clients get INVALID_CONFIG for it.
    pub fn parse(set: &BTreeMap<String, String>) -> Result<Self> {
        for (name, value) in set {
            let known = known_config(name)
                .ok_or_else(|| LogError::Config(format!("Unknown topic config name: {name}")))?;
            known.check(value)?;
        }
        let values = Values(set);
        let policy = values.text("cleanup.policy");
        let compression = values.text("compression.type");
        Ok(TopicConfig {
            delete: policy.split(',').any(|word| word.trim() == "delete"),
            compact: policy.split(',').any(|word| word.trim() == "compact"),
            compression: match compression {
                "uncompressed" => Some(Codec::None),
                "gzip" => Some(Codec::Gzip),
                "snappy" => Some(Codec::Snappy),
                "lz4" => Some(Codec::Lz4),
                "zstd" => Some(Codec::Zstd),
                _ => None,
            },
            compression_level: match compression {
                "gzip" => Some(values.number("compression.gzip.level")).filter(|level| *level >= 0),
                "lz4" => Some(values.number("compression.lz4.level")),
                "zstd" => Some(values.number("compression.zstd.level")),
                _ => None,
            }
            .map(|level| level as i32),
            delete_retention_ms: values.number("delete.retention.ms"),
            index_interval_bytes: values.number("index.interval.bytes") as u32,
            max_compaction_lag_ms: values.number("max.compaction.lag.ms"),
            max_message_bytes: values.number("max.message.bytes") as usize,
            timestamp_after_max_ms: values.number("message.timestamp.after.max.ms"),
            timestamp_before_max_ms: values.number("message.timestamp.before.max.ms"),
            log_append_time: values.text("message.timestamp.type") == "LogAppendTime",
            min_cleanable_dirty_ratio: values
                .text("min.cleanable.dirty.ratio")
                .trim()
                .parse()
                .unwrap_or(0.5),
            min_compaction_lag_ms: values.number("min.compaction.lag.ms"),
            retention_bytes: u64::try_from(values.number("retention.bytes")).ok(),
            retention_ms: Some(values.number("retention.ms")).filter(|ms| *ms >= 0),
            segment_bytes: match set.contains_key("internal.segment.bytes") {
                // Any number may be set: into a segment of none no batch fits, as with Kafka.
                true => values.number("internal.segment.bytes").max(0) as u32,
                false => values.number("segment.bytes") as u32,
            },
            segment_jitter_ms: values.number("segment.jitter.ms"),
            segment_ms: values.number("segment.ms"),
        })
    }
}

/// Checked values, with the defaults behind them.
struct Values<'a>(&'a BTreeMap<String, String>);

impl<'a> Values<'a> {
    fn text(&self, name: &str) -> &'a str {
        match self.0.get(name) {
            Some(value) => value,
            None => known_config(name).map_or("", |known| known.default),
        }
    }

    fn number(&self, name: &str) -> i64 {
        self.text(name).trim().parse().unwrap_or_default()
    }
}

impl KnownConfig {
    /// Checks a value.
    ///
    /// # Errors
    /// [`LogError::Config`] when it is not of the setting's type, or not allowed.
    pub fn check(&self, value: &str) -> Result<()> {
        let value = value.trim();
        let wrong = |reason: String| {
            Err(LogError::Config(format!(
                "Invalid value {value} for configuration {}: {reason}",
                self.name
            )))
        };
        let number = match self.kind {
            ConfigType::Boolean if value.eq_ignore_ascii_case("true") => None,
            ConfigType::Boolean if value.eq_ignore_ascii_case("false") => None,
            ConfigType::Boolean => return wrong("expected `true` or `false`".to_owned()),
            ConfigType::Int => match value.parse::<i32>() {
                Ok(number) => Some(f64::from(number)),
                Err(_) => return wrong("not a 32-bit number".to_owned()),
            },
            ConfigType::Long => match value.parse::<i64>() {
                Ok(number) => Some(number as f64),
                Err(_) => return wrong("not a 64-bit number".to_owned()),
            },
            ConfigType::Double => match value.parse::<f64>() {
                Ok(number) if number.is_finite() => Some(number),
                _ => return wrong("not a number".to_owned()),
            },
            ConfigType::String | ConfigType::List => None,
        };
        let outside = |low: i64, high: i64| {
            number.is_some_and(|number| number < low as f64 || number > high as f64)
        };
        match self.allowed {
            Allowed::AtLeast(low) if outside(low, i64::MAX) => {
                wrong(format!("value must be at least {low}"))
            }
            Allowed::Between(low, high) if outside(low, high) => {
                wrong(format!("value must be from {low} to {high}"))
            }
            Allowed::DefaultOrBetween(low, high) if outside(low, high) && number != Some(-1.0) => {
                wrong(format!("value must be from {low} to {high}, or -1"))
            }
            Allowed::OneOf(words) if !self.words(value).all(|word| words.contains(&word)) => {
                wrong(format!("expected one of {}", words.join(", ")))
            }
            Allowed::Replicas if value != "*" && !self.words(value).all(is_replica) => {
                wrong("expected `*` or pairs of partition and broker such as 0:1,1:1".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// A value that was checked, as Kafka shows it: without blanks around words and numbers, truth
    /// in lower case, fractions with a point. Tools compare this with what they mean to set.
    pub fn shown(&self, value: &str) -> String {
        let trimmed = value.trim();
        match self.kind {
            ConfigType::Boolean => trimmed.to_ascii_lowercase(),
            ConfigType::String => value.to_owned(),
            ConfigType::Int | ConfigType::Long => {
                trimmed.parse::<i64>().map_or_else(|_| trimmed.to_owned(), |n| n.to_string())
            }
            ConfigType::Double => {
                trimmed.parse::<f64>().map_or_else(|_| trimmed.to_owned(), |n| format!("{n:?}"))
            }
            ConfigType::List => self.words(trimmed).collect::<Vec<_>>().join(","),
        }
    }

    /// A list of nothing has no words; a text has one.
    fn words<'v>(&self, value: &'v str) -> impl Iterator<Item = &'v str> {
        let is_list = self.kind == ConfigType::List;
        let separator = if is_list { ',' } else { '\0' };
        value.split(separator).map(str::trim).filter(move |word| !(is_list && word.is_empty()))
    }
}

fn is_replica(word: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    word.split_once(':')
        .is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

#[cfg(test)]
mod tests;
