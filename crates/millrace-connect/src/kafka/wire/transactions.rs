//! What recovery asks of transaction coordinators.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    DescribeTransactionsRequest, EndTxnRequest, InitProducerIdRequest, ListTransactionsRequest,
    ProducerId, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use millrace_core::Result;

use super::client::{WireClient, patiently};
use super::fault::Fault;

/// The answer to a request to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is committed, now or before.
    Committed,
    /// This producer id and epoch have no transaction that could be committed: it was committed or
    /// aborted, and the coordinator has moved on since.
    Unknown,
}

/// How a transactional id stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransactionState {
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// Kafka's name: `Empty`, `Ongoing`, `CompleteCommit`, …
    pub state: String,
}

impl WireClient {
    /// Commits the transaction of this producer id and epoch. Repeating it changes nothing.
    ///
    /// # Errors
    /// `FixInput` when it is not allowed, `Retry` when the cluster does not answer.
    pub async fn commit(
        &mut self,
        transactional_id: &str,
        producer_id: i64,
        producer_epoch: i16,
    ) -> Result<End> {
        patiently!(self, self.try_commit(transactional_id, producer_id, producer_epoch))
    }

    async fn try_commit(&mut self, id: &str, pid: i64, epoch: i16) -> Result<End, Fault> {
        let coordinator = self.coordinator(id).await?;
        let request = EndTxnRequest::default()
            .with_transactional_id(transactional_id(id))
            .with_producer_id(ProducerId(pid))
            .with_producer_epoch(epoch)
            .with_committed(true);
        // From version 5 on, a commit also raises the epoch (KIP-890), and only fits producers
        // that began their transaction that way; librdkafka does not.
        let answer = self.call(&coordinator, &request, 3).await?;
        match ResponseError::try_from_code(answer.error_code) {
            None => Ok(End::Committed),
            Some(
                ResponseError::InvalidProducerEpoch
                | ResponseError::ProducerFenced
                | ResponseError::InvalidProducerIdMapping
                | ResponseError::InvalidTxnState,
            ) => Ok(End::Unknown),
            Some(code) => Err(ended(code, &format!("commit the transaction `{id}`"))),
        }
    }

    /// How `transactional_id` stands, or `None` when its coordinator does not know it.
    ///
    /// # Errors
    /// `FixInput` when it is not allowed, `Retry` when the cluster does not answer.
    pub async fn describe(&mut self, transactional_id: &str) -> Result<Option<TransactionState>> {
        patiently!(self, self.try_describe(transactional_id))
    }

    async fn try_describe(&mut self, id: &str) -> Result<Option<TransactionState>, Fault> {
        let coordinator = self.coordinator(id).await?;
        let request = DescribeTransactionsRequest::default()
            .with_transactional_ids(vec![transactional_id(id)]);
        let answer = self.call(&coordinator, &request, 0).await?;
        let Some(found) = answer.transaction_states.first() else { return Ok(None) };
        match ResponseError::try_from_code(found.error_code) {
            None => Ok(Some(TransactionState {
                producer_id: found.producer_id.0,
                producer_epoch: found.producer_epoch,
                state: found.transaction_state.to_string(),
            })),
            Some(ResponseError::TransactionalIdNotFound) => Ok(None),
            Some(code) => Err(Fault::of(code, &format!("describe the transaction `{id}`"))),
        }
    }

    /// The transactional ids that begin with `prefix`, whatever their state.
    ///
    /// # Errors
    /// `FixInput` when a broker cannot tell, `Retry` when one does not answer.
    pub async fn transactional_ids(&mut self, prefix: &str) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for broker in self.brokers().await? {
            ids.extend(patiently!(self, self.try_list(&broker))?);
        }
        ids.retain(|id| id.starts_with(prefix));
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    async fn try_list(&mut self, broker: &str) -> Result<Vec<String>, Fault> {
        let answer = self.call(broker, &ListTransactionsRequest::default(), 0).await?;
        match ResponseError::try_from_code(answer.error_code) {
            None => {
                let found = answer.transaction_states.iter();
                Ok(found.map(|state| state.transactional_id.0.to_string()).collect())
            }
            Some(code) => Err(Fault::of(code, &format!("list the transactions of `{broker}`"))),
        }
    }

    /// Aborts what is open under `transactional_id`, and locks out every producer that used it.
    ///
    /// # Errors
    /// `FixInput` when it is not allowed, `Retry` when the cluster does not answer.
    pub async fn fence(&mut self, transactional_id: &str, timeout_ms: i32) -> Result<()> {
        patiently!(self, self.try_fence(transactional_id, timeout_ms))
    }

    async fn try_fence(&mut self, id: &str, timeout_ms: i32) -> Result<(), Fault> {
        let coordinator = self.coordinator(id).await?;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional_id(id)))
            .with_transaction_timeout_ms(timeout_ms)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let answer = self.call(&coordinator, &request, 4).await?;
        match ResponseError::try_from_code(answer.error_code) {
            None => Ok(()),
            Some(code) => Err(ended(code, &format!("abort the transaction `{id}`"))),
        }
    }
}

/// A transaction that is just being ended is waited for.
fn ended(code: ResponseError, doing: &str) -> Fault {
    match (code, Fault::of(code, doing)) {
        (ResponseError::ConcurrentTransactions, Fault::Lasting(error)) => Fault::Passing(error),
        (_, fault) => fault,
    }
}

fn transactional_id(id: &str) -> TransactionalId {
    TransactionalId(StrBytes::from_string(id.to_owned()))
}
