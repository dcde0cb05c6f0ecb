use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_share_group_offsets_response::DeleteShareGroupOffsetsResponseTopic;
use kafka_protocol::messages::{DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse};
use uuid::Uuid;

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;

/// Has a share group that nobody works for forget topics.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DeleteShareGroupOffsetsRequest,
    _version: i16,
) -> DeleteShareGroupOffsetsResponse {
    let response = DeleteShareGroupOffsetsResponse::default().with_error_message(None);
    if let Err(code) = peer.check_group(broker, Operation::Delete, &request.group_id) {
        return response.with_error_code(code.code());
    }
    let mut topics = Vec::new();
    let mut answers = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let allowed = peer.check_topic(broker, Operation::Read, &asked.topic_name);
        let id = broker.topics().get(&asked.topic_name).map(|topic| topic.id);
        let found = allowed.and_then(|()| id.ok_or(ResponseError::UnknownTopicOrPartition));
        topics.extend(found.ok());
        answers.push(
            DeleteShareGroupOffsetsResponseTopic::default()
                .with_topic_name(asked.topic_name)
                .with_topic_id(id.unwrap_or(Uuid::nil()))
                .with_error_code(found.err().map_or(0, |code| code.code()))
                .with_error_message(None),
        );
    }
    match broker.queues().delete_offsets(&request.group_id, &topics).await {
        Ok(()) => response.with_responses(answers),
        // Clients have texts of their own for codes.
        Err(error) => response.with_error_code(error.code().code()),
    }
}
