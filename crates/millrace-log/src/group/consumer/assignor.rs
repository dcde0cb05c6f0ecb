//! How partitions are divided among members.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::member::Parts;

/// A way to divide partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Assignor {
    /// All members get as many as possible alike, and keep what they have.
    #[default]
    Uniform,
    /// Of each topic, members get neighbours, so that equal partitions of two topics meet.
    Range,
}

/// Members with the topics that they read.
pub(super) type Subscriptions<'a> = BTreeMap<&'a StrBytes, BTreeSet<Uuid>>;

impl Assignor {
    pub(crate) const ALL: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

    /// The name in the protocol.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// Divides all partitions of the topics (by id, with their numbers of partitions).
    ///
    /// Each partition of a topic that somebody reads gets exactly one owner, who reads this topic.
    pub(super) fn assign(
        self,
        subscriptions: &Subscriptions<'_>,
        topics: &BTreeMap<Uuid, i32>,
        before: &BTreeMap<StrBytes, Parts>,
    ) -> BTreeMap<StrBytes, Parts> {
        match self {
            Assignor::Uniform => uniform(subscriptions, topics, before),
            Assignor::Range => range(subscriptions, topics),
        }
    }
}

fn range(
    subscriptions: &Subscriptions<'_>,
    topics: &BTreeMap<Uuid, i32>,
) -> BTreeMap<StrBytes, Parts> {
    let mut target: BTreeMap<StrBytes, Parts> =
        subscriptions.keys().map(|member| ((*member).clone(), Parts::new())).collect();
    for (topic, count) in topics {
        let readers = subscriptions.iter().filter(|(_, topics)| topics.contains(topic));
        let readers: Vec<&StrBytes> = readers.map(|(member, _)| *member).collect();
        let Ok(number) = i32::try_from(readers.len()) else { continue };
        let mut next = 0;
        for (place, member) in (0..number).zip(readers) {
            let size = count / number + i32::from(place < count % number);
            let parts = (next..next + size).map(|partition| (*topic, partition));
            target.entry(member.clone()).or_default().extend(parts);
            next += size;
        }
    }
    target
}

/// Members keep what they had as far as that is not more than the others can have; the rest goes to
/// whoever has least, until nobody who has two more than another reads something that the other
/// reads too.
fn uniform(
    subscriptions: &Subscriptions<'_>,
    topics: &BTreeMap<Uuid, i32>,
    before: &BTreeMap<StrBytes, Parts>,
) -> BTreeMap<StrBytes, Parts> {
    let mut free: Parts = topics
        .iter()
        .filter(|(topic, _)| subscriptions.values().any(|topics| topics.contains(topic)))
        .flat_map(|(topic, count)| (0..*count).map(|partition| (*topic, partition)))
        .collect();
    let mut target = BTreeMap::new();
    for (member, topics) in subscriptions {
        let kept = before.get(*member).into_iter().flatten();
        let kept: Parts =
            kept.filter(|part| topics.contains(&part.0) && free.remove(part)).copied().collect();
        target.insert((*member).clone(), kept);
    }
    let reads = |member: &StrBytes, topic: &Uuid| {
        subscriptions.get(member).is_some_and(|topics| topics.contains(topic))
    };
    for part in free {
        let readers = target.iter_mut().filter(|(member, _)| reads(member, &part.0));
        if let Some((_, parts)) = readers.min_by_key(|(_, parts)| parts.len()) {
            parts.insert(part);
        }
    }
    while let Some((part, from, to)) = better_place(&target, reads) {
        if let Some(parts) = target.get_mut(&from) {
            parts.remove(&part);
        }
        target.entry(to).or_default().insert(part);
    }
    target
}

/// A partition that is better off with another member, which has at least two less.
fn better_place(
    target: &BTreeMap<StrBytes, Parts>,
    reads: impl Fn(&StrBytes, &Uuid) -> bool,
) -> Option<((Uuid, i32), StrBytes, StrBytes)> {
    let mut by_load: Vec<(&StrBytes, &Parts)> = target.iter().collect();
    by_load.sort_by_key(|(_, parts)| parts.len());
    for (from, parts) in by_load.iter().rev() {
        for (to, others) in &by_load {
            if others.len() + 1 >= parts.len() {
                break;
            }
            if let Some(part) = parts.iter().rev().find(|part| reads(to, &part.0)) {
                return Some((*part, (*from).clone(), (*to).clone()));
            }
        }
    }
    None
}
