//! Which requests are served, in which versions, by whom.

use std::pin::Pin;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    self, ApiKey, ApiVersionsRequest, FetchRequest, ProduceRequest, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request};

use super::api;
use super::decode::{decode, decode_request};
use super::fetch_frame;
use super::frame::LENGTH_BYTES;
use super::peer::Peer;
use crate::broker::Broker;

/// A request whose handler may have to wait.
type Served = Pin<Box<dyn Future<Output = Result<Reply, BadRequest>> + Send>>;

/// What a handler has for the connection.
pub(super) enum Reply {
    /// The whole answer.
    Now(Answer),
    /// The answer will come; requests behind this one may be served meanwhile.
    Later(Pin<Box<dyn Future<Output = Result<Answer, BadRequest>> + Send>>),
}

/// The buffers that make up the frame of an answer; empty where the client wants none.
pub(super) type Answer = Vec<Bytes>;

/// A request that ends its connection, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadRequest(pub(super) String);

/// One request on its way to its handler.
pub(super) struct Call {
    pub(super) broker: Arc<Broker>,
    pub(super) peer: Peer,
    pub(super) version: i16,
    correlation_id: i32,
    body: Bytes,
}

/// A kind of request.
pub(super) struct Api {
    pub(super) key: ApiKey,
    pub(super) min_version: i16,
    pub(super) max_version: i16,
    pub(super) request_header_version: fn(i16) -> i16,
    pub(super) serve: fn(Call) -> Served,
}

/// A line of the table: a request, its versions, and the module in `api` that handles it.
macro_rules! api {
    ($key:ident, $request:ident, $min:literal..=$max:literal, $module:ident) => {
        Api {
            key: ApiKey::$key,
            min_version: $min,
            max_version: $max,
            request_header_version: <messages::$request as HeaderVersion>::header_version,
            serve: |mut call| {
                Box::pin(async move {
                    let request = call.request::<messages::$request>()?;
                    let response =
                        api::$module::handle(&call.broker, &call.peer, request, call.version).await;
                    call.answer::<messages::$request>(&response)
                        .map(|frame| Reply::Now(vec![frame]))
                })
            },
        }
    };
}

