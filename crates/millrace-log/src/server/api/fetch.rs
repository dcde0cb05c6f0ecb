//! Records out.
//!
//! A fetch that finds too little waits for an append to one of its partitions, or for its time to
//! be over. Who may no longer read a topic by then gets none of its records, which is stricter than
//! Kafka: there a fetch that waits is answered though its right was taken away. Fetch sessions are not
//! kept: every answer names session 0, and clients then send whole
//! requests.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ProducerId};

use super::partition::{check_leader_epoch, find_topic, isolation};
use tokio::sync::OwnedSemaphorePermit;

use crate::broker::{Broker, Topic};
use crate::error::{LogError, Result};
use crate::server::access::Operation;
use crate::server::{FREE_BYTES, Peer};
use crate::storage::{Fetched, Isolation, PartitionLog};

/// From this version on topics are named by their ids.
const BY_ID: i16 = 13;

/// From this version on there is an error for the whole request.
const WITH_ERROR: i16 = 7;

/// No answer is made larger than this, whatever the client takes: Kafka's `fetch.max.bytes`.
pub(crate) const MAX_BYTES: usize = 55 << 20;

/// The longest wait, whatever the client asks for.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// How long a fetch waits that found no memory for what there is to read.
const STARVED_PAUSE: Duration = Duration::from_millis(5);

/// Up to this minimum a fetch is answered with the append that it waits for. Beyond it, what there is
/// is read again and again until there is enough, so appends are let gather in between.
const EAGER_BYTES: usize = 16 << 10;
const GATHERING_PAUSE: Duration = Duration::from_millis(5);

/// One partition of a request.
struct Wanted {
    topic_place: usize,
    index: i32,
    offset: i64,
    max_bytes: usize,
    log: Result<Arc<PartitionLog>, ResponseError>,
}

/// What one pass over the partitions found.
struct Found {
    partitions: Vec<Result<Fetched, ResponseError>>,
    bytes: usize,
    failed: bool,
    /// There was no memory to read more.
    starved: bool,
}

/// Reads records from one offset of each partition on.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: FetchRequest,
    version: i16,
) -> FetchResponse {
    let isolation = match check(&request) {
        Ok(isolation) => isolation,
        Err(code) if version >= WITH_ERROR => {
            return FetchResponse::default().with_error_code(code.code());
        }
        // Older versions know no sessions, and levels were always 0 and 1.
        Err(_) => Isolation::ReadUncommitted,
    };
    let mut response = FetchResponse::default();
    let (mut wanted, mut topics) = (Vec::new(), Vec::new());
    for (topic_place, asked) in request.topics.into_iter().enumerate() {
        let topic = find_topic(
            broker,
            (peer, Operation::Read),
            &asked.topic,
            asked.topic_id,
            version >= BY_ID,
        );
        wanted.extend(asked.partitions.iter().map(|partition| Wanted {
            topic_place,
            index: partition.partition,
            offset: partition.fetch_offset,
            max_bytes: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
            log: find_log(&topic, partition),
        }));
        topics.push(topic);
        let answer =
            FetchableTopicResponse::default().with_topic(asked.topic).with_topic_id(asked.topic_id);
        response.responses.push(answer);
    }
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(MAX_BYTES);
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0).min(max_bytes);
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let found = if max_wait.is_zero() {
        read(broker, &wanted, max_bytes, isolation)
    } else {
        let until = broker.seams().clock.sleep(max_wait.min(MAX_WAIT));
        read_enough(broker, &wanted, min_bytes, max_bytes, isolation, until).await
    };
    let may_read = |topic: &Result<Arc<Topic>, ResponseError>| match topic {
        Ok(topic) => peer.check_topic(broker, Operation::Read, &topic.name),
        Err(_) => Ok(()),
    };
    let allowed: Vec<_> = topics.iter().map(may_read).collect();
    for (wanted, fetched) in wanted.iter().zip(found.partitions) {
        let fetched = allowed[wanted.topic_place].and(fetched);
        let answer = answer_partition(wanted.index, fetched, isolation);
        response.responses[wanted.topic_place].partitions.push(answer);
    }
    response
}

fn check(request: &FetchRequest) -> Result<Isolation, ResponseError> {
    // Epoch 0 begins a session and -1 wants none, whatever session it ends; others go on with one.
    if !matches!(request.session_epoch, -1 | 0) {
        return Err(ResponseError::FetchSessionIdNotFound);
    }
    isolation(request.isolation_level)
}

