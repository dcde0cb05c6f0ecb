use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_share_group_offsets_response::{
    AlterShareGroupOffsetsResponsePartition, AlterShareGroupOffsetsResponseTopic,
};
use kafka_protocol::messages::{AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse};
use uuid::Uuid;

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;

/// Has a share group that nobody works for go on from other offsets.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: AlterShareGroupOffsetsRequest,
    _version: i16,
) -> AlterShareGroupOffsetsResponse {
    let response = AlterShareGroupOffsetsResponse::default().with_error_message(None);
    if let Err(code) = peer.check_group(broker, Operation::Read, &request.group_id) {
        return response.with_error_code(code.code());
    }
    let mut offsets = Vec::new();
    let mut answers = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let allowed = peer.check_topic(broker, Operation::Read, &asked.topic_name);
        let topic = broker.topics().get(&asked.topic_name).filter(|topic| !topic.internal);
        let id = topic.as_ref().map_or(Uuid::nil(), |topic| topic.id);
        let partitions = asked.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let known = topic.as_ref().is_some_and(|topic| topic.partition(index).is_some());
            let checked = match allowed {
                Ok(()) if !known => Err(ResponseError::UnknownTopicOrPartition),
                Ok(()) if partition.start_offset < 0 => Err(ResponseError::InvalidRequest),
                allowed => allowed,
            };
            if checked.is_ok() {
                offsets.push(((id, index), partition.start_offset));
            }
            AlterShareGroupOffsetsResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(checked.err().map_or(0, |code| code.code()))
                .with_error_message(None)
        });
        let partitions = partitions.collect();
        let answer = AlterShareGroupOffsetsResponseTopic::default().with_topic_id(id);
        answers.push(answer.with_topic_name(asked.topic_name).with_partitions(partitions));
    }
    match broker.queues().alter_offsets(&request.group_id, &offsets).await {
        Ok(()) => response.with_responses(answers),
        // Clients have texts of their own for codes.
        Err(error) => response.with_error_code(error.code().code()),
    }
}
