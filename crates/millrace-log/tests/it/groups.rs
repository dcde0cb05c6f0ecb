use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, GroupId, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetFetchRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use millrace_log::FsyncPolicy;
use millrace_log::broker::NewTopic;

use crate::client::{Client, Log, text};

fn group() -> GroupId {
    GroupId(text("g"))
}

fn join(member_id: &StrBytes) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff"));
    JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_member_id(member_id.clone())
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

async fn member(client: &mut Client, version: i16) -> JoinGroupResponse {
    let response = client.send(version, join(&StrBytes::new())).await;
    if version < 4 {
        return response;
    }
    assert_eq!(response.error_code, ResponseError::MemberIdRequired.code());
    client.send(version, join(&response.member_id)).await
}

async fn lead(client: &mut Client, version: i16, joined: &JoinGroupResponse) -> Bytes {
    let part = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(Bytes::from_static(b"all"));
    let sync = SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_protocol_type((version >= 5).then(|| text("consumer")))
        .with_protocol_name((version >= 5).then(|| text("range")))
        .with_assignments(vec![part]);
    let response = client.send(version, sync).await;
    assert_eq!(response.error_code, 0);
    response.assignment
}

fn commit(member_id: &StrBytes, generation: i32, offset: i64) -> OffsetCommitRequest {
    let partition = |index| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("note")))
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(text("t")))
        .with_partitions(vec![partition(0), partition(7)]);
    OffsetCommitRequest::default()
        .with_group_id(group())
        .with_member_id(member_id.clone())
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![topic])
}

async fn committed(client: &mut Client) -> (i64, String) {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(TopicName(text("t")))
        .with_partition_indexes(vec![0]);
    let asked =
        OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default().with_groups(vec![asked]).with_require_stable(true);
    let mut response = client.send(8, request).await;
    let partition = response.groups.remove(0).topics.remove(0).partitions.remove(0);
    assert_eq!(partition.error_code, 0);
    (partition.committed_offset, partition.metadata.unwrap_or_default().to_string())
}

#[tokio::test]
async fn groups_keep_to_the_limits_of_the_settings() {
    let log = Log::start_with(|config| {
        for (name, value) in [
            ("group.min.session.timeout.ms", "10001"),
            ("group.max.size", "1"),
            ("offset.metadata.max.bytes", "3"),
        ] {
            config.limits.set(name, value).unwrap();
        }
    });
    let log = log.await;
    let topic = NewTopic { name: "t".to_owned(), partitions: 1, ..NewTopic::default() };
    log.server.broker().topics().create(topic).unwrap();
    let mut client = log.client().await;
    let short = client.send(3, join(&StrBytes::new())).await;
    assert_eq!(short.error_code, ResponseError::InvalidSessionTimeout.code());
    let long = join(&StrBytes::new()).with_session_timeout_ms(10_001);
    let joined = client.send(3, long.clone()).await;
    assert_eq!(joined.error_code, 0);
    lead(&mut client, 3, &joined).await;
    let second = client.send(3, long).await;
    assert_eq!(second.error_code, ResponseError::GroupMaxSizeReached.code());
    let refused = client.send(3, commit(&joined.member_id, joined.generation_id, 1)).await;
    let code = refused.topics[0].partitions[0].error_code;
    assert_eq!(code, ResponseError::OffsetMetadataTooLarge.code());
}

async fn start(fsync: FsyncPolicy) -> (Log, Client) {
    let log = Log::start_with(|config| config.fsync = fsync).await;
    let topic = NewTopic { name: "t".to_owned(), partitions: 1, ..NewTopic::default() };
    log.server.broker().topics().create(topic).unwrap();
    let client = log.client().await;
    (log, client)
}

#[tokio::test]
async fn a_member_goes_through_its_life_in_every_version() {
    let (_log, mut client) = start(FsyncPolicy::Never).await;
    for version in 0..=9 {
        let joined = member(&mut client, version).await;
        assert_eq!((joined.error_code, joined.members.len()), (0, 1), "version {version}");
        assert_eq!(joined.leader, joined.member_id);
        assert_eq!(joined.protocol_name, Some(text("range")));
        assert_eq!(lead(&mut client, version.min(5), &joined).await, "all");
        let heartbeat = HeartbeatRequest::default()
            .with_group_id(group())
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone());
        assert_eq!(client.send(version.min(4), heartbeat).await.error_code, 0);
        let described = DescribeGroupsRequest::default().with_groups(vec![group()]);
        let described = client.send(version.min(6), described).await.groups.remove(0);
        assert_eq!(described.group_state, text("Stable"));
        assert_eq!(described.members[0].member_assignment, "all");
        let request = commit(&joined.member_id, joined.generation_id, i64::from(version));
        let response = client.send(version.max(2), request).await;
        let codes: Vec<_> = response.topics[0].partitions.iter().map(|p| p.error_code).collect();
        assert_eq!(codes, [0, ResponseError::UnknownTopicOrPartition.code()]);
        assert_eq!(committed(&mut client).await, (i64::from(version), "note".to_owned()));

        let leave = LeaveGroupRequest::default().with_group_id(group());
        let leave = match version < 3 {
            true => leave.with_member_id(joined.member_id),
            false => {
                leave.with_members(vec![MemberIdentity::default().with_member_id(joined.member_id)])
            }
        };
        assert_eq!(client.send(version.min(5), leave).await.error_code, 0);
    }
    for version in 0..=5 {
        let filter = if version >= 4 { vec![text("empty")] } else { Vec::new() };
        let request = ListGroupsRequest::default().with_states_filter(filter);
        assert_eq!(client.send(version, request).await.groups.len(), 1);
    }
    for version in 1..=7 {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(TopicName(text("t")))
            .with_partition_indexes(vec![0, 3]);
        let request =
            OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![topic]));
        let partitions = client.send(version, request).await.topics.remove(0).partitions;
        assert_eq!((partitions[0].committed_offset, partitions[1].committed_offset), (9, -1));
    }
    for version in 0..=2 {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![group()]);
        let code = client.send(version, request).await.results[0].error_code;
        let expected = [0, ResponseError::GroupIdNotFound.code()][usize::from(version > 0)];
        assert_eq!(code, expected);
    }
    assert_eq!(committed(&mut client).await.0, -1);
}

