//! What configurations belong to: topics, groups and the broker.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;

use crate::broker::{Broker, NODE_ID, Topic, check_topic_name};
use crate::error::{LogError, Result};
use crate::server::Peer;
use crate::server::access::Operation;

pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;

/// A thing with configurations.
pub(super) enum Resource {
    Topic(Arc<Topic>),
    /// A group that shares records, whether or not anybody works for it yet.
    Group(String),
    /// This broker.
    Broker,
    /// What all brokers of a cluster share: nothing, here.
    AllBrokers,
}

/// Finds what a request names.
///
/// # Errors
/// There is no such thing, or the client may not do with it what it wants to.
pub(super) fn find(
    broker: &Broker,
    (peer, operation): (&Peer, Operation),
    kind: i8,
    name: &str,
) -> Result<Resource> {
    match kind {
        TOPIC => peer
            .check_topic(broker, operation, name)
            .map_err(|code| LogError::rejected(code, "Topic authorization failed."))?,
        BROKER => peer
            .check_cluster(broker, operation)
            .map_err(|code| LogError::rejected(code, "Cluster authorization failed."))?,
        GROUP => peer
            .check_group(broker, operation, name)
            .map_err(|code| LogError::rejected(code, "Group authorization failed."))?,
        _ => {}
    }
    match kind {
        TOPIC => {
            check_topic_name(name)?;
            let topic = broker.topics().get(name);
            topic.map(Resource::Topic).ok_or_else(|| {
                LogError::rejected(
                    ResponseError::UnknownTopicOrPartition,
                    format!("The topic '{name}' does not exist."),
                )
            })
        }
        GROUP if name.is_empty() => Err(LogError::rejected(
            ResponseError::InvalidRequest,
            "Default group resources are not allowed.",
        )),
        GROUP => Ok(Resource::Group(name.to_owned())),
        BROKER if name.is_empty() => Ok(Resource::AllBrokers),
        BROKER if name.parse() == Ok(NODE_ID) => Ok(Resource::Broker),
        BROKER => Err(LogError::rejected(
            ResponseError::InvalidRequest,
            format!(
                "Unexpected broker id, expected {NODE_ID} or empty string, but received '{}'",
                name.escape_debug()
            ),
        )),
        _ => Err(LogError::rejected(
            ResponseError::InvalidRequest,
            format!("Resources of type {kind} are not supported."),
        )),
    }
}
