//! What a member says with a heartbeat, and what it is told.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use regex::Regex;
use uuid::Uuid;

use super::member::{Member, Parts, Pattern, Progress};
use super::{Assignor, Consumers, TopicSource};
use crate::error::{LogError, Result};

/// The epoch of a member that goes.
pub(crate) const LEAVES: i32 = -1;

/// The epoch of a static member that is to come back.
pub(crate) const LEAVES_FOR_A_WHILE: i32 = -2;

/// A pattern may take so much memory when it is compiled.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A heartbeat. What is `None` is as it was before.
#[derive(Clone, Debug)]
pub(crate) struct Beat {
    pub(crate) member_id: StrBytes,
    pub(crate) instance_id: Option<StrBytes>,
    pub(crate) rack_id: Option<StrBytes>,
    /// 0 to join.
    pub(crate) epoch: i32,
    pub(crate) rebalance_timeout_ms: Option<i32>,
    pub(crate) topics: Option<Vec<StrBytes>>,
    /// Empty: none any more.
    pub(crate) pattern: Option<StrBytes>,
    pub(crate) assignor: Option<Assignor>,
    pub(crate) owned: Option<Vec<(Uuid, Vec<i32>)>>,
    pub(crate) client_id: StrBytes,
    pub(crate) host: StrBytes,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) epoch: i32,
    /// `None` if it is as before.
    pub(crate) assignment: Option<BTreeMap<Uuid, Vec<i32>>>,
}

impl Beat {
    /// All that a member can say is said, as when it joins or has not had an answer.
    fn is_full(&self) -> bool {
        self.rebalance_timeout_ms.is_some()
            && (self.topics.is_some() || self.pattern.is_some())
            && self.owned.is_some()
    }
}

impl Consumers {
    /// Takes a heartbeat. The epoch of the group has grown if it asks for a new assignment.
    ///
    /// # Errors
    /// The code for the member: it is unknown or fenced; somebody else has its instance id; its
    /// pattern is none.
    pub(in crate::group) fn beat(
        &mut self,
        beat: &Beat,
        source: &dyn TopicSource,
        now_ms: i64,
    ) -> Result<Told> {
        let pattern = beat.pattern.as_ref().map(compile).transpose()?;
        let owned: Option<Parts> = beat.owned.as_ref().map(|topics| {
            let parts = topics.iter();
            parts.flat_map(|(topic, indexes)| indexes.iter().map(|i| (*topic, *i))).collect()
        });
        let epoch = self.epoch;
        let stored = self.stored(&beat.member_id);
        if beat.epoch == 0 {
            self.join(beat)?;
        }
        self.check_member(beat, owned.as_ref())?;
        if beat.epoch < 0 {
            let told = self.leave(beat, now_ms);
            self.note(&beat.member_id, stored.as_ref());
            return Ok(told);
        }
        self.update(beat, pattern, now_ms);
        let before = self.members.get(&beat.member_id).map(|member| member.assigned.clone());
        self.look_at_topics(source);
        // However much has changed, it is one new assignment.
        self.epoch = self.epoch.min(epoch.saturating_add(1));
        self.assign();
        self.reconcile(&beat.member_id, owned.as_ref(), now_ms);
        self.note(&beat.member_id, stored.as_ref());
        let member = self.members.get(&beat.member_id).ok_or_else(|| unknown(beat))?;
        let tell = beat.epoch == 0 || beat.is_full() || before.as_ref() != Some(&member.assigned);
        Ok(Told { epoch: member.epoch, assignment: tell.then(|| by_topic(&member.assigned)) })
    }

    /// Lets a member in; under the name of a static one that went for a while, in its place.
    fn join(&mut self, beat: &Beat) -> Result<()> {
        let holder = beat.instance_id.as_ref().and_then(|id| self.instances.get(id)).cloned();
        if let (Some(instance), Some(holder)) = (&beat.instance_id, holder)
            && holder != beat.member_id
        {
            let may_go =
                |member: &Member| member.epoch == LEAVES_FOR_A_WHILE || member.classic.is_some();
            if !self.members.get(&holder).is_some_and(may_go) {
                let reason = format!(
                    "Static member {} with instance id {} cannot join the group because the \
                     instance id is owned by member {}.",
                    beat.member_id.escape_debug(),
                    instance.escape_debug(),
                    holder.escape_debug(),
                );
                return Err(LogError::rejected(ResponseError::UnreleasedInstanceId, reason));
            }
            self.replace(&holder, &beat.member_id);
        }
        match self.members.get_mut(&beat.member_id) {
            // It has begun anew, with nothing.
            Some(member) => {
                member.epoch = 0;
                member.previous_epoch = 0;
                member.progress = Progress::Stable;
                member.assigned.clear();
                member.revoking.clear();
                member.revoke_deadline_ms = None;
            }
            None => {
                self.members.insert(
                    beat.member_id.clone(),
                    Member::new(beat.member_id.clone(), self.session_timeout_ms),
                );
                if let Some(instance) = &beat.instance_id {
                    self.instances.insert(instance.clone(), beat.member_id.clone());
                }
                self.epoch = self.epoch.saturating_add(1);
            }
        }
        Ok(())
    }

