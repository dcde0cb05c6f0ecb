use std::sync::Arc;

use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::group::{copy, copy_bytes, copy_optional};
use crate::broker::Broker;
use crate::group::command::{Answer, MemberRef, Sync};
use crate::server::Peer;
use crate::server::access::Operation;

/// Gives a member its part of the assignment, once the leader has brought it.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: SyncGroupRequest,
    _version: i16,
) -> SyncGroupResponse {
    if let Err(code) = peer.check_group(broker, Operation::Read, &request.group_id) {
        return SyncGroupResponse::default().with_error_code(code.code());
    }
    let assignments = request.assignments.iter();
    let sync = Sync {
        member: MemberRef {
            member_id: copy(&request.member_id),
            instance_id: copy_optional(&request.group_instance_id),
            generation: request.generation_id,
        },
        protocol_type: request.protocol_type,
        protocol: request.protocol_name,
        assignments: assignments
            .map(|part| (copy(&part.member_id), copy_bytes(&part.assignment)))
            .collect(),
    };
    match broker.groups().sync(&copy(&request.group_id), sync).await {
        Answer::Synced { protocol_type, protocol, assignment } => SyncGroupResponse::default()
            .with_protocol_type(protocol_type)
            .with_protocol_name(protocol)
            .with_assignment(assignment),
        Answer::SyncRefused(code) => SyncGroupResponse::default().with_error_code(code.code()),
        Answer::Joined(_) | Answer::JoinRefused { .. } => {
            unreachable!("a request for an assignment is not answered with a membership")
        }
    }
}
