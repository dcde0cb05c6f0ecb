use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;
use crate::transaction::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Producer};
use crate::transaction::{fenced_as_known, number};

/// From this version on clients know that another of their kind can fence them.
const KNOWS_FENCED: i16 = 4;

/// A producer id and epoch, for who writes idempotently or under a transactional id.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: InitProducerIdRequest,
    version: i16,
) -> InitProducerIdResponse {
    let answer = match check(broker, peer, &request).and_then(|()| given(&request)) {
        Ok(given) => {
            let id = request.transactional_id.as_ref().map(|id| id.as_str());
            broker.transactions().producer(id, given, request.transaction_timeout_ms).await
        }
        Err(code) => Err(code),
    };
    let answer = answer.map_err(|code| fenced_as_known(code, version >= KNOWS_FENCED));
    let nobody = Producer { id: NO_PRODUCER_ID, epoch: NO_PRODUCER_EPOCH };
    let producer = *answer.as_ref().unwrap_or(&nobody);
    InitProducerIdResponse::default()
        .with_error_code(number(&answer))
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
}

/// Whether the client may write under its transactional id, or else idempotently.
fn check(
    broker: &Broker,
    peer: &Peer,
    request: &InitProducerIdRequest,
) -> Result<(), ResponseError> {
    match &request.transactional_id {
        Some(id) => peer.check_transactional_id(broker, Operation::Write, id),
        None => peer
            .check_cluster(broker, Operation::IdempotentWrite)
            .or_else(|code| if peer.may_write_somewhere(broker) { Ok(()) } else { Err(code) }),
    }
}

/// The producer that the client has and wants to go on with.
fn given(request: &InitProducerIdRequest) -> Result<Option<Producer>, ResponseError> {
    match (request.producer_id.0, request.producer_epoch) {
        (NO_PRODUCER_ID, NO_PRODUCER_EPOCH) => Ok(None),
        (NO_PRODUCER_ID, _) | (_, NO_PRODUCER_EPOCH) => Err(ResponseError::InvalidRequest),
        (id, epoch) => Ok(Some(Producer { id, epoch })),
    }
}
