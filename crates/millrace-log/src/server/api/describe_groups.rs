use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use kafka_protocol::protocol::StrBytes;

use super::operations;
use crate::broker::Broker;
use crate::group::state::State;
use crate::security::acl::Kind;
use crate::server::Peer;
use crate::server::access::Operation;

/// From this version on a group that is not there is an error.
const UNKNOWN_IS_ERROR: i16 = 6;

/// Where groups stand, and who is in them.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DescribeGroupsRequest,
    version: i16,
) -> DescribeGroupsResponse {
    let groups = broker.groups().with(|coordinator| {
        let groups = request.groups.into_iter().map(|id| {
            if let Err(code) = peer.check_group(broker, Operation::Describe, &id) {
                return DescribedGroup::default().with_group_id(id).with_error_code(code.code());
            }
            let operations = match request.include_authorized_operations {
                true => peer.allowed_of(broker, operations::GROUP, Kind::Group, &id),
                false => operations::NOT_ASKED,
            };
            let described = match coordinator.group(&id) {
                Some(group) if group.consumers().is_none() => group.describe(),
                // Groups of the newer protocol have a request of their own.
                _ => unknown(&id, version),
            };
            let operations = match described.error_code {
                0 => operations,
                _ => operations::NOT_ASKED,
            };
            described.with_group_id(id).with_authorized_operations(operations)
        });
        groups.collect()
    });
    DescribeGroupsResponse::default().with_groups(groups)
}

fn unknown(id: &GroupId, version: i16) -> DescribedGroup {
    let dead = StrBytes::from_static_str(State::Dead.name());
    let described = DescribedGroup::default().with_group_state(dead);
    if version < UNKNOWN_IS_ERROR {
        return described;
    }
    let message = format!("Group {} not found.", id.as_str());
    described
        .with_error_code(ResponseError::GroupIdNotFound.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}
