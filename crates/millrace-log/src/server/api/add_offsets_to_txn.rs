use std::sync::Arc;

use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use crate::broker::{Broker, OFFSETS_TOPIC};
use crate::server::Peer;
use crate::transaction::{Partitions, Producer};
use crate::transaction::{fenced_as_known, number};

/// From this version on clients know that another of their kind can fence them.
const KNOWS_FENCED: i16 = 2;

/// Takes the partition where a group's offsets stand into a transaction: the same for all groups.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _peer: &Peer,
    request: AddOffsetsToTxnRequest,
    version: i16,
) -> AddOffsetsToTxnResponse {
    let partitions = Partitions::from([(OFFSETS_TOPIC.to_owned(), [0].into())]);
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let answer = broker.transactions().add(&request.transactional_id, producer, &partitions).await;
    let answer = answer.map_err(|code| fenced_as_known(code, version >= KNOWS_FENCED));
    AddOffsetsToTxnResponse::default().with_error_code(number(&answer))
}