fn find_log(
    topic: &Result<Arc<Topic>, ResponseError>,
    asked: &FetchPartition,
) -> Result<Arc<PartitionLog>, ResponseError> {
    let topic = topic.as_ref().map_err(|code| *code)?;
    let log = topic.partition(asked.partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
    check_leader_epoch(asked.current_leader_epoch)?;
    Ok(log.clone())
}

/// Reads until there are `min_bytes`, a partition fails, or the time is over.
async fn read_enough(
    broker: &Broker,
    wanted: &[Wanted],
    min_bytes: usize,
    max_bytes: usize,
    isolation: Isolation,
    mut until: Pin<Box<dyn Future<Output = ()> + Send>>,
) -> Found {
    loop {
        let found = read(broker, wanted, max_bytes, isolation);
        if found.bytes >= min_bytes || found.failed {
            return found;
        }
        let pause = if found.starved {
            drop(found);
            Some(STARVED_PAUSE)
        } else {
            let ends: Vec<i64> =
                found.partitions.iter().map(|f| visible_end(f, isolation)).collect();
            // What was found is read again; until then others may use the memory.
            drop(found);
            if wait_beyond(wanted, &ends, isolation, &mut until).await {
                return read(broker, wanted, max_bytes, isolation);
            }
            (min_bytes > EAGER_BYTES).then_some(GATHERING_PAUSE)
        };
        if let Some(pause) = pause {
            tokio::select! {
                () = &mut until => return read(broker, wanted, max_bytes, isolation),
                () = broker.seams().clock.sleep(pause) => {}
            }
        }
    }
}

/// The offset below which a read could see records.
fn visible_end(fetched: &Result<Fetched, ResponseError>, isolation: Isolation) -> i64 {
    match (fetched, isolation) {
        (Err(_), _) => -1,
        (Ok(fetched), Isolation::ReadCommitted) => fetched.last_stable_offset,
        (Ok(fetched), _) => fetched.high_watermark,
    }
}

/// Waits until one of the partitions shows more than to its end in `ends`, or is closed; or until
/// the time is over, and then says so.
async fn wait_beyond(
    wanted: &[Wanted],
    ends: &[i64],
    isolation: Isolation,
    until: &mut Pin<Box<dyn Future<Output = ()> + Send>>,
) -> bool {
    let logs = wanted.iter().zip(ends).filter_map(|(w, end)| Some((w.log.as_ref().ok()?, end)));
    let mut appends: Vec<_> =
        logs.map(|(log, end)| Box::pin(log.wait_beyond(*end, isolation))).collect();
    std::future::poll_fn(|context| {
        if appends.iter_mut().any(|append| append.as_mut().poll(context).is_ready()) {
            return Poll::Ready(false);
        }
        until.as_mut().poll(context).map(|()| true)
    })
    .await
}

/// Reads each partition once. The first one that has something gives a batch, however large;
/// together they give no more than `max_bytes`, nor more than there is memory for.
fn read(broker: &Broker, wanted: &[Wanted], max_bytes: usize, isolation: Isolation) -> Found {
    let partitions = Vec::with_capacity(wanted.len());
    let mut found = Found { partitions, bytes: 0, failed: false, starved: false };
    for wanted in wanted {
        let left = max_bytes.saturating_sub(found.bytes).min(wanted.max_bytes);
        let fetched = match &wanted.log {
            Err(code) => Err(*code),
            Ok(log) => match take_memory(broker, log, left) {
                None => {
                    found.starved = true;
                    // A little is read nevertheless: the number of connections bounds it.
                    log.read(wanted.offset, left.min(FREE_BYTES), false, isolation)
                }
                Some(memory) => log
                    .read(wanted.offset, left, found.bytes == 0, isolation)
                    .map(|fetched| hold_memory(fetched, memory)),
            }
            .map_err(|error| report(&error, wanted)),
        };
        match &fetched {
            Ok(fetched) => found.bytes += fetched.records.len(),
            Err(_) => found.failed = true,
        }
        found.partitions.push(fetched);
    }
    found
}

/// Takes what a read can need from the budget of all connections, if there is as much.
fn take_memory(
    broker: &Broker,
    log: &PartitionLog,
    max_bytes: usize,
) -> Option<OwnedSemaphorePermit> {
    let stored = usize::try_from(log.size_bytes()).unwrap_or(usize::MAX);
    let bytes = max_bytes.min(stored).min(broker.config().max_in_flight_bytes);
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    broker.memory().clone().try_acquire_many_owned(bytes).ok()
}

/// Gives back what was not needed, and the rest when the records are written to the client.
fn hold_memory(mut fetched: Fetched, mut memory: OwnedSemaphorePermit) -> Fetched {
    struct Held {
        records: Bytes,
        _memory: OwnedSemaphorePermit,
    }

    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.records
        }
    }

    let records = fetched.records;
    drop(memory.split(memory.num_permits().saturating_sub(records.len())));
    fetched.records = match records.len() {
        0 => records,
        _ => Bytes::from_owner(Held { records, _memory: memory }),
    };
    fetched
}

/// The code for a client; what is not the client's doing is logged.
fn report(error: &LogError, wanted: &Wanted) -> ResponseError {
    if !matches!(error, LogError::Refused(_) | LogError::Rejected { .. }) {
        tracing::error!(partition = wanted.index, offset = wanted.offset, %error, "cannot read");
    }
    error.code()
}

fn answer_partition(
    index: i32,
    fetched: Result<Fetched, ResponseError>,
    isolation: Isolation,
) -> PartitionData {
    let answer = PartitionData::default().with_partition_index(index);
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(code) => {
            // As Kafka has it where the partition was not even looked for.
            let unsought = matches!(
                code,
                ResponseError::UnknownTopicOrPartition
                    | ResponseError::UnknownTopicId
                    | ResponseError::TopicAuthorizationFailed
            );
            return answer
                .with_error_code(code.code())
                .with_high_watermark(-1)
                .with_last_stable_offset(-1)
                .with_log_start_offset(-1)
                .with_aborted_transactions(unsought.then(Vec::new))
                .with_records(Some(Bytes::new()));
        }
    };
    let aborted = fetched.aborted.iter().map(|aborted| {
        AbortedTransaction::default()
            .with_producer_id(ProducerId(aborted.producer_id))
            .with_first_offset(aborted.first_offset)
    });
    let committed = isolation == Isolation::ReadCommitted;
    answer
        .with_high_watermark(fetched.high_watermark)
        .with_last_stable_offset(fetched.last_stable_offset)
        .with_log_start_offset(fetched.log_start_offset)
        .with_aborted_transactions(committed.then(|| aborted.collect()))
        .with_records(Some(fetched.records))
}
