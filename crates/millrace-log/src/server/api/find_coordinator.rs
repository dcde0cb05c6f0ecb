use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::{Broker, NODE_ID};
use crate::server::Peer;
use crate::server::access::Operation;

/// From this version on several keys may be asked for at once.
const BATCHED: i16 = 4;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// Which node coordinates a group or a transactional id: this one.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: FindCoordinatorRequest,
    version: i16,
) -> FindCoordinatorResponse {
    let known_kind = matches!(request.key_type, GROUP | TRANSACTION);
    if version >= BATCHED {
        let keys = request.coordinator_keys.into_iter();
        let coordinators = keys.map(|key| {
            let allowed = check(broker, peer, request.key_type, &key);
            if let Err(code) = allowed {
                Coordinator::default()
                    .with_key(key)
                    .with_node_id(BrokerId(-1))
                    .with_port(-1)
                    .with_error_code(code.code())
            } else if known_kind {
                let (host, port) = broker.advertised(peer.reached);
                Coordinator::default()
                    .with_key(key)
                    .with_node_id(BrokerId(NODE_ID))
                    .with_host(StrBytes::from_string(host))
                    .with_port(i32::from(port))
            } else {
                Coordinator::default()
                    .with_key(key)
                    .with_node_id(BrokerId(-1))
                    .with_port(-1)
                    .with_error_code(ResponseError::InvalidRequest.code())
                    .with_error_message(Some(unknown_kind(request.key_type)))
            }
        });
        return FindCoordinatorResponse::default().with_coordinators(coordinators.collect());
    }
    if !known_kind {
        return FindCoordinatorResponse::default()
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(ResponseError::InvalidRequest.code())
            .with_error_message(Some(unknown_kind(request.key_type)));
    }
    if let Err(code) = check(broker, peer, request.key_type, &request.key) {
        return FindCoordinatorResponse::default()
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(code.code());
    }
    let (host, port) = broker.advertised(peer.reached);
    FindCoordinatorResponse::default()
        .with_node_id(BrokerId(NODE_ID))
        .with_host(StrBytes::from_string(host))
        .with_port(i32::from(port))
}

/// Whether the client may know of a group or a transactional id.
fn check(broker: &Broker, peer: &Peer, kind: i8, key: &str) -> Result<(), ResponseError> {
    match kind {
        GROUP => peer.check_group(broker, Operation::Describe, key),
        TRANSACTION => peer.check_transactional_id(broker, Operation::Describe, key),
        _ => Ok(()),
    }
}

fn unknown_kind(kind: i8) -> StrBytes {
    StrBytes::from_string(format!("there is no coordinator for keys of type {kind}"))
}
