use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::create_topics::check_assignment;
use crate::broker::Broker;
use crate::error::{LogError, Result};
use crate::server::Peer;
use crate::server::access::Operation;

/// Moves partitions to other nodes: to this one they can be moved, which changes nothing.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: AlterPartitionReassignmentsRequest,
    _version: i16,
) -> AlterPartitionReassignmentsResponse {
    let response = AlterPartitionReassignmentsResponse::default().with_error_message(None);
    if let Err(code) = peer.check_cluster(broker, Operation::Alter) {
        return response.with_error_code(code.code());
    }
    let topics = request.topics.into_iter().map(|topic| {
        let answers = topic.partitions.iter().map(|asked| {
            let answer = ReassignablePartitionResponse::default()
                .with_partition_index(asked.partition_index)
                .with_error_message(None);
            match check(broker, &topic, asked) {
                Ok(()) => answer,
                Err(error) => answer
                    .with_error_code(error.code().code())
                    .with_error_message(Some(StrBytes::from_string(error.to_string()))),
            }
        });
        let answers = answers.collect();
        ReassignableTopicResponse::default().with_name(topic.name.clone()).with_partitions(answers)
    });
    let topics = topics.collect();
    response
        .with_allow_replication_factor_change(request.allow_replication_factor_change)
        .with_responses(topics)
}

fn check(broker: &Broker, topic: &ReassignableTopic, asked: &ReassignablePartition) -> Result<()> {
    let (name, index) = (topic.name.as_str(), asked.partition_index);
    let unknown = |what: String| {
        let reason = format!("Unable to find {what}.");
        LogError::rejected(ResponseError::UnknownTopicOrPartition, reason)
    };
    let found = broker.topics().get(name);
    let found = found.ok_or_else(|| unknown(format!("a topic named {name}")))?;
    if found.partition(index).is_none() {
        return Err(unknown(format!("partition {name}:{index}")));
    }
    match &asked.replicas {
        Some(replicas) => check_assignment(replicas.iter().map(|id| id.0)),
        // What was begun is to be given up.
        None => Err(LogError::rejected(
            ResponseError::NoReassignmentInProgress,
            "No partition reassignment is in progress.",
        )),
    }
}
