//! Members of the classic protocol in a group whose partitions the coordinator divides.
//!
//! They join, ask for their part and are alive by the requests of the classic protocol, and take
//! part in the reconciliation all the same: their generation is their epoch, joining again says what
//! they have, and a heartbeat that is answered with REBALANCE_IN_PROGRESS has them join again. They
//! are never the leader, and never wait.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::embedded::{Named, Subscription, subscription, write_assignment};
use super::member::{Member, Parts, Progress};
use super::{Consumers, TopicSource};
use crate::group::command::{Answer, Join, Joined, MemberRef, Sync};
use crate::group::state::CONSUMER;

/// What the classic protocol knows of a member.
#[derive(Clone, Debug)]
pub(in crate::group) struct Classic {
    pub session_timeout_ms: i32,
    /// Best first.
    pub protocols: Vec<(StrBytes, Bytes)>,
    /// It was told to join again, and has until then.
    pub join_deadline_ms: Option<i64>,
    /// It has joined, and has until then to ask for its part.
    pub sync_deadline_ms: Option<i64>,
}

impl Classic {
    pub(super) fn new(session_timeout_ms: i32, protocols: Vec<(StrBytes, Bytes)>) -> Self {
        Classic { session_timeout_ms, protocols, join_deadline_ms: None, sync_deadline_ms: None }
    }

    pub(super) fn deadline_ms(&self) -> Option<i64> {
        self.join_deadline_ms.into_iter().chain(self.sync_deadline_ms).min()
    }

    /// The assignor that it is told was chosen; nobody uses one.
    fn protocol(&self) -> Option<StrBytes> {
        self.protocols.first().map(|(name, _)| name.clone())
    }

    fn version(&self) -> i16 {
        let metadata = self.protocols.first().map(|(_, metadata)| metadata.clone());
        metadata.and_then(subscription).map_or(0, |subscription| subscription.version)
    }
}

impl Consumers {
    /// A client joins, or joins again.
    pub(in crate::group) fn classic_join(
        &mut self,
        join: &Join,
        max_size: usize,
        source: &dyn TopicSource,
        now_ms: i64,
    ) -> Answer {
        let refuse = |member_id: StrBytes, code| Answer::JoinRefused { member_id, code };
        let wanted = join.protocols.first().map(|(_, metadata)| metadata.clone());
        let wanted = wanted.and_then(subscription).filter(|_| self.supports(join));
        let Some(wanted) = wanted else {
            return refuse(join.member_id.clone(), ResponseError::InconsistentGroupProtocol);
        };
        let holder = join.instance_id.as_ref().and_then(|id| self.instances.get(id)).cloned();
        let id = match (join.member_id.is_empty(), &join.instance_id) {
            (false, Some(_)) if holder.as_ref() != Some(&join.member_id) => {
                let code = match holder {
                    Some(_) => ResponseError::FencedInstanceId,
                    None => ResponseError::UnknownMemberId,
                };
                return refuse(join.member_id.clone(), code);
            }
            (false, _) => join.member_id.clone(),
            (true, None) if join.requires_known_member_id => {
                return refuse(join.new_member_id.clone(), ResponseError::MemberIdRequired);
            }
            (true, _) => join.new_member_id.clone(),
        };
        let is_new = holder.is_none() && !self.members.contains_key(&id);
        if is_new && self.members.len() >= max_size {
            return refuse(StrBytes::new(), ResponseError::GroupMaxSizeReached);
        }
        if let Some(holder) = holder.filter(|holder| *holder != id) {
            self.replace(&holder, &id);
        }
        self.take_in(&id, join, &wanted, source, now_ms);
        let Some(member) = self.members.get(&id) else {
            return refuse(id, ResponseError::UnknownMemberId);
        };
        Answer::Joined(Joined {
            member_id: id,
            generation: member.epoch,
            protocol_type: Some(StrBytes::from_static_str(CONSUMER)),
            protocol: member.classic.as_ref().and_then(Classic::protocol),
            leader: StrBytes::new(),
            members: Vec::new(),
            skip_assignment: false,
        })
    }

    /// Whether all members of the classic protocol could work with this one.
    fn supports(&self, join: &Join) -> bool {
        let mut classic = self.members.values().filter(|member| member.id != join.member_id);
        join.protocol_type.as_str() == CONSUMER
            && join.protocols.iter().any(|(name, _)| {
                classic.all(|member| {
                    let classic = member.classic.as_ref();
                    classic.is_none_or(|known| known.protocols.iter().any(|(n, _)| n == name))
                })
            })
    }

    /// Takes down what a member says when it joins, and brings it as far as it can get.
    fn take_in(
        &mut self,
        id: &StrBytes,
        join: &Join,
        wanted: &Subscription,
        source: &dyn TopicSource,
        now_ms: i64,
    ) {
        let epoch = self.epoch;
        let stored = self.stored(id);
        let mut changed = !self.members.contains_key(id);
        let session_timeout_ms = self.session_timeout_ms;
        let member = self
            .members
            .entry(id.clone())
            .or_insert_with(|| Member::new(id.clone(), session_timeout_ms));
        let timeout_ms = i64::from(join.rebalance_timeout_ms.max(0));
        let mut classic = Classic::new(join.session_timeout_ms, join.protocols.clone());
        classic.sync_deadline_ms = Some(now_ms.saturating_add(timeout_ms));
        member.classic = Some(classic);
        member.client_id = join.client_id.clone();
        member.host = join.client_host.clone();
        member.rebalance_timeout_ms = timeout_ms;
        member.keep_alive(now_ms);
        if join.instance_id.is_some() {
            member.instance_id = join.instance_id.clone();
        }
        let topics = wanted.topics.iter().cloned().collect();
        changed |= member.topics != topics || member.pattern.is_some() || member.assignor.is_some();
        (member.topics, member.pattern, member.assignor) = (topics, None, None);
        if let Some(instance) = &join.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        if changed {
            self.epoch = epoch.saturating_add(1);
        }
        self.look_at_topics(source);
        self.epoch = self.epoch.min(epoch.saturating_add(1));
        self.assign();
        let owned = ids(&wanted.owned, source);
        self.reconcile(id, Some(&owned), now_ms);
        self.note(id, stored.as_ref());
    }

