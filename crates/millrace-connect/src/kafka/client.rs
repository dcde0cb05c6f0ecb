//! Clients of librdkafka: their logs, and their errors as ours.

use std::time::Duration;

use millrace_core::seam::Seams;
use millrace_core::{Error, ErrorKind, Result};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::properties::ClientProperties;
use super::reach::Reach;
use super::relay::{Relay, Relayed, diagnose};

/// Writes what a client logs to the program's own log.
#[derive(Clone, Debug)]
pub(crate) struct LoggedClient {
    /// What the client is for, such as a table's name.
    pub owner: String,
    /// What keeps it from its brokers, as far as librdkafka knows it.
    pub reach: Reach,
    /// What encrypts its connections and logs them in.
    relay: Option<Relay>,
}

impl LoggedClient {
    pub fn new(owner: impl Into<String>, relay: Option<Relay>) -> Self {
        LoggedClient { owner: owner.into(), reach: Reach::default(), relay }
    }
}

impl Relayed for LoggedClient {
    fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }
}

impl ClientContext for LoggedClient {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let owner = &self.owner;
        if facility == "FAIL" && self.relay.is_some() {
            // It sees a connection that closes, and can only guess why: the relay knows and tells.
            tracing::debug!("kafka client of {owner}: {message}");
            return;
        }
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
        let code = error.rdkafka_error_code();
        if self.relay.is_some() && code == Some(RDKafkaErrorCode::BrokerTransportFailure) {
            // As in the log. What else it says, such as of a name that is not known, is its own.
            tracing::debug!("{}: {reason}", self.owner);
            return;
        }
        // librdkafka goes on trying by itself; what it gives up on comes as the answer to a call.
        if let Some(trouble) = self.reach.hear(code, reason) {
            tracing::warn!("{}: {trouble}; trying on", self.owner);
            return;
        }
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
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

/// How long a question is waited for before it is asked again, at first. In between is seen whether
/// brokers turn the client away.
const FIRST_WAIT: Duration = Duration::from_secs(5);

impl ClientProperties {
    /// Asks brokers something, by a call that waits as long as it is told to. Blocks, up to
    /// `default.api.timeout.ms`.
    ///
    /// # Errors
    /// `FixInput` as soon as it is known that brokers turn this client away; else those of the last
    /// call, `doing` which it was made.
    pub fn ask<T>(
        &self,
        doing: impl Fn() -> String,
        question: impl Fn(Duration) -> KafkaResult<T>,
    ) -> Result<T> {
        self.ask_within(Duration::from_millis(self.api_timeout_ms), doing, question)
    }

    /// The same, up to `limit`.
    ///
    /// # Errors
    /// As for [`ClientProperties::ask`].
    pub fn ask_within<T>(
        &self,
        limit: Duration,
        doing: impl Fn() -> String,
        question: impl Fn(Duration) -> KafkaResult<T>,
    ) -> Result<T> {
        let clock = Seams::system().clock;
        let begun = clock.elapsed();
        let mut wait = FIRST_WAIT;
        if let Some(relay) = self.relay() {
            relay.await_answer(limit.min(FIRST_WAIT)).map_err(|error| error.context(doing()))?;
        }
        loop {
            let asked = clock.elapsed();
            let rest = limit.saturating_sub(asked.saturating_sub(begun));
            let cause = match question(wait.min(rest)) {
                Ok(answer) => return Ok(answer),
                Err(cause) => cause,
            };
            if let Some(error) = self.turned_away(wait == FIRST_WAIT) {
                return Err(error.context(doing()));
            }
            let now = clock.elapsed();
            let timed_out = now.saturating_sub(asked) >= wait.mul_f64(0.9);
            if !timed_out || now.saturating_sub(begun) >= limit {
                return Err(client_error_of(self.relay(), doing(), cause));
            }
            wait *= 2;
        }
    }

    /// Why brokers do not answer this client, if it is for good. Without a relay, it is found out by
    /// a connection for that, if `connects` allows it. Blocks.
    fn turned_away(&self, connects: bool) -> Option<Error> {
        match (self.relay(), self.named_brokers()) {
            (Some(relay), _) => relay.refusal(),
            (None, Some(brokers)) if connects => diagnose(brokers),
            (None, _) => None,
        }
    }
}

/// The error of a client whose connections go through `relay`, which may know more of the cause.
pub(crate) fn client_error_of(
    relay: Option<&Relay>,
    doing: impl std::fmt::Display,
    cause: KafkaError,
) -> Error {
    use RDKafkaErrorCode::{
        AllBrokersDown, BrokerTransportFailure, MessageTimedOut, OperationTimedOut, RequestTimedOut,
    };
    let unanswered = matches!(
        cause.rdkafka_error_code(),
        Some(
            AllBrokersDown
                | BrokerTransportFailure
                | MessageTimedOut
                | OperationTimedOut
                | RequestTimedOut
        )
    );
    match relay.and_then(Relay::trouble).filter(|_| unanswered) {
        None => client_error(doing, cause),
        Some(trouble) => trouble.context(doing),
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
