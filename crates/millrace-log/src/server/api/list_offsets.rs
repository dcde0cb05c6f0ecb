use std::collections::HashSet;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::partition::{check_leader_epoch, isolation};
use crate::broker::{Broker, LEADER_EPOCH};
use crate::error::{LogError, Result};
use crate::server::Peer;
use crate::server::access::Operation;
use crate::storage::{Isolation, PartitionLog};

/// What is asked for instead of a time.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// These places with the versions from which on they can be asked for.
const LATER_PLACES: [(i64, i16); 3] = [(MAX_TIMESTAMP, 7), (EARLIEST_LOCAL, 8), (LATEST_TIERED, 9)];

/// From this version on the answer has the leader's epoch.
const WITH_EPOCH: i16 = 4;

/// "There is none" for offsets, times and epochs.
const UNKNOWN: i64 = -1;

/// Offsets by time, and the first and last ones.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: ListOffsetsRequest,
    version: i16,
) -> ListOffsetsResponse {
    // What is not one of the ends is looked for among records, which may have to be inflated.
    let mut partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
    let ends = [LATEST, EARLIEST, EARLIEST_LOCAL, LATEST_TIERED];
    if partitions.all(|asked| ends.contains(&asked.timestamp)) {
        return find_all(broker, peer, request, version);
    }
    let (peer, asked) = (peer.clone(), request.clone());
    let found = broker.inflating(move |broker| find_all(broker, &peer, asked, version)).await;
    found.unwrap_or_else(|error| refuse_all(request, &error, version))
}

/// Where looking for offsets went wrong altogether.
fn refuse_all(request: ListOffsetsRequest, error: &LogError, version: i16) -> ListOffsetsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let refuse = |asked: &ListOffsetsPartition| {
            answer(asked.partition_index, Err(error.code().into()), version)
        };
        let partitions = topic.partitions.iter().map(refuse).collect();
        ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn find_all(
    broker: &Broker,
    peer: &Peer,
    request: ListOffsetsRequest,
    version: i16,
) -> ListOffsetsResponse {
    let isolation = isolation(request.isolation_level);
    let mut seen = HashSet::new();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let first = seen.insert((topic.name.clone(), partition.partition_index));
            let log = broker.partition(&topic.name, partition.partition_index);
            let log = log.ok_or(ResponseError::UnknownTopicOrPartition);
            let log = peer.check_topic(broker, Operation::Describe, &topic.name).and(log);
            let found = match log {
                _ if !first => Err(ResponseError::InvalidRequest.into()),
                Err(ResponseError::TopicAuthorizationFailed) => {
                    Err(ResponseError::TopicAuthorizationFailed.into())
                }
                log => check_version(partition.timestamp, version)
                    .and_then(|()| Ok((log?, isolation?)))
                    .and_then(|(log, isolation)| find(&log, partition, isolation)),
            };
            answer(partition.partition_index, found, version)
        });
        let partitions = partitions.collect();
        ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn check_version(timestamp: i64, version: i16) -> Result<()> {
    let known = |(place, since): &(i64, i16)| *place == timestamp && version >= *since;
    let is_time = timestamp >= 0 || matches!(timestamp, LATEST | EARLIEST);
    match is_time || LATER_PLACES.iter().any(known) {
        true => Ok(()),
        false => Err(ResponseError::UnsupportedVersion.into()),
    }
}

/// The offset and its record's time, if there is such a record.
fn find(
    log: &PartitionLog,
    asked: &ListOffsetsPartition,
    isolation: Isolation,
) -> Result<Option<(i64, i64)>> {
    check_leader_epoch(asked.current_leader_epoch)?;
    Ok(match asked.timestamp {
        LATEST if isolation == Isolation::ReadCommitted => {
            Some((log.last_stable_offset(), UNKNOWN))
        }
        LATEST => Some((log.high_watermark(), UNKNOWN)),
        EARLIEST | EARLIEST_LOCAL => Some((log.log_start_offset(), UNKNOWN)),
        MAX_TIMESTAMP => log.max_timestamp()?,
        // Nothing is ever moved to another storage.
        LATEST_TIERED => None,
        _ => log.offset_for_time(asked.timestamp, isolation)?,
    })
}

fn answer(
    index: i32,
    found: Result<Option<(i64, i64)>>,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let partition = ListOffsetsPartitionResponse::default().with_partition_index(index);
    match found {
        Ok(Some((offset, time_ms))) => {
            let epoch = if version >= WITH_EPOCH { LEADER_EPOCH } else { -1 };
            partition.with_offset(offset).with_timestamp(time_ms).with_leader_epoch(epoch)
        }
        Ok(None) => partition.with_offset(UNKNOWN).with_timestamp(UNKNOWN),
        Err(error) => partition
            .with_offset(UNKNOWN)
            .with_timestamp(UNKNOWN)
            .with_error_code(error.code().code()),
    }
}
