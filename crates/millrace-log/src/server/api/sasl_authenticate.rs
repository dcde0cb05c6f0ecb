use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::server::Peer;

/// What the client says to prove who it is.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: SaslAuthenticateRequest,
    _version: i16,
) -> SaslAuthenticateResponse {
    let response = SaslAuthenticateResponse::default();
    match peer.session.prove(broker, &request.auth_bytes).await {
        Ok(answer) => response.with_auth_bytes(Bytes::from(answer)).with_error_message(None),
        Err(error) => response
            .with_error_code(error.code().code())
            .with_error_message(Some(StrBytes::from_string(error.to_string()))),
    }
}
