use std::sync::Arc;

use kafka_protocol::messages::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;

/// Which partitions are moving to another node: none ever is.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    _request: ListPartitionReassignmentsRequest,
    _version: i16,
) -> ListPartitionReassignmentsResponse {
    if let Err(code) = peer.check_cluster(broker, Operation::Describe) {
        return ListPartitionReassignmentsResponse::default().with_error_code(code.code());
    }
    ListPartitionReassignmentsResponse::default().with_error_message(None)
}
