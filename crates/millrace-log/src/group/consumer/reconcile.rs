//! Brings members to the target assignment, one heartbeat after another.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::member::{Parts, Progress};
use super::{Assignor, Consumers, TopicSource};

impl Consumers {
    /// Looks what became of the topics that members read. A change asks for a new assignment.
    pub(super) fn look_at_topics(&mut self, source: &dyn TopicSource) {
        if self.members.values().any(|member| member.pattern.is_some()) {
            let names = source.names();
            for pattern in self.members.values_mut().filter_map(|member| member.pattern.as_mut()) {
                let matching = names.iter().filter(|name| pattern.regex.is_match(name));
                pattern.matches = matching.map(|n| StrBytes::from_string(n.clone())).collect();
            }
        }
        let names: BTreeSet<&StrBytes> =
            self.members.values().flat_map(|member| member.subscribed()).collect();
        let topics: BTreeMap<StrBytes, (Uuid, i32)> =
            names.into_iter().filter_map(|name| Some((name.clone(), source.find(name)?))).collect();
        if topics != self.topics {
            self.topics = topics;
            self.epoch = self.epoch.saturating_add(1);
        }
    }

    /// Makes the target assignment for the group's epoch, if it is older.
    pub(super) fn assign(&mut self) {
        if self.target_epoch == self.epoch {
            return;
        }
        self.assignor = self.preferred_assignor();
        let subscriptions = self.members.values().map(|member| {
            let topics = member.subscribed().filter_map(|name| self.topics.get(name));
            (&member.id, topics.map(|(id, _)| *id).collect())
        });
        let topics = self.topics.values().copied().collect();
        let target = self.assignor.assign(&subscriptions.collect(), &topics, &self.target);
        let differs = |(id, parts): &(&StrBytes, &Parts)| self.target.get(*id) != Some(*parts);
        let changed: Vec<_> = target.iter().filter(differs).map(|(id, _)| id.clone()).collect();
        self.kept.changed.extend(changed);
        self.target = target;
        self.target_epoch = self.epoch;
    }

    /// The assignor that most members ask for.
    fn preferred_assignor(&self) -> Assignor {
        let votes = |assignor: &Assignor| {
            self.members.values().filter(|member| member.assignor == Some(*assignor)).count()
        };
        let most = Assignor::ALL.iter().map(votes).max().unwrap_or(0);
        let preferred = Assignor::ALL.iter().find(|assignor| votes(assignor) == most);
        preferred.filter(|_| most > 0).copied().unwrap_or_default()
    }

    /// Brings a member as far as it can get now. `owned` is what it says it has, if it says so.
    pub(super) fn reconcile(&mut self, member_id: &StrBytes, owned: Option<&Parts>, now_ms: i64) {
        let empty = Parts::new();
        let target = self.target.get(member_id).unwrap_or(&empty);
        let others = self.members.values().filter(|member| member.id != *member_id);
        let held: Parts =
            others.flat_map(|member| member.assigned.union(&member.revoking)).copied().collect();
        let Some(member) = self.members.get_mut(member_id) else { return };
        let can_go_on = match member.progress {
            Progress::Stable => member.epoch != self.target_epoch,
            Progress::Unrevoked => owned.is_some_and(|owned| owned.is_disjoint(&member.revoking)),
            Progress::Unreleased => true,
        };
        if !can_go_on {
            return;
        }
        let mut keeps: Parts = member.assigned.intersection(target).copied().collect();
        let loses: Parts = member.assigned.difference(target).copied().collect();
        // Who does not say what it has may have all of it.
        if !loses.is_empty() && owned.is_none_or(|owned| !owned.is_disjoint(&loses)) {
            member.assigned = keeps;
            member.revoking = loses;
            member.progress = Progress::Unrevoked;
            member.revoke_deadline_ms = Some(now_ms.saturating_add(member.rebalance_timeout_ms));
            return;
        }
        let misses = target.iter().filter(|part| !keeps.contains(part)).copied();
        let (waits, gets): (Parts, Parts) = misses.partition(|part| held.contains(part));
        let is_waiting = !waits.is_empty();
        keeps.extend(gets);
        member.assigned = keeps;
        member.revoking = Parts::new();
        member.revoke_deadline_ms = None;
        member.progress = if is_waiting { Progress::Unreleased } else { Progress::Stable };
        member.previous_epoch = member.epoch;
        member.epoch = self.target_epoch;
    }
}
