//! A group goes from one protocol to the other with its members in it.
//!
//! The first member of the newer protocol in a group of the classic one makes the coordinator divide
//! the partitions: the members stay, with what they have and their generation as epoch. When the
//! last member of the newer protocol goes, the others get a leader again, and rebalance.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::classic::{Classic, ids};
use super::embedded::{Named, assignment, subscription, write_assignment};
use super::member::{Member, Progress};
use super::{Consumers, TopicSource};
use crate::error::{LogError, Result};
use crate::group::command::{Answer, Turn};
use crate::group::join::refuse;
use crate::group::member;
use crate::group::record::GroupRecord;
use crate::group::state::{Group, State};

impl Group {
    /// Has the coordinator divide the partitions from now on.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND: the members are no consumers, or their assignor needs data of its own.
    /// Nothing has changed then.
    pub(super) fn upgrade(&mut self, source: &dyn TopicSource, turn: &mut Turn) -> Result<()> {
        let group = self.id.escape_debug();
        let refusal = |reason| LogError::rejected(ResponseError::GroupIdNotFound, reason);
        if !self.uses_consumer_protocol() {
            return Err(refusal(format!("Group {group} is not a consumer group.")));
        }
        let broken = || {
            refusal(format!(
                "Cannot upgrade classic group {group} to consumer group because the embedded \
                 consumer protocol is malformed."
            ))
        };
        let session_timeout_ms = turn.config.consumer_session_timeout_ms;
        let mut consumers = Consumers::new(self.generation, session_timeout_ms);
        for member in self.members.values() {
            let said = member.protocols.first().map(|(_, metadata)| metadata.clone());
            let wanted = said.and_then(subscription).ok_or_else(broken)?;
            let (has, has_data) = assignment(member.assignment.clone()).ok_or_else(broken)?;
            if has_data {
                return Err(refusal(format!(
                    "Cannot upgrade classic group {group} to consumer group because an unsupported \
                     custom assignor is in use."
                )));
            }
            let mut next = Member::new(member.id.clone(), session_timeout_ms);
            next.instance_id = member.instance_id.clone();
            next.client_id = member.client_id.clone();
            next.host = member.client_host.clone();
            next.rebalance_timeout_ms = i64::from(member.rebalance_timeout_ms);
            next.topics = wanted.topics.into_iter().collect();
            (next.epoch, next.previous_epoch) = (self.generation, self.generation);
            next.assigned = ids(&has, source);
            next.classic = Some(Classic::new(member.session_timeout_ms, member.protocols.clone()));
            next.keep_alive(turn.now.elapsed_ms);
            consumers.target.insert(member.id.clone(), next.assigned.clone());
            consumers.kept.changed.insert(member.id.clone());
            consumers.members.insert(member.id.clone(), next);
        }
        consumers.instances =
            self.static_members.iter().map(|(a, b)| (a.clone(), b.clone())).collect();
        turn.before.push(self.image());
        for member in self.members.values_mut() {
            if let Some(ticket) = member.awaiting_join.take() {
                let code = ResponseError::RebalanceInProgress;
                refuse(turn, ticket, member.id.clone(), code);
            }
            if let Some(ticket) = member.awaiting_sync.take() {
                turn.answer(ticket, Answer::SyncRefused(ResponseError::RebalanceInProgress));
            }
        }
        let offsets = std::mem::take(&mut self.offsets);
        *self = Group::new(self.id.clone(), turn.now.wall_ms);
        self.offsets = offsets;
        self.consumers = Some(consumers);
        Ok(())
    }

    /// Gives the group a leader again, if all who are left are of the classic protocol. The caller
    /// has kept an image of the group.
    pub(in crate::group) fn downgrade_if_all_classic(&mut self, turn: &mut Turn) {
        let Some(consumers) = self.consumers.take_if(|consumers| consumers.are_all_classic())
        else {
            return;
        };
        let offsets = std::mem::take(&mut self.offsets);
        *self = Group::new(self.id.clone(), turn.now.wall_ms);
        self.offsets = offsets;
        self.generation = consumers.epoch;
        self.protocol_type = Some(StrBytes::from_static_str(crate::group::state::CONSUMER));
        for (id, known) in &consumers.members {
            let Some(classic) = &known.classic else { continue };
            let part = consumers.named(known);
            let version = classic.protocols.first().map(|(_, said)| said.clone());
            let version = version.and_then(subscription).map_or(0, |said| said.version);
            let mut member = member::Member {
                id: id.clone(),
                instance_id: known.instance_id.clone(),
                client_id: known.client_id.clone(),
                client_host: known.host.clone(),
                session_timeout_ms: classic.session_timeout_ms,
                rebalance_timeout_ms: i32::try_from(known.rebalance_timeout_ms).unwrap_or(i32::MAX),
                protocols: classic.protocols.clone(),
                assignment: write_assignment(version, &part),
                awaiting_join: None,
                awaiting_sync: None,
                is_new: false,
                session_deadline_ms: 0,
            };
            member.keep_alive(turn.now.elapsed_ms);
            if let Some(instance) = &member.instance_id {
                self.static_members.insert(instance.clone(), id.clone());
            }
            self.members.insert(id.clone(), member);
        }
        self.leader = self.members.keys().next().cloned();
        self.protocol = self.vote();
        self.read_subscriptions();
        self.enter(State::Stable, turn);
        tracing::info!(group = %self.id, "the last member of the newer protocol has gone");
        let group = self.id.clone();
        turn.records.extend(consumers.gone(&group));
        turn.records.push(GroupRecord::DividedGroup { group, value: None });
        turn.records.push(self.stored());
        self.rebalance_if_possible(turn);
    }
}

impl Consumers {
    /// What a member has, by names.
    fn named(&self, member: &Member) -> Named {
        let mut named = Named::new();
        for (name, (id, _)) in &self.topics {
            let of_topic = member.assigned.iter().filter(|(topic, _)| topic == id);
            let partitions: Vec<i32> = of_topic.map(|(_, partition)| *partition).collect();
            if !partitions.is_empty() {
                named.insert(name.clone(), partitions);
            }
        }
        named
    }

    /// Whether a member of the newer protocol, and nobody else of it, is this one.
    pub(super) fn is_last_of_newer(&self, member_id: &StrBytes) -> bool {
        let mut newer = self.members.values().filter(|member| member.classic.is_none());
        newer.next().is_some_and(|member| member.id == *member_id) && newer.next().is_none()
    }

    /// Whether somebody else has what this member is still to get.
    pub(super) fn waits_for_others(&self, member_id: &StrBytes) -> bool {
        let Some(member) = self.members.get(member_id) else { return false };
        let Some(target) = self.target.get(member_id) else { return false };
        let others = self.members.values().filter(|other| other.id != *member_id);
        let misses = |part: &(uuid::Uuid, i32)| !member.assigned.contains(part);
        let held: Vec<_> = others.flat_map(|other| other.assigned.union(&other.revoking)).collect();
        member.progress == Progress::Unreleased
            && target.iter().filter(|part| misses(part)).any(|part| held.contains(&part))
    }
}
