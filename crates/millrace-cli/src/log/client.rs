//! What all clients of a log have in common: their context, their waits, and how their errors are
//! told.

use std::sync::Mutex;
use std::time::Duration;

use millrace_connect::kafka::{Relay, Relayed};
use millrace_core::Error;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::failure::Failure;

/// How long a request may take before it has failed.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// What a client of this process hears. What it logs goes to the log of the process, which shows it
/// with `MILLRACE_LOG=debug`: what matters comes back as an error of the call that met it.
#[derive(Clone, Debug, Default)]
pub(super) struct LogContext {
    relay: Option<Relay>,
}

/// What encrypts the connections of this process and logs them in. The client goes on trying when a
/// log turns it away, and the call that waits for it hears only that it took too long: these know why.
static RELAYS: Mutex<Vec<Relay>> = Mutex::new(Vec::new());

impl LogContext {
    /// The context of clients whose connections go through `relay`.
    pub(super) fn new(relay: Option<Relay>) -> Self {
        if let Some(relay) = &relay {
            RELAYS.lock().expect("no holder panics").push(relay.clone());
        }
        LogContext { relay }
    }
}

impl Relayed for LogContext {
    fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }
}

impl ClientContext for LogContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
    }
}

impl ConsumerContext for LogContext {}

/// The failure of what was being done to a log: `cannot list the topics of …`.
pub(super) fn failed(doing: impl Into<String>, cause: &KafkaError) -> Failure {
    match cause {
        KafkaError::ClientConfig(_, reason, key, value) => Failure::misuse(format!(
            "the client property `{key}` cannot be `{value}`\n  cause: {}\n  \
             hint: librdkafka's CONFIGURATION.md lists the properties",
            reason.trim()
        )),
        _ => match code_of(cause) {
            Some(code) => refused(doing, code),
            None => Failure::operation(&Error::retry(doing).caused_by(text_of(cause))),
        },
    }
}

/// Of a call whose purpose the error itself tells.
impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Self {
        failed("the client of the log failed", &error)
    }
}

/// The failure of a request that the log answered with this code.
pub(super) fn refused(doing: impl Into<String>, code: RDKafkaErrorCode) -> Failure {
    refused_with(doing, code, None)
}

/// As [`refused`], with what the log said of it beside the code.
pub(super) fn refused_with(
    doing: impl Into<String>,
    code: RDKafkaErrorCode,
    said: Option<&str>,
) -> Failure {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut};
    if let BrokerTransportFailure | AllBrokersDown | OperationTimedOut = code
        && let Some(trouble) = trouble()
    {
        return Failure::operation(&trouble.context(doing.into()));
    }
    let cause = match said {
        Some(said) => format!("{}: {}", code_text(code), said.trim_end_matches('.')),
        None => code_text(code),
    };
    let error = Error::retry(doing).caused_by(cause);
    Failure::operation(&match hint(code) {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

/// Why a log turned a client of this process away, or did not answer it.
fn trouble() -> Option<Error> {
    let relays = RELAYS.lock().expect("no holder panics");
    relays.iter().find_map(|relay| relay.refusal().or_else(|| relay.trouble()))
}

/// What an error code means, in the words of the client.
pub(super) fn code_text(code: RDKafkaErrorCode) -> String {
    let text = code.to_string();
    let inner = text.split_once(" (").map_or(text.as_str(), |(_, inner)| inner);
    let inner = inner.strip_suffix(')').unwrap_or(inner);
    let inner = inner.strip_prefix("Broker: ").or(inner.strip_prefix("Local: ")).unwrap_or(inner);
    let mut letters = inner.chars();
    let text: String = match letters.next() {
        // `ID` and its kin stay as they are.
        Some(first) if !letters.clone().next().is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => inner.to_owned(),
    };
    text.trim_end_matches('.').to_owned()
}

/// The code in an error of the client, if it carries one.
pub(super) fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::Transaction(error) => Some(error.code()),
        error => error.rdkafka_error_code(),
    }
}

/// An error of the client without its wrapping.
pub(super) fn text_of(error: &KafkaError) -> String {
    match (error, code_of(error)) {
        (KafkaError::Transaction(error), _) => error.string(),
        (_, Some(code)) => code_text(code),
        (KafkaError::AdminOpCreation(text) | KafkaError::ClientCreation(text), _) => text.clone(),
        (error, None) => error.to_string(),
    }
}

fn hint(code: RDKafkaErrorCode) -> Option<&'static str> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic => {
            "`millrace log topic list` shows the topics there are"
        }
        Code::TopicAlreadyExists => "--if-not-exists leaves it as it is",
        Code::InvalidConfig => {
            "`millrace log topic describe --all` shows the settings of a topic, and their values"
        }
        Code::InvalidTopic => {
            "a name has up to 249 letters, digits, `.`, `-`, `_`, and is not `.` or `..`"
        }
        Code::InvalidReplicationFactor => "the log has fewer nodes; one machine keeps one copy",
        Code::NonEmptyGroup | Code::UnknownMemberId => "stop the members of the group first",
        Code::GroupIdNotFound => "`millrace log groups list` shows the groups there are",
        Code::MessageSizeTooLarge => {
            "the topic's setting `max.message.bytes` and the client's property \
             `message.max.bytes` say how large a record may be"
        }
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut => {
            "is the log still there? MILLRACE_LOG=debug shows what the client meets"
        }
        Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed => {
            "the user that the properties name has no right to it"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_in_lower_case_without_their_wrapping() {
        assert_eq!(
            code_text(RDKafkaErrorCode::UnknownTopicOrPartition),
            "unknown topic or partition"
        );
        assert_eq!(code_text(RDKafkaErrorCode::OperationTimedOut), "timed out");
        for code in [RDKafkaErrorCode::InvalidConfig, RDKafkaErrorCode::GroupIdNotFound] {
            let text = code_text(code);
            assert!(!text.contains("Broker") && !text.ends_with('.'), "{text}");
        }
    }
}
