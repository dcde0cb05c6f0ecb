use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;
use crate::transaction::{Partitions, Producer};
use crate::transaction::{fenced_as_known, number};

/// From this version on clients know that another of their kind can fence them.
const KNOWS_FENCED: i16 = 2;

/// From this version on the request is one of brokers among themselves, about several transactions.
const OF_BROKERS: i16 = 4;

/// Takes partitions into a transaction: all of them, or none when one does not exist.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: AddPartitionsToTxnRequest,
    version: i16,
) -> AddPartitionsToTxnResponse {
    let response = AddPartitionsToTxnResponse::default();
    if version >= OF_BROKERS {
        // Brokers have asked who their clients are.
        if let Err(code) = peer.check_cluster(broker, Operation::ClusterAction) {
            return response.with_error_code(code.code());
        }
        let mut results = Vec::with_capacity(request.transactions.len());
        for transaction in &request.transactions {
            results.push(of_broker(broker, transaction).await);
        }
        return response.with_results_by_transaction(results);
    }
    let id = &request.v3_and_below_transactional_id;
    let topics = &request.v3_and_below_topics;
    if let Err(code) = peer.check_transactional_id(broker, Operation::Write, id) {
        let results = results(topics, |_, _| Some(code));
        return response.with_results_by_topic_v3_and_below(results);
    }
    let find = |topic: &str, partition: i32| {
        peer.check_topic(broker, Operation::Write, topic)?;
        exists(broker, topic, partition)
    };
    let producer = Producer {
        id: request.v3_and_below_producer_id.0,
        epoch: request.v3_and_below_producer_epoch,
    };
    let results = match refuse_all(topics, find) {
        Some(refused) => refused,
        None => {
            let added = broker.transactions().add(id, producer, &partitions(topics)).await;
            let added = added.map_err(|code| fenced_as_known(code, version >= KNOWS_FENCED));
            results(topics, |_, _| added.err())
        }
    };
    response.with_results_by_topic_v3_and_below(results)
}

/// One transaction of a broker's request, which may only want to know whether the partitions are in
/// the transaction.
async fn of_broker(
    broker: &Broker,
    transaction: &AddPartitionsToTxnTransaction,
) -> AddPartitionsToTxnResult {
    let id = &transaction.transactional_id;
    let topics = &transaction.topics;
    let producer = Producer { id: transaction.producer_id.0, epoch: transaction.producer_epoch };
    let transactions = broker.transactions();
    let results = match refuse_all(topics, |topic, partition| exists(broker, topic, partition)) {
        Some(refused) => refused,
        None if transaction.verify_only => results(topics, |topic, partition| {
            transactions.admit(id, producer, topic, partition).err()
        }),
        None => {
            let added = transactions.add(id, producer, &partitions(topics)).await;
            results(topics, |_, _| added.err())
        }
    };
    AddPartitionsToTxnResult::default()
        .with_transactional_id(id.clone())
        .with_topic_results(results)
}

fn exists(broker: &Broker, topic: &str, partition: i32) -> Result<(), ResponseError> {
    broker.partition(topic, partition).map(drop).ok_or(ResponseError::UnknownTopicOrPartition)
}

/// The answer where at least one partition can't be had.
fn refuse_all(
    topics: &[AddPartitionsToTxnTopic],
    find: impl Fn(&str, i32) -> Result<(), ResponseError>,
) -> Option<Vec<AddPartitionsToTxnTopicResult>> {
    let all_found = topics.iter().all(|topic| {
        topic.partitions.iter().all(|partition| find(&topic.name, *partition).is_ok())
    });
    let refused = |topic: &str, partition: i32| {
        Some(find(topic, partition).err().unwrap_or(ResponseError::OperationNotAttempted))
    };
    (!all_found).then(|| results(topics, refused))
}

fn partitions(topics: &[AddPartitionsToTxnTopic]) -> Partitions {
    let mut partitions = Partitions::new();
    for topic in topics {
        let indexes: &mut BTreeSet<i32> = partitions.entry(topic.name.to_string()).or_default();
        indexes.extend(&topic.partitions);
    }
    partitions
}

fn results(
    topics: &[AddPartitionsToTxnTopic],
    refused: impl Fn(&str, i32) -> Option<ResponseError>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let of_topic = |topic: &AddPartitionsToTxnTopic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let answer = refused(&topic.name, *partition).map_or(Ok(()), Err);
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(number(&answer))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    };
    topics.iter().map(of_topic).collect()
}
