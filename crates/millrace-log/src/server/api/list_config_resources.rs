use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;

use super::resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::broker::{Broker, NODE_ID};
use crate::server::Peer;
use crate::server::access::Operation;

/// In this version it is always asked for subscriptions to clients' metrics.
const METRICS_ONLY: i16 = 0;

/// What has configurations: topics, this broker, and groups that something was set for.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: ListConfigResourcesRequest,
    version: i16,
) -> ListConfigResourcesResponse {
    let response = ListConfigResourcesResponse::default();
    if let Err(code) = peer.check_cluster(broker, Operation::DescribeConfigs) {
        return response.with_error_code(code.code());
    }
    let mut kinds = request.resource_types;
    if version == METRICS_ONLY {
        kinds = vec![CLIENT_METRICS];
    } else if kinds.is_empty() {
        kinds = vec![TOPIC, BROKER, CLIENT_METRICS, GROUP];
    }
    let mut found = Vec::new();
    for kind in kinds {
        let names = match kind {
            TOPIC => broker.topics().list().iter().map(|topic| topic.name.clone()).collect(),
            // Logging is not configured by clients, and their metrics are not taken.
            BROKER => vec![NODE_ID.to_string()],
            BROKER_LOGGER | CLIENT_METRICS => Vec::new(),
            GROUP => broker.queues().configured_groups(),
            _ => {
                return response.with_error_code(ResponseError::UnsupportedVersion.code());
            }
        };
        found.extend(names.into_iter().map(|name| {
            ConfigResource::default()
                .with_resource_name(StrBytes::from_string(name))
                .with_resource_type(kind)
        }));
    }
    response.with_config_resources(found)
}
