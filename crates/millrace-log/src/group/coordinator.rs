//! All groups, as one state machine: commands go in, answers and records come out.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::command::{GroupConfig, Join, MemberRef, Moment, Sync, Ticket, Turn};
use super::consumer::Consumers;
use super::join::refuse;
use super::member::Member;
use super::offsets::{Committed, TopicPartition};
use super::record::{GroupRecord, StoredEpoch, StoredGroup, StoredMember};
use super::state::{Group, State};
use crate::storage::TransactionOutcome;

/// All groups.
///
/// It does no input or output and knows no clock. The caller writes a turn's records before it
/// sends its answers, and gives records of offsets back through [`apply`](Self::apply) once they
/// are written, as it does with all records at the start.
#[derive(Debug, Default)]
pub(crate) struct Coordinator {
    config: GroupConfig,
    groups: BTreeMap<StrBytes, Group>,
    /// Groups by the moment of their next timer, and the other way round.
    timers: BTreeSet<(i64, StrBytes)>,
    due: BTreeMap<StrBytes, i64>,
    /// Groups with pending offsets, by producer.
    transactions: BTreeMap<i64, BTreeSet<StrBytes>>,
}

impl Coordinator {
    pub(crate) fn new(config: GroupConfig) -> Self {
        Coordinator { config, ..Coordinator::default() }
    }

    pub(crate) fn config(&self) -> &GroupConfig {
        &self.config
    }

