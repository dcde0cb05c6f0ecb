use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::group::{check_partition, code};
use crate::broker::Broker;
use crate::group::offsets::TopicPartition;
use crate::server::Peer;
use crate::server::access::Operation;

/// Forgets how far a group is in partitions that no member reads.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: OffsetDeleteRequest,
    _version: i16,
) -> OffsetDeleteResponse {
    if let Err(code) = peer.check_group(broker, Operation::Delete, &request.group_id) {
        return OffsetDeleteResponse::default().with_error_code(code.code());
    }
    let may_read = |topic: &str| peer.check_topic(broker, Operation::Read, topic);
    let places: Vec<TopicPartition> = request
        .topics
        .iter()
        .filter(|topic| may_read(&topic.name).is_ok())
        .flat_map(|topic| {
            let place = |index| TopicPartition { topic: topic.name.0.clone(), partition: index };
            topic.partitions.iter().map(move |partition| place(partition.partition_index))
        })
        .collect();
    let results = match broker.groups().delete_offsets(&request.group_id, &places).await {
        Ok(results) => results,
        Err(code) => return OffsetDeleteResponse::default().with_error_code(code.code()),
    };
    let mut results = places
        .iter()
        .zip(results)
        .map(|(place, result)| check_partition(broker, &place.topic, place.partition).and(result));
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let unknown = Err(ResponseError::UnknownServerError);
            let allowed = may_read(&topic.name);
            let result = allowed.and_then(|()| results.next().unwrap_or(unknown));
            OffsetDeleteResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(result))
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
