//! One group: its members, generation and offsets, and what can be said of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::{Buf, Bytes};
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::command::{Joined, JoinedMember, MemberRef, Turn};
use super::consumer::Consumers;
use super::member::Member;
use super::offsets::Offsets;
use super::record::{GroupRecord, StoredGroup, StoredMember};

/// The type of groups whose members are consumers, so that their topics are known.
pub(super) const CONSUMER: &str = "consumer";

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No members; offsets may be there.
    Empty,
    /// Members are called to join again; who has, waits.
    PreparingRebalance,
    /// All have joined; the leader is making the assignment.
    CompletingRebalance,
    /// Everybody can have their part.
    Stable,
    /// There is no such group.
    Dead,
}

impl State {
    /// The name in the protocol.
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
            State::Dead => "Dead",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A rebalance that waits for members to join.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rebalance {
    /// Who has not joined until then is out.
    pub deadline_ms: i64,
    /// The group was empty, and waits its time however many have joined: so much longer it may be
    /// made to wait by members that come meanwhile.
    pub initial_remaining_ms: Option<i64>,
    /// A member came since the deadline was set.
    pub member_added: bool,
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(super) id: StrBytes,
    pub(super) state: State,
    /// When it came to its state, since 1970.
    pub(super) state_since_ms: i64,
    pub(super) protocol_type: Option<StrBytes>,
    pub(super) protocol: Option<StrBytes>,
    pub(super) generation: i32,
    pub(super) leader: Option<StrBytes>,
    pub(super) members: BTreeMap<StrBytes, Member>,
    /// Member ids of static members by what they are known by.
    pub(super) static_members: BTreeMap<StrBytes, StrBytes>,
    /// Ids that were given out and not used yet, with the end of their time.
    pub(super) pending_members: BTreeMap<StrBytes, i64>,
    /// Members of the current generation that have not asked for their part.
    pub(super) pending_sync: BTreeSet<StrBytes>,
    pub(super) sync_deadline_ms: Option<i64>,
    pub(super) rebalance: Option<Rebalance>,
    /// Topics of all members, where the members are consumers and say so.
    pub(super) subscribed: Option<BTreeSet<String>>,
    pub(super) offsets: Offsets,
    /// The members, where the coordinator divides the partitions; there are then no others.
    pub(super) consumers: Option<Consumers>,
}

impl Group {
    pub(super) fn new(id: StrBytes, now_wall_ms: i64) -> Self {
        Group {
            id,
            state: State::Empty,
            state_since_ms: now_wall_ms,
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_members: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            sync_deadline_ms: None,
            rebalance: None,
            subscribed: None,
            offsets: Offsets::default(),
            consumers: None,
        }
    }

    pub(super) fn enter(&mut self, state: State, turn: &Turn) {
        self.state = state;
        self.state_since_ms = turn.now.wall_ms;
    }

    pub(super) fn is_leader(&self, member_id: &StrBytes) -> bool {
        self.leader.as_ref() == Some(member_id)
    }