    pub(crate) fn group(&self, id: &StrBytes) -> Option<&Group> {
        self.groups.get(id)
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// A client wants to join; answered with this ticket, now or in a later turn.
    pub(crate) fn join(
        &mut self,
        group: &StrBytes,
        join: &Join,
        ticket: Ticket,
        now: Moment,
    ) -> Turn {
        let mut turn = Turn::new(self.config, now);
        let sessions = self.config.min_session_timeout_ms..=self.config.max_session_timeout_ms;
        let refusal = if group.is_empty() {
            Some(ResponseError::InvalidGroupId)
        } else if !sessions.contains(&join.session_timeout_ms) {
            Some(ResponseError::InvalidSessionTimeout)
        } else if !join.member_id.is_empty() && !self.groups.contains_key(group) {
            Some(ResponseError::UnknownMemberId)
        } else {
            None
        };
        if let Some(code) = refusal {
            refuse(&mut turn, ticket, join.member_id.clone(), code);
            return turn;
        }
        let group_id = group;
        let group = self.group_or_new(group_id, now);
        match &group.consumers {
            Some(consumers) if !consumers.is_empty() => {
                let code = ResponseError::InconsistentGroupProtocol;
                refuse(&mut turn, ticket, join.member_id.clone(), code);
                return turn;
            }
            // Nobody is left; generations go on from its epoch.
            Some(consumers) => {
                let epoch = consumers.epoch();
                turn.before.push(group.image());
                group.generation = group.generation.max(epoch);
                group.consumers = None;
                let group = group.id.clone();
                turn.records.push(GroupRecord::DividedTarget { group: group.clone(), value: None });
                turn.records.push(GroupRecord::DividedGroup { group, value: None });
            }
            None => {}
        }
        group.join(join, ticket, &mut turn);
        if group.is_blank() {
            self.groups.remove(group_id);
        }
        self.set_timer(group_id);
        turn
    }

    /// A member wants its part of the assignment; answered with this ticket.
    pub(crate) fn sync(
        &mut self,
        group: &StrBytes,
        sync: &Sync,
        ticket: Ticket,
        now: Moment,
    ) -> Turn {
        let mut turn = Turn::new(self.config, now);
        match self.groups.get_mut(group) {
            Some(Group { consumers: Some(consumers), .. }) => {
                turn.answer(ticket, consumers.classic_sync(sync, now.elapsed_ms));
            }
            Some(group) => group.sync(sync, ticket, &mut turn),
            None => {
                let code = unknown_member(group);
                turn.answer(ticket, super::command::Answer::SyncRefused(code));
            }
        }
        self.set_timer(group);
        turn
    }

    /// A member is alive.
    pub(crate) fn heartbeat(
        &mut self,
        group: &StrBytes,
        member: &MemberRef,
        now: Moment,
    ) -> Result<(), ResponseError> {
        let mut turn = Turn::new(self.config, now);
        let known = self.groups.get_mut(group).ok_or_else(|| unknown_member(group))?;
        let result = match &mut known.consumers {
            Some(consumers) => consumers.classic_heartbeat(member, now.elapsed_ms),
            None => known.heartbeat(member, &mut turn),
        };
        self.set_timer(group);
        result
    }

    /// Members leave; one result each, or one for all.
    pub(crate) fn leave(
        &mut self,
        group: &StrBytes,
        members: &[(StrBytes, Option<StrBytes>)],
        now: Moment,
    ) -> Result<(Vec<Result<(), ResponseError>>, Turn), ResponseError> {
        if group.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        let mut turn = Turn::new(self.config, now);
        let Some(known) = self.groups.get_mut(group) else {
            let unknown = members.iter().map(|_| Err(ResponseError::UnknownMemberId));
            return Ok((unknown.collect(), turn));
        };
        let mut results = Vec::new();
        if known.members.len() <= members.len() || known.consumers.is_some() {
            // It may be empty then, which is written down.
            turn.before.push(known.image());
        }
        for (member_id, instance_id) in members {
            results.push(known.leave(member_id, instance_id.as_ref(), &mut turn));
        }
        known.downgrade_if_all_classic(&mut turn);
        self.keep(group, &mut turn);
        self.set_timer(group);
        Ok((results, turn))
    }

    /// Whether this member may commit offsets now. A group without members takes them from anybody
    /// who claims no generation.
    pub(crate) fn check_commit(
        &mut self,
        group: &StrBytes,
        member: &MemberRef,
        in_transaction: bool,
        now: Moment,
    ) -> Result<(), ResponseError> {
        let Some(known) = self.groups.get_mut(group) else {
            return match member.generation < 0 {
                true => Ok(()),
                false => Err(ResponseError::IllegalGeneration),
            };
        };
        if member.generation < 0 && known.is_empty() {
            return Ok(());
        }
        let claims =
            member.generation >= 0 || !member.member_id.is_empty() || member.instance_id.is_some();
        if let Some(consumers) = &known.consumers {
            return match consumers.check(member) {
                Err(_) if in_transaction && !claims => Ok(()),
                Err(ResponseError::StaleMemberEpoch) if in_transaction => {
                    Err(ResponseError::IllegalGeneration)
                }
                checked => checked,
            };
        }
        if claims {
            known.check_generation(member)?;
        } else if !in_transaction {
            return Err(ResponseError::UnknownMemberId);
        }
        if !in_transaction {
            if known.state == State::CompletingRebalance {
                return Err(ResponseError::RebalanceInProgress);
            }
            known.keep_alive(&member.member_id, &Turn::new(self.config, now));
            self.set_timer(group);
        }
        Ok(())
    }

    /// The next moment at which [`fire`](Self::fire) has something to do.
    pub(crate) fn next_deadline_ms(&self) -> Option<i64> {
        self.timers.first().map(|(due_ms, _)| *due_ms)
    }

    /// Does everything that is due.
    pub(crate) fn fire(&mut self, now: Moment) -> Turn {
        let mut turn = Turn::new(self.config, now);
        let due = self.timers.iter().take_while(|(due_ms, _)| *due_ms <= now.elapsed_ms);
        let due: Vec<StrBytes> = due.map(|(_, group)| group.clone()).collect();
        for id in due {
            if let Some(group) = self.groups.get_mut(&id) {
                turn.before.push(group.image());
                group.fire(&mut turn);
            }
            self.keep(&id, &mut turn);
            self.set_timer(&id);
        }
        turn
    }

    /// A turn's records could not be written: its groups are as they were before it, but for the
    /// requests that it answered, which are refused now. What time brought about comes again soon.
    pub(crate) fn undo(&mut self, before: Vec<Group>, answered: &[Ticket], now: Moment) {
        for mut group in before {
            group.undone(answered, now.elapsed_ms);
            let id = group.id.clone();
            if let Some(known) = self.groups.get_mut(&id) {
                group.offsets = std::mem::take(&mut known.offsets);
                *known = group;
            }
            self.set_timer(&id);
        }
    }

    /// A record was written, or is read again at the start. Of a group's own record, only what is
    /// read at the start changes anything, and its members then have one session to speak up.
    pub(crate) fn apply(
        &mut self,
        record: GroupRecord,
        log_offset: i64,
        producer_id: Option<i64>,
        now: Moment,
    ) {
        match record {
            GroupRecord::Group { group, value: None } => {
                self.groups.remove(&group);
                self.set_timer(&group);
            }
            GroupRecord::Group { group, value: Some(stored) } => {
                self.group_or_new(&group, now).restore(stored, now);
                self.set_timer(&group);
            }
            GroupRecord::DividedGroup { group, value } => {
                self.apply_epoch(&group, value, now);
                self.set_timer(&group);
            }
            GroupRecord::DividedMember { group, member, value } => {
                let is_divided = self.groups.get(&group).is_some_and(|g| g.consumers.is_some());
                if value.is_some() || is_divided {
                    let value = value.map(|stored| *stored);
                    self.divided(&group, now).restore_member(&member, value, now.elapsed_ms);
                    self.set_timer(&group);
                }
            }
            GroupRecord::DividedTarget { group, value } => {
                if let Some(stored) = value {
                    self.divided(&group, now).restore_target(stored);
                }
            }
            GroupRecord::Offset { group, partition, value } => {
                if value.is_none() && !self.groups.contains_key(&group) {
                    return;
                }
                if let (Some(producer_id), Some(_)) = (producer_id, &value) {
                    self.transactions.entry(producer_id).or_default().insert(group.clone());
                }
                let offsets = &mut self.group_or_new(&group, now).offsets;
                offsets.apply(partition, value, log_offset, producer_id);
            }
        }
    }

    /// A producer's transaction has ended.
    pub(crate) fn complete_transaction(&mut self, producer_id: i64, outcome: TransactionOutcome) {
        for id in self.transactions.remove(&producer_id).unwrap_or_default() {
            if let Some(group) = self.groups.get_mut(&id) {
                group.offsets.complete(producer_id, outcome);
            }
        }
    }

    /// Records that take away what has not been used for long: offsets, and groups that are empty
    /// then.
    pub(crate) fn expire(&self, now: Moment) -> Vec<GroupRecord> {
        let mut records = Vec::new();
        for group in self.groups.values() {
            let over = group.expired_offsets(now.wall_ms, self.config.offsets_retention_ms);
            let all = over.len() == group.offsets.partitions().len();
            records.extend(over.into_iter().map(|partition| gone(&group.id, partition)));
            let unused = group.is_empty() && group.pending_members.is_empty();
            if all && unused && !group.offsets.has_pending() {
                records.extend(group_gone(group));
            }
        }
        records
    }

    /// Records that take away a group that has no members.
    pub(crate) fn delete(&self, group: &StrBytes) -> Result<Vec<GroupRecord>, ResponseError> {
        let group = self.groups.get(group).ok_or(ResponseError::GroupIdNotFound)?;
        if !group.is_empty() {
            return Err(ResponseError::NonEmptyGroup);
        }
        let partitions = group.offsets.partitions().into_iter();
        let mut records: Vec<_> = partitions.map(|partition| gone(&group.id, partition)).collect();
        records.extend(group_gone(group));
        Ok(records)
    }

    /// For each partition, the records that take its offset away; refused for topics that members
    /// read.
    pub(crate) fn delete_offsets(
        &self,
        group: &StrBytes,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Result<Option<GroupRecord>, ResponseError>>, ResponseError> {
        let group = self.groups.get(group).ok_or(ResponseError::GroupIdNotFound)?;
        if group.state != State::Empty && !group.uses_consumer_protocol() {
            return Err(ResponseError::NonEmptyGroup);
        }
        let delete = |partition: &TopicPartition| match group.is_subscribed(&partition.topic) {
            true => Err(ResponseError::GroupSubscribedToTopic),
            false => {
                let known = group.offsets.get(partition).is_some();
                Ok(known.then(|| gone(&group.id, partition.clone())))
            }
        };
        Ok(partitions.iter().map(delete).collect())
    }

    /// Records that take away all offsets of a topic that is gone.
    pub(crate) fn forget_topic(&self, topic: &str) -> Vec<GroupRecord> {
        let of_group = |group: &Group| {
            let id = group.id.clone();
            let partitions = group.offsets.partitions().into_iter();
            let of_topic = partitions.filter(|partition| partition.topic.as_str() == topic);
            of_topic.map(|partition| gone(&id, partition)).collect::<Vec<_>>()
        };
        self.groups.values().flat_map(of_group).collect()
    }

    pub(super) fn group_mut(&mut self, id: &StrBytes) -> Option<&mut Group> {
        self.groups.get_mut(id)
    }

    pub(super) fn forget(&mut self, id: &StrBytes) {
        self.groups.remove(id);
    }

    pub(super) fn group_or_new(&mut self, id: &StrBytes, now: Moment) -> &mut Group {
        self.groups.entry(id.clone()).or_insert_with(|| Group::new(id.clone(), now.wall_ms))
    }

    pub(super) fn set_timer(&mut self, id: &StrBytes) {
        let next_ms = self.groups.get(id).and_then(Group::next_deadline_ms);
        if self.due.get(id).copied() == next_ms {
            return;
        }
        if let Some(old_ms) = self.due.remove(id) {
            self.timers.remove(&(old_ms, id.clone()));
        }
        if let Some(next_ms) = next_ms {
            self.due.insert(id.clone(), next_ms);
            self.timers.insert((next_ms, id.clone()));
        }
    }
}

impl Group {
    /// A request that was refused is no reason to keep a group.
    fn is_blank(&self) -> bool {
        self.state == State::Empty
            && self.generation == 0
            && self.pending_members.is_empty()
            && self.offsets.is_empty()
            && self.consumers.is_none()
    }

    /// Becomes what was stored last: stable, or empty.
    fn restore(&mut self, stored: StoredGroup, now: Moment) {
        let offsets = std::mem::take(&mut self.offsets);
        *self = Group::new(self.id.clone(), stored.state_since_ms);
        self.offsets = offsets;
        self.protocol_type = stored.protocol_type;
        self.protocol = stored.protocol;
        self.generation = stored.generation;
        self.leader = stored.leader;
        for member in stored.members {
            let member = restored_member(member, self.protocol.as_ref(), now);
            if let Some(instance_id) = &member.instance_id {
                self.static_members.insert(instance_id.clone(), member.id.clone());
            }
            self.members.insert(member.id.clone(), member);
        }
        self.state = if self.members.is_empty() { State::Empty } else { State::Stable };
        self.read_subscriptions();
    }

    /// Becomes a group without members whose partitions the coordinator divides.
    pub(super) fn become_divided(&mut self, stored: StoredEpoch, session_timeout_ms: i64) {
        let offsets = std::mem::take(&mut self.offsets);
        *self = Group::new(self.id.clone(), stored.state_since_ms);
        self.offsets = offsets;
        self.consumers = Some(Consumers::new(stored.epoch, session_timeout_ms));
    }

    fn expired_offsets(&self, now_ms: i64, retention_ms: i64) -> Vec<TopicPartition> {
        self.offsets.expired(now_ms, retention_ms, |partition, committed: &Committed| {
            match (&self.protocol_type, self.state) {
                _ if self.consumers.as_ref().is_some_and(|consumers| !consumers.is_empty()) => {
                    let subscribed = self.is_subscribed(&partition.topic);
                    (!subscribed).then_some(committed.commit_time_ms)
                }
                _ if self.consumers.is_some() => {
                    Some(self.state_since_ms.max(committed.commit_time_ms))
                }
                // Nobody ever joined: offsets are all that there is.
                (None, _) => Some(committed.commit_time_ms),
                (Some(_), State::Empty) => Some(self.state_since_ms.max(committed.commit_time_ms)),
                (Some(_), State::Stable) if self.subscribed.is_some() => {
                    let subscribed = self.is_subscribed(&partition.topic);
                    (!subscribed).then_some(committed.commit_time_ms)
                }
                _ => None,
            }
        })
    }
}

fn restored_member(stored: StoredMember, protocol: Option<&StrBytes>, now: Moment) -> Member {
    let protocols = protocol.map(|protocol| (protocol.clone(), stored.metadata));
    let mut member = Member {
        id: stored.id,
        instance_id: stored.instance_id,
        client_id: stored.client_id,
        client_host: stored.client_host,
        session_timeout_ms: stored.session_timeout_ms,
        rebalance_timeout_ms: stored.rebalance_timeout_ms,
        protocols: protocols.into_iter().collect(),
        assignment: stored.assignment,
        awaiting_join: None,
        awaiting_sync: None,
        is_new: false,
        session_deadline_ms: 0,
    };
    member.keep_alive(now.elapsed_ms);
    member
}

fn unknown_member(group: &StrBytes) -> ResponseError {
    match group.is_empty() {
        true => ResponseError::InvalidGroupId,
        false => ResponseError::UnknownMemberId,
    }
}

/// A group that is of the newer protocol may have been of the classic one before.
fn group_gone(group: &Group) -> impl Iterator<Item = GroupRecord> {
    let classic = GroupRecord::Group { group: group.id.clone(), value: None };
    let is_divided = group.consumers.is_some();
    let target = GroupRecord::DividedTarget { group: group.id.clone(), value: None };
    let divided = GroupRecord::DividedGroup { group: group.id.clone(), value: None };
    std::iter::once(classic).chain([target, divided].into_iter().filter(move |_| is_divided))
}

fn gone(group: &StrBytes, partition: TopicPartition) -> GroupRecord {
    GroupRecord::Offset { group: group.clone(), partition, value: None }
}
