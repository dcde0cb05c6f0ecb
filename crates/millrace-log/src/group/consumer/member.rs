//! A member of a group, as the coordinator knows it.

use std::collections::BTreeSet;

use kafka_protocol::protocol::StrBytes;
use regex::Regex;
use uuid::Uuid;

use super::Assignor;
use super::classic::Classic;

/// Partitions, by the ids of their topics.
pub(crate) type Parts = BTreeSet<(Uuid, i32)>;

/// How far a member is on its way to the target assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has what it is to have in its epoch.
    Stable,
    /// It is to give up partitions, and has not said that it has.
    Unrevoked,
    /// It has come to the target's epoch; others still have some of its partitions.
    Unreleased,
}

/// A subscription to all topics whose whole names match.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub text: StrBytes,
    pub regex: Regex,
    pub matches: BTreeSet<StrBytes>,
}

/// A member.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(super) id: StrBytes,
    pub(super) instance_id: Option<StrBytes>,
    pub(super) rack_id: Option<StrBytes>,
    pub(super) client_id: StrBytes,
    pub(super) host: StrBytes,
    pub(super) rebalance_timeout_ms: i64,
    pub(super) topics: BTreeSet<StrBytes>,
    pub(super) pattern: Option<Pattern>,
    pub(super) assignor: Option<Assignor>,
    pub(super) epoch: i32,
    pub(super) previous_epoch: i32,
    pub(super) progress: Progress,
    pub(super) assigned: Parts,
    /// What it was told to give up, and may still read.
    pub(super) revoking: Parts,
    /// How long it may be silent, unless it speaks the classic protocol.
    pub(super) session_timeout_ms: i64,
    pub(super) session_deadline_ms: i64,
    pub(super) revoke_deadline_ms: Option<i64>,
    /// Where it speaks the classic protocol.
    pub(super) classic: Option<Classic>,
}

impl Member {
    pub(super) fn new(id: StrBytes, session_timeout_ms: i64) -> Self {
        Member {
            id,
            instance_id: None,
            rack_id: None,
            client_id: StrBytes::default(),
            host: StrBytes::default(),
            rebalance_timeout_ms: 0,
            topics: BTreeSet::new(),
            pattern: None,
            assignor: None,
            epoch: 0,
            previous_epoch: 0,
            progress: Progress::Stable,
            assigned: Parts::new(),
            revoking: Parts::new(),
            session_timeout_ms,
            session_deadline_ms: i64::MAX,
            revoke_deadline_ms: None,
            classic: None,
        }
    }

    /// The topics that it reads, by name or pattern; some may come twice.
    pub(super) fn subscribed(&self) -> impl Iterator<Item = &StrBytes> {
        self.topics.iter().chain(self.pattern.iter().flat_map(|pattern| &pattern.matches))
    }

    /// When it is removed if nothing is heard of it, or it has not given up what it has to.
    pub(super) fn deadline_ms(&self) -> i64 {
        let classic = self.classic.as_ref().and_then(Classic::deadline_ms);
        let deadlines = self.revoke_deadline_ms.into_iter().chain(classic);
        deadlines.fold(self.session_deadline_ms, i64::min)
    }

    /// It was heard of.
    pub(super) fn keep_alive(&mut self, now_ms: i64) {
        let timeout_ms = match &self.classic {
            Some(classic) => i64::from(classic.session_timeout_ms),
            None => self.session_timeout_ms,
        };
        self.session_deadline_ms = now_ms.saturating_add(timeout_ms);
    }
}
