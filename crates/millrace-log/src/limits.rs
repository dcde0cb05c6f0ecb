//! Limits of groups and transactions, under Kafka's names and with its defaults.

use std::collections::BTreeMap;

use crate::error::{LogError, Result};
use crate::storage::ConfigType;

/// A limit.
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) default: i64,
    least: i64,
    most: i64,
    pub(crate) kind: ConfigType,
    pub(crate) doc: &'static str,
}

pub(crate) const GROUP_MIN_SESSION: &str = "group.min.session.timeout.ms";
pub(crate) const GROUP_MAX_SESSION: &str = "group.max.session.timeout.ms";
pub(crate) const GROUP_MAX_SIZE: &str = "group.max.size";
pub(crate) const GROUP_INITIAL_DELAY: &str = "group.initial.rebalance.delay.ms";
pub(crate) const CONSUMER_SESSION: &str = "group.consumer.session.timeout.ms";
pub(crate) const CONSUMER_HEARTBEAT: &str = "group.consumer.heartbeat.interval.ms";
pub(crate) const CONSUMER_MAX_SIZE: &str = "group.consumer.max.size";
pub(crate) const METADATA_MAX_BYTES: &str = "offset.metadata.max.bytes";
pub(crate) const OFFSETS_RETENTION: &str = "offsets.retention.minutes";
pub(crate) const OFFSETS_CHECK: &str = "offsets.retention.check.interval.ms";
pub(crate) const TRANSACTION_MAX_TIMEOUT: &str = "transaction.max.timeout.ms";
pub(crate) const TRANSACTIONAL_ID_EXPIRATION: &str = "transactional.id.expiration.ms";

const MOST_INT: i64 = i32::MAX as i64;

const fn limit(
    name: &'static str,
    default: i64,
    least: i64,
    kind: ConfigType,
    doc: &'static str,
) -> Limit {
    let most = match kind {
        // Still so when the clock's milliseconds are added.
        ConfigType::Long => i64::MAX / 4,
        _ => MOST_INT,
    };
    Limit { name, default, least, most, kind, doc }
}

/// All of them.
pub(crate) const LIMITS: [Limit; 12] = {
    use ConfigType::{Int, Long};
    [
        limit(GROUP_MIN_SESSION, 6_000, 1, Int, "The shortest session that a member may ask for."),
        limit(
            GROUP_MAX_SESSION,
            1_800_000,
            1,
            Int,
            "The longest session that a member may ask for.",
        ),
        limit(GROUP_MAX_SIZE, MOST_INT, 1, Int, "Members of one group of the classic protocol."),
        // As in the configuration that Kafka ships for trying it out. Its built-in default of 3 s
        // suits clusters that start many consumers at once.
        limit(
            GROUP_INITIAL_DELAY,
            0,
            0,
            Int,
            "How long the first members of an empty group wait for others.",
        ),
        limit(
            CONSUMER_SESSION,
            45_000,
            1,
            Int,
            "How long a member of the newer protocol may be silent.",
        ),
        limit(
            CONSUMER_HEARTBEAT,
            5_000,
            1,
            Int,
            "How often a member of the newer protocol is to be heard.",
        ),
        limit(CONSUMER_MAX_SIZE, MOST_INT, 1, Int, "Members of one group of the newer protocol."),
        limit(
            METADATA_MAX_BYTES,
            4_096,
            0,
            Int,
            "Bytes of metadata that a committed offset may carry.",
        ),
        limit(OFFSETS_RETENTION, 10_080, 1, Int, "How long unused offsets are kept."),
        limit(OFFSETS_CHECK, 600_000, 1, Long, "How often unused offsets are looked for."),
        limit(
            TRANSACTION_MAX_TIMEOUT,
            900_000,
            1,
            Int,
            "The longest transaction that a producer may ask for.",
        ),
        limit(
            TRANSACTIONAL_ID_EXPIRATION,
            604_800_000,
            1,
            Int,
            "How long a transactional id that does nothing is remembered.",
        ),
    ]
};

