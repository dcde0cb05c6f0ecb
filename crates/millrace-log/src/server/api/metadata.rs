use std::collections::HashSet;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::create_topics::may_create_topic;
use super::operations::{self, NOT_ASKED, TOPIC};
use crate::broker::{Broker, LEADER_EPOCH, NODE_ID, NewTopic, Topic, check_topic_name};
use crate::security::acl::Kind;
use crate::server::Peer;
use crate::server::access::Operation;

/// Until this version an empty list of topics asked for all of them.
const EMPTY_MEANS_ALL: i16 = 0;

/// From this version on topics can be asked for by id, and a topic in an answer may have no name.
const BY_ID: i16 = 12;

/// Who serves which partitions, which is always this node. Topics that are asked for and missing
/// come into being where client and settings allow it.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: MetadataRequest,
    version: i16,
) -> MetadataResponse {
    let node = BrokerId(NODE_ID);
    let (host, port) = broker.advertised(peer.reached);
    let this = MetadataResponseBroker::default()
        .with_node_id(node)
        .with_host(StrBytes::from_string(host))
        .with_port(i32::from(port));
    let asked = request.topics.filter(|topics| !(version == EMPTY_MEANS_ALL && topics.is_empty()));
    let topics = match asked {
        None => {
            let visible = |topic: &&Arc<Topic>| {
                peer.check_topic(broker, Operation::Describe, &topic.name).is_ok()
            };
            broker.topics().list().iter().filter(visible).map(|topic| describe(topic)).collect()
        }
        Some(asked) => {
            let may_create =
                request.allow_auto_topic_creation && broker.config().auto_create_topics;
            let mut topics = Vec::with_capacity(asked.len());
            let mut seen = HashSet::new();
            for topic in asked {
                if version < BY_ID && (topic.name.is_none() || !topic.topic_id.is_nil()) {
                    let name = topic.name.unwrap_or_default();
                    let code = ResponseError::InvalidRequest;
                    topics.push(missing(Some(name), topic.topic_id, code));
                    continue;
                }
                // A topic that is asked for twice is described once.
                if !seen.insert((topic.name.clone(), topic.topic_id)) {
                    continue;
                }
                topics.push(describe_asked(broker, peer, topic, may_create).await);
            }
            topics
        }
    };
    let mut topics: Vec<MetadataResponseTopic> = topics;
    if request.include_topic_authorized_operations {
        // Nothing forbids what is missing.
        let may_be_told = [0, ResponseError::UnknownTopicOrPartition.code()];
        for topic in topics.iter_mut().filter(|topic| may_be_told.contains(&topic.error_code)) {
            let name = topic.name.as_ref().map_or("", |name| name.as_str());
            topic.topic_authorized_operations = peer.allowed_of(broker, TOPIC, Kind::Topic, name);
        }
    }
    // In these versions alone; later clients ask for it by describing the cluster.
    let cluster = request.include_cluster_authorized_operations;
    let cluster_id = StrBytes::from_string(broker.cluster_id().to_owned());
    MetadataResponse::default()
        .with_brokers(vec![this])
        .with_cluster_id(Some(cluster_id))
        .with_controller_id(node)
        .with_topics(topics)
        .with_cluster_authorized_operations(if cluster {
            operations::of_cluster(broker, peer)
        } else {
            NOT_ASKED
        })
}

async fn describe_asked(
    broker: &Arc<Broker>,
    peer: &Peer,
    asked: MetadataRequestTopic,
    may_create: bool,
) -> MetadataResponseTopic {
    // Java's client sends an empty name beside an id.
    let name = match asked.name {
        Some(name) if asked.topic_id.is_nil() => name,
        _ => {
            let found = broker.topics().get_by_id(asked.topic_id);
            let found = found.ok_or(ResponseError::UnknownTopicId).and_then(|topic| {
                peer.check_topic(broker, Operation::Describe, &topic.name).map(|()| topic)
            });
            return match found {
                Ok(topic) => describe(&topic),
                Err(code) => missing(None, asked.topic_id, code),
            };
        }
    };
    if let Err(code) = peer.check_topic(broker, Operation::Describe, &name) {
        return missing(Some(name), Uuid::nil(), code);
    }
    match broker.topics().get(&name) {
        Some(topic) => describe(&topic),
        None if may_create && !may_create_topic(broker, peer, &name) => {
            missing(Some(name), Uuid::nil(), ResponseError::TopicAuthorizationFailed)
        }
        None if may_create => create(broker, name).await,
        None => {
            let code = match check_topic_name(&name) {
                Ok(()) => ResponseError::UnknownTopicOrPartition,
                Err(error) => error.code(),
            };
            missing(Some(name), Uuid::nil(), code)
        }
    }
}

async fn create(broker: &Arc<Broker>, name: TopicName) -> MetadataResponseTopic {
    let new = NewTopic {
        name: name.to_string(),
        partitions: broker.config().default_partitions,
        ..NewTopic::default()
    };
    let created = broker.blocking(move |broker| broker.topics().create(new)).await;
    match created {
        Ok(topic) => describe(&topic),
        // Another client was quicker.
        Err(error) if error.code() == ResponseError::TopicAlreadyExists => {
            match broker.topics().get(&name) {
                Some(topic) => describe(&topic),
                None => missing(Some(name), Uuid::nil(), ResponseError::UnknownTopicOrPartition),
            }
        }
        Err(error) => {
            tracing::warn!(topic = %name.0, %error, "a topic was not created");
            missing(Some(name), Uuid::nil(), error.code())
        }
    }
}

fn missing(name: Option<TopicName>, id: Uuid, code: ResponseError) -> MetadataResponseTopic {
    MetadataResponseTopic::default().with_name(name).with_topic_id(id).with_error_code(code.code())
}

fn describe(topic: &Topic) -> MetadataResponseTopic {
    let node = BrokerId(NODE_ID);
    let partition = |index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(node)
            .with_leader_epoch(LEADER_EPOCH)
            .with_replica_nodes(vec![node])
            .with_isr_nodes(vec![node])
    };
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(topic.name.clone()))))
        .with_topic_id(topic.id)
        .with_is_internal(topic.internal)
        .with_partitions((0..topic.partition_count()).map(partition).collect())
}
