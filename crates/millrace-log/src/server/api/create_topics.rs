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
    let mut asked = Vec::new();
    for topic in request.topics {
        // A name that is there more than once is refused once.
        let name = topic.name.clone();
        match counts.insert(name.clone(), 0) {
            Some(1) => asked.push((name, check(broker, peer, topic))),
            Some(count) if count > 1 => {
                let code = ResponseError::InvalidRequest;
                asked.push((name, Err(LogError::rejected(code, "Duplicate topic name."))));
            }
            _ => {}
        }
    }
    let made = match request.validate_only {
        true => {
            let check = |new: Result<NewTopic>| new.and_then(|new| would_make(broker, new));
            asked.into_iter().map(|(name, new)| (name, check(new))).collect()
        }
        false => make(broker, asked).await,
    };
    let answer = |(name, made)| answer(broker, peer, name, made, version);
    CreateTopicsResponse::default().with_topics(made.into_iter().map(answer).collect())
}

/// Whether the client may make a topic of this name.
pub(super) fn may_create_topic(broker: &Broker, peer: &Peer, name: &str) -> bool {
    peer.check_cluster(broker, Operation::Create).is_ok()
        || peer.check_topic(broker, Operation::Create, name).is_ok()
}

/// The topic that is asked for, if the client may make it.
fn check(broker: &Broker, peer: &Peer, topic: CreatableTopic) -> Result<NewTopic> {
    if !may_create_topic(broker, peer, &topic.name) {
        let code = ResponseError::TopicAuthorizationFailed;
        return Err(LogError::rejected(code, "Authorization failed."));
    }
    // In Kafka's order: what is wrong in several ways is refused for the first of them.
    broker.topics().check_new_name(&topic.name)?;
    let configs = configs(&topic)?;
    broker.topics().check_configs(&configs)?;
    new_topic(topic, configs, broker.config().default_partitions)
}

/// A topic that was made, or would have been.
struct Made {
    id: Uuid,
    partitions: i32,
    configs: BTreeMap<String, String>,
}

/// Makes those that can be made, all together.
async fn make(
    broker: &Arc<Broker>,
    asked: Vec<(TopicName, Result<NewTopic>)>,
) -> Vec<(TopicName, Result<Made>)> {
    let new = asked.iter().filter_map(|(_, new)| new.as_ref().ok().cloned()).collect();
    let created = broker.blocking(move |broker| Ok(broker.topics().create_all(new))).await;
    let mut created = match created {
        Ok(created) => created.into_iter(),
        Err(_) => Vec::new().into_iter(),
    };
    let mut made = |new: NewTopic| {
        let topic = created.next().unwrap_or(Err(ResponseError::UnknownServerError.into()))?;
        Ok(Made { id: topic.id, partitions: new.partitions, configs: new.configs })
    };
    asked.into_iter().map(|(name, new)| (name, new.and_then(&mut made))).collect()
}

/// Whether they could be made.
fn would_make(broker: &Broker, new: NewTopic) -> Result<Made> {
    broker.topics().check(&new)?;
    Ok(Made { id: Uuid::nil(), partitions: new.partitions, configs: new.configs })
}

fn answer(
    broker: &Broker,
    peer: &Peer,
    name: TopicName,
    made: Result<Made>,
    version: i16,
) -> CreatableTopicResult {
    let Made { id, partitions, configs } = match made {
        Ok(made) => made,
        Err(error) => return refused(name, &error),
    };
    let may_describe = peer.check_topic(broker, Operation::DescribeConfigs, &name).is_ok();
    let result = CreatableTopicResult::default().with_name(name).with_error_message(None);
    if version < DESCRIBES {
        return result;
    }
    let result = result.with_topic_id(if version < WITH_ID { Uuid::nil() } else { id });
    if !may_describe {
        return result
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_topic_config_error_code(ResponseError::TopicAuthorizationFailed.code())
            .with_configs(Some(Vec::new()));
    }
    result
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(Some(describe(&configs)))
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

/// The settings that are asked for.
fn configs(topic: &CreatableTopic) -> Result<BTreeMap<String, String>> {
    let mut configs = BTreeMap::new();
    for config in &topic.configs {
        let Some(value) = &config.value else {
            let reason = format!("Null value not supported for topic configs: {}", config.name);
            return Err(LogError::rejected(ResponseError::InvalidConfig, reason));
        };
        configs.insert(config.name.to_string(), value.to_string());
    }
    Ok(configs)
}

/// The topic that is asked for.
fn new_topic(
    topic: CreatableTopic,
    configs: BTreeMap<String, String>,
    default_partitions: i32,
) -> Result<NewTopic> {
    let refuse = |code, reason: &str| Err(LogError::rejected(code, reason));
    let mut partitions = topic.num_partitions;
    if topic.assignments.is_empty() {
        if topic.replication_factor < 1 && topic.replication_factor != -1 {
            return refuse(
                ResponseError::InvalidReplicationFactor,
                "Replication factor was set to an invalid non-positive value.",
            );
        }
        if partitions == -1 {
            partitions = default_partitions;
        } else if partitions < 1 {
            return refuse(
                ResponseError::InvalidPartitions,
                "Number of partitions was set to an invalid non-positive value.",
            );
        }
        check_copies(topic.replication_factor)?;
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
    Ok(NewTopic { name: topic.name.to_string(), partitions, configs, internal: false })
}

/// There is one node for the copies of a partition.
fn check_copies(factor: i16) -> Result<()> {
    if factor <= 1 {
        return Ok(());
    }
    let reason = format!(
        "Unable to replicate the partition {factor} time(s): The target replication factor of \
         {factor} cannot be reached because only 1 broker(s) are registered."
    );
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
