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

/// Forgets how far a group is in partitions that no member reads.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _peer: &Peer,
    request: OffsetDeleteRequest,
    _version: i16,
) -> OffsetDeleteResponse {
    let places: Vec<TopicPartition> = request
        .topics
        .iter()
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
            let result = results.next().unwrap_or(Err(ResponseError::UnknownServerError));
            OffsetDeleteResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(result))
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
