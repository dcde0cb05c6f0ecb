use std::collections::HashSet;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::create_topics::check_assignment;
use crate::broker::Broker;
use crate::error::{LogError, Result};
use crate::server::Peer;
use crate::server::access::Operation;

/// Gives topics more partitions, or says whether they could have them.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: CreatePartitionsRequest,
    _version: i16,
) -> CreatePartitionsResponse {
    let mut seen = HashSet::new();
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        let allowed = peer.check_topic(broker, Operation::Alter, &topic.name);
        let outcome = if let Err(code) = allowed {
            Err(LogError::rejected(code, "Topic authorization failed."))
        } else if seen.insert(topic.name.clone()) {
            add(broker, &topic, request.validate_only).await
        } else {
            Err(LogError::rejected(ResponseError::InvalidRequest, "Duplicate topic name."))
        };
        results.push(match outcome {
            Ok(()) => result.with_error_message(None),
            // The code says all that there is to say.
            Err(error) if error.code() == ResponseError::UnknownTopicOrPartition => {
                result.with_error_code(error.code().code()).with_error_message(None)
            }
            Err(error) => result
                .with_error_code(error.code().code())
                .with_error_message(Some(StrBytes::from_string(error.to_string()))),
        });
    }
    CreatePartitionsResponse::default().with_results(results)
}

async fn add(
    broker: &Arc<Broker>,
    asked: &CreatePartitionsTopic,
    validate_only: bool,
) -> Result<()> {
    let (name, count) = (asked.name.to_string(), asked.count);
    let topic = broker.topics().check_more_partitions(&name, count)?;
    if topic.internal {
        return Err(LogError::rejected(
            ResponseError::InvalidRequest,
            format!("Topic '{name}' is internal and keeps its partitions."),
        ));
    }
    if let Some(assignments) = &asked.assignments {
        let more = usize::try_from(count - topic.partition_count()).unwrap_or(0);
        if assignments.len() != more {
            return Err(LogError::rejected(
                ResponseError::InvalidReplicaAssignment,
                format!(
                    "Attempted to add {more} additional partition(s), but only {} assignment(s) \
                     were specified.",
                    assignments.len()
                ),
            ));
        }
        for assignment in assignments {
            check_assignment(assignment.broker_ids.iter().map(|id| id.0))?;
        }
    }
    if validate_only {
        return Ok(());
    }
    broker.blocking(move |broker| broker.topics().add_partitions(&name, count)).await
}
