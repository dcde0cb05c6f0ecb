use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::share_group_describe_response::{
    Assignment, DescribedGroup, Member as DescribedMember, TopicPartitions,
};
use kafka_protocol::messages::{
    GroupId, ShareGroupDescribeRequest, ShareGroupDescribeResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::operations;
use crate::broker::Broker;
use crate::queue::members::Member;
use crate::security::acl::Kind;
use crate::server::Peer;
use crate::server::access::Operation;

/// Share groups with their members, and what these fetch from.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: ShareGroupDescribeRequest,
    _version: i16,
) -> ShareGroupDescribeResponse {
    let groups = request.group_ids.into_iter().map(|group| {
        if let Err(code) = peer.check_group(broker, Operation::Describe, &group) {
            return DescribedGroup::default().with_group_id(group).with_error_code(code.code());
        }
        let operations = match request.include_authorized_operations {
            true => peer.allowed_of(broker, operations::GROUP, Kind::Group, &group),
            false => operations::NOT_ASKED,
        };
        match describe(broker, peer, group) {
            missing if missing.error_code != 0 => missing,
            found => found.with_authorized_operations(operations),
        }
    });
    ShareGroupDescribeResponse::default().with_groups(groups.collect())
}

fn describe(broker: &Broker, peer: &Peer, group: GroupId) -> DescribedGroup {
    let Some(members) = broker.queues().members(&group.0) else {
        let code = ResponseError::GroupIdNotFound;
        let message = format!("Group {} not found.", group.0.escape_debug());
        return DescribedGroup::default()
            .with_group_id(group)
            .with_error_code(code.code())
            .with_error_message(Some(StrBytes::from_string(message)));
    };
    let state = if members.is_empty() { "Empty" } else { "Stable" };
    let epoch = members.iter().map(|(_, member)| member.epoch).max().unwrap_or(0);
    let members = members.into_iter().map(|(id, member)| describe_member(broker, peer, id, member));
    DescribedGroup::default()
        .with_group_id(group)
        .with_error_message(None)
        .with_group_state(StrBytes::from_static_str(state))
        .with_group_epoch(epoch)
        .with_assignment_epoch(epoch)
        .with_assignor_name(StrBytes::from_static_str("all"))
        .with_members(members.collect())
}

fn describe_member(broker: &Broker, peer: &Peer, id: StrBytes, member: Member) -> DescribedMember {
    let topics = member.assignment.iter().filter_map(|(id, count)| {
        let name = broker.topics().get_by_id(*id)?.name.clone();
        peer.check_topic(broker, Operation::Describe, &name).ok()?;
        let name = StrBytes::from_string(name);
        Some(
            TopicPartitions::default()
                .with_topic_id(*id)
                .with_topic_name(TopicName(name))
                .with_partitions((0..*count).collect()),
        )
    });
    let assignment = Assignment::default().with_topic_partitions(topics.collect());
    DescribedMember::default()
        .with_member_id(id)
        .with_rack_id(None)
        .with_member_epoch(member.epoch)
        .with_client_id(member.client_id)
        .with_client_host(member.host)
        .with_subscribed_topic_names(member.topics.into_iter().map(TopicName).collect())
        .with_assignment(assignment)
}
