//! Partitions as transactions see them.

use kafka_protocol::error::ResponseError;

use super::{Broker, OFFSETS_TOPIC};
use crate::error::{LogError, Result};
use crate::storage::TransactionOutcome;
use crate::transaction::{BoxFuture, OpenTransaction, Participants, Producer};

/// The epoch of the only coordinator, which has no rivals to be told from.
const COORDINATOR_EPOCH: i32 = 0;

impl Participants for Broker {
    fn append_marker(
        &self,
        topic: &str,
        partition: i32,
        producer: Producer,
        outcome: TransactionOutcome,
    ) -> Result<()> {
        // A topic that was deleted since has nothing open.
        let Some(log) = self.partition(topic, partition) else { return Ok(()) };
        let written = log.append_marker(producer.id, producer.epoch, COORDINATOR_EPOCH, outcome);
        match written {
            // The partition has seen a later owner, so this one's transaction has ended there. Only
            // a loss of power that took the coordinator's newest entries can lead to that.
            Err(LogError::Refused(ResponseError::InvalidProducerEpoch)) => {
                tracing::warn!(topic, partition, ?producer, "a marker is older than its partition");
                Ok(())
            }
            Err(error) => Err(error),
            Ok(_) => {
                if topic == OFFSETS_TOPIC {
                    self.groups().complete_transaction(producer.id, outcome);
                }
                Ok(())
            }
        }
    }

    fn durable<'a>(&'a self, topic: &'a str, partition: i32) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match self.partition(topic, partition) {
                Some(log) => log.durable(log.log_end_offset() - 1).await,
                None => Ok(()),
            }
        })
    }

    fn open_transactions(&self) -> Vec<OpenTransaction> {
        let mut all = Vec::new();
        for topic in self.topics().list() {
            for (index, log) in (0..).zip(topic.partitions()) {
                all.extend(log.open_transactions().into_iter().map(|open| OpenTransaction {
                    topic: topic.name.clone(),
                    partition: index,
                    producer: Producer { id: open.producer_id, epoch: open.producer_epoch },
                }));
            }
        }
        all
    }
}
