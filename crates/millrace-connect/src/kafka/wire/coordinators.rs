//! Whether the brokers' lists of transactions are whole.
//!
//! A broker keeps the transactions of the partitions of `__transaction_state` that it leads. After
//! its start it answers before it has read them: `ListTransactions` then leaves out, without an
//! error, what it has not begun to read. A request about a certain id is refused in that time. So
//! one made-up id for each partition is asked about: when all of them are known to be unknown, the
//! lists have everything.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{DescribeTransactionsRequest, TransactionalId};
use kafka_protocol::protocol::StrBytes;
use millrace_core::Result;

use super::client::{WireClient, address, patiently};
use super::fault::Fault;

const TRANSACTIONS_TOPIC: &str = "__transaction_state";
const DOING: &str = "see whether all transactions are listed";

impl WireClient {
    /// Waits until the coordinators have read which transactions they have. The made-up ids that
    /// are asked about begin with `prefix`, which the user may describe.
    ///
    /// # Errors
    /// `FixInput` when it is not allowed, `Retry` when the cluster does not answer.
    pub async fn await_coordinators(&mut self, prefix: &str) -> Result<()> {
        patiently!(self, self.try_coordinators(prefix))
    }

    async fn try_coordinators(&mut self, prefix: &str) -> Result<(), Fault> {
        let metadata = self.metadata(Some(TRANSACTIONS_TOPIC)).await?;
        let Some(topic) = metadata.topics.first() else { return Ok(()) };
        match ResponseError::try_from_code(topic.error_code) {
            None => {}
            // There has been no transaction yet, or the broker keeps them elsewhere.
            Some(ResponseError::UnknownTopicOrPartition) => return Ok(()),
            Some(ResponseError::TopicAuthorizationFailed) => {
                tracing::warn!(
                    "topic `{TRANSACTIONS_TOPIC}` may not be described: if a broker has only just \
                     started, transactions of former runs may be overlooked, and hold up readers \
                     until they time out"
                );
                return Ok(());
            }
            Some(code) => return Err(Fault::of(code, DOING)),
        }
        let brokers: BTreeMap<i32, String> = metadata
            .brokers
            .iter()
            .map(|broker| (broker.node_id.0, address(&broker.host, broker.port)))
            .collect();
        for (leader, ids) in probes(topic, prefix) {
            let broker = brokers
                .get(&leader)
                .ok_or_else(|| Fault::of(ResponseError::LeaderNotAvailable, DOING))?;
            self.probe(broker, ids).await?;
        }
        Ok(())
    }

    async fn probe(&mut self, broker: &str, ids: Vec<String>) -> Result<(), Fault> {
        let ids = ids.into_iter().map(|id| TransactionalId(StrBytes::from_string(id)));
        let request = DescribeTransactionsRequest::default().with_transactional_ids(ids.collect());
        let answer = self.call(broker, &request, 0).await?;
        for state in &answer.transaction_states {
            match ResponseError::try_from_code(state.error_code) {
                None | Some(ResponseError::TransactionalIdNotFound) => {}
                Some(code) => return Err(Fault::of(code, DOING)),
            }
        }
        Ok(())
    }
}

/// An id for each partition, by the partition's leader (-1 for none).
fn probes(topic: &MetadataResponseTopic, prefix: &str) -> BTreeMap<i32, Vec<String>> {
    let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let mut probes: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for partition in &topic.partitions {
        let id = id_in(partition.partition_index, count, prefix);
        probes.entry(partition.leader_id.0).or_default().push(id);
    }
    probes
}

/// An id that begins with `prefix`, is none of a sink's, and whose state is in `partition`.
fn id_in(partition: i32, partitions: i32, prefix: &str) -> String {
    (0_u32..)
        .map(|number| format!("{prefix}-probe-{number}"))
        .find(|id| partition_of(id, partitions) == partition)
        .expect("some text has this hash")
}

/// The partition with the state of an id: Java's hash of the text, without its sign.
fn partition_of(id: &str, partitions: i32) -> i32 {
    let hash = id
        .encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Kafka takes 0 for the one number that has no opposite.
    hash.checked_abs().unwrap_or(0) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::BrokerId;
    use kafka_protocol::messages::metadata_response::MetadataResponsePartition;

    use super::*;

    #[test]
    fn an_id_lies_where_javas_hash_says() {
        // "hello".hashCode() is 99162322, "polygenelubricants".hashCode() the smallest int.
        assert_eq!(partition_of("hello", 50), 22);
        assert_eq!(partition_of("polygenelubricants", 50), 0);
    }

    #[test]
    fn every_partition_is_asked_about_at_its_leader() {
        let partition = |index: i32| {
            MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(BrokerId(if index == 3 { -1 } else { index % 2 }))
        };
        let topic =
            MetadataResponseTopic::default().with_partitions((0..50).map(partition).collect());
        let probes = probes(&topic, "orders");
        assert_eq!(probes[&-1].len(), 1);
        let mut found: Vec<i32> =
            probes.values().flatten().map(|id| partition_of(id, 50)).collect();
        found.sort_unstable();
        assert_eq!(found, (0..50).collect::<Vec<_>>());
    }
}
