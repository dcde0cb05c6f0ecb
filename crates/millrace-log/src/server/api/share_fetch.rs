use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::share_fetch_request::AcknowledgementBatch;
use kafka_protocol::messages::share_fetch_response::{
    AcquiredRecords, LeaderIdAndEpoch, PartitionData, ShareFetchableTopicResponse,
};
use kafka_protocol::messages::{ShareFetchRequest, ShareFetchResponse};
use kafka_protocol::protocol::StrBytes;

use super::share_acknowledge::acknowledged;
use crate::broker::{Broker, LEADER_EPOCH, NODE_ID};
use crate::queue::fetch::Appetite;
use crate::queue::partition::{Acknowledged, Acknowledgement, Acquired};
use crate::queue::sessions::{Continued, FINAL_EPOCH, Place};
use crate::server::Peer;
use crate::server::access::Operation;

/// No answer has more, but for a single larger batch: connections bound how many there are.
const MAX_BYTES: usize = 1 << 20;

/// The longest wait, whatever the worker asks for.
const MAX_WAIT: Duration = Duration::from_secs(300);

type Answers = BTreeMap<Place, PartitionData>;

/// Takes what a worker says about records that it has, and hands it others.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: ShareFetchRequest,
    _version: i16,
) -> ShareFetchResponse {
    match fetch(broker, peer, request).await {
        Ok((lock_duration_ms, answers)) => ShareFetchResponse::default()
            .with_acquisition_lock_timeout_ms(lock_duration_ms)
            .with_error_message(None)
            .with_responses(by_topic(answers)),
        Err(code) => ShareFetchResponse::default()
            .with_error_code(code.code())
            .with_error_message(Some(StrBytes::from_string(code.to_string()))),
    }
}

async fn fetch(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: ShareFetchRequest,
) -> Result<(i32, Answers), ResponseError> {
    let queues = broker.queues();
    let group = request.group_id.ok_or(ResponseError::InvalidRequest)?.0;
    let member = request.member_id.ok_or(ResponseError::InvalidRequest)?;
    if group.is_empty() || member.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    peer.check_group(broker, Operation::Read, &group)?;
    let worker = (group, member);
    let is_final = request.share_session_epoch == FINAL_EPOCH;
    let (mut added, mut said) = (Vec::new(), Vec::new());
    for topic in request.topics {
        for partition in topic.partitions {
            let place = (topic.topic_id, partition.partition_index);
            added.push(place);
            if !partition.acknowledgement_batches.is_empty() {
                said.push((place, partition.acknowledgement_batches));
            }
        }
    }
    let forgotten = request.forgotten_topics_data.into_iter().flat_map(|topic| {
        topic.partitions.into_iter().map(move |partition| (topic.topic_id, partition))
    });
    let forgotten: Vec<Place> = forgotten.collect();
    if request.share_session_epoch == 0 && !said.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let (session, continued) = if is_final {
        let session = queues.session_of(&worker, peer.connection);
        (session.ok_or(ResponseError::ShareSessionNotFound)?, None)
    } else {
        let (epoch, changes) = (request.share_session_epoch, (&added[..], &forgotten[..]));
        let continued =
            queues.continue_session(broker, &worker, epoch, peer.connection, changes)?;
        (continued.lease.session, Some(continued))
    };
    let mut answers = Answers::new();
    for (place, batches) in said {
        let said = may_read(broker, peer, place)
            .and_then(|()| acknowledged(batches.into_iter().map(parts)));
        let outcome = match said {
            Ok(said) => queues.acknowledge(broker, (&worker, session), place, &said).await,
            Err(code) => Err(code),
        };
        let code = outcome.err().map_or(0, |code| code.code());
        answers.insert(place, answer(place).with_acknowledge_error_code(code));
    }
    let lock_duration_ms = queues.lock_duration_ms(&worker.0);
    let Some(Continued { lease, places, .. }) = continued else {
        queues.close_session(broker, &worker);
        return Ok((lock_duration_ms, answers));
    };
    let (places, denied): (Vec<Place>, Vec<Place>) =
        places.into_iter().partition(|place| may_read(broker, peer, *place).is_ok());
    for place in denied {
        let code = ResponseError::TopicAuthorizationFailed.code();
        answers.entry(place).or_insert_with(|| answer(place)).error_code = code;
    }
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let appetite = Appetite {
        max_records: usize::try_from(request.max_records).unwrap_or(0),
        max_bytes: usize::try_from(request.max_bytes).unwrap_or(0).min(MAX_BYTES),
        // What became of the acknowledgements is not to be kept waiting for.
        max_wait: if answers.is_empty() { max_wait.min(MAX_WAIT) } else { Duration::ZERO },
    };
    for (place, outcome) in queues.fetch(broker, (&worker, &lease), &places, appetite).await {
        let answer = answers.remove(&place).unwrap_or_else(|| answer(place));
        let outcome = match (outcome, may_read(broker, peer, place)) {
            // The right was taken away while the worker waited: others get the records.
            (Ok(handed_out), Err(code)) => {
                let release = released(&handed_out.acquired);
                let held = (&worker, lease.session);
                queues.acknowledge(broker, held, place, &release).await.and(Err(code))
            }
            (outcome, _) => outcome,
        };
        let answer = match outcome {
            Ok(handed_out) => {
                let runs = handed_out.acquired.iter().map(|run| {
                    AcquiredRecords::default()
                        .with_first_offset(run.first_offset)
                        .with_last_offset(run.last_offset)
                        .with_delivery_count(run.delivery_count)
                });
                answer.with_acquired_records(runs.collect()).with_records(Some(handed_out.records))
            }
            Err(code) => answer.with_error_code(code.code()),
        };
        answers.insert(place, answer);
    }
    Ok((lock_duration_ms, answers))
}

/// Whether a client may read from a place; one that is not there is another matter.
pub(super) fn may_read(broker: &Broker, peer: &Peer, place: Place) -> Result<(), ResponseError> {
    match broker.topics().get_by_id(place.0) {
        Some(topic) => peer.check_topic(broker, Operation::Read, &topic.name),
        None => Ok(()),
    }
}

/// Records are given back as they were handed out.
fn released(acquired: &[Acquired]) -> Vec<Acknowledged> {
    let release = |run: &Acquired| Acknowledged {
        first_offset: run.first_offset,
        last_offset: run.last_offset,
        kinds: vec![Acknowledgement::Release],
    };
    acquired.iter().map(release).collect()
}

fn parts(batch: AcknowledgementBatch) -> (i64, i64, Vec<i8>) {
    (batch.first_offset, batch.last_offset, batch.acknowledge_types)
}

fn answer((_, partition): Place) -> PartitionData {
    let leader = LeaderIdAndEpoch::default().with_leader_id(NODE_ID);
    PartitionData::default()
        .with_partition_index(partition)
        .with_error_message(None)
        .with_acknowledge_error_message(None)
        .with_current_leader(leader.with_leader_epoch(LEADER_EPOCH))
        .with_records(Some(Bytes::new()))
}

fn by_topic(answers: Answers) -> Vec<ShareFetchableTopicResponse> {
    let mut topics: Vec<ShareFetchableTopicResponse> = Vec::new();
    for ((topic, _), answer) in answers {
        match topics.last_mut() {
            Some(last) if last.topic_id == topic => last.partitions.push(answer),
            _ => topics.push(
                ShareFetchableTopicResponse::default()
                    .with_topic_id(topic)
                    .with_partitions(vec![answer]),
            ),
        }
    }
    topics
}
