use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;

/// From this version on there is an error for the whole request.
const WITH_ERROR: i16 = 1;

/// Asks for new leaders of partitions: this node leads them all already, and no other could.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: ElectLeadersRequest,
    version: i16,
) -> ElectLeadersResponse {
    if let Err(code) = peer.check_cluster(broker, Operation::Alter) {
        let code = if version >= WITH_ERROR { code.code() } else { 0 };
        return ElectLeadersResponse::default().with_error_code(code);
    }
    let mut results = BTreeMap::<TopicName, Vec<PartitionResult>>::new();
    // Who asks for all is told only of those that were elected: none.
    for topic in request.topic_partitions.unwrap_or_default() {
        let answers = results.entry(topic.topic.clone()).or_default();
        for index in topic.partitions {
            let (code, message) = answer(broker, &topic.topic, index);
            answers.push(
                PartitionResult::default()
                    .with_partition_id(index)
                    .with_error_code(code.code())
                    .with_error_message(Some(StrBytes::from_string(message))),
            );
        }
    }
    let results = results.into_iter().map(|(topic, answers)| {
        ReplicaElectionResult::default().with_topic(topic).with_partition_result(answers)
    });
    ElectLeadersResponse::default().with_replica_election_results(results.collect())
}

fn answer(broker: &Broker, topic: &str, index: i32) -> (ResponseError, String) {
    let unknown = ResponseError::UnknownTopicOrPartition;
    match broker.topics().get(topic) {
        None => (unknown, format!("No such topic as {topic}")),
        Some(found) if found.partition(index).is_none() => {
            (unknown, format!("No such partition as {topic}-{index}"))
        }
        Some(_) => {
            let message = "Leader election not needed for topic partition.";
            (ResponseError::ElectionNotNeeded, message.to_owned())
        }
    }
}
