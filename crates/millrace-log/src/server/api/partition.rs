//! What several requests check in the same way.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use crate::broker::{Broker, LEADER_EPOCH, Topic};
use crate::server::Peer;
use crate::server::access::Operation;
use crate::storage::Isolation;

/// The isolation that a request names by number.
pub(super) fn isolation(level: i8) -> Result<Isolation, ResponseError> {
    match level {
        0 => Ok(Isolation::ReadUncommitted),
        1 => Ok(Isolation::ReadCommitted),
        _ => Err(ResponseError::InvalidRequest),
    }
}

/// Checks the epoch that a client knows, -1 for none, against the only one there is.
pub(super) fn check_leader_epoch(known: i32) -> Result<(), ResponseError> {
    if known > LEADER_EPOCH { Err(ResponseError::UnknownLeaderEpoch) } else { Ok(()) }
}

/// The topic that a request means: by its id where the version has ids, by its name before. The
/// client may do with it what it wants to.
pub(super) fn find_topic(
    broker: &Broker,
    (peer, operation): (&Peer, Operation),
    name: &TopicName,
    id: Uuid,
    by_id: bool,
) -> Result<Arc<Topic>, ResponseError> {
    if by_id {
        let topic = broker.topics().get_by_id(id).ok_or(ResponseError::UnknownTopicId)?;
        peer.check_topic(broker, operation, &topic.name)?;
        Ok(topic)
    } else {
        peer.check_topic(broker, operation, name)?;
        broker.topics().get(name).ok_or(ResponseError::UnknownTopicOrPartition)
    }
}
