//! Positions in partitions, as people write them.

use std::str::FromStr;
use std::time::Duration;

use arrow_cast::parse::string_to_timestamp_nanos;
use millrace_core::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{LogContext, REQUEST_TIMEOUT};
use crate::duration::parse_duration;

/// A place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// The first record that is still there.
    Earliest,
    /// Behind the last one.
    Latest,
    /// The record with this offset.
    Offset(i64),
    /// The first record of this time or a later one, in milliseconds since 1970.
    Time(i64),
    /// The first record that is at most this old.
    Ago(Duration),
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => return Ok(Position::Earliest),
            "latest" => return Ok(Position::Latest),
            _ => {}
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text
                .parse()
                .map(Position::Offset)
                .map_err(|_| "it is too large for an offset".to_owned());
        }
        if let Some(age) = text.strip_prefix('-') {
            return parse_duration(age).map(Position::Ago);
        }
        parse_time_ms(text).map(Position::Time).ok_or_else(|| {
            "write `earliest`, `latest`, an offset, a time such as `2026-11-21T05:00:00Z`, or so \
             long ago as `-1h`"
                .to_owned()
        })
    }
}

/// Milliseconds since 1970 of `2026-11-21T05:00:00Z`, and of what else RFC 3339 allows; without a
/// zone it is UTC.
pub(super) fn parse_time_ms(text: &str) -> Option<i64> {
    string_to_timestamp_nanos(text).ok().map(|nanos| nanos.div_euclid(1_000_000))
}

/// The offsets that a partition holds: from `low` up to, but without, `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) low: i64,
    pub(super) high: i64,
}

impl Position {
    /// Whether it must be looked up by time; then its milliseconds since 1970.
    fn time_ms(self, now: Timestamp) -> Option<i64> {
        match self {
            Position::Time(time_ms) => Some(time_ms),
            Position::Ago(age) => Some(now.minus(age).as_millis()),
            Position::Earliest | Position::Latest | Position::Offset(_) => None,
        }
    }

    /// The offset that it stands for in each of `partitions`, whose ranges are given. An offset
    /// outside of a range is the range's nearer end.
    ///
    /// # Errors
    /// What the client says, when times cannot be looked up.
    pub(super) fn resolve(
        self,
        consumer: &BaseConsumer<LogContext>,
        partitions: &[(String, i32, Range)],
        now: Timestamp,
    ) -> Result<Vec<i64>, rdkafka::error::KafkaError> {
        let Some(time_ms) = self.time_ms(now) else {
            return Ok(partitions.iter().map(|(_, _, range)| self.within(*range)).collect());
        };
        let mut times = TopicPartitionList::new();
        for (topic, partition, _) in partitions {
            // Before 1970 is before everything; the protocol gives negative times a meaning.
            times.add_partition_offset(topic, *partition, Offset::Offset(time_ms.max(0)))?;
        }
        let found = consumer.offsets_for_times(times, REQUEST_TIMEOUT)?;
        let offset = |(topic, partition, range): &(String, i32, Range)| match found
            .find_partition(topic, *partition)
            .map(|element| element.offset())
        {
            Some(Offset::Offset(offset)) => offset,
            _ => range.high,
        };
        Ok(partitions.iter().map(offset).collect())
    }

    fn within(self, range: Range) -> i64 {
        match self {
            Position::Earliest => range.low,
            Position::Offset(offset) => offset.clamp(range.low, range.high),
            Position::Latest | Position::Time(_) | Position::Ago(_) => range.high,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_a_word_an_offset_a_time_or_an_age() {
        let parse = |text: &str| text.parse::<Position>();
        assert_eq!(parse("earliest"), Ok(Position::Earliest));
        assert_eq!(parse("latest"), Ok(Position::Latest));
        assert_eq!(parse("42"), Ok(Position::Offset(42)));
        assert_eq!(parse("1970-01-02T00:00:00Z"), Ok(Position::Time(86_400_000)));
        assert_eq!(parse("1970-01-01T01:00:00.5+01:00"), Ok(Position::Time(500)));
        assert_eq!(parse("-1h"), Ok(Position::Ago(Duration::from_secs(3_600))));
        for text in ["", "soon", "-1", "-", "1h", "2026-13-01T00:00:00Z", "99999999999999999999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_offset_outside_of_what_there_is_becomes_the_nearer_end() {
        let range = Range { low: 10, high: 20 };
        assert_eq!(Position::Offset(5).within(range), 10);
        assert_eq!(Position::Offset(15).within(range), 15);
        assert_eq!(Position::Offset(25).within(range), 20);
        assert_eq!(Position::Earliest.within(range), 10);
        assert_eq!(Position::Latest.within(range), 20);
    }

    #[test]
    fn an_age_counts_back_from_now() {
        let now = Timestamp::from_millis(10_000);
        assert_eq!(Position::Ago(Duration::from_secs(4)).time_ms(now), Some(6_000));
        assert_eq!(Position::Earliest.time_ms(now), None);
    }
}