#[tokio::test]
async fn a_member_and_its_offsets_outlive_the_broker() {
    for fsync in [FsyncPolicy::Never, FsyncPolicy::Always] {
        let (log, mut client) = start(fsync).await;
        let joined = member(&mut client, 9).await;
        lead(&mut client, 5, &joined).await;
        let request = commit(&joined.member_id, joined.generation_id, 42);
        client.send(9, request.clone()).await;

        let log = log.restart().await;
        let mut client = log.client().await;
        let heartbeat = HeartbeatRequest::default()
            .with_group_id(group())
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone());
        assert_eq!(client.send(4, heartbeat.clone()).await.error_code, 0);
        assert_eq!(committed(&mut client).await, (42, "note".to_owned()));
        assert_eq!(client.send(9, request).await.topics[0].partitions[0].error_code, 0);
        let stale = heartbeat.with_generation_id(joined.generation_id - 1);
        let code = client.send(4, stale).await.error_code;
        assert_eq!(code, ResponseError::IllegalGeneration.code());
    }
}

#[tokio::test]
async fn a_second_member_waits_for_the_first_while_others_are_served() {
    let (log, mut first) = start(FsyncPolicy::Never).await;
    let one = member(&mut first, 9).await;
    lead(&mut first, 5, &one).await;
    let mut second = log.client().await;
    let id = second.send(9, join(&StrBytes::new())).await.member_id;
    let ticket = second.write(9, &join(&id)).await;
    loop {
        // The second request may still be on its way.
        let heartbeat = HeartbeatRequest::default()
            .with_group_id(group())
            .with_generation_id(one.generation_id)
            .with_member_id(one.member_id.clone());
        match first.send(4, heartbeat).await.error_code {
            0 => {}
            code => {
                assert_eq!(code, ResponseError::RebalanceInProgress.code());
                break;
            }
        }
    }
    let again = first.send(9, join(&one.member_id)).await;
    let two = second.read::<JoinGroupRequest>(9, ticket).await.unwrap();
    assert_eq!((again.generation_id, two.generation_id), (2, 2));
    assert_eq!((again.members.len(), two.members.len()), (2, 0));
    let code = first.send(9, commit(&one.member_id, 1, 1)).await.topics[0].partitions[0].error_code;
    assert_eq!(code, ResponseError::IllegalGeneration.code());
}

#[tokio::test]
async fn long_metadata_and_strangers_are_refused() {
    let (_log, mut client) = start(FsyncPolicy::Never).await;
    let mut request = commit(&StrBytes::new(), -1, 1);
    let long = StrBytes::from_string("x".repeat(4_097));
    request.topics[0].partitions[0].committed_metadata = Some(long);
    let code = client.send(9, request).await.topics[0].partitions[0].error_code;
    assert_eq!(code, ResponseError::OffsetMetadataTooLarge.code());
    let stranger = commit(&text("who"), 3, 1);
    let code = client.send(9, stranger).await.topics[0].partitions[0].error_code;
    assert_eq!(code, ResponseError::IllegalGeneration.code());
    let nameless = join(&StrBytes::new()).with_group_id(GroupId(StrBytes::new()));
    let code = client.send(9, nameless).await.error_code;
    assert_eq!(code, ResponseError::InvalidGroupId.code());
}

#[tokio::test]
async fn a_deleted_topic_takes_its_offsets_along() {
    let (log, mut client) = start(FsyncPolicy::Never).await;
    client.send(9, commit(&StrBytes::new(), -1, 5)).await;
    assert_eq!(committed(&mut client).await.0, 5);
    let delete = kafka_protocol::messages::DeleteTopicsRequest::default()
        .with_topic_names(vec![TopicName(text("t"))]);
    assert_eq!(client.send(1, delete).await.responses[0].error_code, 0);
    assert_eq!(committed(&mut client).await.0, -1);
    let log = log.restart().await;
    assert_eq!(committed(&mut log.client().await).await.0, -1);
}
