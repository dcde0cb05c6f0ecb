use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

use super::operations::{self, NOT_ASKED};
use crate::broker::{Broker, NODE_ID};
use crate::server::Peer;

/// From this version on a client says whether it means brokers or controllers.
const WITH_ENDPOINT_TYPE: i16 = 1;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// The cluster: this node.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DescribeClusterRequest,
    version: i16,
) -> DescribeClusterResponse {
    let asked = request.endpoint_type;
    let response = DescribeClusterResponse::default();
    if version >= WITH_ENDPOINT_TYPE && asked != BROKERS {
        let code = match asked {
            CONTROLLERS => ResponseError::MismatchedEndpointType,
            _ => ResponseError::UnsupportedEndpointType,
        };
        let reason = "The request was sent to an endpoint of brokers.";
        return response
            .with_endpoint_type(asked)
            .with_error_code(code.code())
            .with_error_message(Some(StrBytes::from_static_str(reason)));
    }
    let (host, port) = broker.advertised(peer.reached);
    let this = DescribeClusterBroker::default()
        .with_broker_id(BrokerId(NODE_ID))
        .with_host(StrBytes::from_string(host))
        .with_port(i32::from(port));
    let operations = match request.include_cluster_authorized_operations {
        true => operations::of_cluster(broker, peer),
        false => NOT_ASKED,
    };
    response
        .with_cluster_id(StrBytes::from_string(broker.cluster_id().to_owned()))
        .with_controller_id(BrokerId(NODE_ID))
        .with_brokers(vec![this])
        .with_cluster_authorized_operations(operations)
}
