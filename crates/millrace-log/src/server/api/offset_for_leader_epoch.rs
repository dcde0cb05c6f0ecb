use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::partition::check_leader_epoch;
use crate::broker::{Broker, LEADER_EPOCH};
use crate::server::Peer;
use crate::server::access::Operation;

/// Where the records of a leader's epoch end: as there is one epoch, at the end of the log.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: OffsetForLeaderEpochRequest,
    _version: i16,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|asked| {
        let ends = asked.partitions.iter().map(|partition| {
            let end = EpochEndOffset::default().with_partition(partition.partition);
            let allowed = peer
                .check_cluster(broker, Operation::ClusterAction)
                .or_else(|_| peer.check_topic(broker, Operation::Describe, &asked.topic));
            match allowed.and_then(|()| find(broker, &asked.topic, partition)) {
                Ok(Some(offset)) => end.with_leader_epoch(LEADER_EPOCH).with_end_offset(offset),
                Ok(None) => end.with_leader_epoch(-1).with_end_offset(-1),
                Err(code) => {
                    end.with_leader_epoch(-1).with_end_offset(-1).with_error_code(code.code())
                }
            }
        });
        let ends = ends.collect();
        OffsetForLeaderTopicResult::default().with_topic(asked.topic).with_partitions(ends)
    });
    let topics = topics.collect();
    OffsetForLeaderEpochResponse::default().with_topics(topics)
}

fn find(
    broker: &Broker,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<Option<i64>, ResponseError> {
    let log =
        broker.partition(topic, asked.partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
    check_leader_epoch(asked.current_leader_epoch)?;
    Ok((asked.leader_epoch == LEADER_EPOCH).then(|| log.log_end_offset()))
}
