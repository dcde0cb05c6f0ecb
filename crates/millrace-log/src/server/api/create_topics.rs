use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::topic_configs;
use crate::broker::{Broker, NODE_ID, NewTopic};
use crate::error::{LogError, Result};
use crate::server::Peer;
use crate::server::access::Operation;

/// From this version on the answer says what was made.
const DESCRIBES: i16 = 5;

/// From this version on the answer has the topic's id.
const WITH_ID: i16 = 7;

/// Makes topics, or says whether they could be made.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: CreateTopicsRequest,
    version: i16,
) -> CreateTopicsResponse {
    let mut counts = HashMap::<TopicName, usize>::new();
    for topic in &request.topics {
        *counts.entry(topic.name.clone()).or_default() += 1;
    }
    let mut results = Vec::new();
    for topic in request.topics {
        // A name that is there more than once is refused once.
        match counts.insert(topic.name.clone(), 0) {
            Some(1) => {
                results.push(create(broker, peer, topic, request.validate_only, version).await);
            }
            Some(count) if count > 1 => {
                let code = ResponseError::InvalidRequest;
                let error = LogError::rejected(code, "Duplicate topic name.");
                results.push(refused(topic.name, &error));
            }
            _ => {}
        }
    }
    CreateTopicsResponse::default().with_topics(results)
}

/// Whether the client may make a topic of this name.
pub(super) fn may_create_topic(broker: &Broker, peer: &Peer, name: &str) -> bool {
    peer.check_cluster(broker, Operation::Create).is_ok()
        || peer.check_topic(broker, Operation::Create, name).is_ok()
}

async fn create(
    broker: &Arc<Broker>,
    peer: &Peer,
    topic: CreatableTopic,
    validate_only: bool,
    version: i16,
) -> CreatableTopicResult {
    let name = topic.name.clone();
    if !may_create_topic(broker, peer, &name) {
        let code = ResponseError::TopicAuthorizationFailed;
        return refused(name, &LogError::rejected(code, "Authorization failed."));
    }
    let new = match new_topic(topic, broker.config().default_partitions) {
        Ok(new) => new,
        Err(error) => return refused(name, &error),
    };
    let (partitions, configs) = (new.partitions, new.configs.clone());
    let made = if validate_only {
        broker.topics().check(&new).map(|()| Uuid::nil())
    } else {
        broker.blocking(move |broker| broker.topics().create(new)).await.map(|topic| topic.id)
    };
    let result = CreatableTopicResult::default().with_name(name.clone()).with_error_message(None);
    match made {
        Err(error) => refused(name, &error),
        Ok(_) if version < DESCRIBES => result,
        Ok(id) if peer.check_topic(broker, Operation::DescribeConfigs, &name).is_err() => result
            .with_topic_id(if version < WITH_ID { Uuid::nil() } else { id })
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_topic_config_error_code(ResponseError::TopicAuthorizationFailed.code())
            .with_configs(Some(Vec::new())),
        Ok(id) => result
            .with_topic_id(if version < WITH_ID { Uuid::nil() } else { id })
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(Some(describe(&configs))),
    }
}

fn refused(name: TopicName, error: &LogError) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name)
        .with_error_code(error.code().code())
        .with_error_message(Some(StrBytes::from_string(error.to_string())))
        .with_configs(Some(Vec::new()))
}

fn describe(configs: &BTreeMap<String, String>) -> Vec<CreatableTopicConfigs> {
    let describe = |config: topic_configs::Shown| {
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(config.known.name))
            .with_value(Some(StrBytes::from_string(config.value)))
            .with_config_source(config.source)
    };
    topic_configs::all(configs).map(describe).collect()
}

/// The topic that is asked for.
fn new_topic(topic: CreatableTopic, default_partitions: i32) -> Result<NewTopic> {
    let refuse = |code, reason: &str| Err(LogError::rejected(code, reason));
    let mut partitions = topic.num_partitions;
    if topic.assignments.is_empty() {
        check_replication_factor(topic.replication_factor)?;
        if partitions == -1 {
            partitions = default_partitions;
        } else if partitions < 1 {
            return refuse(
                ResponseError::InvalidPartitions,
                "Number of partitions was set to an invalid non-positive value.",
            );
        }
    } else {
        if topic.replication_factor != -1 {
            return refuse(
                ResponseError::InvalidRequest,
                "A manual partition assignment was specified, but replication factor was not set \
                 to -1.",
            );
        }
        if topic.num_partitions != -1 {
            return refuse(
                ResponseError::InvalidRequest,
                "A manual partition assignment was specified, but numPartitions was not set to -1.",
            );
        }
        partitions = i32::try_from(topic.assignments.len()).unwrap_or(i32::MAX);
        let mut assignments = topic.assignments;
        assignments.sort_by_key(|assignment| assignment.partition_index);
        for (index, assignment) in (0..).zip(&assignments) {
            if assignment.partition_index != index {
                return refuse(
                    ResponseError::InvalidReplicaAssignment,
                    "partitions should be a consecutive 0-based integer sequence",
                );
            }
            check_assignment(assignment.broker_ids.iter().map(|id| id.0))?;
        }
    }
    let mut configs = BTreeMap::new();
    for config in topic.configs {
        let Some(value) = config.value else {
            let reason = format!("Null value not supported for topic configs: {}", config.name);
            return Err(LogError::rejected(ResponseError::InvalidConfig, reason));
        };
        configs.insert(config.name.to_string(), value.to_string());
    }
    Ok(NewTopic { name: topic.name.to_string(), partitions, configs, internal: false })
}

fn check_replication_factor(factor: i16) -> Result<()> {
    let reason = match factor {
        -1 | 1 => return Ok(()),
        ..1 => "Replication factor was set to an invalid non-positive value.".to_owned(),
        _ => format!(
            "Unable to replicate the partition {factor} time(s): The target replication factor of \
             {factor} cannot be reached because only 1 broker(s) are registered."
        ),
    };
    Err(LogError::rejected(ResponseError::InvalidReplicationFactor, reason))
}

/// A partition can be assigned to this node and to no other.
pub(super) fn check_assignment(mut brokers: impl Iterator<Item = i32>) -> Result<()> {
    let reason = match (brokers.next(), brokers.next()) {
        (Some(NODE_ID), None) => return Ok(()),
        (None, _) => "The manual partition assignment includes an empty replica list.".to_owned(),
        (Some(NODE_ID), Some(other)) | (Some(other), _) => format!(
            "The manual partition assignment includes broker {other}, but no such broker is \
             registered."
        ),
    };
    Err(LogError::rejected(ResponseError::InvalidReplicaAssignment, reason))
}