/// All that is served. Another request is a line here and a file in `api`.
static APIS: &[Api] = &[
    #[cfg(test)]
    super::tests::PANICKING,
    PRODUCE,
    FETCH,
    api!(ListOffsets, ListOffsetsRequest, 1..=10, list_offsets),
    api!(Metadata, MetadataRequest, 0..=13, metadata),
    api!(FindCoordinator, FindCoordinatorRequest, 0..=5, find_coordinator),
    api!(JoinGroup, JoinGroupRequest, 0..=9, join_group),
    api!(SyncGroup, SyncGroupRequest, 0..=5, sync_group),
    api!(Heartbeat, HeartbeatRequest, 0..=4, heartbeat),
    api!(LeaveGroup, LeaveGroupRequest, 0..=5, leave_group),
    api!(OffsetCommit, OffsetCommitRequest, 2..=9, offset_commit),
    api!(OffsetFetch, OffsetFetchRequest, 1..=9, offset_fetch),
    api!(OffsetDelete, OffsetDeleteRequest, 0..=0, offset_delete),
    api!(DescribeGroups, DescribeGroupsRequest, 0..=6, describe_groups),
    api!(ListGroups, ListGroupsRequest, 0..=5, list_groups),
    api!(DeleteGroups, DeleteGroupsRequest, 0..=2, delete_groups),
    api!(ApiVersions, ApiVersionsRequest, 0..=4, api_versions),
    api!(CreateTopics, CreateTopicsRequest, 2..=7, create_topics),
    api!(DeleteTopics, DeleteTopicsRequest, 1..=6, delete_topics),
    api!(DeleteRecords, DeleteRecordsRequest, 0..=2, delete_records),
    api!(InitProducerId, InitProducerIdRequest, 0..=5, init_producer_id),
    api!(OffsetForLeaderEpoch, OffsetForLeaderEpochRequest, 2..=4, offset_for_leader_epoch),
    api!(AddPartitionsToTxn, AddPartitionsToTxnRequest, 0..=5, add_partitions_to_txn),
    api!(AddOffsetsToTxn, AddOffsetsToTxnRequest, 0..=4, add_offsets_to_txn),
    api!(EndTxn, EndTxnRequest, 0..=5, end_txn),
    api!(TxnOffsetCommit, TxnOffsetCommitRequest, 0..=5, txn_offset_commit),
    api!(WriteTxnMarkers, WriteTxnMarkersRequest, 1..=1, write_txn_markers),
    api!(DescribeProducers, DescribeProducersRequest, 0..=0, describe_producers),
    api!(DescribeTransactions, DescribeTransactionsRequest, 0..=0, describe_transactions),
    api!(ListTransactions, ListTransactionsRequest, 0..=2, list_transactions),
    api!(DescribeConfigs, DescribeConfigsRequest, 1..=4, describe_configs),
    api!(AlterConfigs, AlterConfigsRequest, 0..=2, alter_configs),
    api!(AlterReplicaLogDirs, AlterReplicaLogDirsRequest, 1..=2, alter_replica_log_dirs),
    api!(DescribeLogDirs, DescribeLogDirsRequest, 1..=4, describe_log_dirs),
    api!(CreatePartitions, CreatePartitionsRequest, 0..=3, create_partitions),
    api!(IncrementalAlterConfigs, IncrementalAlterConfigsRequest, 0..=1, incremental_alter_configs),
    api!(
        ListPartitionReassignments,
        ListPartitionReassignmentsRequest,
        0..=0,
        list_partition_reassignments
    ),
    api!(
        AlterPartitionReassignments,
        AlterPartitionReassignmentsRequest,
        0..=1,
        alter_partition_reassignments
    ),
    api!(ElectLeaders, ElectLeadersRequest, 0..=2, elect_leaders),
    api!(DescribeQuorum, DescribeQuorumRequest, 0..=2, describe_quorum),
    api!(ListConfigResources, ListConfigResourcesRequest, 0..=1, list_config_resources),
    api!(DescribeCluster, DescribeClusterRequest, 0..=2, describe_cluster),
    api!(SaslHandshake, SaslHandshakeRequest, 0..=1, sasl_handshake),
    api!(SaslAuthenticate, SaslAuthenticateRequest, 0..=2, sasl_authenticate),
    api!(DescribeClientQuotas, DescribeClientQuotasRequest, 0..=1, describe_client_quotas),
    api!(
        DescribeUserScramCredentials,
        DescribeUserScramCredentialsRequest,
        0..=0,
        describe_user_scram_credentials
    ),
    api!(
        AlterUserScramCredentials,
        AlterUserScramCredentialsRequest,
        0..=0,
        alter_user_scram_credentials
    ),
    api!(CreateAcls, CreateAclsRequest, 1..=3, create_acls),
    api!(DescribeAcls, DescribeAclsRequest, 1..=3, describe_acls),
    api!(DeleteAcls, DeleteAclsRequest, 1..=3, delete_acls),
    api!(ConsumerGroupHeartbeat, ConsumerGroupHeartbeatRequest, 0..=1, consumer_group_heartbeat),
    api!(ConsumerGroupDescribe, ConsumerGroupDescribeRequest, 0..=1, consumer_group_describe),
    api!(DescribeTopicPartitions, DescribeTopicPartitionsRequest, 0..=0, describe_topic_partitions),
    api!(ShareGroupHeartbeat, ShareGroupHeartbeatRequest, 1..=1, share_group_heartbeat),
    api!(ShareGroupDescribe, ShareGroupDescribeRequest, 1..=1, share_group_describe),
    api!(
        DescribeShareGroupOffsets,
        DescribeShareGroupOffsetsRequest,
        0..=0,
        describe_share_group_offsets
    ),
    api!(AlterShareGroupOffsets, AlterShareGroupOffsetsRequest, 0..=0, alter_share_group_offsets),
    api!(
        DeleteShareGroupOffsets,
        DeleteShareGroupOffsetsRequest,
        0..=0,
        delete_share_group_offsets
    ),
    api!(ShareFetch, ShareFetchRequest, 1..=1, share_fetch),
    api!(ShareAcknowledge, ShareAcknowledgeRequest, 1..=1, share_acknowledge),
];

/// The only request that may want no answer, and whose answer may come after those behind it were
/// begun.
const PRODUCE: Api = Api {
    key: ApiKey::Produce,
    min_version: 3,
    max_version: 13,
    request_header_version: ProduceRequest::header_version,
    serve: |mut call| {
        Box::pin(async move {
            let request = call.request::<ProduceRequest>()?;
            let begun = api::produce::begin(&call.broker, &call.peer, request, call.version)
                .await
                .map_err(|error| BadRequest(format!("records that were not appended: {error}")))?;
            let finish = async move {
                let response = begun.finish(call.version).await.map_err(|error| {
                    BadRequest(format!("records that want no acknowledgement: {error}"))
                })?;
                let Some(response) = response else { return Ok(Vec::new()) };
                call.answer::<ProduceRequest>(&response).map(|frame| vec![frame])
            };
            Ok(Reply::Later(Box::pin(finish)))
        })
    },
};

