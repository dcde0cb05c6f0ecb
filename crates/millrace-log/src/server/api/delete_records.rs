use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use crate::broker::Broker;
use crate::error::Result;
use crate::server::Peer;
use crate::server::access::Operation;

/// Deletes the records of partitions below an offset; -1 stands for the high watermark.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DeleteRecordsRequest,
    _version: i16,
) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let allowed = peer.check_topic(broker, Operation::Delete, &asked.name);
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for partition in asked.partitions {
            let result = DeleteRecordsPartitionResult::default()
                .with_partition_index(partition.partition_index);
            let name = asked.name.to_string();
            let delete = move |broker: &Broker| {
                allowed?;
                delete(broker, &name, partition.partition_index, partition.offset)
            };
            partitions.push(match broker.blocking(delete).await {
                Ok(low_watermark) => result.with_low_watermark(low_watermark),
                Err(error) => result.with_low_watermark(-1).with_error_code(error.code().code()),
            });
        }
        let result = DeleteRecordsTopicResult::default();
        topics.push(result.with_name(asked.name).with_partitions(partitions));
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

fn delete(broker: &Broker, topic: &str, index: i32, offset: i64) -> Result<i64> {
    let topic = broker.topics().get(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
    if topic.internal {
        return Err(ResponseError::InvalidTopicException.into());
    }
    let log = topic.partition(index).ok_or(ResponseError::UnknownTopicOrPartition)?;
    log.delete_records_before(offset)
}
