use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::group::{check_partition, code, copy, copy_optional};
use crate::broker::{Broker, OFFSETS_TOPIC};
use crate::group::command::MemberRef;
use crate::group::offsets::{Committed, TopicPartition};
use crate::server::Peer;
use crate::server::access::Operation;
use crate::transaction::{Admission, Partitions, Producer, refused_batch};

/// From this version on the leader's epoch is said.
const WITH_EPOCH: i16 = 2;

/// From this version on clients know that a transaction may have to be aborted.
const KNOWS_ABORTABLE: i16 = 4;

/// From this version on the request takes the offsets' partition into the transaction.
const TAKES_IN: i16 = 5;

/// Keeps how far a group is, if and when the transaction of a producer is committed.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: TxnOffsetCommitRequest,
    version: i16,
) -> TxnOffsetCommitResponse {
    let now_ms = broker.seams().clock.now().as_millis();
    let allowed = peer
        .check_transactional_id(broker, Operation::Write, &request.transactional_id)
        .and_then(|()| peer.check_group(broker, Operation::Read, &request.group_id));
    let mut offsets = Vec::new();
    let mut checks = Vec::new();
    for topic in &request.topics {
        let name = copy(&topic.name);
        for partition in &topic.partitions {
            let index = partition.partition_index;
            let allowed = allowed.and(peer.check_topic(broker, Operation::Read, &name));
            let checked = allowed.and_then(|()| check_partition(broker, &name, index));
            checks.push(checked);
            if checked.is_err() {
                continue;
            }
            let known_epoch = version >= WITH_EPOCH;
            let committed = Committed {
                offset: partition.committed_offset,
                leader_epoch: if known_epoch { partition.committed_leader_epoch } else { -1 },
                metadata: copy_optional(&partition.committed_metadata).unwrap_or_default(),
                commit_time_ms: now_ms,
                expire_time_ms: None,
            };
            offsets.push((TopicPartition { topic: name.clone(), partition: index }, committed));
        }
    }
    let results = match allowed {
        Ok(()) => commit(broker, &request, offsets, version).await,
        Err(_) => Vec::new(),
    };
    let mut results = results.into_iter();
    // Results come in the order of those partitions that there are.
    let mut answers = checks.into_iter().map(|check| match check {
        Ok(()) => results.next().unwrap_or(Ok(())),
        refused => refused,
    });
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(answers.next().unwrap_or(Ok(()))))
        });
        let partitions = partitions.collect();
        TxnOffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

/// Commits through the group; a result for each offset.
async fn commit(
    broker: &Broker,
    request: &TxnOffsetCommitRequest,
    offsets: Vec<(TopicPartition, Committed)>,
    version: i16,
) -> Vec<Result<(), ResponseError>> {
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let id = &request.transactional_id;
    // Held until the offsets are in the log: the markers of the transaction wait for them.
    let _admission = match admit(broker, id, producer, version).await {
        Ok(admission) => admission,
        Err(code) => return vec![Err(refused(code, version)); offsets.len()],
    };
    let member = MemberRef {
        member_id: copy(&request.member_id),
        instance_id: copy_optional(&request.group_instance_id),
        generation: request.generation_id,
    };
    let group = copy(&request.group_id);
    let groups = broker.groups();
    groups.txn_offset_commit(&group, &member, producer.id, producer.epoch, offsets).await
}

async fn admit(
    broker: &Broker,
    id: &str,
    producer: Producer,
    version: i16,
) -> Result<Admission, ResponseError> {
    let transactions = broker.transactions();
    if version < TAKES_IN {
        return transactions.admit(id, producer, OFFSETS_TOPIC, 0);
    }
    let partitions = Partitions::from([(OFFSETS_TOPIC.to_owned(), [0].into())]);
    let (admission, added) = transactions.add_and_admit(id, producer, &partitions)?;
    transactions.added(added).await?;
    Ok(admission)
}

fn refused(code: ResponseError, version: i16) -> ResponseError {
    match code {
        // The transaction before is being ended: the client is to ask again.
        ResponseError::ConcurrentTransactions => ResponseError::CoordinatorLoadInProgress,
        code => refused_batch(code, version >= KNOWS_ABORTABLE),
    }
}
