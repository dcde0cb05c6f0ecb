use std::path::Path;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};

use crate::broker::Broker;
use crate::server::Peer;
use crate::server::access::Operation;

/// Moves partitions to another directory: there is none but the one where they are.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: AlterReplicaLogDirsRequest,
    _version: i16,
) -> AlterReplicaLogDirsResponse {
    let allowed = peer.check_cluster(broker, Operation::Alter);
    let mut results = Vec::new();
    for dir in request.dirs {
        let is_here = Path::new(dir.path.as_str()) == broker.data_path();
        for topic in dir.topics {
            let answers = topic.partitions.iter().map(|index| {
                let checked = allowed.and_then(|()| match broker.partition(&topic.name, *index) {
                    _ if !is_here => Err(ResponseError::LogDirNotFound),
                    None => Err(ResponseError::UnknownTopicOrPartition),
                    Some(_) => Ok(()),
                });
                AlterReplicaLogDirPartitionResult::default()
                    .with_partition_index(*index)
                    .with_error_code(checked.err().map_or(0, |code| code.code()))
            });
            let answers = answers.collect();
            let result = AlterReplicaLogDirTopicResult::default().with_topic_name(topic.name);
            results.push(result.with_partitions(answers));
        }
    }
    AlterReplicaLogDirsResponse::default().with_results(results)
}
