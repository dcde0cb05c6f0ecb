//! A member of a consumer group that goes on through the deaths of the broker.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::PARTITIONS;
use super::rpc::{Dice, Link, Run, fetch, pause, topic};
use crate::client::text;
use crate::history::{Commit, Delivery, Start};

const MEMBER_ID_REQUIRED: i16 = 79;

/// What a member saw.
#[derive(Default)]
pub struct Seen {
    /// With the moment of each, so that those of several members can be put in order.
    pub deliveries: Vec<(u64, Delivery)>,
    pub commits: Vec<Commit>,
    pub starts: Vec<Start>,
}

/// A membership in one generation.
struct Membership {
    member: StrBytes,
    generation: i32,
    /// This member's number and the moment of its joining.
    reader: (u64, u64),
    /// The next offset of each partition that this member has.
    positions: BTreeMap<i32, i64>,
}

fn group() -> GroupId {
    GroupId(text("readers"))
}

/// Reads until the run stops.
pub async fn consume(run: Run, number: u64, seed: u64) -> Seen {
    let mut dice = Dice::new(seed);
    let mut link = Link::new(run.address);
    let mut seen = Seen::default();
    let mut member = text("");
    while !run.stopped() {
        let Some(mut membership) = join(&run, &mut link, &mut member, number, &mut seen).await
        else {
            pause(5).await;
            continue;
        };
        while !run.stopped() {
            if !read(&run, &mut link, &mut membership, &mut dice, &mut seen).await {
                break;
            }
            if dice.below(200) == 0 {
                leave(&mut link, &membership).await;
                member = text("");
                break;
            }
        }
    }
    seen
}

/// Joins, and learns which partitions are its own and where to begin.
async fn join(
    run: &Run,
    link: &mut Link,
    member: &mut StrBytes,
    number: u64,
    seen: &mut Seen,
) -> Option<Membership> {
    // A broker makes its topic of offsets when it is first asked for a coordinator.
    let request = FindCoordinatorRequest::default().with_key(group().0);
    link.ask(3, &request).await?;
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    let request = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(6_000)
        .with_rebalance_timeout_ms(3_000)
        .with_member_id(member.clone())
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let joined = link.ask(5, &request).await?;
    match joined.error_code {
        0 | MEMBER_ID_REQUIRED => *member = joined.member_id.clone(),
        _ => *member = text(""),
    }
    if joined.error_code != 0 {
        return None;
    }
    let assignments = joined.members.iter().enumerate().map(|(index, other)| {
        let mine = (0..PARTITIONS).filter(|part| *part as usize % joined.members.len() == index);
        let mut bytes = BytesMut::new();
        mine.for_each(|partition| bytes.put_i32(i32::from(partition)));
        SyncGroupRequestAssignment::default()
            .with_member_id(other.member_id.clone())
            .with_assignment(bytes.freeze())
    });
    let request = SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(joined.generation_id)
        .with_member_id(member.clone())
        .with_assignments(assignments.collect());
    let mut synced = link.ask(3, &request).await?;
    if synced.error_code != 0 {
        return None;
    }
    let mut partitions = Vec::new();
    while synced.assignment.has_remaining() {
        partitions.push(synced.assignment.get_i32());
    }
    let positions = begin(run, link, &partitions, seen).await?;
    let (generation, reader) = (joined.generation_id, (number, run.now()));
    Some(Membership { member: member.clone(), generation, reader, positions })
}

async fn begin(
    run: &Run,
    link: &mut Link,
    partitions: &[i32],
    seen: &mut Seen,
) -> Option<BTreeMap<i32, i64>> {
    let called = run.now();
    let asked = OffsetFetchRequestTopic::default()
        .with_name(topic())
        .with_partition_indexes(partitions.to_vec());
    let request =
        OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![asked]));
    let response = link.ask(5, &request).await?;
    if response.error_code != 0 {
        return None;
    }
    let mut positions = BTreeMap::new();
    for answer in response.topics.iter().flat_map(|topic| &topic.partitions) {
        if answer.error_code != 0 {
            return None;
        }
        let (partition, offset) = (answer.partition_index, answer.committed_offset);
        seen.starts.push(Start { partition, called, offset });
        positions.insert(partition, offset.max(0));
    }
    Some(positions)
}

/// Reads its partitions once; whether it still belongs to its generation.
async fn read(
    run: &Run,
    link: &mut Link,
    membership: &mut Membership,
    dice: &mut Dice,
    seen: &mut Seen,
) -> bool {
    let (generation, reader) = (membership.generation, membership.reader);
    for (&partition, position) in &mut membership.positions {
        let bytes = 1 << (6 + dice.below(12));
        let Some(found) = fetch(link, partition, *position, bytes).await else { continue };
        for (offset, record) in found.records {
            let delivery = Delivery { partition, offset, record, generation, reader };
            seen.deliveries.push((run.now(), delivery));
        }
        *position = found.next;
        assert_ne!(found.error, 1, "the position {position} of {partition} was read before");
    }
    if dice.below(3) == 0 && !commit(run, link, membership, seen).await {
        return false;
    }
    let request = HeartbeatRequest::default()
        .with_group_id(group())
        .with_generation_id(generation)
        .with_member_id(membership.member.clone());
    match link.ask(3, &request).await {
        Some(answer) => match answer.error_code {
            // The coordinator is only just starting.
            0 | 14..=16 => true,
            _ => false,
        },
        None => true,
    }
}

async fn commit(run: &Run, link: &mut Link, membership: &Membership, seen: &mut Seen) -> bool {
    let partitions = membership.positions.iter().map(|(&partition, &offset)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(-1)
    });
    let topics = OffsetCommitRequestTopic::default()
        .with_name(topic())
        .with_partitions(partitions.collect());
    let request = OffsetCommitRequest::default()
        .with_group_id(group())
        .with_generation_id_or_member_epoch(membership.generation)
        .with_member_id(membership.member.clone())
        .with_topics(vec![topics]);
    let Some(response) = link.ask(7, &request).await else { return true };
    let answered = run.now();
    let mut stands = true;
    for answer in response.topics.iter().flat_map(|topic| &topic.partitions) {
        let partition = answer.partition_index;
        match answer.error_code {
            0 => seen.commits.push(Commit {
                partition,
                offset: membership.positions[&partition],
                answered,
            }),
            14..=16 => {}
            _ => stands = false,
        }
    }
    stands
}

async fn leave(link: &mut Link, membership: &Membership) {
    let request = LeaveGroupRequest::default()
        .with_group_id(group())
        .with_members(vec![MemberIdentity::default().with_member_id(membership.member.clone())]);
    // Whether it was heard or not, this member goes on under another name.
    let _ = link.ask(3, &request).await;
}
