use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;
use crate::transaction::{Partitions, Producer};
use crate::transaction::{fenced_as_known, number};

/// From this version on clients know that another of their kind can fence them.
const KNOWS_FENCED: i16 = 2;

/// Takes partitions into a transaction: all of them, or none when one does not exist.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: AddPartitionsToTxnRequest,
    version: i16,
) -> AddPartitionsToTxnResponse {
    let asked = &request.v3_and_below_topics;
    let find = |topic: &str, partition: i32| {
        peer.check_topic(broker, Operation::Write, topic)?;
        let found = broker.partition(topic, partition);
        found.map(drop).ok_or(ResponseError::UnknownTopicOrPartition)
    };
    let allowed = peer.check_transactional_id(
        broker,
        Operation::Write,
        &request.v3_and_below_transactional_id,
    );
    let mut partitions = Partitions::new();
    let mut all_exist = true;
    for topic in asked {
        all_exist &= topic.partitions.iter().all(|partition| find(&topic.name, *partition).is_ok());
        partitions.entry(topic.name.to_string()).or_default().extend(&topic.partitions);
    }
    let answer = if let Err(code) = allowed {
        Err(code)
    } else if all_exist {
        let id = &request.v3_and_below_transactional_id;
        let producer = Producer {
            id: request.v3_and_below_producer_id.0,
            epoch: request.v3_and_below_producer_epoch,
        };
        broker.transactions().add(id, producer, &partitions).await
    } else {
        Err(ResponseError::OperationNotAttempted)
    };
    let code = number(&answer.map_err(|code| fenced_as_known(code, version >= KNOWS_FENCED)));
    let results = asked.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let refused = match (allowed, all_exist) {
                (Ok(()), false) => find(&topic.name, *partition).err(),
                _ => None,
            };
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(refused.map_or(code, |refused| refused.code()))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
}
