use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;
use crate::storage::{PartitionLog, ProducerInfo};

/// Who writes to partitions idempotently or in transactions.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DescribeProducersRequest,
    _version: i16,
) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let allowed = peer.check_topic(broker, Operation::Read, &topic.name);
        let partitions = topic.partition_indexes.iter().map(|index| {
            let answer = PartitionResponse::default().with_partition_index(*index);
            if let Err(code) = allowed {
                return answer.with_error_code(code.code());
            }
            match broker.partition(&topic.name, *index) {
                Some(log) => answer.with_active_producers(producers(&log)),
                None => answer
                    .with_error_code(ResponseError::UnknownTopicOrPartition.code())
                    .with_error_message(Some(StrBytes::from_static_str(
                        "This server does not host this topic-partition.",
                    ))),
            }
        });
        let partitions = partitions.collect();
        TopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}

fn producers(log: &PartitionLog) -> Vec<ProducerState> {
    let state = |producer: ProducerInfo| {
        ProducerState::default()
            .with_producer_id(ProducerId(producer.producer_id))
            .with_producer_epoch(i32::from(producer.producer_epoch))
            .with_last_sequence(producer.last_sequence)
            .with_last_timestamp(producer.last_timestamp_ms)
            .with_coordinator_epoch(producer.coordinator_epoch)
            .with_current_txn_start_offset(producer.transaction_start_offset.unwrap_or(-1))
    };
    log.producers().into_iter().map(state).collect()
}
