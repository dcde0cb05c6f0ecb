use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::alter_configs::{apply, apply_group, fixed, named_twice, no_value};
use super::resource::{self, Resource};
use crate::broker::Broker;
use crate::error::{LogError, Result};
use crate::server::Peer;
use crate::server::access::Operation;
use crate::storage::{ConfigType, known_config};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Changes some of what is set for topics and groups.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: IncrementalAlterConfigsRequest,
    _version: i16,
) -> IncrementalAlterConfigsResponse {
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
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

async fn alter(
    broker: &Arc<Broker>,
    peer: &Peer,
    asked: &AlterConfigsResource,
    validate_only: bool,
) -> Result<()> {
    check_changes(&asked.configs)?;
    let found = resource::find(
        broker,
        (peer, Operation::AlterConfigs),
        asked.resource_type,
        &asked.resource_name,
    )
    .map_err(|error| match asked.configs.iter().find(|change| needs_list(change)) {
        // As in Kafka, which looks at the change before it looks for the topic.
        Some(change) if error.code() == ResponseError::UnknownTopicOrPartition => {
            no_list(&change.name)
        }
        _ => error,
    })?;
    let topic = match found {
        Resource::Topic(topic) => topic,
        Resource::Group(group) => {
            let mut set = broker.queues().set(&group);
            for change in &asked.configs {
                change_group(&mut set, change)?;
            }
            return apply_group(broker, peer, &group, set, validate_only);
        }
        Resource::Broker | Resource::AllBrokers => {
            return fixed(asked.configs.iter().map(|config| &*config.name));
        }
    };
    let mut configs = topic.configs.clone();
    for change in &asked.configs {
        change_config(&mut configs, change)?;
    }
    apply(broker, topic.name.clone(), configs, validate_only).await
}

/// What is wrong whatever is to be changed.
fn check_changes(changes: &[AlterableConfig]) -> Result<()> {
    let mut names = HashSet::new();
    if let Some(change) = changes.iter().find(|c| c.value.is_none() && c.config_operation != DELETE)
    {
        return Err(no_value(&change.name));
    }
    match changes.iter().all(|change| names.insert(&change.name)) {
        true => Ok(()),
        false => Err(named_twice()),
    }
}

/// Whether the change is one of a list, and the setting is none.
fn needs_list(change: &AlterableConfig) -> bool {
    let known = known_config(&change.name);
    matches!(change.config_operation, APPEND | SUBTRACT)
        && known.is_none_or(|known| known.kind != ConfigType::List)
}

fn no_list(name: &str) -> LogError {
    let message =
        format!("Only a list can be added to or taken from, and {} is none.", name.escape_debug());
    LogError::rejected(ResponseError::InvalidConfig, message)
}

fn change_config(configs: &mut BTreeMap<String, String>, change: &AlterableConfig) -> Result<()> {
    let name = change.name.to_string();
    let known = known_config(&name);
    let value = || change.value.as_deref().ok_or_else(|| no_value(&name));
    match change.config_operation {
        SET => {
            let value = value()?.to_owned();
            configs.insert(name, value);
        }
        // A setting that is unknown cannot be set, so that there is nothing to be deleted.
        DELETE if known.is_none() => {
            return Err(LogError::rejected(
                ResponseError::InvalidConfig,
                format!("Unknown topic config name: {}", name.escape_debug()),
            ));
        }
        DELETE => {
            configs.remove(&name);
        }
        operation @ (APPEND | SUBTRACT) => {
            if needs_list(change) {
                return Err(no_list(&name));
            }
            let present = configs.get(&name).map(String::as_str);
            let present = present.or(known.map(|known| known.default)).unwrap_or_default();
            let mut words = words(present).map(str::to_owned).collect::<Vec<_>>();
            for word in self::words(value()?) {
                words.retain(|present| present != word);
                if operation == APPEND {
                    words.push(word.to_owned());
                }
            }
            configs.insert(name, words.join(","));
        }
        other => {
            return Err(LogError::rejected(
                ResponseError::InvalidRequest,
                format!("Unknown operation {other} on {}", name.escape_debug()),
            ));
        }
    }
    Ok(())
}

/// A group's settings have no lists; unknown ones are refused with all others.
fn change_group(set: &mut BTreeMap<String, String>, change: &AlterableConfig) -> Result<()> {
    let name = change.name.to_string();
    match (change.config_operation, &change.value) {
        (0, Some(value)) => {
            set.insert(name, value.to_string());
        }
        (0, None) => return Err(no_value(&name)),
        (1, _) if crate::queue::settings::is_known(&name) => {
            set.remove(&name);
        }
        (1, _) => {
            let message = format!("Unknown group config name: {}", name.escape_debug());
            return Err(LogError::rejected(ResponseError::InvalidConfig, message));
        }
        (2 | 3, _) => {
            let message = "Only a list can be added to or taken from, and groups have none.";
            return Err(LogError::rejected(ResponseError::InvalidConfig, message));
        }
        (other, _) => {
            let message = format!("Unknown operation {other} on {}", name.escape_debug());
            return Err(LogError::rejected(ResponseError::InvalidRequest, message));
        }
    }
    Ok(())
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(present: &str, operation: i8, value: Option<&str>) -> Result<Option<String>> {
        let name = "cleanup.policy";
        let mut configs = BTreeMap::new();
        if !present.is_empty() {
            configs.insert(name.to_owned(), present.to_owned());
        }
        let change = AlterableConfig::default()
            .with_name(StrBytes::from_static_str(name))
            .with_config_operation(operation)
            .with_value(value.map(|value| StrBytes::from_string(value.to_owned())));
        change_config(&mut configs, &change)?;
        Ok(configs.remove(name))
    }

    #[test]
    fn lists_are_added_to_and_taken_from_their_default_too() {
        let text = |outcome: Result<Option<String>>| outcome.unwrap().unwrap_or_default();
        assert_eq!(text(changed("", 0, Some("compact"))), "compact");
        assert_eq!(text(changed("compact", 1, None)), "");
        assert_eq!(text(changed("", 2, Some("compact"))), "delete,compact");
        assert_eq!(text(changed("delete", 2, Some("delete"))), "delete");
        assert_eq!(text(changed("compact, delete", 3, Some("delete"))), "compact");
        assert!(changed("", 0, None).is_err());
        assert!(changed("", 9, Some("delete")).is_err());
    }
}
