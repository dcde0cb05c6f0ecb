use std::sync::Arc;

use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse, ProducerId};

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;
use crate::storage::TransactionOutcome;
use crate::transaction::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Producer, TransactionVersion};
use crate::transaction::{fenced_as_known, number};

/// From this version on clients know that another of their kind can fence them.
const KNOWS_FENCED: i16 = 2;

/// From this version on the end gives the producer another epoch.
const RENEWS: i16 = 5;

/// Commits or aborts a transaction.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: EndTxnRequest,
    version: i16,
) -> EndTxnResponse {
    let outcome =
        if request.committed { TransactionOutcome::Commit } else { TransactionOutcome::Abort };
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let transactions =
        if version >= RENEWS { TransactionVersion::V2 } else { TransactionVersion::V1 };
    let id = &request.transactional_id;
    let answer = match peer.check_transactional_id(broker, Operation::Write, id) {
        Ok(()) => broker.transactions().end(id, producer, outcome, transactions).await,
        Err(code) => Err(code),
    };
    let answer = answer.map_err(|code| fenced_as_known(code, version >= KNOWS_FENCED));
    let response = EndTxnResponse::default().with_error_code(number(&answer));
    if version < RENEWS {
        return response;
    }
    let nobody = Producer { id: NO_PRODUCER_ID, epoch: NO_PRODUCER_EPOCH };
    let next = answer.unwrap_or(nobody);
    response.with_producer_id(ProducerId(next.id)).with_producer_epoch(next.epoch)
}
