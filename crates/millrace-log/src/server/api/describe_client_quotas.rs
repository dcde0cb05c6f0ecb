use std::sync::Arc;

use kafka_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;

/// Which quotas clients have: none. Tools that list users ask for them too.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    _request: DescribeClientQuotasRequest,
    _version: i16,
) -> DescribeClientQuotasResponse {
    if let Err(code) = peer.check_cluster(broker, Operation::DescribeConfigs) {
        return DescribeClientQuotasResponse::default().with_error_code(code.code());
    }
    DescribeClientQuotasResponse::default().with_error_message(None).with_entries(Some(Vec::new()))
}
