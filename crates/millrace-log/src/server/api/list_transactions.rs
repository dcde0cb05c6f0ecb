use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_transactions_response::TransactionState as Listed;
use kafka_protocol::messages::{
    ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use regex::Regex;

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;
use crate::transaction::{Transaction, TransactionState};

/// States that Kafka has and this coordinator never shows: they pass as filters and match nothing.
const NEVER_SHOWN: [&str; 2] = ["Dead", "PrepareEpochFence"];

/// The most that a compiled pattern may take.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// The transactional ids that pass all filters.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: ListTransactionsRequest,
    _version: i16,
) -> ListTransactionsResponse {
    let pattern = match pattern(request.transactional_id_pattern.as_deref()) {
        Ok(pattern) => pattern,
        Err(code) => return ListTransactionsResponse::default().with_error_code(code.code()),
    };
    let is_known = |name: &StrBytes| {
        TransactionState::ALL.iter().any(|state| state.name() == name.as_str())
            || NEVER_SHOWN.contains(&name.as_str())
    };
    let unknown = request.state_filters.iter().filter(|name| !is_known(name)).cloned().collect();
    let now_ms = broker.seams().clock.now().as_millis();
    let passes = |id: &str, transaction: &Transaction| {
        let ids = &request.producer_id_filters;
        let states = &request.state_filters;
        (ids.is_empty() || ids.iter().any(|id| id.0 == transaction.producer.id))
            && (states.is_empty() || states.iter().any(|s| s.as_str() == transaction.state.name()))
            && runs_longer(transaction, request.duration_filter, now_ms)
            && peer.check_transactional_id(broker, Operation::Describe, id).is_ok()
            && pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
    };
    let listed = broker.transactions().list(passes).into_iter().map(|(id, producer, state)| {
        Listed::default()
            .with_transactional_id(TransactionalId(StrBytes::from_string(id)))
            .with_producer_id(ProducerId(producer.id))
            .with_transaction_state(StrBytes::from_static_str(state.name()))
    });
    ListTransactionsResponse::default()
        .with_unknown_state_filters(unknown)
        .with_transaction_states(listed.collect())
}

/// The pattern that whole ids have to match. None and an empty one let all through.
fn pattern(text: Option<&str>) -> Result<Option<Regex>, ResponseError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    // By itself first, so that it cannot close the group that is put around it.
    let compiled = Regex::new(text).and_then(|_| {
        regex::RegexBuilder::new(&format!("^(?:{text})$")).size_limit(MAX_PATTERN_BYTES).build()
    });
    compiled.map(Some).map_err(|_| ResponseError::InvalidRegularExpression)
}

/// Whether the transaction began more than `duration_ms` ago; a negative number asks for all.
fn runs_longer(transaction: &Transaction, duration_ms: i64, now_ms: i64) -> bool {
    duration_ms < 0
        || transaction.started_ms.is_some_and(|start| now_ms.saturating_sub(start) > duration_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_ids() {
        let matches = |text, id| pattern(Some(text)).unwrap().is_none_or(|p| p.is_match(id));
        assert!(matches("orders-.*", "orders-1") && !matches("orders-.*", "my-orders-1"));
        assert!(matches("a|b", "b") && !matches("a|b", "ab"));
        assert!(matches("", "anything"));
        for bad in ["(", "a)(b", "*", "a{1000000}{1000000}"] {
            assert_eq!(pattern(Some(bad)).err(), Some(ResponseError::InvalidRegularExpression));
        }
    }

    #[test]
    fn a_transaction_passes_when_it_runs_longer_than_asked() {
        let mut transaction = Transaction::new(1, 1, 0);
        assert!(runs_longer(&transaction, -1, 100) && !runs_longer(&transaction, 0, 100));
        transaction.started_ms = Some(40);
        assert!(runs_longer(&transaction, 59, 100) && !runs_longer(&transaction, 60, 100));
    }
}
