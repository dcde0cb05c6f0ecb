use std::sync::Arc;

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::group::code;
use crate::broker::Broker;
use crate::group::command::MemberRef;
use crate::server::Peer;
use crate::server::access::Operation;

/// Hears that a member is alive, and tells it when the group changes.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: HeartbeatRequest,
    _version: i16,
) -> HeartbeatResponse {
    let member = MemberRef {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id,
    };
    let result = peer
        .check_group(broker, Operation::Read, &request.group_id)
        .and_then(|()| broker.groups().heartbeat(&request.group_id, &member));
    HeartbeatResponse::default().with_error_code(code(result))
}
