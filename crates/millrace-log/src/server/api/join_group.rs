use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::consumer_group_heartbeat::Visible;
use super::group::{copy, copy_bytes, copy_optional};
use crate::broker::Broker;
use crate::group::command::{Answer, Join, Joined};
use crate::server::Peer;
use crate::server::access::Operation;

/// From this version on a client says how long the others shall wait for it.
const WITH_REBALANCE_TIMEOUT: i16 = 1;

/// From this version on a client without an id is given one before it becomes a member.
const ID_FIRST: i16 = 4;

/// From this version on no protocol is null rather than empty.
const NULL_PROTOCOL: i16 = 7;

/// From this version on a leader can be told to leave the assignment alone.
const CAN_SKIP_ASSIGNMENT: i16 = 9;

/// Makes the client a member of a group; the answer may wait for the other members.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: JoinGroupRequest,
    version: i16,
) -> JoinGroupResponse {
    let rebalance_timeout_ms = match version >= WITH_REBALANCE_TIMEOUT {
        true => request.rebalance_timeout_ms,
        false => request.session_timeout_ms,
    };
    let protocols = request.protocols.iter();
    let join = Join {
        member_id: copy(&request.member_id),
        instance_id: copy_optional(&request.group_instance_id),
        new_member_id: StrBytes::new(),
        client_id: StrBytes::from_string(peer.client_id().to_owned()),
        client_host: StrBytes::from_string(peer.host()),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: copy(&request.protocol_type),
        protocols: protocols.map(|p| (copy(&p.name), copy_bytes(&p.metadata))).collect(),
        requires_known_member_id: version >= ID_FIRST,
        can_skip_assignment: version >= CAN_SKIP_ASSIGNMENT,
    };
    let allowed = peer.check_group(broker, Operation::Read, &request.group_id);
    let answer = match allowed.and_then(|()| check_type(broker, &request)) {
        Ok(()) => {
            broker.groups().join(&copy(&request.group_id), join, &Visible { broker, peer }).await
        }
        Err(code) => Answer::JoinRefused { member_id: copy(&request.member_id), code },
    };
    let mut response = match answer {
        Answer::Joined(joined) => success(joined),
        Answer::JoinRefused { member_id, code } => JoinGroupResponse::default()
            .with_error_code(code.code())
            .with_generation_id(-1)
            .with_protocol_name(None)
            .with_member_id(member_id),
        Answer::Synced { .. } | Answer::SyncRefused(_) => {
            unreachable!("a request to join is not answered with an assignment")
        }
    };
    if version < NULL_PROTOCOL {
        response.protocol_type = None;
        response.protocol_name.get_or_insert_default();
    }
    response
}

/// A group that shares records has no members that divide partitions.
fn check_type(broker: &Broker, request: &JoinGroupRequest) -> Result<(), ResponseError> {
    match broker.queues().has_begun(&request.group_id) {
        true => Err(ResponseError::InconsistentGroupProtocol),
        false => Ok(()),
    }
}

fn success(joined: Joined) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|member| {
        JoinGroupResponseMember::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.instance_id)
            .with_metadata(member.metadata)
    });
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type)
        .with_protocol_name(joined.protocol)
        .with_leader(joined.leader)
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(joined.member_id)
        .with_members(members.collect())
}
