use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{BrokerId, DescribeQuorumRequest, DescribeQuorumResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::{Broker, NODE_ID};
use crate::server::Peer;
use crate::server::access::Operation;

/// The topic that the nodes of a cluster agree on what there is with.
const METADATA: &str = "__cluster_metadata";

/// What Kafka calls the listener of the nodes that decide.
const LISTENER: &str = "CONTROLLER";

/// From this version on the answer says where the nodes are.
const WITH_NODES: i16 = 2;

/// There was never another leader.
const FIRST_EPOCH: i32 = 1;

/// Which nodes agree on what there is: this one with itself. What there is here is not in a log, so
/// that offsets are those of an empty one.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: DescribeQuorumRequest,
    version: i16,
) -> DescribeQuorumResponse {
    let response = DescribeQuorumResponse::default().with_error_message(None);
    if let Err(code) = peer.check_cluster(broker, Operation::Describe) {
        return response.with_error_code(code.code());
    }
    let now_ms = broker.seams().clock.now().as_millis();
    let topics = request.topics.into_iter().map(|topic| {
        let is_known = topic.topic_name.as_str() == METADATA;
        let partitions = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            match is_known && index == 0 {
                true => describe(index, now_ms),
                false => unknown(index),
            }
        });
        let partitions = partitions.collect();
        TopicData::default().with_topic_name(topic.topic_name).with_partitions(partitions)
    });
    let response = response.with_topics(topics.collect());
    match version >= WITH_NODES {
        true => response.with_nodes(vec![this_node(broker, peer)]),
        false => response,
    }
}

/// Where this node is: it has one listener for everything.
fn this_node(broker: &Broker, peer: &Peer) -> Node {
    let (host, port) = broker.advertised(peer.reached);
    let listener = Listener::default()
        .with_name(StrBytes::from_static_str(LISTENER))
        .with_host(StrBytes::from_string(host))
        .with_port(port);
    Node::default().with_node_id(BrokerId(NODE_ID)).with_listeners(vec![listener])
}

fn describe(index: i32, now_ms: i64) -> PartitionData {
    let this = ReplicaState::default()
        .with_replica_id(BrokerId(NODE_ID))
        .with_log_end_offset(0)
        .with_last_fetch_timestamp(now_ms)
        .with_last_caught_up_timestamp(now_ms);
    PartitionData::default()
        .with_partition_index(index)
        .with_error_message(None)
        .with_leader_id(BrokerId(NODE_ID))
        .with_leader_epoch(FIRST_EPOCH)
        .with_high_watermark(0)
        .with_current_voters(vec![this])
}

fn unknown(index: i32) -> PartitionData {
    let code = ResponseError::UnknownTopicOrPartition;
    PartitionData::default()
        .with_partition_index(index)
        .with_error_code(code.code())
        .with_error_message(Some(StrBytes::from_string(code.to_string())))
        .with_leader_id(BrokerId(-1))
        .with_leader_epoch(-1)
        .with_high_watermark(-1)
}
