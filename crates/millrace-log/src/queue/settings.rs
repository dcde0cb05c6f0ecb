//! What can be set for a group.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;

use super::partition::Limits;
use crate::error::{LogError, Result};
use crate::storage::ConfigType;

/// Records of one partition that may be in flight for one group: Kafka's
/// `group.share.partition.max.record.locks`.
const MAX_IN_FLIGHT_RECORDS: usize = 2_000;

const LOCK_DURATION: &str = "share.record.lock.duration.ms";
const DELIVERY_COUNT_LIMIT: &str = "share.delivery.count.limit";
const OFFSET_RESET: &str = "share.auto.offset.reset";
const ISOLATION: &str = "share.isolation.level";
/// The setting that names the dead-letter topic.
pub(crate) const DEAD_LETTER_TOPIC: &str = "errors.deadletterqueue.topic.name";

/// A setting of groups.
pub(crate) struct GroupSetting {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) kind: ConfigType,
    pub(crate) doc: &'static str,
}

/// All of them.
pub(crate) const GROUP_SETTINGS: [GroupSetting; 5] = [
    GroupSetting {
        name: LOCK_DURATION,
        default: "30000",
        kind: ConfigType::Int,
        doc: "How long a worker may keep a record before somebody else gets it.",
    },
    GroupSetting {
        name: DELIVERY_COUNT_LIMIT,
        default: "5",
        kind: ConfigType::Int,
        doc: "How often a record is handed out before it is given up.",
    },
    GroupSetting {
        name: OFFSET_RESET,
        default: "latest",
        kind: ConfigType::String,
        doc: "Where a group begins that is new to a partition: `earliest` or `latest`.",
    },
    GroupSetting {
        name: ISOLATION,
        default: "read_committed",
        kind: ConfigType::String,
        doc: "Workers get no records of transactions that are open or were aborted.",
    },
    GroupSetting {
        name: DEAD_LETTER_TOPIC,
        default: "",
        kind: ConfigType::String,
        doc: "Where copies of records go that are given up; without one they are only counted.",
    },
];

/// The settings of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) from_earliest: bool,
    pub(crate) dead_letter_topic: Option<String>,
}

impl Settings {
    /// Reads what was set; all else stands at its default.
    ///
    /// # Errors
    /// INVALID_CONFIG for an unknown name or a value that can't be.
    pub(crate) fn parse(set: &BTreeMap<String, String>) -> Result<Self> {
        if let Some(name) = set.keys().find(|name| !is_known(name)) {
            let message = format!("Unknown group config name: {}", name.escape_debug());
            return Err(LogError::rejected(ResponseError::InvalidConfig, message));
        }
        let isolation = text(set, ISOLATION);
        if isolation != "read_committed" {
            return Err(invalid(ISOLATION, isolation, "only read_committed is supported"));
        }
        let from_earliest = match text(set, OFFSET_RESET) {
            "earliest" => true,
            "latest" => false,
            other => return Err(invalid(OFFSET_RESET, other, "earliest and latest are supported")),
        };
        let dead_letter_topic = text(set, DEAD_LETTER_TOPIC);
        let dead_letter_topic =
            (!dead_letter_topic.is_empty()).then(|| dead_letter_topic.to_owned());
        let limits = Limits {
            lock_duration_ms: number(set, LOCK_DURATION, 100, 3_600_000)?,
            delivery_count_limit: number(set, DELIVERY_COUNT_LIMIT, 1, 1_000)?
                .try_into()
                .unwrap_or(i16::MAX),
            max_in_flight_records: MAX_IN_FLIGHT_RECORDS,
        };
        Ok(Settings { limits, from_earliest, dead_letter_topic })
    }
}

/// Whether there is a setting of this name.
pub(crate) fn is_known(name: &str) -> bool {
    GROUP_SETTINGS.iter().any(|setting| setting.name == name)
}

fn text<'a>(set: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    let default = GROUP_SETTINGS.iter().find(|setting| setting.name == name);
    set.get(name).map_or(default.map_or("", |setting| setting.default), |value| value.trim())
}

fn number(set: &BTreeMap<String, String>, name: &str, least: i64, most: i64) -> Result<i64> {
    let value = text(set, name);
    match value.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(invalid(name, value, &format!("it must be a number from {least} to {most}"))),
    }
}

fn invalid(name: &str, value: &str, reason: &str) -> LogError {
    LogError::rejected(
        ResponseError::InvalidConfig,
        format!("Invalid value {} for configuration {name}: {reason}", value.escape_debug()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, value: &str) -> Result<Settings> {
        Settings::parse(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn defaults_are_those_of_kafka() {
        let settings = Settings::parse(&BTreeMap::new()).expect("defaults");
        assert_eq!(settings.limits.lock_duration_ms, 30_000);
        assert_eq!(settings.limits.delivery_count_limit, 5);
        assert!(!settings.from_earliest);
    }

    #[test]
    fn what_can_not_be_is_refused() {
        assert!(parse("share.auto.offset.reset", "earliest").is_ok_and(|set| set.from_earliest));
        for (name, value) in [
            ("share.auto.offset.reset", "middle"),
            ("share.record.lock.duration.ms", "0"),
            ("share.record.lock.duration.ms", "long"),
            ("share.delivery.count.limit", "0"),
            ("share.isolation.level", "read_uncommitted"),
            ("share.colour", "red"),
        ] {
            let code = parse(name, value).map_err(|error| error.code());
            assert_eq!(code, Err(ResponseError::InvalidConfig), "{name}={value}");
        }
    }
}
