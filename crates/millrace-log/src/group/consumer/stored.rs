//! What is kept of a group over a restart: its members with what they have and are to have, so that
//! they go on without joining again.
//!
//! The epoch is written first and what the target was made for last. Where a crash cuts between the
//! two, the target is older than the epoch, and is made anew.

use std::collections::BTreeSet;

use kafka_protocol::protocol::StrBytes;

use super::Consumers;
use super::beat::compile;
use super::classic::Classic;
use super::member::{Member, Progress};
use crate::group::command::Moment;
use crate::group::divided_record::{StoredClassic, StoredConsumer, StoredTarget};
use crate::group::record::{GroupRecord, StoredEpoch};

/// What was written down last, and what has changed since.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    epoch: Option<i32>,
    target: Option<StoredTarget>,
    /// Members that have changed, or gone.
    pub changed: BTreeSet<StrBytes>,
}

impl Consumers {
    /// The records of all that has changed since they were asked for last.
    pub(in crate::group) fn take_records(
        &mut self,
        group: &StrBytes,
        now: Moment,
    ) -> Vec<GroupRecord> {
        let mut records = Vec::new();
        if self.kept.epoch.replace(self.epoch) != Some(self.epoch) {
            let value = Some(StoredEpoch { epoch: self.epoch, state_since_ms: now.wall_ms });
            records.push(GroupRecord::DividedGroup { group: group.clone(), value });
        }
        for member in std::mem::take(&mut self.kept.changed) {
            let value = self.stored(&member).map(Box::new);
            records.push(GroupRecord::DividedMember { group: group.clone(), member, value });
        }
        let target = StoredTarget {
            epoch: self.target_epoch,
            assignor: self.assignor,
            topics: self.topics.clone(),
        };
        if self.kept.target.as_ref() != Some(&target) {
            self.kept.target = Some(target.clone());
            let value = Some(target);
            records.push(GroupRecord::DividedTarget { group: group.clone(), value });
        }
        records
    }

    /// What was taken could not be written: it is to be taken once more.
    pub(in crate::group) fn keep_all_again(&mut self) {
        self.kept = Kept { changed: self.members.keys().cloned().collect(), ..Kept::default() };
    }

    /// The records that take all away that is kept of a group, but for its epoch.
    pub(in crate::group) fn gone(&self, group: &StrBytes) -> Vec<GroupRecord> {
        let members = self.members.keys().chain(&self.kept.changed).cloned();
        let member =
            |member| GroupRecord::DividedMember { group: group.clone(), member, value: None };
        let target = GroupRecord::DividedTarget { group: group.clone(), value: None };
        members.map(member).chain([target]).collect()
    }

    /// A member as it is kept.
    pub(super) fn stored(&self, id: &StrBytes) -> Option<StoredConsumer> {
        let member = self.members.get(id)?;
        Some(StoredConsumer {
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            client_id: member.client_id.clone(),
            host: member.host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            topics: member.topics.clone(),
            pattern: member.pattern.as_ref().map(|pattern| pattern.text.clone()),
            assignor: member.assignor,
            epoch: member.epoch,
            previous_epoch: member.previous_epoch,
            progress: match member.progress {
                Progress::Stable => 0,
                Progress::Unrevoked => 1,
                Progress::Unreleased => 2,
            },
            assigned: member.assigned.clone(),
            revoking: member.revoking.clone(),
            target: self.target.get(id).cloned().unwrap_or_default(),
            classic: member.classic.as_ref().map(|classic| StoredClassic {
                session_timeout_ms: classic.session_timeout_ms,
                protocols: classic.protocols.clone(),
            }),
        })
    }

    /// Notes whether a member is another than it was before.
    pub(super) fn note(&mut self, id: &StrBytes, before: Option<&StoredConsumer>) {
        if self.stored(id).as_ref() != before {
            self.kept.changed.insert(id.clone());
        }
    }

    /// A record of the epoch is read again.
    pub(in crate::group) fn restore_epoch(&mut self, epoch: i32) {
        self.epoch = epoch;
        self.kept.epoch = Some(epoch);
    }

    /// A record of the target is read again.
    pub(in crate::group) fn restore_target(&mut self, stored: StoredTarget) {
        self.target_epoch = stored.epoch;
        self.assignor = stored.assignor;
        self.topics = stored.topics.clone();
        self.kept.target = Some(stored);
    }

    /// A record of a member is read again. It has a session's time to be heard, and if it was to
    /// give something up, all the time for that.
    pub(in crate::group) fn restore_member(
        &mut self,
        id: &StrBytes,
        stored: Option<StoredConsumer>,
        now_ms: i64,
    ) {
        let epoch = self.epoch;
        self.remove(id);
        self.epoch = epoch;
        self.kept.changed.clear();
        let Some(stored) = stored else { return };
        let mut member = Member::new(id.clone(), self.session_timeout_ms);
        member.instance_id = stored.instance_id;
        member.rack_id = stored.rack_id;
        member.client_id = stored.client_id;
        member.host = stored.host;
        member.rebalance_timeout_ms = stored.rebalance_timeout_ms;
        member.topics = stored.topics;
        // It was compiled before it was written.
        member.pattern = stored.pattern.and_then(|text| compile(&text).ok().flatten());
        member.assignor = stored.assignor;
        (member.epoch, member.previous_epoch) = (stored.epoch, stored.previous_epoch);
        member.progress = match stored.progress {
            1 => Progress::Unrevoked,
            2 => Progress::Unreleased,
            _ => Progress::Stable,
        };
        member.assigned = stored.assigned;
        member.revoking = stored.revoking;
        member.classic =
            stored.classic.map(|known| Classic::new(known.session_timeout_ms, known.protocols));
        if member.progress == Progress::Unrevoked && member.classic.is_none() {
            let deadline_ms = now_ms.saturating_add(member.rebalance_timeout_ms);
            member.revoke_deadline_ms = Some(deadline_ms);
        }
        member.keep_alive(now_ms);
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        self.target.insert(id.clone(), stored.target);
        self.members.insert(id.clone(), member);
    }
}