/// What was set of the limits of groups and transactions; all else stands at its default.
///
/// ```
/// use millrace_log::Limits;
///
/// let mut limits = Limits::default();
/// limits.set("group.max.size", "100")?;
/// assert!(limits.set("group.max.sise", "100").is_err());
/// # Ok::<(), millrace_log::LogError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits(BTreeMap<&'static str, i64>);

impl Limits {
    /// Sets a limit by its name in Kafka.
    ///
    /// # Errors
    /// [`LogError::Config`] for a name that is not known, with those that are, and for a value that
    /// cannot be.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let Some(limit) = LIMITS.iter().find(|limit| limit.name == name) else {
            let known: Vec<String> = LIMITS.iter().map(|l| format!("`{}`", l.name)).collect();
            let (name, known) = (name.escape_debug(), known.join(", "));
            return Err(LogError::Config(format!(
                "`{name}` cannot be set; {known} can, and topics have settings of their own"
            )));
        };
        match value.trim().parse() {
            Ok(number) if (limit.least..=limit.most).contains(&number) => {
                self.0.insert(limit.name, number);
                Ok(())
            }
            _ => Err(LogError::Config(format!(
                "`{name}` cannot be `{}`: it is a number from {} to {}",
                value.escape_debug(),
                limit.least,
                limit.most
            ))),
        }
    }

    /// Whether all that was set can be so together.
    ///
    /// # Errors
    /// [`LogError::Config`] with the two that contradict each other.
    pub fn check(&self) -> Result<()> {
        let ordered = |small, large, strictly: bool| {
            let (less, more) = (self.get(small), self.get(large));
            if less < more || less == more && !strictly {
                return Ok(());
            }
            Err(LogError::Config(format!(
                "`{small}` is {less}, and `{large}` is {more}: it must be {}",
                if strictly { "larger" } else { "as large at least" }
            )))
        };
        ordered(GROUP_MIN_SESSION, GROUP_MAX_SESSION, false)?;
        ordered(CONSUMER_HEARTBEAT, CONSUMER_SESSION, true)
    }

    /// The value of one of [`LIMITS`].
    pub(crate) fn get(&self, name: &'static str) -> i64 {
        let default = || LIMITS.iter().find(|limit| limit.name == name).map(|limit| limit.default);
        self.0.get(name).copied().or_else(default).expect("a name of the table")
    }

    /// One that fits into 32 bits by the table.
    pub(crate) fn get_int(&self, name: &'static str) -> i32 {
        i32::try_from(self.get(name)).unwrap_or(i32::MAX)
    }

    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_takes_its_range_and_nothing_else() {
        for limit in &LIMITS {
            let mut limits = Limits::default();
            assert_eq!(limits.get(limit.name), limit.default);
            for good in [limit.least, limit.default, limit.most] {
                limits.set(limit.name, &good.to_string()).unwrap();
                assert_eq!(limits.get(limit.name), good);
            }
            let beyond = [(limit.least - 1).to_string(), (limit.most + 1).to_string()];
            for bad in beyond.iter().map(String::as_str).chain(["", "many", "1.5"]) {
                let error = limits.set(limit.name, bad).unwrap_err().to_string();
                assert!(error.contains(limit.name), "{error}");
                assert_eq!(limits.get(limit.name), limit.most, "{bad}");
            }
        }
        assert_eq!(Limits::default().check().map_err(|e| e.to_string()), Ok(()));
    }

    #[test]
    fn an_unknown_name_is_told_with_those_that_are_known() {
        let error = Limits::default().set("group.max.sise", "1").unwrap_err().to_string();
        assert!(error.contains("`group.max.sise`") && error.contains("`group.max.size`"));
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        for (name, value) in [
            (GROUP_MAX_SESSION, "5999"),
            (GROUP_MIN_SESSION, "1800001"),
            (CONSUMER_SESSION, "5000"),
            (CONSUMER_HEARTBEAT, "45000"),
        ] {
            let mut limits = Limits::default();
            limits.set(name, value).unwrap();
            assert!(limits.check().unwrap_err().to_string().contains(name));
        }
    }
}
