use std::collections::HashSet;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::broker::{Broker, Topic};
use crate::error::{LogError, Result};
use crate::server::Peer;
use crate::server::access::Operation;

/// Until this version topics were named in another field.
const NAMES_ONLY: i16 = 5;

/// From this version on an error has a text.
const WITH_MESSAGE: i16 = 5;

/// Deletes topics with all their records.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DeleteTopicsRequest,
    version: i16,
) -> DeleteTopicsResponse {
    let named = |name| DeleteTopicState::default().with_name(Some(name));
    let asked = if version <= NAMES_ONLY {
        request.topic_names.into_iter().map(named).collect()
    } else {
        request.topics
    };
    let mut seen = HashSet::new();
    let mut found = Vec::with_capacity(asked.len());
    for asked in asked {
        let topic = find(broker, &asked).and_then(|topic| check(broker, peer, topic));
        let topic = hide(broker, peer, &asked, topic);
        let is_first = topic.as_ref().is_ok_and(|topic| seen.insert(topic.id));
        found.push((asked, topic, is_first));
    }
    let names = found.iter().filter(|(_, _, is_first)| *is_first);
    let names = names.filter_map(|(_, topic, _)| Some(topic.as_ref().ok()?.name.clone()));
    let mut deleted = delete(broker, names.collect()).await.into_iter();
    let mut results = Vec::with_capacity(found.len());
    for (asked, topic, is_first) in found {
        let mut result = DeletableTopicResult::default().with_name(asked.name);
        if version > NAMES_ONLY {
            result.topic_id = asked.topic_id;
            if let Ok(topic) = &topic {
                let name = TopicName(StrBytes::from_string(topic.name.clone()));
                result = result.with_name(Some(name)).with_topic_id(topic.id);
            }
        }
        let deleted = topic.and_then(|_| match is_first {
            true => deleted.next().unwrap_or(Err(ResponseError::UnknownServerError.into())),
            false => Err(LogError::rejected(
                ResponseError::InvalidRequest,
                "The topic is named more than once.",
            )),
        });
        if let Err(error) = deleted {
            result.error_code = error.code().code();
            if version >= WITH_MESSAGE {
                result.error_message = Some(StrBytes::from_string(error.to_string()));
            }
        }
        results.push(result);
    }
    DeleteTopicsResponse::default().with_responses(results)
}

/// Deletes topics, and then how far groups were in them: others of their names begin anew. A result
/// for each.
async fn delete(broker: &Arc<Broker>, names: Vec<String>) -> Vec<Result<()>> {
    let all = names.clone();
    let deleted = broker.blocking(move |broker| {
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        Ok(broker.topics().delete_all(&all))
    });
    let deleted = deleted.await.unwrap_or_default();
    for (name, deleted) in names.iter().zip(&deleted) {
        if deleted.is_ok()
            && let Err(code) = broker.groups().forget_topic(name).await
        {
            tracing::warn!(topic = name, %code, "offsets of groups in a deleted topic are left");
        }
    }
    deleted
}

/// The topic, if the client may delete it.
fn check(broker: &Broker, peer: &Peer, topic: Arc<Topic>) -> Result<Arc<Topic>> {
    if peer.check_cluster(broker, Operation::Delete).is_err() {
        peer.check_topic(broker, Operation::Delete, &topic.name).map_err(denied)?;
    }
    Ok(topic)
}

/// Who may not see a topic does not learn by its name whether there is one.
fn hide(
    broker: &Broker,
    peer: &Peer,
    asked: &DeleteTopicState,
    found: Result<Arc<Topic>>,
) -> Result<Arc<Topic>> {
    match &asked.name {
        _ if peer.check_cluster(broker, Operation::Delete).is_ok() => found,
        Some(name) => {
            peer.check_topic(broker, Operation::Describe, name).map_err(denied).and(found)
        }
        None => found,
    }
}

fn denied(code: ResponseError) -> LogError {
    LogError::rejected(code, "Topic authorization failed.")
}

fn find(broker: &Broker, asked: &DeleteTopicState) -> Result<Arc<Topic>> {
    let (code, reason) = match &asked.name {
        Some(_) if !asked.topic_id.is_nil() => {
            (ResponseError::InvalidRequest, "You may not specify both topic name and topic id.")
        }
        Some(name) => match broker.topics().get(name) {
            Some(topic) => return Ok(topic),
            None => (
                ResponseError::UnknownTopicOrPartition,
                "This server does not host this topic-partition.",
            ),
        },
        None if asked.topic_id.is_nil() => {
            (ResponseError::InvalidRequest, "Neither topic name nor id were specified.")
        }
        None => match broker.topics().get_by_id(asked.topic_id) {
            Some(topic) => return Ok(topic),
            None => (ResponseError::UnknownTopicId, "This server does not host this topic ID."),
        },
    };
    Err(LogError::rejected(code, reason))
}
