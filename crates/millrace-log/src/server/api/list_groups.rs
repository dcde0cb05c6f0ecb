use std::sync::Arc;

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::group::state::Group;
use crate::server::Peer;
use crate::server::access::Operation;

/// The type of groups whose members divide partitions by themselves.
const CLASSIC: &str = "classic";

/// The type of groups whose partitions the coordinator divides.
const CONSUMER: &str = "consumer";

/// The type of groups whose members share records.
const SHARE: &str = "share";

/// All groups, or those of some types and in some states.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: ListGroupsRequest,
    _version: i16,
) -> ListGroupsResponse {
    let wanted = |filter: &[StrBytes], name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    let sees_all = peer.check_cluster(broker, Operation::Describe).is_ok();
    let visible = |id: &str| sees_all || peer.check_group(broker, Operation::Describe, id).is_ok();
    let mut groups: Vec<ListedGroup> = broker.groups().with(|coordinator| {
        let list = |group: &Group| {
            let (id, protocol) = (group.id().clone(), group.protocol_type());
            match group.consumers() {
                Some(consumers) => listed(id, protocol, consumers.state_name(), CONSUMER),
                None => listed(id, protocol, group.state().name(), CLASSIC),
            }
        };
        coordinator.groups().map(list).collect()
    });
    groups.extend(broker.queues().list().into_iter().map(|(id, has_members)| {
        let state = if has_members { "Stable" } else { "Empty" };
        listed(id, StrBytes::from_static_str(SHARE), state, SHARE)
    }));
    groups.retain(|group| {
        wanted(&request.types_filter, &group.group_type)
            && wanted(&request.states_filter, &group.group_state)
            && visible(&group.group_id)
    });
    ListGroupsResponse::default().with_groups(groups)
}

fn listed(
    id: StrBytes,
    protocol: StrBytes,
    state: &'static str,
    kind: &'static str,
) -> ListedGroup {
    ListedGroup::default()
        .with_group_id(GroupId(id))
        .with_protocol_type(protocol)
        .with_group_state(StrBytes::from_static_str(state))
        .with_group_type(StrBytes::from_static_str(kind))
}