/// The only request whose answer is written without being copied.
const FETCH: Api = Api {
    key: ApiKey::Fetch,
    min_version: 4,
    max_version: 18,
    request_header_version: FetchRequest::header_version,
    serve: |mut call| {
        Box::pin(async move {
            let request = call.request::<FetchRequest>()?;
            let response =
                api::fetch::handle(&call.broker, &call.peer, request, call.version).await;
            fetch_frame::encode(response, call.correlation_id, call.version).map(Reply::Now)
        })
    },
};

/// All that is served.
pub(super) fn apis() -> &'static [Api] {
    APIS
}

/// Takes a frame apart and starts its handler.
///
/// # Errors
/// The frame is no request that is served; the handler's future says so when the body is not what
/// it should be.
pub(super) fn start(
    broker: &Arc<Broker>,
    peer: &Peer,
    mut frame: Bytes,
) -> Result<Served, BadRequest> {
    if peer.session.is_bare() {
        return Ok(Box::pin(prove_barely(broker.clone(), peer.clone(), frame)));
    }
    let (key, version, correlation_id) = fixed_header(&frame)?;
    let unknown = || BadRequest(format!("request {key} in version {version} is not served"));
    let api = APIS.iter().find(|api| api.key as i16 == key).ok_or_else(unknown)?;
    if !peer.session.allows(api.key) {
        return Err(BadRequest(format!("request {key} before the client has proved who it is")));
    }
    if !(api.min_version..=api.max_version).contains(&version) {
        if api.key == ApiKey::ApiVersions {
            return Ok(Box::pin(async move {
                // A client that is newer than this server learns what it may send.
                let response = api::api_versions::unsupported();
                encode::<ApiVersionsRequest>(&response, correlation_id, 0)
                    .map(|frame| Reply::Now(vec![frame]))
            }));
        }
        return Err(unknown());
    }
    let header: RequestHeader = decode(&mut frame, (api.request_header_version)(version))
        .map_err(|error| BadRequest(format!("a header cannot be decoded: {}", error.trim_end())))?;
    let peer = Peer { client_id: header.client_id, ..peer.clone() };
    Ok((api.serve)(Call { broker: broker.clone(), peer, version, correlation_id, body: frame }))
}

/// Takes what an old client says to prove who it is: neither it nor the answer has a header, and a
/// refusal is the end of the connection.
async fn prove_barely(broker: Arc<Broker>, peer: Peer, token: Bytes) -> Result<Reply, BadRequest> {
    let proved = peer.session.prove(&broker, &token).await;
    let answer = proved.map_err(|error| BadRequest(error.to_string()))?;
    let mut frame = BytesMut::with_capacity(LENGTH_BYTES + answer.len());
    frame.put_i32(i32::try_from(answer.len()).map_err(|error| BadRequest(error.to_string()))?);
    frame.put_slice(&answer);
    Ok(Reply::Now(vec![frame.freeze()]))
}

/// The part of a request's header that all versions share.
fn fixed_header(frame: &[u8]) -> Result<(i16, i16, i32), BadRequest> {
    let Some(bytes) = frame.first_chunk::<8>() else {
        return Err(BadRequest(format!("a request of {} bytes has no header", frame.len())));
    };
    let [k0, k1, v0, v1, correlation_id @ ..] = *bytes;
    Ok((
        i16::from_be_bytes([k0, k1]),
        i16::from_be_bytes([v0, v1]),
        i32::from_be_bytes(correlation_id),
    ))
}

impl Call {
    fn request<T: Request>(&mut self) -> Result<T, BadRequest> {
        let mut body = std::mem::take(&mut self.body);
        decode_request(&mut body, self.version).map_err(|error| {
            BadRequest(format!(
                "request {} in version {} cannot be decoded: {}",
                T::KEY,
                self.version,
                error.trim_end()
            ))
        })
    }

    fn answer<T: Request>(&self, response: &T::Response) -> Result<Bytes, BadRequest> {
        encode::<T>(response, self.correlation_id, self.version)
    }
}

/// The frame of a response.
pub(super) fn encode<T: Request>(
    response: &T::Response,
    correlation_id: i32,
    version: i16,
) -> Result<Bytes, BadRequest> {
    let failed = |error: &dyn std::fmt::Display| {
        BadRequest(format!("the answer to request {} cannot be encoded: {error}", T::KEY))
    };
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    let header_version = T::Response::header_version(version);
    let header_bytes = header.compute_size(header_version).map_err(|e| failed(&e))?;
    let body_bytes = response.compute_size(version).map_err(|e| failed(&e))?;
    let length = i32::try_from(header_bytes + body_bytes).map_err(|e| failed(&e))?;
    let mut frame = BytesMut::with_capacity(LENGTH_BYTES + header_bytes + body_bytes);
    frame.put_i32(length);
    header.encode(&mut frame, header_version).map_err(|e| failed(&e))?;
    response.encode(&mut frame, version).map_err(|e| failed(&e))?;
    Ok(frame.freeze())
}
