use std::sync::Arc;

use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::group::{check_partition, code, copy, copy_optional};
use crate::broker::Broker;
use crate::group::command::MemberRef;
use crate::group::offsets::{Committed, TopicPartition};
use crate::server::Peer;
use crate::server::access::Operation;

/// From this version on offsets are kept for as long as the log is set up to.
const NO_RETENTION: i16 = 5;

/// From this version on the leader's epoch is said.
const WITH_EPOCH: i16 = 6;

/// Keeps how far a group is.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: OffsetCommitRequest,
    version: i16,
) -> OffsetCommitResponse {
    let now_ms = broker.seams().clock.now().as_millis();
    let kept_ms = Some(request.retention_time_ms).filter(|ms| version < NO_RETENTION && *ms >= 0);
    let member = MemberRef {
        member_id: request.member_id,
        instance_id: copy_optional(&request.group_instance_id),
        generation: request.generation_id_or_member_epoch,
    };
    let allowed = peer.check_group(broker, Operation::Read, &request.group_id);
    let mut offsets = Vec::new();
    let mut answers = Vec::new();
    for topic in &request.topics {
        let name = copy(&topic.name);
        for partition in &topic.partitions {
            let index = partition.partition_index;
            let allowed = allowed.and(peer.check_topic(broker, Operation::Read, &name));
            let checked = allowed.and_then(|()| check_partition(broker, &name, index));
            answers.push(checked);
            if checked.is_err() {
                continue;
            }
            let committed = Committed {
                offset: partition.committed_offset,
                leader_epoch: match version >= WITH_EPOCH {
                    true => partition.committed_leader_epoch,
                    false => -1,
                },
                metadata: copy_optional(&partition.committed_metadata).unwrap_or_default(),
                commit_time_ms: now_ms,
                expire_time_ms: kept_ms.map(|ms| now_ms.saturating_add(ms)),
            };
            let place = TopicPartition { topic: name.clone(), partition: index };
            offsets.push((place, committed));
        }
    }
    let group = copy(&request.group_id);
    let results = match allowed {
        Ok(()) => broker.groups().commit(&group, &member, offsets).await,
        Err(_) => Vec::new(),
    };
    let mut results = results.into_iter();
    // Results come in the order of those partitions that there are.
    let mut answers = answers.into_iter().map(|answer| match answer {
        Ok(()) => results.next().unwrap_or(Ok(())),
        refused => refused,
    });
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(answers.next().unwrap_or(Ok(()))))
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}
