//! What a checkpoint keeps of a prepared transaction.

use millrace_core::{Committable, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kafka::wire::Witness;

/// The version of both that this program writes.
const VERSION: u32 = 1;

/// A transaction whose records are delivered, and that waits for its checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TransactionCommittable {
    version: u32,
    pub transactional_id: String,
    /// With the epoch: which transaction of the id.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub topic: String,
    /// One of its records, to ask the topic how the transaction ended.
    pub witness: Witness,
    /// Where the cluster was; for messages, and for people who read the manifest.
    pub bootstrap_servers: String,
}

impl TransactionCommittable {
    pub fn new(
        (transactional_id, producer_id, producer_epoch): (String, i64, i16),
        topic: String,
        witness: Witness,
        bootstrap_servers: String,
    ) -> Self {
        TransactionCommittable {
            version: VERSION,
            transactional_id,
            producer_id,
            producer_epoch,
            topic,
            witness,
            bootstrap_servers,
        }
    }

    pub fn to_committable(&self, rows: u64) -> Committable {
        let payload = serde_json::to_value(self).expect("texts and numbers can be written as JSON");
        Committable { payload, rows }
    }

    /// `None` for what a sink without transactions leaves: rows that were visible already.
    ///
    /// # Errors
    /// `Restore` when it cannot be understood.
    pub fn parse(committable: &Committable) -> Result<Option<Self>> {
        if committable.payload.is_null() {
            return Ok(None);
        }
        read_versioned("a prepared Kafka transaction", &committable.payload).map(Some)
    }
}

/// The writer's state: where to look for transactions that it left open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TransactionState {
    version: u32,
    /// What its transactional ids began with.
    pub prefix: String,
}

impl TransactionState {
    pub fn new(prefix: String) -> Self {
        TransactionState { version: VERSION, prefix }
    }

    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("texts can be written as JSON")
    }

    /// `None` for the state of a sink without transactions.
    ///
    /// # Errors
    /// `Restore` when it cannot be understood.
    pub fn parse(state: &Value) -> Result<Option<Self>> {
        if state.is_null() {
            return Ok(None);
        }
        read_versioned("a Kafka sink's state", state).map(Some)
    }
}

fn read_versioned<T: for<'a> Deserialize<'a>>(what: &str, json: &Value) -> Result<T> {
    let cannot = |why: String| Error::restore(format!("{what} cannot be understood: {why}"));
    match json.get("version").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => return Err(cannot(format!("its version is {version}"))),
        None => return Err(cannot("it has no version".into())),
    }
    T::deserialize(json).map_err(|cause| cannot(cause.to_string()))
}

#[cfg(test)]
mod tests {
    use millrace_core::ErrorKind;
    use serde_json::json;

    use super::*;

    fn stored() -> Value {
        json!({
            "version": 1,
            "transactional_id": "orders-0-2",
            "producer_id": 4000,
            "producer_epoch": 7,
            "topic": "out",
            "witness": {"partition": 3, "offset": 1234567890123i64},
            "bootstrap_servers": "localhost:9092",
        })
    }

    #[test]
    fn version_1_is_what_is_written_and_read() {
        let witness = Witness { partition: 3, offset: 1_234_567_890_123 };
        let transaction = TransactionCommittable::new(
            ("orders-0-2".into(), 4000, 7),
            "out".into(),
            witness,
            "localhost:9092".into(),
        );
        let committable = transaction.to_committable(5);
        assert_eq!(committable.payload, stored());
        assert_eq!(TransactionCommittable::parse(&committable).unwrap(), Some(transaction));
        let state = TransactionState::new("orders".into());
        assert_eq!(state.to_json(), json!({"version": 1, "prefix": "orders"}));
        assert_eq!(TransactionState::parse(&state.to_json()).unwrap(), Some(state));
    }

    #[test]
    fn what_cannot_be_understood_is_not_taken_for_nothing() {
        for broken in [json!({"version": 2}), json!({"version": 1}), json!([]), json!("x")] {
            let committable = Committable { payload: broken.clone(), rows: 1 };
            let error = TransactionCommittable::parse(&committable).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Restore);
            assert_eq!(TransactionState::parse(&broken).unwrap_err().kind(), ErrorKind::Restore);
        }
        let visible = Committable { payload: Value::Null, rows: 1 };
        assert_eq!(TransactionCommittable::parse(&visible).unwrap(), None);
    }
}
