use std::sync::Arc;

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::group::code;
use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;

/// Deletes groups that have no members, with their offsets, and share groups in the same way.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DeleteGroupsRequest,
    _version: i16,
) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group in request.groups_names {
        let result = match peer.check_group(broker, Operation::Delete, &group) {
            Ok(()) if broker.queues().has_begun(&group) => {
                broker.queues().delete(&group).await.map_err(|error| error.code())
            }
            Ok(()) => broker.groups().delete(&group).await,
            Err(code) => Err(code),
        };
        let result = DeletableGroupResult::default().with_error_code(code(result));
        results.push(result.with_group_id(group));
    }
    DeleteGroupsResponse::default().with_results(results)
}
