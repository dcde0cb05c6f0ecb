//! What keeps a client from its brokers, told while it tries on.
//!
//! librdkafka connects in the background and tries for ever; a question to the brokers ends when its
//! time is over, a minute by default, and says no more than that. Why connections fail lies meanwhile
//! in the client's queue. [`attended`] takes it from there while a question waits, so that whoever
//! named a wrong address reads so within seconds, and keeps it as the cause for when time is over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use millrace_core::seam::Seams;
use millrace_core::{Error, Result};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::client_error;
use super::consumer::SourceConsumer;
use super::reader::is_fatal;
use super::relay::Relayed;
use crate::blocking::blocking;

/// How often the client's queue is looked at while a question waits.
const LOOK: Duration = Duration::from_millis(100);
/// How long brokers may be silent before that is told. Their own errors are told at once.
const SILENCE: Duration = Duration::from_secs(3);

/// The last trouble of one client. Clones are of the same client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach(Arc<Mutex<Option<String>>>);

impl Reach {
    /// Takes in what the client says. Gives what to tell, if this is about reaching a broker.
    pub fn hear(&self, code: Option<RDKafkaErrorCode>, reason: &str) -> Option<String> {
        use RDKafkaErrorCode::{BrokerTransportFailure, OperationTimedOut, Resolve};
        let trouble = match code {
            Some(BrokerTransportFailure | OperationTimedOut | Resolve) => unreachable_text(reason),
            _ => None,
        };
        if let Some(trouble) = &trouble {
            *self.0.lock().expect("no holder panics") = Some(trouble.clone());
        }
        trouble
    }

    fn trouble(&self) -> Option<String> {
        self.0.lock().expect("no holder panics").clone()
    }

    fn forget(&self) {
        *self.0.lock().expect("no holder panics") = None;
    }
}

/// ``broker `h:9092` cannot be reached: connection refused``, from what librdkafka says of it:
/// `h:9092/bootstrap: Connect to ipv4#10.1.1.1:9092 failed: Connection refused (after 0ms in …)`.
fn unreachable_text(reason: &str) -> Option<String> {
    let (broker, why) = reason.split_once(": ")?;
    let broker = broker.rsplit_once("://").map_or(broker, |(_, broker)| broker);
    let broker = broker.split('/').next().filter(|broker| broker.contains(':'))?;
    let why = why.rsplit_once(" (after ").map_or(why, |(why, _)| why);
    let why = match why.split_once(": ") {
        Some((what, cause))
            if what.starts_with("Connect to ") || what.starts_with("Failed to resolve ") =>
        {
            cause
        }
        _ => why,
    };
    let mut letters = why.chars();
    let first = letters.next()?;
    // `SASL`, `SSL` and their kin stay as they are.
    let why = match letters.clone().next().is_some_and(char::is_uppercase) {
        true => why.to_owned(),
        false => first.to_lowercase().chain(letters).collect(),
    };
    Some(format!("broker `{broker}` cannot be reached: {why}"))
}

/// Asks the brokers, where this may block, and tells meanwhile what keeps the answer away. `owner`
/// is what waits, such as a table.
///
/// # Errors
/// Those of the question, with the trouble as their cause where no broker was reached; at once what
/// no patience mends, such as a wrong password.
pub(crate) async fn attended<T: Send + 'static>(
    consumer: &Arc<SourceConsumer>,
    seams: &Seams,
    question: impl FnOnce(&SourceConsumer) -> Result<T> + Send + 'static,
) -> Result<T> {
    let client = consumer.context();
    client.reach.forget();
    let asking = Arc::clone(consumer);
    let mut answer = std::pin::pin!(blocking(seams, move || question(&asking)));
    let asked = seams.clock.elapsed();
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            answered = &mut answer => {
                return answered.map_err(|error| explained(error, client.reach.trouble()));
            }
            () = seams.clock.sleep(LOOK) => {}
        }
        // Records never come this way: each partition has a queue of its own.
        if let Some(Err(cause)) = consumer.poll(Duration::ZERO)
            && is_fatal(&cause)
        {
            return Err(client_error("the brokers turn the client away", cause));
        }
        let relay = client.relay();
        told |=
            client.reach.trouble().is_some() || relay.is_some_and(|one| one.trouble().is_some());
        if !told && seams.clock.elapsed().saturating_sub(asked) >= SILENCE {
            told = true;
            tracing::warn!(
                "{}: no broker has answered for {} s; trying on",
                client.owner,
                SILENCE.as_secs()
            );
        }
    }
}

/// The error of a question that ran out of time, with the reason instead of the client's code.
fn explained(error: Error, trouble: Option<String>) -> Error {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut};
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref());
    let code = cause.and_then(KafkaError::rdkafka_error_code);
    match (code, trouble) {
        (Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut), Some(trouble)) => {
            let explained = Error::new(error.kind(), error.message()).caused_by(trouble);
            match error.hint_text() {
                Some(hint) => explained.hint(hint),
                None => explained,
            }
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_broker_is_not_reached_is_told_in_few_words() {
        for (said, told) in [
            (
                "127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused \
                 (after 0ms in state CONNECT)",
                "broker `127.0.0.1:1` cannot be reached: connection refused",
            ),
            (
                "no.such:9092/bootstrap: Failed to resolve 'no.such:9092': Name or service not \
                 known (after 3ms in state CONNECT, 4 identical error(s) suppressed)",
                "broker `no.such:9092` cannot be reached: name or service not known",
            ),
            (
                "sasl_ssl://[::1]:9092/1: SSL handshake failed: certificate expired (after 1ms in \
                 state SSL_HANDSHAKE)",
                "broker `[::1]:9092` cannot be reached: SSL handshake failed: certificate expired",
            ),
            (
                "h:1/bootstrap: Connection setup timed out in state CONNECT (after 30001ms in \
                 state CONNECT)",
                "broker `h:1` cannot be reached: connection setup timed out in state CONNECT",
            ),
        ] {
            assert_eq!(unreachable_text(said).as_deref(), Some(told));
        }
        assert_eq!(unreachable_text("1/1 brokers are down"), None);
    }

    #[test]
    fn a_question_that_ran_out_of_time_says_why() {
        let late = |code| client_error("topic `t`", KafkaError::MetadataFetch(code));
        let trouble = || Some("broker `h:1` cannot be reached: connection refused".to_owned());
        let error = explained(late(RDKafkaErrorCode::BrokerTransportFailure), trouble());
        assert_eq!(
            error.full_report(),
            "topic `t`\n  cause: broker `h:1` cannot be reached: connection refused\n  \
             hint: is a broker running at `properties.bootstrap.servers`?"
        );
        let other = explained(late(RDKafkaErrorCode::UnknownTopic), trouble());
        assert!(!other.full_report().contains("refused"), "{}", other.full_report());
    }
}