    /// A member asks for its part.
    pub(in crate::group) fn classic_sync(&mut self, sync: &Sync, now_ms: i64) -> Answer {
        match self.part_of(sync, now_ms) {
            Err(code) => Answer::SyncRefused(code),
            Ok((protocol, assignment)) => Answer::Synced {
                protocol_type: Some(StrBytes::from_static_str(CONSUMER)),
                protocol,
                assignment,
            },
        }
    }

    fn part_of(
        &mut self,
        sync: &Sync,
        now_ms: i64,
    ) -> Result<(Option<StrBytes>, Bytes), ResponseError> {
        self.check_classic(&sync.member)?;
        let epoch = self.epoch;
        let names: Vec<_> = self.topics.iter().map(|(name, (id, _))| (*id, name.clone())).collect();
        let member = self.members.get_mut(&sync.member.member_id);
        let member = member.ok_or(ResponseError::UnknownMemberId)?;
        let classic = member.classic.as_mut().ok_or(ResponseError::UnknownMemberId)?;
        let protocol = classic.protocol();
        let differs = |said: &Option<StrBytes>, is: Option<&str>| {
            said.as_ref().is_some_and(|said| Some(said.as_str()) != is)
        };
        if differs(&sync.protocol_type, Some(CONSUMER))
            || differs(&sync.protocol, protocol.as_deref())
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        // Who is to give up something learns here what it keeps.
        if epoch > member.epoch && member.progress != Progress::Unrevoked {
            return Err(ResponseError::RebalanceInProgress);
        }
        classic.sync_deadline_ms = None;
        let version = classic.version();
        member.keep_alive(now_ms);
        let mut named = Named::new();
        for (topic, partition) in &member.assigned {
            // A topic that is gone has no name to be told by.
            if let Some((_, name)) = names.iter().find(|(id, _)| id == topic) {
                named.entry(name.clone()).or_default().push(*partition);
            }
        }
        Ok((protocol, write_assignment(version, &named)))
    }

    /// A member is alive, and learns whether it has to join again.
    pub(in crate::group) fn classic_heartbeat(
        &mut self,
        member: &MemberRef,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        self.check_classic(member)?;
        let epoch = self.epoch;
        let waits = self.waits_for_others(&member.member_id);
        let known = self.members.get_mut(&member.member_id);
        let known = known.ok_or(ResponseError::UnknownMemberId)?;
        known.keep_alive(now_ms);
        let is_behind = known.epoch < epoch
            || known.progress == Progress::Unrevoked
            || (known.progress == Progress::Unreleased && !waits);
        if !is_behind {
            return Ok(());
        }
        let deadline_ms = now_ms.saturating_add(known.rebalance_timeout_ms);
        if let Some(classic) = &mut known.classic {
            classic.join_deadline_ms.get_or_insert(deadline_ms);
        }
        Err(ResponseError::RebalanceInProgress)
    }

    fn check_classic(&self, member: &MemberRef) -> Result<(), ResponseError> {
        if let Some(instance) = &member.instance_id {
            match self.instances.get(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(holder) if *holder != member.member_id => {
                    return Err(ResponseError::FencedInstanceId);
                }
                Some(_) => {}
            }
        }
        let known = self.members.get(&member.member_id);
        let known = known.filter(|known| known.classic.is_some());
        match known.ok_or(ResponseError::UnknownMemberId)?.epoch == member.generation {
            true => Ok(()),
            false => Err(ResponseError::IllegalGeneration),
        }
    }

    /// Whether there are members, and all of the classic protocol.
    pub(in crate::group) fn are_all_classic(&self) -> bool {
        !self.members.is_empty() && self.members.values().all(|member| member.classic.is_some())
    }

    /// Puts a static member in another's place.
    pub(super) fn replace(&mut self, old: &StrBytes, new: &StrBytes) {
        self.kept.changed.extend([old.clone(), new.clone()]);
        if let Some(member) = self.members.remove(old) {
            if let Some(instance) = &member.instance_id {
                self.instances.insert(instance.clone(), new.clone());
            }
            let next = Member { id: new.clone(), epoch: 0, classic: None, ..member };
            self.members.insert(new.clone(), next);
        }
        if let Some(parts) = self.target.remove(old) {
            self.target.insert(new.clone(), parts);
        }
    }
}

/// Those of the partitions whose topics there are.
pub(super) fn ids(named: &Named, source: &dyn TopicSource) -> Parts {
    let of_topic = |(name, partitions): (&StrBytes, &Vec<i32>)| {
        let (id, _) = source.find(name)?;
        Some(partitions.iter().map(|partition| (id, *partition)).collect::<Vec<_>>())
    };
    named.iter().filter_map(of_topic).flatten().collect()
}
