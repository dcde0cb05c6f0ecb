//! Clients of librdkafka: their logs, and their errors as ours.

use std::time::Duration;

use millrace_core::{Error, ErrorKind};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::properties::ClientProperties;
use super::reach::Reach;

/// Writes what a client logs to the program's own log.
#[derive(Clone, Debug)]
pub(crate) struct LoggedClient {
    /// What the client is for, such as a table's name.
    pub owner: String,
    /// What keeps it from its brokers.
    pub reach: Reach,
}

impl LoggedClient {
    pub fn new(owner: impl Into<String>) -> Self {
        LoggedClient { owner: owner.into(), reach: Reach::default() }
    }
}

impl ClientContext for LoggedClient {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let owner = &self.owner;
        if facility == "FAIL" {
            // A connection failed. What is an error comes to `error` as well.
            let reason = message.split_once("]: ").map_or(message, |(_thread, reason)| reason);
            let is_error = (level as i32) <= (RDKafkaLogLevel::Error as i32);
            match self.reach.hear(Some(RDKafkaErrorCode::BrokerTransportFailure), reason) {
                Some(trouble) if !is_error => tracing::warn!("{owner}: {trouble}; trying on"),
                _ => tracing::debug!("kafka client of {owner}: {message}"),
            }
            return;
        }
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!("kafka client of {owner}: {message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!("kafka client of {owner}: {message}");
            }
            RDKafkaLogLevel::Debug => {
                tracing::debug!("kafka client of {owner}: {facility}: {message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is no error; readers hear of it by themselves.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        // librdkafka goes on trying by itself; what it gives up on comes as the answer to a call.
        if let Some(trouble) = self.reach.hear(error.rdkafka_error_code(), reason) {
            tracing::warn!("{}: {trouble}; trying on", self.owner);
            return;
        }
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            // Of each it was told before.
            tracing::debug!("{}: {reason}", self.owner);
            return;
        }
        tracing::warn!("kafka client of {}: {error}: {reason}", self.owner);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        tracing::debug!(
            "statistics of the kafka client of {}: {}",
            self.owner,
            String::from_utf8_lossy(statistics)
        );
    }
}

impl ConsumerContext for LoggedClient {}

impl ClientProperties {
    /// How long a question to a broker may take.
    pub fn api_timeout(&self) -> Duration {
        Duration::from_millis(self.api_timeout_ms)
    }
}

/// An error of the client while `doing` something, such as ``reading topic `orders` ``.
pub(crate) fn client_error(doing: impl std::fmt::Display, cause: KafkaError) -> Error {
    let code = cause.rdkafka_error_code();
    let error = Error::new(kind_of(code), doing.to_string());
    let error = match code.and_then(hint_for) {
        Some(hint) => error.hint(hint),
        None => error,
    };
    error.caused_by(cause)
}

/// What the caller has to do about it. What a broker refuses for good needs another input; the rest
/// may work again.
fn kind_of(code: Option<RDKafkaErrorCode>) -> ErrorKind {
    use RDKafkaErrorCode::{
        Authentication, ClusterAuthorizationFailed, GroupAuthorizationFailed, InvalidArgument,
        InvalidConfig, InvalidMessageSize, InvalidRecord, InvalidTimestamp, InvalidTopic,
        InvalidTransactionTimeout, MessageSizeTooLarge, PolicyViolation, SaslAuthenticationFailed,
        TopicAuthorizationFailed, TransactionalIdAuthorizationFailed, UnknownPartition,
        UnknownTopic, UnknownTopicOrPartition, UnsupportedCompressionType, UnsupportedFeature,
        UnsupportedSASLMechanism, UnsupportedVersion,
    };
    match code {
        Some(
            Authentication
            | ClusterAuthorizationFailed
            | GroupAuthorizationFailed
            | InvalidArgument
            | InvalidConfig
            | InvalidMessageSize
            | InvalidRecord
            | InvalidTimestamp
            | InvalidTopic
            | InvalidTransactionTimeout
            | MessageSizeTooLarge
            | PolicyViolation
            | SaslAuthenticationFailed
            | TopicAuthorizationFailed
            | TransactionalIdAuthorizationFailed
            | UnknownPartition
            | UnknownTopic
            | UnknownTopicOrPartition
            | UnsupportedCompressionType
            | UnsupportedFeature
            | UnsupportedSASLMechanism
            | UnsupportedVersion,
        ) => ErrorKind::FixInput,
        _ => ErrorKind::Retry,
    }
}

fn hint_for(code: RDKafkaErrorCode) -> Option<&'static str> {
    match code {
        RDKafkaErrorCode::AllBrokersDown
        | RDKafkaErrorCode::BrokerTransportFailure
        | RDKafkaErrorCode::OperationTimedOut => {
            Some("is a broker running at `properties.bootstrap.servers`?")
        }
        RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition => {
            Some("create the topic, or look at the option `topic`")
        }
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed
        | RDKafkaErrorCode::TransactionalIdAuthorizationFailed => {
            Some("allow the user of this table to do it, by an ACL of the cluster")
        }
        RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize => Some(
            "raise the topic's `max.message.bytes` and the table's `properties.message.max.bytes`, \
             or write smaller rows",
        ),
        RDKafkaErrorCode::InvalidRecord => {
            Some("a topic with `cleanup.policy` = `compact` takes no records without a key")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_next_run_would_meet_again_is_for_the_user_to_fix() {
        use RDKafkaErrorCode::{
            AllBrokersDown, MessageSizeTooLarge, MessageTimedOut, NotEnoughReplicas,
            TopicAuthorizationFailed,
        };
        let error = |code| client_error("cannot write", KafkaError::MessageProduction(code));
        for code in [TopicAuthorizationFailed, MessageSizeTooLarge] {
            assert_eq!(error(code).kind(), ErrorKind::FixInput, "{code}");
            assert!(error(code).hint_text().is_some(), "{code}");
        }
        for code in [MessageTimedOut, NotEnoughReplicas, AllBrokersDown] {
            assert_eq!(error(code).kind(), ErrorKind::Retry, "{code}");
        }
    }
}