    /// The longest time that any member asks for.
    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|m| i64::from(m.rebalance_timeout_ms)).max().unwrap_or(0)
    }

    /// Whether this member is in the group under this id; a static one that was replaced is fenced.
    pub(super) fn check_member(
        &self,
        member_id: &StrBytes,
        instance_id: Option<&StrBytes>,
    ) -> Result<(), ResponseError> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(known) if known != member_id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        match self.members.contains_key(member_id) {
            true => Ok(()),
            false => Err(ResponseError::UnknownMemberId),
        }
    }

    /// The same, and that the member has not missed a rebalance.
    pub(super) fn check_generation(&self, member: &MemberRef) -> Result<(), ResponseError> {
        self.check_member(&member.member_id, member.instance_id.as_ref())?;
        match member.generation == self.generation {
            true => Ok(()),
            false => Err(ResponseError::IllegalGeneration),
        }
    }

    /// Whether the group's members could work with somebody who knows these protocols.
    pub(super) fn supports(
        &self,
        protocol_type: &StrBytes,
        protocols: &[(StrBytes, Bytes)],
    ) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(protocol_type)
            && protocols.iter().any(|(name, _)| self.members.values().all(|m| m.supports(name)))
    }

    /// The assignor for the next generation: of those that all members know, the one that most
    /// prefer; among equals the first by name.
    pub(super) fn vote(&self) -> Option<StrBytes> {
        let mut votes: BTreeMap<&StrBytes, usize> = BTreeMap::new();
        let shared = |name: &StrBytes| self.members.values().all(|m| m.supports(name));
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| shared(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.clone())
    }

    pub(super) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_ref().is_some_and(|name| name.as_str() == CONSUMER)
    }

    /// Whether nobody is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.state == State::Empty && self.consumers.as_ref().is_none_or(Consumers::is_empty)
    }

    /// Whether a member reads this topic. Where that can't be known of consumers, it is supposed.
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        if let Some(consumers) = &self.consumers {
            return consumers.is_subscribed(topic);
        }
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol() && !self.members.is_empty(),
        }
    }

    pub(super) fn read_subscriptions(&mut self) {
        self.subscribed = None;
        if self.uses_consumer_protocol() {
            let topics =
                self.members.values().map(|m| topics_of(m.metadata(self.protocol.as_ref())));
            self.subscribed = topics
                .collect::<Option<Vec<_>>>()
                .map(|topics| topics.concat())
                .map(|t| t.into_iter().collect());
        }
    }

    /// What the leader has to know.
    pub(super) fn joined_members(&self) -> Vec<JoinedMember> {
        self.members.values().map(|m| m.as_joined(self.protocol.as_ref())).collect()
    }

    /// What a member learns of the current generation.
    pub(super) fn joined(&self, member_id: &StrBytes) -> Joined {
        let is_leader = self.is_leader(member_id);
        Joined {
            member_id: member_id.clone(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            members: if is_leader { self.joined_members() } else { Vec::new() },
            skip_assignment: false,
        }
    }

    /// The group as the log keeps it.
    pub(super) fn stored(&self) -> GroupRecord {
        let members = self.members.values().map(|member| StoredMember {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            session_timeout_ms: member.session_timeout_ms,
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            metadata: member.metadata(self.protocol.as_ref()),
            assignment: member.assignment.clone(),
        });
        GroupRecord::Group {
            group: self.id.clone(),
            value: Some(StoredGroup {
                protocol_type: self.protocol_type.clone(),
                protocol: self.protocol.clone(),
                generation: self.generation,
                leader: self.leader.clone(),
                state_since_ms: self.state_since_ms,
                members: members.collect(),
            }),
        }
    }

    /// The next moment at which time alone changes something.
    pub(super) fn next_deadline_ms(&self) -> Option<i64> {
        let sessions = self.members.values().filter_map(Member::deadline_ms);
        let pending = self.pending_members.values().copied();
        let rebalance = self.rebalance.iter().map(|rebalance| rebalance.deadline_ms);
        let consumers = self.consumers.iter().filter_map(Consumers::next_deadline_ms);
        let classic = sessions.chain(pending).chain(rebalance).chain(self.sync_deadline_ms);
        classic.chain(consumers).min()
    }
}

/// The topics in a consumer's subscription: a version, then an array of names; what newer versions
/// add stands behind. `None` if it is not that.
fn topics_of(mut metadata: Bytes) -> Option<Vec<String>> {
    let _version = metadata.try_get_i16().ok().filter(|version| *version >= 0)?;
    let count = metadata.try_get_i32().ok().filter(|count| *count >= 0)?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
        if metadata.remaining() < length {
            return None;
        }
        topics.push(String::from_utf8(metadata.split_to(length).to_vec()).ok()?);
    }
    Some(topics)
}
