use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::messages::describe_share_group_offsets_request::{
    DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::describe_share_group_offsets_response::{
    DescribeShareGroupOffsetsResponseGroup, DescribeShareGroupOffsetsResponsePartition,
    DescribeShareGroupOffsetsResponseTopic,
};
use kafka_protocol::messages::{
    DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::broker::{Broker, LEADER_EPOCH};
use crate::server::Peer;
use crate::server::access::Operation;

/// The group has not begun with a partition.
const NONE: i64 = -1;

/// How far share groups are: the first record of each partition that is not done.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DescribeShareGroupOffsetsRequest,
    _version: i16,
) -> DescribeShareGroupOffsetsResponse {
    let groups = request.groups.into_iter().map(|asked| {
        let answer = DescribeShareGroupOffsetsResponseGroup::default()
            .with_group_id(asked.group_id.clone())
            .with_error_message(None);
        match peer.check_group(broker, Operation::Describe, &asked.group_id) {
            Ok(()) => answer.with_topics(describe(broker, peer, asked)),
            Err(code) => answer.with_error_code(code.code()),
        }
    });
    DescribeShareGroupOffsetsResponse::default().with_groups(groups.collect())
}

fn describe(
    broker: &Broker,
    peer: &Peer,
    asked: DescribeShareGroupOffsetsRequestGroup,
) -> Vec<DescribeShareGroupOffsetsResponseTopic> {
    let offsets: HashMap<(Uuid, i32), i64> =
        broker.queues().start_offsets(&asked.group_id).into_iter().collect();
    let topics = asked.topics.unwrap_or_else(|| all(broker, &offsets));
    let visible = topics
        .into_iter()
        .filter(|topic| peer.check_topic(broker, Operation::Describe, &topic.topic_name).is_ok());
    let topics = visible.map(|topic| {
        let id = broker.topics().get(&topic.topic_name).map_or(Uuid::nil(), |found| found.id);
        let partitions = topic.partitions.iter().map(|index| {
            let offset = offsets.get(&(id, *index)).copied().unwrap_or(NONE);
            DescribeShareGroupOffsetsResponsePartition::default()
                .with_partition_index(*index)
                .with_start_offset(offset)
                .with_leader_epoch(LEADER_EPOCH)
                .with_error_message(None)
        });
        let partitions = partitions.collect();
        DescribeShareGroupOffsetsResponseTopic::default()
            .with_topic_name(topic.topic_name)
            .with_topic_id(id)
            .with_partitions(partitions)
    });
    topics.collect()
}

/// All partitions that something is known of.
fn all(
    broker: &Broker,
    offsets: &HashMap<(Uuid, i32), i64>,
) -> Vec<DescribeShareGroupOffsetsRequestTopic> {
    let mut partitions = HashMap::<Uuid, Vec<i32>>::new();
    for (topic, index) in offsets.keys() {
        partitions.entry(*topic).or_default().push(*index);
    }
    let topics = partitions.into_iter().filter_map(|(id, mut partitions)| {
        let name = broker.topics().get_by_id(id)?.name.clone();
        partitions.sort_unstable();
        Some(
            DescribeShareGroupOffsetsRequestTopic::default()
                .with_topic_name(TopicName(StrBytes::from_string(name)))
                .with_partitions(partitions),
        )
    });
    topics.collect()
}
