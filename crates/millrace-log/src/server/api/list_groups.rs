use std::sync::Arc;

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;

/// The only type of group that there is.
const TYPE: &str = "classic";

/// All groups, or those in some states.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: ListGroupsRequest,
    _version: i16,
) -> ListGroupsResponse {
    let wanted = |filter: &[StrBytes], name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    if !wanted(&request.types_filter, TYPE) {
        return ListGroupsResponse::default();
    }
    let sees_all = peer.check_cluster(broker, Operation::Describe).is_ok();
    let visible = |id: &str| sees_all || peer.check_group(broker, Operation::Describe, id).is_ok();
    let groups = broker.groups().with(|coordinator| {
        let groups = coordinator.groups();
        let groups = groups.filter(|group| wanted(&request.states_filter, group.state().name()));
        let listed = groups.filter(|group| visible(group.id())).map(|group| {
            ListedGroup::default()
                .with_group_id(GroupId(group.id().clone()))
                .with_protocol_type(group.protocol_type())
                .with_group_state(StrBytes::from_static_str(group.state().name()))
                .with_group_type(StrBytes::from_static_str(TYPE))
        });
        listed.collect()
    });
    ListGroupsResponse::default().with_groups(groups)
}
