use std::sync::Arc;

use kafka_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};

use crate::broker::Broker;
use crate::server::Peer;

/// Which quotas clients have: none. Tools that list users ask for them too.
pub(crate) async fn handle(
    _broker: &Arc<Broker>,
    _peer: &Peer,
    _request: DescribeClientQuotasRequest,
    _version: i16,
) -> DescribeClientQuotasResponse {
    DescribeClientQuotasResponse::default().with_error_message(None).with_entries(Some(Vec::new()))
}
