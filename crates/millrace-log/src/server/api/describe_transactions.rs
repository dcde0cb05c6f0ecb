use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ProducerId, TopicName,
    TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;

/// What is known of transactional ids.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DescribeTransactionsRequest,
    _version: i16,
) -> DescribeTransactionsResponse {
    let states = request.transactional_ids.into_iter().map(|id| describe(broker, peer, id));
    DescribeTransactionsResponse::default().with_transaction_states(states.collect())
}

fn describe(broker: &Broker, peer: &Peer, id: TransactionalId) -> TransactionState {
    let state = TransactionState::default();
    if id.is_empty() {
        return state
            .with_transactional_id(id)
            .with_error_code(ResponseError::InvalidRequest.code());
    }
    if let Err(code) = peer.check_transactional_id(broker, Operation::Describe, &id) {
        return state.with_transactional_id(id).with_error_code(code.code());
    }
    let Some(transaction) = broker.transactions().get(&id) else {
        let code = ResponseError::TransactionalIdNotFound.code();
        return state.with_transactional_id(id).with_error_code(code);
    };
    let visible =
        |(topic, _): &(String, _)| peer.check_topic(broker, Operation::Describe, topic).is_ok();
    let topics = transaction.partitions.into_iter().filter(visible).map(|(topic, partitions)| {
        TopicData::default()
            .with_topic(TopicName(StrBytes::from_string(topic)))
            .with_partitions(partitions.into_iter().collect())
    });
    state
        .with_transactional_id(id)
        .with_transaction_state(StrBytes::from_static_str(transaction.state.name()))
        .with_transaction_timeout_ms(transaction.timeout_ms)
        .with_transaction_start_time_ms(transaction.started_ms.unwrap_or(-1))
        .with_producer_id(ProducerId(transaction.producer.id))
        .with_producer_epoch(transaction.producer.epoch)
        .with_topics(topics.collect())
}
