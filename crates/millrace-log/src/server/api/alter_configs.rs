use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::resource::{self, Resource};
use crate::broker::Broker;
use crate::error::{LogError, Result};
use crate::server::Peer;
use crate::server::access::Operation;

/// Replaces all that is set for topics.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: AlterConfigsRequest,
    _version: i16,
) -> AlterConfigsResponse {
    let mut seen = HashSet::new();
    let mut responses = Vec::with_capacity(request.resources.len());
    for asked in request.resources {
        let altered = if seen.insert((asked.resource_type, asked.resource_name.clone())) {
            alter(broker, peer, &asked, request.validate_only).await
        } else {
            Err(named_twice())
        };
        let response = AlterConfigsResourceResponse::default()
            .with_resource_type(asked.resource_type)
            .with_resource_name(asked.resource_name);
        responses.push(match altered {
            Ok(()) => response.with_error_message(None),
            Err(error) => response
                .with_error_code(error.code().code())
                .with_error_message(Some(StrBytes::from_string(error.to_string()))),
        });
    }
    AlterConfigsResponse::default().with_responses(responses)
}

async fn alter(
    broker: &Arc<Broker>,
    peer: &Peer,
    asked: &AlterConfigsResource,
    validate_only: bool,
) -> Result<()> {
    let resource = resource::find(
        broker,
        (peer, Operation::AlterConfigs),
        asked.resource_type,
        &asked.resource_name,
    )?;
    let mut configs = BTreeMap::new();
    for config in &asked.configs {
        let value = config.value.as_ref().ok_or_else(|| no_value(&config.name))?;
        if configs.insert(config.name.to_string(), value.to_string()).is_some() {
            return Err(named_twice());
        }
    }
    match resource {
        Resource::Topic(topic) => apply(broker, topic.name.clone(), configs, validate_only).await,
        Resource::Group(group) => apply_group(broker, peer, &group, configs, validate_only),
        Resource::Broker | Resource::AllBrokers => fixed(asked.configs.iter().map(|c| &*c.name)),
    }
}

/// Puts other settings in force for a topic, or says whether that could be done.
pub(super) async fn apply(
    broker: &Arc<Broker>,
    topic: String,
    configs: BTreeMap<String, String>,
    validate_only: bool,
) -> Result<()> {
    if validate_only {
        return broker.topics().check_configs(&configs);
    }
    broker.blocking(move |broker| broker.topics().set_configs(&topic, configs)).await
}

/// Puts other settings in force for a group, or says whether that could be done. Who names a
/// dead-letter topic has to be allowed to write to it.
pub(super) fn apply_group(
    broker: &Broker,
    peer: &Peer,
    group: &str,
    set: BTreeMap<String, String>,
    validate_only: bool,
) -> Result<()> {
    if let Some(topic) = set.get(crate::queue::settings::DEAD_LETTER_TOPIC) {
        peer.check_topic(broker, Operation::Write, topic)?;
    }
    broker.queues().set_settings(broker, group, set, validate_only)
}

/// The broker's settings are fixed while it runs.
pub(super) fn fixed<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<()> {
    match names.next() {
        None => Ok(()),
        Some(name) => Err(LogError::rejected(
            ResponseError::InvalidRequest,
            format!("Cannot update these configs dynamically: {}", name.escape_debug()),
        )),
    }
}

pub(super) fn named_twice() -> LogError {
    LogError::rejected(
        ResponseError::InvalidRequest,
        "Each resource and each of its configs must appear at most once.",
    )
}

pub(super) fn no_value(name: &str) -> LogError {
    LogError::rejected(
        ResponseError::InvalidRequest,
        format!("Null value not supported for : {}", name.escape_debug()),
    )
}
