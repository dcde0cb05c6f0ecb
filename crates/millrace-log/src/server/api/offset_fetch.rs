use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::group::command::MemberRef;
use crate::group::offsets::TopicPartition;
use crate::server::Peer;
use crate::server::access::Operation;

/// From this version on several groups can be asked for at once.
const BATCHED: i16 = 8;

/// A topic with the partitions that are asked for.
type Asked = (TopicName, Vec<i32>);

/// How far groups are.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: OffsetFetchRequest,
    version: i16,
) -> OffsetFetchResponse {
    let stable = request.require_stable;
    if version >= BATCHED {
        let groups = request.groups.into_iter().map(|group| {
            let asked = group
                .topics
                .map(|topics| topics.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
            let answer = OffsetFetchResponseGroup::default();
            let member = MemberRef {
                member_id: group.member_id.unwrap_or_default(),
                instance_id: None,
                generation: group.member_epoch,
            };
            let allowed = peer.check_group(broker, Operation::Describe, &group.group_id);
            let checked = allowed.and_then(|()| {
                broker.groups().with(|groups| match groups.group(&group.group_id) {
                    Some(known) => known.check_fetch(&member),
                    None => Ok(()),
                })
            });
            match checked {
                Ok(()) => {
                    let topics = offsets(broker, peer, &group.group_id, asked, stable);
                    answer.with_group_id(group.group_id).with_topics(topics)
                }
                Err(code) => answer.with_group_id(group.group_id).with_error_code(code.code()),
            }
        });
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    let asked = request
        .topics
        .map(|topics| topics.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
    if let Err(code) = peer.check_group(broker, Operation::Describe, &request.group_id) {
        return refuse_old(asked.unwrap_or_default(), code, version);
    }
    let topics = offsets(broker, peer, &request.group_id, asked, stable);
    OffsetFetchResponse::default().with_topics(topics.into_iter().map(old_topic).collect())
}

/// What was committed for the partitions that are asked for, or for all.
fn offsets(
    broker: &Broker,
    peer: &Peer,
    group: &GroupId,
    asked: Option<Vec<Asked>>,
    stable: bool,
) -> Vec<OffsetFetchResponseTopics> {
    broker.groups().with(|coordinator| {
        let group = coordinator.group(group);
        let allowed = |topic: &TopicName| peer.check_topic(broker, Operation::Describe, topic);
        let asked = asked.unwrap_or_else(|| {
            let all = group.map(|group| group.committed_partitions()).unwrap_or_default();
            let mut all = by_topic(all);
            all.retain(|(topic, _)| allowed(topic).is_ok());
            all
        });
        let topics = asked.into_iter().map(|(topic, partitions)| {
            let allowed = allowed(&topic);
            let partitions = partitions.into_iter().map(|partition| {
                let place = TopicPartition { topic: topic.0.clone(), partition };
                let found = match group {
                    _ if allowed.is_err() => allowed.map(|()| None),
                    Some(group) => group.committed(&place, stable),
                    None => Ok(None),
                };
                answer(partition, found)
            });
            let partitions = partitions.collect();
            OffsetFetchResponseTopics::default().with_name(topic).with_partitions(partitions)
        });
        topics.collect()
    })
}

fn by_topic(partitions: Vec<TopicPartition>) -> Vec<Asked> {
    let mut topics: Vec<Asked> = Vec::new();
    for place in partitions {
        match topics.last_mut() {
            Some((topic, partitions)) if topic.0 == place.topic => partitions.push(place.partition),
            _ => topics.push((TopicName(place.topic), vec![place.partition])),
        }
    }
    topics
}

fn answer(
    partition: i32,
    found: Result<Option<&crate::group::offsets::Committed>, ResponseError>,
) -> OffsetFetchResponsePartitions {
    let answer = OffsetFetchResponsePartitions::default().with_partition_index(partition);
    match found {
        Ok(Some(committed)) => answer
            .with_committed_offset(committed.offset)
            .with_committed_leader_epoch(committed.leader_epoch)
            .with_metadata(Some(committed.metadata.clone())),
        Ok(None) => nothing(answer),
        Err(code) => nothing(answer).with_error_code(code.code()),
    }
}

/// Before version 2 only partitions had errors.
fn refuse_old(asked: Vec<Asked>, code: ResponseError, version: i16) -> OffsetFetchResponse {
    /// From this version on the whole answer has an error.
    const WITH_ERROR: i16 = 2;
    if version >= WITH_ERROR {
        return OffsetFetchResponse::default().with_error_code(code.code());
    }
    let topics = asked.into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|partition| answer(partition, Err(code)));
        let partitions = partitions.collect();
        OffsetFetchResponseTopics::default().with_name(topic).with_partitions(partitions)
    });
    OffsetFetchResponse::default().with_topics(topics.map(old_topic).collect())
}

fn nothing(answer: OffsetFetchResponsePartitions) -> OffsetFetchResponsePartitions {
    answer
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::new()))
}

fn old_topic(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|partition| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_committed_offset(partition.committed_offset)
            .with_committed_leader_epoch(partition.committed_leader_epoch)
            .with_metadata(partition.metadata)
            .with_error_code(partition.error_code)
    });
    let partitions = partitions.collect();
    OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions)
}
