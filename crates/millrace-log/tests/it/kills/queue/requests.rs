//! What a worker of a queue sends, and what the test reads and sets beside.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::describe_share_group_offsets_request::{
    DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::share_fetch_request as share_fetch;
use kafka_protocol::messages::{
    DescribeShareGroupOffsetsRequest, FetchRequest, GroupId, IncrementalAlterConfigsRequest,
    ShareAcknowledgeRequest, ShareFetchRequest, TopicName,
    share_acknowledge_request as share_acknowledge,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{Record, RecordBatchDecoder};
use uuid::Uuid;

use super::{COUNT_LIMIT, DEAD_LETTERS, GROUP, LOCK_MS};
use crate::client::text;
use crate::kills::PARTITIONS;
use crate::kills::rpc::{Link, topic, whole_batches};
use crate::queue_history::Kind;

const GROUP_RESOURCE: i8 = 32;

/// What is said about records, by partition: offsets in order, each with its word.
pub type Said = BTreeMap<i32, Vec<(i64, Kind)>>;

pub fn group() -> GroupId {
    GroupId(text(GROUP))
}

/// Runs of offsets, each with a word for each offset, or with one for all if they are the same.
fn runs(said: &[(i64, Kind)]) -> Vec<(i64, i64, Vec<i8>)> {
    let mut runs: Vec<(i64, i64, Vec<i8>)> = Vec::new();
    for &(offset, kind) in said {
        let id = match kind {
            Kind::Accept => 1,
            Kind::Release => 2,
            Kind::Reject => 3,
        };
        match runs.last_mut() {
            Some((_, last, ids)) if *last + 1 == offset => {
                *last = offset;
                ids.push(id);
            }
            _ => runs.push((offset, offset, vec![id])),
        }
    }
    for (_, _, ids) in &mut runs {
        if ids.iter().all(|id| *id == ids[0]) {
            ids.truncate(1);
        }
    }
    runs
}

/// Asks for records of all partitions of the topic.
pub fn fetch_request(
    member: &StrBytes,
    epoch: i32,
    topic_id: Uuid,
    said: &Said,
    (max_wait_ms, max_records): (i32, i32),
) -> ShareFetchRequest {
    let partitions = (0..i32::from(PARTITIONS))
        .filter(|partition| epoch == 0 || said.contains_key(partition))
        .map(|partition| {
            let runs = runs(said.get(&partition).map_or(&[], Vec::as_slice)).into_iter();
            let batches = runs.map(|(first, last, ids)| {
                share_fetch::AcknowledgementBatch::default()
                    .with_first_offset(first)
                    .with_last_offset(last)
                    .with_acknowledge_types(ids)
            });
            share_fetch::FetchPartition::default()
                .with_partition_index(partition)
                .with_acknowledgement_batches(batches.collect())
        })
        .collect();
    let asked =
        share_fetch::FetchTopic::default().with_topic_id(topic_id).with_partitions(partitions);
    ShareFetchRequest::default()
        .with_group_id(Some(group()))
        .with_member_id(Some(member.clone()))
        .with_share_session_epoch(epoch)
        .with_max_wait_ms(max_wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_max_records(max_records)
        .with_batch_size(max_records)
        .with_topics(vec![asked])
}

pub fn acknowledge_request(
    member: &StrBytes,
    epoch: i32,
    topic_id: Uuid,
    said: &Said,
) -> ShareAcknowledgeRequest {
    let partitions = said.iter().map(|(partition, said)| {
        let batches = runs(said).into_iter().map(|(first, last, ids)| {
            share_acknowledge::AcknowledgementBatch::default()
                .with_first_offset(first)
                .with_last_offset(last)
                .with_acknowledge_types(ids)
        });
        share_acknowledge::AcknowledgePartition::default()
            .with_partition_index(*partition)
            .with_acknowledgement_batches(batches.collect())
    });
    let about = share_acknowledge::AcknowledgeTopic::default()
        .with_topic_id(topic_id)
        .with_partitions(partitions.collect());
    ShareAcknowledgeRequest::default()
        .with_group_id(Some(group()))
        .with_member_id(Some(member.clone()))
        .with_share_session_epoch(epoch)
        .with_topics(vec![about])
}

/// The group begins with the first record, gives up after a few tries, and has a dead-letter topic.
pub async fn configure(link: &mut Link) {
    let (lock_ms, count_limit) = (LOCK_MS.to_string(), COUNT_LIMIT.to_string());
    let settings = [
        ("share.auto.offset.reset", "earliest"),
        ("share.record.lock.duration.ms", &*lock_ms),
        ("share.delivery.count.limit", &*count_limit),
        ("errors.deadletterqueue.topic.name", DEAD_LETTERS),
    ];
    let configs = settings.iter().map(|(name, value)| {
        AlterableConfig::default().with_name(text(name)).with_value(Some(text(value)))
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(GROUP_RESOURCE)
        .with_resource_name(text(GROUP))
        .with_configs(configs.collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let response = link.ask(1, &request).await.expect("the broker is up");
    assert_eq!(response.responses[0].error_code, 0, "{:?}", response.responses[0].error_message);
}

/// The first record of each partition that is not done; none when the question was not answered.
pub async fn start_offsets(link: &mut Link) -> Option<BTreeMap<i32, i64>> {
    let asked = DescribeShareGroupOffsetsRequestTopic::default()
        .with_topic_name(topic())
        .with_partitions((0..i32::from(PARTITIONS)).collect());
    let asked = DescribeShareGroupOffsetsRequestGroup::default()
        .with_group_id(group())
        .with_topics(Some(vec![asked]));
    let request = DescribeShareGroupOffsetsRequest::default().with_groups(vec![asked]);
    let response = link.ask(0, &request).await?;
    let topic = response.groups.first()?.topics.first()?;
    let offsets = topic.partitions.iter();
    Some(offsets.map(|answer| (answer.partition_index, answer.start_offset)).collect())
}

/// All records of the dead-letter topic, which has one partition, each with the time at which it was
/// appended.
pub async fn dead_letters(link: &mut Link) -> Vec<(i64, Record)> {
    let (mut records, mut offset) = (Vec::new(), 0);
    loop {
        let asked =
            FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
        let asked = FetchTopic::default()
            .with_topic(TopicName(text(DEAD_LETTERS)))
            .with_partitions(vec![asked]);
        let request = FetchRequest::default()
            .with_max_bytes(1 << 20)
            .with_session_epoch(-1)
            .with_topics(vec![asked]);
        let response = link.ask(11, &request).await.expect("the broker is up");
        let answer = &response.responses[0].partitions[0];
        assert_eq!(answer.error_code, 0);
        let before = offset;
        let mut bytes = whole_batches(answer.records.clone().unwrap_or_default());
        while !bytes.is_empty() {
            let length = u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
            let batch = bytes.split_to(12 + length);
            let appended_ms = i64::from_be_bytes(batch[35..43].try_into().unwrap());
            for record in decode(batch).into_iter().filter(|record| record.offset >= before) {
                offset = record.offset + 1;
                records.push((appended_ms, record));
            }
        }
        if offset == before {
            return records;
        }
    }
}

/// The records of the whole batches that there are.
pub fn decode(bytes: Bytes) -> Vec<Record> {
    let mut bytes = whole_batches(bytes);
    let sets = RecordBatchDecoder::decode_all(&mut bytes).expect("whole batches come back");
    sets.into_iter().flat_map(|set| set.records).collect()
}
