use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::share_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::queue::members::{Beat, HEARTBEAT_INTERVAL_MS};
use crate::server::Peer;
use crate::server::access::Operation;

const LEAVES: i32 = -1;

/// A worker of a share group joins, is alive, or leaves; and is told what to fetch from.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: ShareGroupHeartbeatRequest,
    _version: i16,
) -> ShareGroupHeartbeatResponse {
    let member_id = request.member_id.clone();
    match beat(broker, peer, request) {
        Ok(response) => response.with_member_id(Some(member_id)),
        Err(code) => ShareGroupHeartbeatResponse::default()
            .with_error_code(code.code())
            .with_error_message(Some(StrBytes::from_string(code.to_string()))),
    }
}

fn beat(
    broker: &Broker,
    peer: &Peer,
    request: ShareGroupHeartbeatRequest,
) -> Result<ShareGroupHeartbeatResponse, ResponseError> {
    let (group, epoch) = (request.group_id.0, request.member_epoch);
    let names_nothing = group.is_empty() || request.member_id.is_empty();
    let joins_for_nothing =
        epoch == 0 && request.subscribed_topic_names.as_ref().is_none_or(Vec::is_empty);
    if names_nothing || epoch < LEAVES || joins_for_nothing {
        return Err(ResponseError::InvalidRequest);
    }
    peer.check_group(broker, Operation::Read, &group)?;
    for name in request.subscribed_topic_names.iter().flatten() {
        peer.check_topic(broker, Operation::Describe, name)?;
    }
    if broker.groups().with(|groups| groups.group(&group).is_some()) {
        // It is a consumer group.
        return Err(ResponseError::GroupIdNotFound);
    }
    if epoch == LEAVES {
        broker.queues().leave(broker, &(group, request.member_id))?;
        return Ok(ShareGroupHeartbeatResponse::default().with_member_epoch(LEAVES));
    }
    let topics = request.subscribed_topic_names;
    let beat = Beat {
        member_id: request.member_id,
        epoch,
        topics: topics.map(|names| names.into_iter().map(|name| name.0).collect()),
        client_id: peer.client_id.clone().unwrap_or_default(),
        host: StrBytes::from_string(peer.host()),
    };
    let told = broker.queues().beat(broker, &group, beat)?;
    let assignment = told.assignment.map(|topics| {
        let topics = topics.into_iter().map(|(id, count)| {
            TopicPartitions::default().with_topic_id(id).with_partitions((0..count).collect())
        });
        Assignment::default().with_topic_partitions(topics.collect())
    });
    Ok(ShareGroupHeartbeatResponse::default()
        .with_member_epoch(told.epoch)
        .with_heartbeat_interval_ms(HEARTBEAT_INTERVAL_MS)
        .with_assignment(assignment))
}
