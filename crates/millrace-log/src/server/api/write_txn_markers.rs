use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use crate::broker::{Broker, OFFSETS_TOPIC};
use crate::error::Result;
use crate::server::Peer;
use crate::server::access::Operation;
use crate::storage::TransactionOutcome;

/// Ends transactions in partitions without their coordinator: an administrator's way out where one
/// hangs. The coordinator isn't told; where it still holds the transaction open, its own markers
/// follow and find nothing to end.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: WriteTxnMarkersRequest,
    _version: i16,
) -> WriteTxnMarkersResponse {
    let allowed = peer
        .check_cluster(broker, Operation::ClusterAction)
        .or_else(|_| peer.check_cluster(broker, Operation::Alter));
    let mut markers = Vec::with_capacity(request.markers.len());
    for marker in &request.markers {
        let mut topics = Vec::with_capacity(marker.topics.len());
        for topic in &marker.topics {
            let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
            for index in &topic.partition_indexes {
                let written = match allowed {
                    Ok(()) => write(broker, marker, &topic.name, *index).await,
                    Err(code) => Err(code.into()),
                };
                let code = written.err().map_or(0, |error| error.code().code());
                partitions.push(
                    WritableTxnMarkerPartitionResult::default()
                        .with_partition_index(*index)
                        .with_error_code(code),
                );
            }
            let result = WritableTxnMarkerTopicResult::default();
            topics.push(result.with_name(topic.name.clone()).with_partitions(partitions));
        }
        let result = WritableTxnMarkerResult::default();
        markers.push(result.with_producer_id(marker.producer_id).with_topics(topics));
    }
    WriteTxnMarkersResponse::default().with_markers(markers)
}

async fn write(
    broker: &Broker,
    marker: &WritableTxnMarker,
    topic: &str,
    partition: i32,
) -> Result<()> {
    let log = broker.partition(topic, partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let outcome = if marker.transaction_result {
        TransactionOutcome::Commit
    } else {
        TransactionOutcome::Abort
    };
    let id = marker.producer_id.0;
    log.append_marker(id, marker.producer_epoch, marker.coordinator_epoch, outcome)?;
    if topic == OFFSETS_TOPIC {
        broker.groups().complete_transaction(id, outcome);
    }
    log.durable(log.log_end_offset() - 1).await
}
