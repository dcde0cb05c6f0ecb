use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use millrace_connect::kafka::{Relay, Relayed};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::offset_map::Run;
use crate::log::client::LogContext;

/// Learns the target offset of each record, and makes runs of them. Records carry the number of
/// their lane; those of one lane are acknowledged in the order in which they were sent.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    context: LogContext,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lanes: Vec<Lane>,
    failure: Option<RDKafkaErrorCode>,
}

#[derive(Debug, Default)]
struct Lane {
    /// The source offsets of records that are not acknowledged.
    sent: VecDeque<i64>,
    runs: Vec<Run>,
}

/// What a record carries that is not of a lane: an entry of the offset map.
pub(super) const MAP_ENTRY: usize = usize::MAX;

impl Delivery {
    pub(super) fn new(context: LogContext) -> Self {
        Delivery { context, ..Delivery::default() }
    }

    /// Notes that a record is about to be sent.
    pub(super) fn send(&self, lane: usize, source: i64) {
        self.change(|state| {
            if state.lanes.len() <= lane {
                state.lanes.resize_with(lane + 1, Lane::default);
            }
            state.lanes[lane].sent.push_back(source);
        });
    }

    /// The runs of each lane since the last time.
    pub(super) fn take_runs(&self) -> Vec<Vec<Run>> {
        self.change(|state| {
            state.lanes.iter_mut().map(|lane| std::mem::take(&mut lane.runs)).collect()
        })
    }

    /// Why a record was not written.
    pub(super) fn failure(&self) -> Option<RDKafkaErrorCode> {
        self.change(|state| state.failure)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn written(&mut self, lane: usize, target: i64) {
        let Some(lane) = self.lanes.get_mut(lane) else { return };
        let Some(source) = lane.sent.pop_front() else { return };
        match lane.runs.last_mut() {
            Some(run) if run.is_continued_by(source, target) => run.records += 1,
            _ => lane.runs.push(Run { source, target, records: 1 }),
        }
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

    fn delivery(&self, result: &DeliveryResult<'_>, lane: usize) {
        self.change(|state| match result {
            Ok(record) if lane != MAP_ENTRY => state.written(lane, record.offset()),
            Ok(_) => {}
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                state.failure.get_or_insert(code);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_records_become_runs_of_their_lane() {
        let delivery = Delivery::default();
        for (lane, source) in [(0, 5), (1, 0), (0, 6), (0, 8), (1, 1)] {
            delivery.send(lane, source);
        }
        delivery.change(|state| {
            for (lane, target) in [(0, 100), (0, 101), (1, 7), (0, 102), (1, 9)] {
                state.written(lane, target);
            }
        });
        let run = |source, target, records| Run { source, target, records };
        let runs = delivery.take_runs();
        assert_eq!(runs[0], [run(5, 100, 2), run(8, 102, 1)]);
        assert_eq!(runs[1], [run(0, 7, 1), run(1, 9, 1)]);
        assert!(delivery.take_runs().iter().all(Vec::is_empty));
    }
}
