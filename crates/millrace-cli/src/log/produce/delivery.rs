use std::sync::{Mutex, PoisonError};

use millrace_connect::kafka::{Relay, Relayed};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use crate::log::client::LogContext;

/// What was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) records: u64,
    /// Of keys and values.
    pub(super) bytes: u64,
}

/// Notes what becomes of each record. Records carry the number of their line.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    context: LogContext,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    failure: Option<(usize, RDKafkaErrorCode)>,
}

impl Delivery {
    pub(super) fn new(context: LogContext) -> Self {
        Delivery { context, ..Delivery::default() }
    }

    pub(super) fn counts(&self) -> Counts {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).counts
    }

    /// The first line that was not written, and why.
    pub(super) fn first_failure(&self) -> Option<(usize, RDKafkaErrorCode)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).failure
    }
}

impl ClientContext for Delivery {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl Relayed for Delivery {
    fn relay(&self) -> Option<&Relay> {
        self.context.relay()
    }
}

impl ProducerContext for Delivery {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, line: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(record) => {
                let size =
                    record.key().map_or(0, <[u8]>::len) + record.payload().map_or(0, <[u8]>::len);
                state.counts.records += 1;
                state.counts.bytes += size as u64;
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                if state.failure.is_none_or(|(first, _)| line < first) {
                    state.failure = Some((line, code));
                }
            }
        }
    }
}
