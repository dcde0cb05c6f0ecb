use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

use crate::broker::Broker;
use crate::server::Peer;
use crate::transaction::{Partitions, Producer};
use crate::transaction::{fenced_as_known, number};

/// From this version on clients know that another of their kind can fence them.
const KNOWS_FENCED: i16 = 2;

/// Takes partitions into a transaction: all of them, or none when one does not exist.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _peer: &Peer,
    request: AddPartitionsToTxnRequest,
    version: i16,
) -> AddPartitionsToTxnResponse {
    let asked = &request.v3_and_below_topics;
    let exists = |topic: &str, partition: i32| broker.partition(topic, partition).is_some();
    let mut partitions = Partitions::new();
    let mut all_exist = true;
    for topic in asked {
        all_exist &= topic.partitions.iter().all(|partition| exists(&topic.name, *partition));
        partitions.entry(topic.name.to_string()).or_default().extend(&topic.partitions);
    }
    let answer = if all_exist {
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
            let missing = !all_exist && !exists(&topic.name, *partition);
            let missing = missing.then_some(ResponseError::UnknownTopicOrPartition.code());
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(missing.unwrap_or(code))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
}
