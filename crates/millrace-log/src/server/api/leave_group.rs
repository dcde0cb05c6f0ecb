use std::sync::Arc;

use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::group::code;
use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;

/// From this version on several members can leave at once.
const BATCHED: i16 = 3;

/// Takes members out of a group.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: LeaveGroupRequest,
    version: i16,
) -> LeaveGroupResponse {
    if let Err(code) = peer.check_group(broker, Operation::Read, &request.group_id) {
        return LeaveGroupResponse::default().with_error_code(code.code());
    }
    let members: Vec<_> = match version >= BATCHED {
        true => request.members.into_iter().map(|m| (m.member_id, m.group_instance_id)).collect(),
        false => vec![(request.member_id, None)],
    };
    let results = match broker.groups().leave(&request.group_id, &members) {
        Ok(results) => results,
        Err(code) => return LeaveGroupResponse::default().with_error_code(code.code()),
    };
    if version < BATCHED {
        let result = results.into_iter().next().unwrap_or(Ok(()));
        return LeaveGroupResponse::default().with_error_code(code(result));
    }
    let members = members.into_iter().zip(results).map(|((member_id, instance_id), result)| {
        MemberResponse::default()
            .with_member_id(member_id)
            .with_group_instance_id(instance_id)
            .with_error_code(code(result))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}
