//! Who works for a group.
//!
//! Every member is assigned all partitions of its topics: records are shared out one by one, so
//! that partitions need not be divided. A member's epoch grows with each change of its assignment.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::record::StoredMember;

/// How often a member is to be heard: Kafka's `group.share.heartbeat.interval.ms`.
pub(crate) const HEARTBEAT_INTERVAL_MS: i32 = 5_000;

/// How long a member may be silent: Kafka's `group.share.session.timeout.ms`.
pub(crate) const SESSION_TIMEOUT_MS: i64 = 45_000;

/// Members of one group: Kafka's `group.share.max.size`.
const MAX_MEMBERS: usize = 200;

/// Topics, by id, with the number of their partitions.
pub(crate) type Assignment = Vec<(Uuid, i32)>;

/// A member that says it is there.
#[derive(Clone, Debug)]
pub(crate) struct Beat {
    pub(crate) member_id: StrBytes,
    /// 0 to join.
    pub(crate) epoch: i32,
    /// The topics it wants; `None` if they are as before.
    pub(crate) topics: Option<Vec<StrBytes>>,
    pub(crate) client_id: StrBytes,
    pub(crate) host: StrBytes,
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) epoch: i32,
    /// `None` if it is as before.
    pub(crate) assignment: Option<Assignment>,
}

/// A member.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) epoch: i32,
    pub(crate) topics: Vec<StrBytes>,
    pub(crate) client_id: StrBytes,
    pub(crate) host: StrBytes,
    pub(crate) assignment: Assignment,
    deadline_ms: i64,
}

impl Member {
    /// What is to be stored of it.
    pub(crate) fn store(&self) -> StoredMember {
        StoredMember {
            epoch: self.epoch,
            topics: self.topics.iter().map(|topic| topic.to_string()).collect(),
            client_id: self.client_id.to_string(),
            host: self.host.to_string(),
            assignment: self.assignment.clone(),
        }
    }

    fn restore(stored: StoredMember, deadline_ms: i64) -> Self {
        Member {
            epoch: stored.epoch,
            topics: stored.topics.into_iter().map(StrBytes::from_string).collect(),
            client_id: StrBytes::from_string(stored.client_id),
            host: StrBytes::from_string(stored.host),
            assignment: stored.assignment,
            deadline_ms,
        }
    }
}

/// The members of one group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    by_id: BTreeMap<StrBytes, Member>,
}

impl Members {
    /// Takes a heartbeat; `find` gives a topic's id and partitions, if there is one.
    ///
    /// # Errors
    /// The code for the member: it is unknown, or has an epoch that is not its own.
    pub(crate) fn beat(
        &mut self,
        beat: Beat,
        now_ms: i64,
        find: impl Fn(&str) -> Option<(Uuid, i32)>,
    ) -> Result<Told, ResponseError> {
        let joins = beat.epoch == 0;
        if joins && !self.by_id.contains_key(&beat.member_id) {
            if self.by_id.len() >= MAX_MEMBERS {
                return Err(ResponseError::GroupMaxSizeReached);
            }
            let member = Member {
                epoch: 0,
                topics: Vec::new(),
                client_id: beat.client_id,
                host: beat.host,
                assignment: Vec::new(),
                deadline_ms: 0,
            };
            self.by_id.insert(beat.member_id.clone(), member);
        }
        let member = self.by_id.get_mut(&beat.member_id).ok_or(ResponseError::UnknownMemberId)?;
        // The answer with the newest epoch may not have reached it.
        let is_behind = beat.epoch == member.epoch - 1;
        if !joins && beat.epoch != member.epoch && !is_behind {
            return Err(ResponseError::FencedMemberEpoch);
        }
        member.deadline_ms = now_ms.saturating_add(SESSION_TIMEOUT_MS);
        if let Some(mut topics) = beat.topics {
            topics.sort();
            topics.dedup();
            member.topics = topics;
        }
        let assignment: Assignment = member.topics.iter().filter_map(|name| find(name)).collect();
        let changed = assignment != member.assignment;
        if changed || member.epoch == 0 {
            member.epoch = member.epoch.checked_add(1).unwrap_or(1);
            member.assignment = assignment;
        }
        let tell = changed || joins || is_behind;
        Ok(Told { epoch: member.epoch, assignment: tell.then(|| member.assignment.clone()) })
    }

    /// A member leaves.
    pub(crate) fn leave(&mut self, member_id: &StrBytes) {
        self.by_id.remove(member_id);
    }

    /// A member as it was written; it has a session's time to be heard.
    pub(crate) fn restore(&mut self, id: StrBytes, stored: Option<StoredMember>, now_ms: i64) {
        let deadline_ms = now_ms.saturating_add(SESSION_TIMEOUT_MS);
        let member = stored.map(|stored| Member::restore(stored, deadline_ms));
        self.put_back(&id, member);
    }

    /// A member is as it was, or was not there.
    pub(crate) fn put_back(&mut self, id: &StrBytes, member: Option<Member>) {
        match member {
            Some(member) => self.by_id.insert(id.clone(), member),
            None => self.by_id.remove(id),
        };
    }

    pub(crate) fn get(&self, id: &StrBytes) -> Option<&Member> {
        self.by_id.get(id)
    }

    /// Takes out those that were silent for too long, and names them.
    pub(crate) fn expire(&mut self, now_ms: i64) -> Vec<StrBytes> {
        let is_over = |member: &Member| member.deadline_ms <= now_ms;
        let over = self.by_id.iter().filter(|(_, member)| is_over(member));
        let over: Vec<StrBytes> = over.map(|(id, _)| id.clone()).collect();
        self.by_id.retain(|_, member| !is_over(member));
        over
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All of them, by their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&StrBytes, &Member)> {
        self.by_id.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(epoch: i32, topics: Option<&[&'static str]>) -> Beat {
        let topics = topics.map(|all| all.iter().map(|t| StrBytes::from_static_str(t)).collect());
        let member_id = StrBytes::from_static_str("m");
        let (client_id, host) = (StrBytes::default(), StrBytes::default());
        Beat { member_id, epoch, topics, client_id, host }
    }

    fn find(name: &str) -> Option<(Uuid, i32)> {
        (name == "there").then_some((Uuid::from_u128(1), 2))
    }

    #[test]
    fn member_is_told_of_changes_once() {
        let mut members = Members::default();
        let told = members.beat(beat(0, Some(&["there", "not"])), 0, find).expect("it joins");
        assert_eq!(told, Told { epoch: 1, assignment: Some(vec![(Uuid::from_u128(1), 2)]) });
        let told = members.beat(beat(1, None), 0, find);
        assert_eq!(told, Ok(Told { epoch: 1, assignment: None }));
        let told = members.beat(beat(1, None), 0, |_| None);
        assert_eq!(told, Ok(Told { epoch: 2, assignment: Some(Vec::new()) }));
        let again = members.beat(beat(1, None), 0, |_| None);
        assert_eq!(again, told, "the answer was lost");
        assert_eq!(members.beat(beat(7, None), 0, find), Err(ResponseError::FencedMemberEpoch));
    }

    #[test]
    fn silent_member_is_out_and_must_join_again() {
        let mut members = Members::default();
        members.beat(beat(0, Some(&[])), 0, find).expect("it joins");
        assert!(members.expire(SESSION_TIMEOUT_MS - 1).is_empty());
        assert_eq!(members.expire(SESSION_TIMEOUT_MS), [StrBytes::from_static_str("m")]);
        assert_eq!(members.beat(beat(1, None), 0, find), Err(ResponseError::UnknownMemberId));
    }
}
