use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::group::{copy, copy_optional};
use crate::broker::Broker;
use crate::error::{LogError, Result};
use crate::group::consumer::{Assignor, Beat, LEAVES, LEAVES_FOR_A_WHILE, TopicSource};
use crate::limits::CONSUMER_HEARTBEAT;
use crate::server::Peer;
use crate::server::access::Operation;

/// Until this version members may leave it to the coordinator to make up their ids.
const MAY_LACK_ID: i16 = 0;

/// A member of a group joins, is alive, or leaves; and is told which partitions it has.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    mut request: ConsumerGroupHeartbeatRequest,
    version: i16,
) -> ConsumerGroupHeartbeatResponse {
    if version == MAY_LACK_ID && request.member_epoch == 0 && request.member_id.is_empty() {
        request.member_id = broker.groups().new_member_id();
    }
    let member_id = copy(&request.member_id);
    match beat(broker, peer, &request) {
        Ok(response) => response.with_member_id(Some(member_id)),
        Err(error) => ConsumerGroupHeartbeatResponse::default()
            .with_error_code(error.code().code())
            .with_error_message(Some(StrBytes::from_string(error.to_string())))
            .with_member_id(None),
    }
}

fn beat(
    broker: &Broker,
    peer: &Peer,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse> {
    check(request)?;
    peer.check_group(broker, Operation::Read, &request.group_id)?;
    for name in request.subscribed_topic_names.iter().flatten() {
        peer.check_topic(broker, Operation::Describe, name)?;
    }
    let group = copy(&request.group_id);
    if broker.queues().has_begun(&group) {
        let reason = format!("Group {} is not a consumer group.", group.escape_debug());
        return Err(LogError::rejected(ResponseError::GroupIdNotFound, reason));
    }
    let topics = request.subscribed_topic_names.as_ref();
    let owned = request.topic_partitions.as_ref();
    let timeout_ms = request.rebalance_timeout_ms;
    let beat = Beat {
        member_id: copy(&request.member_id),
        instance_id: copy_optional(&request.instance_id),
        rack_id: copy_optional(&request.rack_id),
        epoch: request.member_epoch,
        rebalance_timeout_ms: (timeout_ms >= 0).then_some(timeout_ms),
        topics: topics.map(|names| names.iter().map(|name| copy(name)).collect()),
        pattern: copy_optional(&request.subscribed_topic_regex),
        assignor: request.server_assignor.as_ref().map(assignor).transpose()?,
        owned: owned.map(|all| all.iter().map(|t| (t.topic_id, t.partitions.clone())).collect()),
        client_id: peer.client_id.as_ref().map(copy).unwrap_or_default(),
        host: StrBytes::from_string(peer.host()),
    };
    let told = broker.groups().consumer_beat(&group, &beat, &Visible { broker, peer })?;
    let assignment = told.assignment.map(|topics| {
        let topics = topics.into_iter().map(|(id, partitions)| {
            TopicPartitions::default().with_topic_id(id).with_partitions(partitions)
        });
        Assignment::default().with_topic_partitions(topics.collect())
    });
    Ok(ConsumerGroupHeartbeatResponse::default()
        .with_error_message(None)
        .with_member_epoch(told.epoch)
        .with_heartbeat_interval_ms(broker.config().limits.get_int(CONSUMER_HEARTBEAT))
        .with_assignment(assignment))
}

/// What can be said to be wrong of a request alone.
fn check(request: &ConsumerGroupHeartbeatRequest) -> Result<()> {
    let refuse = |reason: &str| Err(LogError::rejected(ResponseError::InvalidRequest, reason));
    let is_empty = |text: &Option<StrBytes>| text.as_ref().is_some_and(|text| text.is_empty());
    if request.group_id.is_empty() {
        return refuse("GroupId can't be empty.");
    }
    if request.member_id.is_empty() {
        return refuse("MemberId can't be empty.");
    }
    if is_empty(&request.instance_id) {
        return refuse("InstanceId can't be empty.");
    }
    if is_empty(&request.rack_id) {
        return refuse("RackId can't be empty.");
    }
    match request.member_epoch {
        0 => {
            if request.rebalance_timeout_ms == -1 {
                return refuse("RebalanceTimeoutMs must be provided in first request.");
            }
            if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
                return refuse("TopicPartitions must be empty when (re-)joining.");
            }
            let has_pattern = request.subscribed_topic_regex.is_some();
            if request.subscribed_topic_names.is_none() && !has_pattern {
                return refuse(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when \
                     (re-)joining.",
                );
            }
        }
        LEAVES_FOR_A_WHILE if request.instance_id.is_none() => {
            return refuse("InstanceId can't be null.");
        }
        LEAVES | LEAVES_FOR_A_WHILE | 1.. => {}
        _ => return refuse("MemberEpoch is invalid."),
    }
    Ok(())
}

fn assignor(name: &StrBytes) -> Result<Assignor> {
    let known = Assignor::ALL.into_iter().find(|assignor| assignor.name() == name.as_str());
    known.ok_or_else(|| {
        let names = Assignor::ALL.map(Assignor::name).join(", ");
        let reason = format!(
            "ServerAssignor {} is not supported. Supported assignors: {names}.",
            name.escape_debug()
        );
        LogError::rejected(ResponseError::UnsupportedAssignor, reason)
    })
}

/// The topics that a member may subscribe to.
pub(super) struct Visible<'a> {
    pub(super) broker: &'a Broker,
    pub(super) peer: &'a Peer,
}

impl TopicSource for Visible<'_> {
    fn find(&self, name: &str) -> Option<(Uuid, i32)> {
        let topic = self.broker.topics().get(name)?;
        Some((topic.id, topic.partition_count()))
    }

    fn names(&self) -> Vec<String> {
        let topics = self.broker.topics().list();
        let visible = topics.iter().filter(|topic| {
            let allowed = self.peer.check_topic(self.broker, Operation::Describe, &topic.name);
            !topic.internal && allowed.is_ok()
        });
        visible.map(|topic| topic.name.clone()).collect()
    }
}
