use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;

/// The volume's size can't be had.
const UNKNOWN: i64 = -1;

/// How many bytes the partitions take in the only directory.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DescribeLogDirsRequest,
    _version: i16,
) -> DescribeLogDirsResponse {
    if let Err(code) = peer.check_cluster(broker, Operation::Describe) {
        return DescribeLogDirsResponse::default().with_error_code(code.code());
    }
    let asked: Option<HashSet<(TopicName, i32)>> =
        request.topics.map(|topics| topics.iter().flat_map(topic_partitions).collect());
    let topics = broker.topics().list().into_iter().filter_map(|topic| {
        let name = TopicName(StrBytes::from_string(topic.name.clone()));
        let partitions: Vec<_> = (0..)
            .zip(topic.partitions())
            .filter(|(index, _)| {
                asked.as_ref().is_none_or(|asked| asked.contains(&(name.clone(), *index)))
            })
            .map(|(index, log)| {
                DescribeLogDirsPartition::default()
                    .with_partition_index(index)
                    .with_partition_size(i64::try_from(log.size_bytes()).unwrap_or(i64::MAX))
            })
            .collect();
        let described = DescribeLogDirsTopic::default().with_name(name);
        (!partitions.is_empty()).then(|| described.with_partitions(partitions))
    });
    let path = broker.data_path();
    let (total_bytes, usable_bytes) = space_bytes(&path).unwrap_or((UNKNOWN, UNKNOWN));
    let result = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_string(path.display().to_string()))
        .with_topics(topics.collect())
        .with_total_bytes(total_bytes)
        .with_usable_bytes(usable_bytes);
    DescribeLogDirsResponse::default().with_results(vec![result])
}

/// The size of the volume that a directory is on, and what is free of it.
fn space_bytes(path: &Path) -> Option<(i64, i64)> {
    let volume = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(volume.f_frsize)).ok();
    Some((bytes(volume.f_blocks)?, bytes(volume.f_bavail)?))
}

fn topic_partitions(topic: &DescribableLogDirTopic) -> impl Iterator<Item = (TopicName, i32)> {
    topic.partitions.iter().map(|index| (topic.topic.clone(), *index))
}
