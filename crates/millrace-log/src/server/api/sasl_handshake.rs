use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{SaslHandshakeRequest, SaslHandshakeResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::server::Peer;

/// From this version on what follows are requests, not bare messages.
const WITH_REQUESTS: i16 = 1;

/// The client chooses how it will prove who it is.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: SaslHandshakeRequest,
    version: i16,
) -> SaslHandshakeResponse {
    let mechanisms = broker.security().mechanisms();
    let chosen = peer.session.choose(&request.mechanism, mechanisms, version < WITH_REQUESTS);
    let response = SaslHandshakeResponse::default();
    match chosen {
        Err(code @ ResponseError::IllegalSaslState) => response.with_error_code(code.code()),
        chosen => {
            response.with_error_code(chosen.err().map_or(0, |code| code.code())).with_mechanisms(
                mechanisms.iter().map(|m| StrBytes::from_static_str(m.name())).collect(),
            )
        }
    }
}
