//! Consumer groups whose partitions the coordinator divides.
//!
//! # Problem
//! In the classic protocol every change stops all members until a leader among them has made a new
//! assignment. Here the coordinator makes it, and each member comes to it by itself: it first gives
//! up what it is to lose, and gets what is to be its own as soon as nobody else has it. Members that
//! keep their partitions never stop.
//!
//! # States
//! The group has an epoch, which grows with every change that asks for a new assignment: a member
//! comes, goes or subscribes to something else, a topic comes, goes or grows. The target assignment
//! is made for an epoch, at once. A member has the epoch that it has come to:
//!
//! ```text
//!              nothing to give up               its partitions are free
//!   Stable ------------------------> Unreleased ----------------------> Stable
//!     |                                  ^                                (at the target's epoch)
//!     | has to give up                   | says that it has given them up
//!     +------------> Unrevoked ----------+
//! ```
//!
//! All happens on heartbeats; a member learns of a new assignment by its next one. Members of the
//! classic protocol may be in such a group too ([`classic`]), and a group goes from one protocol to the
//! other with its members in it ([`convert`]).
//!
//! # Failures
//! - A member dies: its session ends, it is removed, and the next heartbeats of the others bring them
//!   its partitions.
//! - A member does not give up what it has to within its rebalance time-out: it is removed, and its
//!   later heartbeats are refused.
//! - An answer is lost: the member repeats its old epoch, which is good as long as it owns no more
//!   than it was last told.
//! - A static member goes for a while (epoch -2): it keeps its partitions until its session ends, and
//!   whoever comes back under its name takes them over.
//! - The broker dies: epochs, members and assignments are in the log ([`stored`]), and the members go
//!   on, with one session time to be heard.
//!
//! Source: Kafka's consumer rebalance protocol (KIP-848).

mod assignor;
mod beat;
mod classic;
mod convert;
mod coordinate;
mod describe;
mod embedded;
mod member;
mod reconcile;
mod stored;

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

pub(crate) use assignor::Assignor;
pub(crate) use beat::{Beat, LEAVES, LEAVES_FOR_A_WHILE, Told};
pub(crate) use describe::DescribedMember;
pub(crate) use member::Member;
use member::Parts;
use stored::Kept;

use super::command::MemberRef;

/// The topics that there are.
pub(crate) trait TopicSource: Sync {
    /// A topic's id and number of partitions.
    fn find(&self, name: &str) -> Option<(Uuid, i32)>;

    /// The names of those that the member who asks may subscribe to by a pattern.
    fn names(&self) -> Vec<String>;
}

/// The members of one group and what they are to have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Consumers {
    /// Grows with each change that asks for a new assignment.
    epoch: i32,
    /// The epoch that `target` was made for.
    target_epoch: i32,
    assignor: Assignor,
    members: BTreeMap<StrBytes, Member>,
    /// Member ids by what static members are known by.
    instances: BTreeMap<StrBytes, StrBytes>,
    /// What there is of the topics that anybody subscribes to.
    topics: BTreeMap<StrBytes, (Uuid, i32)>,
    target: BTreeMap<StrBytes, Parts>,
    kept: Kept,
    /// How long a member may be silent.
    session_timeout_ms: i64,
}

impl Consumers {
    /// A group without members that has come to this epoch. Members may be silent for so long.
    pub(super) fn new(epoch: i32, session_timeout_ms: i64) -> Self {
        Consumers { epoch, target_epoch: epoch, session_timeout_ms, ..Consumers::default() }
    }

    pub(crate) fn epoch(&self) -> i32 {
        self.epoch
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether there is no room for this member.
    fn is_full(&self, max_size: usize, beat: &Beat) -> bool {
        let holder = beat.instance_id.as_ref().and_then(|instance| self.instances.get(instance));
        let is_new = holder.is_none() && !self.members.contains_key(&beat.member_id);
        is_new && self.members.len() >= max_size
    }

    /// Whether this member may commit or fetch offsets now.
    pub(super) fn check(&self, member: &MemberRef) -> Result<(), ResponseError> {
        let known = self.members.get(&member.member_id).ok_or(ResponseError::UnknownMemberId)?;
        if member.instance_id.is_some() && known.instance_id != member.instance_id {
            return Err(ResponseError::UnknownMemberId);
        }
        match known.epoch == member.generation {
            true => Ok(()),
            false if known.classic.is_some() => Err(ResponseError::IllegalGeneration),
            false => Err(ResponseError::StaleMemberEpoch),
        }
    }

    /// Whether a member reads this topic.
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        self.members.values().any(|member| member.subscribed().any(|name| name.as_str() == topic))
    }

    /// Takes a member out for good. Says whether it was there.
    pub(super) fn remove(&mut self, member_id: &StrBytes) -> bool {
        let Some(member) = self.members.remove(member_id) else { return false };
        if let Some(instance) = &member.instance_id
            && self.instances.get(instance) == Some(member_id)
        {
            self.instances.remove(instance);
        }
        self.target.remove(member_id);
        self.kept.changed.insert(member_id.clone());
        self.epoch = self.epoch.saturating_add(1);
        true
    }

    /// The id of a static member.
    pub(super) fn member_of(&self, instance_id: &StrBytes) -> Option<&StrBytes> {
        self.instances.get(instance_id)
    }

    pub(super) fn next_deadline_ms(&self) -> Option<i64> {
        self.members.values().map(Member::deadline_ms).min()
    }

    /// Takes out members that were silent, or held on to their partitions, for too long.
    pub(super) fn expire(&mut self, group: &StrBytes, now_ms: i64) {
        let over = self.members.values().filter(|member| member.deadline_ms() <= now_ms);
        let over: Vec<StrBytes> = over.map(|member| member.id.clone()).collect();
        for member in over {
            tracing::info!(%group, %member, "member is silent and removed");
            self.remove(&member);
        }
        if self.members.is_empty() {
            self.topics.clear();
        }
    }
}

#[cfg(test)]
mod tests;
