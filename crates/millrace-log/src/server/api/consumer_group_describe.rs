use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::operations;
use crate::broker::Broker;
use crate::group::consumer::DescribedMember;
use crate::security::acl::Kind;
use crate::server::Peer;
use crate::server::access::Operation;

/// The types of members, by the protocol that they speak.
const CLASSIC: i8 = 0;
const CONSUMER: i8 = 1;

/// Groups whose partitions the coordinator divides: members, what they have, what they are to have.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: ConsumerGroupDescribeRequest,
    _version: i16,
) -> ConsumerGroupDescribeResponse {
    let groups = request.group_ids.into_iter().map(|id| {
        let described = match peer.check_group(broker, Operation::Describe, &id) {
            Ok(()) => describe(broker, peer, &id),
            Err(code) => DescribedGroup::default().with_error_code(code.code()),
        };
        let operations = match request.include_authorized_operations {
            true if described.error_code == 0 => {
                peer.allowed_of(broker, operations::GROUP, Kind::Group, &id)
            }
            _ => operations::NOT_ASKED,
        };
        described.with_group_id(id).with_authorized_operations(operations)
    });
    ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
}

fn describe(broker: &Broker, peer: &Peer, id: &GroupId) -> DescribedGroup {
    if id.is_empty() {
        return DescribedGroup::default().with_error_code(ResponseError::InvalidGroupId.code());
    }
    let found = broker.groups().with(|groups| {
        let consumers = groups.group(id).and_then(|group| group.consumers());
        consumers.map(|consumers| consumers.describe())
    });
    let Some(found) = found else {
        // Clients then ask for a classic group.
        let message = format!("Group {} is not a consumer group.", id.escape_debug());
        return DescribedGroup::default()
            .with_error_code(ResponseError::GroupIdNotFound.code())
            .with_error_message(Some(StrBytes::from_string(message)));
    };
    let members = found.members.into_iter().map(|member| describe_member(broker, peer, member));
    DescribedGroup::default()
        .with_error_message(None)
        .with_group_state(StrBytes::from_static_str(found.state))
        .with_group_epoch(found.epoch)
        .with_assignment_epoch(found.target_epoch)
        .with_assignor_name(StrBytes::from_static_str(found.assignor))
        .with_members(members.collect())
}

fn describe_member(broker: &Broker, peer: &Peer, member: DescribedMember) -> Member {
    Member::default()
        .with_member_id(member.id)
        .with_instance_id(member.instance_id)
        .with_rack_id(member.rack_id)
        .with_member_epoch(member.epoch)
        .with_client_id(member.client_id)
        .with_client_host(member.host)
        .with_subscribed_topic_names(member.topics.into_iter().map(TopicName).collect())
        .with_subscribed_topic_regex(member.pattern)
        .with_assignment(assignment(broker, peer, member.assigned))
        .with_target_assignment(assignment(broker, peer, member.target))
        .with_member_type(if member.is_classic { CLASSIC } else { CONSUMER })
}

fn assignment(broker: &Broker, peer: &Peer, parts: BTreeMap<Uuid, Vec<i32>>) -> Assignment {
    let topics = parts.into_iter().filter_map(|(id, partitions)| {
        let name = broker.topics().get_by_id(id)?.name.clone();
        peer.check_topic(broker, Operation::Describe, &name).ok()?;
        Some(
            TopicPartitions::default()
                .with_topic_id(id)
                .with_topic_name(TopicName(StrBytes::from_string(name)))
                .with_partitions(partitions),
        )
    });
    Assignment::default().with_topic_partitions(topics.collect())
}
