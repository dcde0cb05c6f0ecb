use std::sync::Arc;

use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use crate::broker::{Broker, OFFSETS_TOPIC};
use crate::server::Peer;
use crate::server::access::Operation;
use crate::transaction::{Partitions, Producer};
use crate::transaction::{fenced_as_known, number};

/// From this version on clients know that another of their kind can fence them.
const KNOWS_FENCED: i16 = 2;

/// Takes the partition where a group's offsets stand into a transaction: the same for all groups.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: AddOffsetsToTxnRequest,
    version: i16,
) -> AddOffsetsToTxnResponse {
    let partitions = Partitions::from([(OFFSETS_TOPIC.to_owned(), [0].into())]);
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let id = &request.transactional_id;
    let allowed = peer
        .check_transactional_id(broker, Operation::Write, id)
        .and_then(|()| peer.check_group(broker, Operation::Read, &request.group_id));
    let answer = match allowed {
        Ok(()) => broker.transactions().add(id, producer, &partitions).await,
        Err(code) => Err(code),
    };
    let answer = answer.map_err(|code| fenced_as_known(code, version >= KNOWS_FENCED));
    AddOffsetsToTxnResponse::default().with_error_code(number(&answer))
}
