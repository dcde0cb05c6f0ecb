//! Finds out from the topic itself how a transaction ended.
//!
//! A coordinator forgets a transaction as soon as its transactional id is used again. The topic
//! does not: a reader with `read_committed` is told which transactions of the part it reads were
//! aborted. So one record of a transaction, its *witness*, tells what became of all of it.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{BrokerId, TopicName};
use kafka_protocol::protocol::StrBytes;
use millrace_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::client::{WireClient, address, patiently};
use super::fault::Fault;

const READ_COMMITTED: i8 = 1;

/// A record of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Witness {
    pub partition: i32,
    pub offset: i64,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed,
    Aborted,
    /// The topic no longer has the record: retention removed it.
    Removed,
    /// The topic does not exist, or ends before the record: it was deleted or made anew.
    Lost,
}

impl WireClient {
    /// How the transaction ended to which `producer_id` wrote `witness`. Waits while it is open.
    ///
    /// # Errors
    /// `FixInput` when the topic may not be read, `Retry` when the cluster does not answer, or the
    /// transaction stays open.
    pub async fn outcome(
        &mut self,
        topic: &str,
        witness: Witness,
        producer_id: i64,
    ) -> Result<Outcome> {
        patiently!(self, self.try_outcome(topic, witness, producer_id))
    }

    async fn try_outcome(
        &mut self,
        topic: &str,
        witness: Witness,
        producer_id: i64,
    ) -> Result<Outcome, Fault> {
        let Some(leader) = self.leader(topic, witness.partition).await? else {
            return Ok(Outcome::Lost);
        };
        let answer = self.call(&leader, &fetch(topic, witness), 11).await?;
        let doing = format!("read partition {} of topic `{topic}`", witness.partition);
        let codes = answer.responses.iter().flat_map(|topic| &topic.partitions);
        let Some(found) = codes.into_iter().find(|one| one.partition_index == witness.partition)
        else {
            let code = ResponseError::try_from_code(answer.error_code);
            return Err(Fault::of(code.unwrap_or(ResponseError::UnknownServerError), &doing));
        };
        match ResponseError::try_from_code(found.error_code) {
            None => judge(found, witness, producer_id, topic),
            Some(ResponseError::OffsetOutOfRange) if witness.offset < found.log_start_offset => {
                Ok(Outcome::Removed)
            }
            Some(ResponseError::OffsetOutOfRange) => Ok(Outcome::Lost),
            Some(code) => Err(Fault::of(code, &doing)),
        }
    }

    /// The address of the partition's leader; `None` when there is no such partition.
    async fn leader(&mut self, topic: &str, partition: i32) -> Result<Option<String>, Fault> {
        let metadata = self.metadata(Some(topic)).await?;
        let doing = format!("find the leader of partition {partition} of topic `{topic}`");
        let Some(found) = metadata.topics.first() else { return Ok(None) };
        match ResponseError::try_from_code(found.error_code) {
            Some(ResponseError::UnknownTopicOrPartition) => return Ok(None),
            Some(code) => return Err(Fault::of(code, &doing)),
            None => {}
        }
        let Some(found) = found.partitions.iter().find(|one| one.partition_index == partition)
        else {
            return Ok(None);
        };
        let leader = metadata.brokers.iter().find(|broker| broker.node_id == found.leader_id);
        match leader {
            Some(leader) => Ok(Some(address(&leader.host, leader.port))),
            None => Err(Fault::of(ResponseError::LeaderNotAvailable, &doing)),
        }
    }
}

fn fetch(topic: &str, witness: Witness) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(witness.partition)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(witness.offset)
        .with_log_start_offset(-1)
        // One batch comes whatever its size.
        .with_partition_max_bytes(1);
    let topic = FetchTopic::default()
        .with_topic(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(1)
        .with_isolation_level(READ_COMMITTED)
        .with_session_id(0)
        // No session.
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

fn judge(
    found: &PartitionData,
    witness: Witness,
    producer_id: i64,
    topic: &str,
) -> Result<Outcome, Fault> {
    if found.log_start_offset > witness.offset {
        return Ok(Outcome::Removed);
    }
    if found.high_watermark >= 0 && found.high_watermark <= witness.offset {
        return Ok(Outcome::Lost);
    }
    if found.last_stable_offset <= witness.offset {
        return Err(Fault::Passing(Error::retry(format!(
            "a transaction at offset {} of partition {} of topic `{topic}` stays open",
            witness.offset, witness.partition
        ))));
    }
    // A producer has one transaction at a time, so one that it began at or before the witness, and
    // that was not over there, is the witness's.
    let aborted = found.aborted_transactions.iter().flatten().any(|aborted| {
        aborted.producer_id.0 == producer_id && aborted.first_offset <= witness.offset
    });
    Ok(if aborted { Outcome::Aborted } else { Outcome::Committed })
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::ProducerId;
    use kafka_protocol::messages::fetch_response::AbortedTransaction;

    use super::*;

    const WITNESS: Witness = Witness { partition: 0, offset: 100 };

    fn partition(start: i64, stable: i64, end: i64, aborted: &[(i64, i64)]) -> PartitionData {
        let aborted = aborted.iter().map(|&(producer, first_offset)| {
            AbortedTransaction::default()
                .with_producer_id(ProducerId(producer))
                .with_first_offset(first_offset)
        });
        PartitionData::default()
            .with_log_start_offset(start)
            .with_last_stable_offset(stable)
            .with_high_watermark(end)
            .with_aborted_transactions(Some(aborted.collect()))
    }

    fn judged(found: PartitionData) -> Result<Outcome, Fault> {
        judge(&found, WITNESS, 7, "out")
    }

    #[test]
    fn a_transaction_is_committed_unless_it_is_among_the_aborted() {
        assert_eq!(judged(partition(0, 101, 101, &[])).unwrap(), Outcome::Committed);
        assert_eq!(judged(partition(0, 101, 101, &[(7, 98)])).unwrap(), Outcome::Aborted);
        // Another producer's, and a later one of the same producer.
        let others = [(8, 98), (7, 101)];
        assert_eq!(judged(partition(0, 200, 200, &others)).unwrap(), Outcome::Committed);
    }

    #[test]
    fn an_open_transaction_is_waited_for() {
        assert!(matches!(judged(partition(0, 100, 101, &[])), Err(Fault::Passing(_))));
    }

    #[test]
    fn a_record_that_is_gone_tells_by_which_end() {
        assert_eq!(judged(partition(101, 150, 150, &[])).unwrap(), Outcome::Removed);
        assert_eq!(judged(partition(0, 100, 100, &[])).unwrap(), Outcome::Lost);
    }
}