    fn check_member(&self, beat: &Beat, owned: Option<&Parts>) -> Result<()> {
        if let Some(instance) = &beat.instance_id {
            let holder = self.instances.get(instance).ok_or_else(|| unknown(beat))?;
            if *holder != beat.member_id {
                let reason = format!(
                    "Static member {} with instance id {} was fenced by member {}.",
                    beat.member_id.escape_debug(),
                    instance.escape_debug(),
                    holder.escape_debug(),
                );
                return Err(LogError::rejected(ResponseError::FencedInstanceId, reason));
            }
        }
        let member = self.members.get(&beat.member_id).ok_or_else(|| unknown(beat))?;
        if beat.epoch <= 0 || beat.epoch == member.epoch {
            return Ok(());
        }
        let has_no_more = owned.is_some_and(|owned| owned.is_subset(&member.assigned));
        if beat.epoch == member.previous_epoch && has_no_more {
            return Ok(());
        }
        let reason = format!(
            "The consumer group member has epoch {} and not {}. The member must abandon all its \
             partitions and rejoin.",
            member.epoch, beat.epoch
        );
        Err(LogError::rejected(ResponseError::FencedMemberEpoch, reason))
    }

    fn leave(&mut self, beat: &Beat, now_ms: i64) -> Told {
        if beat.epoch == LEAVES_FOR_A_WHILE
            && let Some(member) = self.members.get_mut(&beat.member_id)
        {
            member.epoch = LEAVES_FOR_A_WHILE;
            // It has stopped reading.
            member.revoking.clear();
            member.revoke_deadline_ms = None;
            member.session_deadline_ms = now_ms.saturating_add(self.session_timeout_ms);
        } else {
            self.remove(&beat.member_id);
        }
        Told { epoch: beat.epoch, assignment: None }
    }

    /// Takes down what the member says of itself. Another subscription asks for a new assignment.
    fn update(&mut self, beat: &Beat, pattern: Option<Option<Pattern>>, now_ms: i64) {
        let Some(member) = self.members.get_mut(&beat.member_id) else { return };
        member.classic = None;
        member.keep_alive(now_ms);
        member.client_id = beat.client_id.clone();
        member.host = beat.host.clone();
        if beat.instance_id.is_some() {
            member.instance_id = beat.instance_id.clone();
        }
        if beat.rack_id.is_some() {
            member.rack_id = beat.rack_id.clone();
        }
        if let Some(timeout_ms) = beat.rebalance_timeout_ms {
            member.rebalance_timeout_ms = i64::from(timeout_ms);
        }
        let mut changed = false;
        if let Some(topics) = &beat.topics {
            let topics = topics.iter().cloned().collect();
            changed |= member.topics != topics;
            member.topics = topics;
        }
        if let Some(pattern) = pattern {
            let text = |pattern: &Option<Pattern>| pattern.as_ref().map(|p| p.text.clone());
            if text(&member.pattern) != text(&pattern) {
                member.pattern = pattern;
                changed = true;
            }
        }
        if beat.assignor.is_some() && member.assignor != beat.assignor {
            member.assignor = beat.assignor;
            changed = true;
        }
        // A new member has asked for a new assignment already.
        if changed && beat.epoch != 0 {
            self.epoch = self.epoch.saturating_add(1);
        }
    }
}

/// A pattern for whole names; none within for an empty one.
pub(super) fn compile(text: &StrBytes) -> Result<Option<Pattern>> {
    if text.is_empty() {
        return Ok(None);
    }
    let whole = format!("^(?:{})$", text.as_str());
    let compiled = regex::RegexBuilder::new(&whole).size_limit(MAX_PATTERN_BYTES).build();
    let regex: Regex = compiled.map_err(|error| {
        let reason = format!(
            "SubscribedTopicRegex `{}` is not a valid regular expression: {error}.",
            text.escape_debug()
        );
        LogError::rejected(ResponseError::InvalidRegularExpression, reason)
    })?;
    Ok(Some(Pattern { text: text.clone(), regex, matches: Default::default() }))
}

fn unknown(beat: &Beat) -> LogError {
    let reason = format!("Member {} is not a member of the group.", beat.member_id.escape_debug());
    LogError::rejected(ResponseError::UnknownMemberId, reason)
}

pub(super) fn by_topic(parts: &Parts) -> BTreeMap<Uuid, Vec<i32>> {
    let mut topics = BTreeMap::<Uuid, Vec<i32>>::new();
    for (topic, index) in parts {
        topics.entry(*topic).or_default().push(*index);
    }
    topics
}
