use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_request as asked;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::operations::TOPIC;
use crate::broker::{Broker, LEADER_EPOCH, NODE_ID, Topic, check_topic_name};
use crate::security::acl::Kind;
use crate::server::Peer;
use crate::server::access::Operation;

/// Partitions of one answer: Kafka's `max.request.partition.size.limit`.
const MAX_PARTITIONS: i32 = 2_000;

/// Topics with their partitions, by name, some at a time: an answer that had to stop names where to
/// go on.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DescribeTopicPartitionsRequest,
    _version: i16,
) -> DescribeTopicPartitionsResponse {
    let mut names: BTreeSet<String> =
        request.topics.iter().map(|topic| topic.name.to_string()).collect();
    if request.topics.is_empty() {
        let visible = |name: &String| peer.check_topic(broker, Operation::Describe, name).is_ok();
        let all = broker.topics().list();
        names = all.iter().map(|topic| topic.name.clone()).filter(visible).collect();
    }
    let astray = |cursor: &asked::Cursor| {
        let skips_all = !request.topics.is_empty() && !names.contains(cursor.topic_name.as_str());
        skips_all || cursor.partition_index < 0
    };
    if request.cursor.as_ref().is_some_and(astray) {
        let code = ResponseError::InvalidRequest;
        let refused = request.topics.iter().map(|topic| missing(&topic.name, code));
        return DescribeTopicPartitionsResponse::default().with_topics(refused.collect());
    }
    let (first_name, mut first_partition) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.to_string(), cursor.partition_index),
        None => (String::new(), 0),
    };
    let mut left = request.response_partition_limit.clamp(1, MAX_PARTITIONS);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names.range(first_name.clone()..) {
        if left == 0 {
            response.next_cursor = Some(cursor(name, 0));
            break;
        }
        if let Err(code) = peer.check_topic(broker, Operation::Describe, name) {
            response.topics.push(missing(name, code));
            continue;
        }
        let Some(topic) = broker.topics().get(name) else {
            let code = match check_topic_name(name) {
                Ok(()) => ResponseError::UnknownTopicOrPartition,
                Err(error) => error.code(),
            };
            let operations = peer.allowed_of(broker, TOPIC, Kind::Topic, name);
            let missing = missing(name, code).with_topic_authorized_operations(operations);
            response.topics.push(missing);
            continue;
        };
        if *name != first_name {
            first_partition = 0;
        }
        let end = topic.partition_count().min(first_partition.saturating_add(left));
        let operations = peer.allowed_of(broker, TOPIC, Kind::Topic, name);
        let described = describe(&topic, first_partition, end);
        response.topics.push(described.with_topic_authorized_operations(operations));
        left -= end.saturating_sub(first_partition).max(0);
        if end < topic.partition_count() {
            response.next_cursor = Some(cursor(name, end));
            break;
        }
    }
    response
}

fn cursor(name: &str, partition: i32) -> Cursor {
    let name = TopicName(StrBytes::from_string(name.to_owned()));
    Cursor::default().with_topic_name(name).with_partition_index(partition)
}

fn missing(name: &str, code: ResponseError) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(name.to_owned()))))
        .with_error_code(code.code())
}

fn describe(topic: &Topic, first: i32, end: i32) -> DescribeTopicPartitionsResponseTopic {
    let node = BrokerId(NODE_ID);
    let partition = |index| {
        DescribeTopicPartitionsResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(node)
            .with_leader_epoch(LEADER_EPOCH)
            .with_replica_nodes(vec![node])
            .with_isr_nodes(vec![node])
            .with_eligible_leader_replicas(Some(Vec::new()))
            .with_last_known_elr(Some(Vec::new()))
    };
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(topic.name.clone()))))
        .with_topic_id(topic.id)
        .with_is_internal(topic.internal)
        .with_partitions((first..end).map(partition).collect())
}
