use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::share_acknowledge_request::AcknowledgementBatch;
use kafka_protocol::messages::share_acknowledge_response::{
    LeaderIdAndEpoch, PartitionData, ShareAcknowledgeTopicResponse,
};
use kafka_protocol::messages::{ShareAcknowledgeRequest, ShareAcknowledgeResponse};
use kafka_protocol::protocol::StrBytes;

use super::share_fetch::may_read;
use crate::broker::{Broker, LEADER_EPOCH, NODE_ID};
use crate::queue::partition::{Acknowledged, Acknowledgement};
use crate::queue::sessions::FINAL_EPOCH;
use crate::server::Peer;
use crate::server::access::Operation;

/// Takes what a worker says about records that it has.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: ShareAcknowledgeRequest,
    _version: i16,
) -> ShareAcknowledgeResponse {
    match acknowledge(broker, peer, request).await {
        Ok(topics) => {
            ShareAcknowledgeResponse::default().with_error_message(None).with_responses(topics)
        }
        Err(code) => ShareAcknowledgeResponse::default()
            .with_error_code(code.code())
            .with_error_message(Some(StrBytes::from_string(code.to_string()))),
    }
}

async fn acknowledge(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: ShareAcknowledgeRequest,
) -> Result<Vec<ShareAcknowledgeTopicResponse>, ResponseError> {
    let queues = broker.queues();
    let group = request.group_id.ok_or(ResponseError::InvalidRequest)?.0;
    let member = request.member_id.ok_or(ResponseError::InvalidRequest)?;
    peer.check_group(broker, Operation::Read, &group)?;
    let worker = (group, member);
    let epoch = request.share_session_epoch;
    let session = match epoch {
        // A session begins with a fetch.
        0 => return Err(ResponseError::InvalidShareSessionEpoch),
        FINAL_EPOCH => {
            let session = queues.session_of(&worker, peer.connection);
            session.ok_or(ResponseError::ShareSessionNotFound)?
        }
        _ => {
            let no_change = (&[][..], &[][..]);
            let continued =
                queues.continue_session(broker, &worker, epoch, peer.connection, no_change)?;
            continued.lease.session
        }
    };
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let place = (topic.topic_id, partition.partition_index);
            let batches = partition.acknowledgement_batches.into_iter().map(parts);
            let said = may_read(broker, peer, place).and_then(|()| acknowledged(batches));
            let outcome = match said {
                Ok(said) => queues.acknowledge(broker, (&worker, session), place, &said).await,
                Err(code) => Err(code),
            };
            let leader = LeaderIdAndEpoch::default().with_leader_id(NODE_ID);
            let answer = PartitionData::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(outcome.err().map_or(0, |code| code.code()))
                .with_error_message(None)
                .with_current_leader(leader.with_leader_epoch(LEADER_EPOCH));
            partitions.push(answer);
        }
        topics.push(
            ShareAcknowledgeTopicResponse::default()
                .with_topic_id(topic.topic_id)
                .with_partitions(partitions),
        );
    }
    if epoch == FINAL_EPOCH {
        queues.close_session(broker, &worker);
    }
    Ok(topics)
}

fn parts(batch: AcknowledgementBatch) -> (i64, i64, Vec<i8>) {
    (batch.first_offset, batch.last_offset, batch.acknowledge_types)
}

/// What the numbers of a request mean.
pub(super) fn acknowledged(
    batches: impl Iterator<Item = (i64, i64, Vec<i8>)>,
) -> Result<Vec<Acknowledged>, ResponseError> {
    let one = |(first_offset, last_offset, ids): (i64, i64, Vec<i8>)| {
        let kinds = ids.into_iter().map(Acknowledgement::from_id).collect::<Option<Vec<_>>>();
        let kinds = kinds.ok_or(ResponseError::InvalidRequest)?;
        Ok(Acknowledged { first_offset, last_offset, kinds })
    };
    batches.map(one).collect()
}
