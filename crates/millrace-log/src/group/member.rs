//! A member of a group.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;

use super::command::{Join, JoinedMember, Ticket};

/// A member of a group.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub id: StrBytes,
    pub instance_id: Option<StrBytes>,
    pub client_id: StrBytes,
    pub client_host: StrBytes,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    /// Best first. A member that was restored from the log knows only the chosen one.
    pub protocols: Vec<(StrBytes, Bytes)>,
    /// Its part in the current generation; empty until the leader has said so.
    pub assignment: Bytes,
    /// Its request to join, while the group waits for others.
    pub awaiting_join: Option<Ticket>,
    /// Its request for the assignment, while the group waits for the leader.
    pub awaiting_sync: Option<Ticket>,
    /// It has not been answered since it came.
    pub is_new: bool,
    /// When it is dead unless it is heard of.
    pub session_deadline_ms: i64,
}

impl Member {
    pub(super) fn new(id: StrBytes, join: &Join) -> Self {
        Member {
            id,
            instance_id: join.instance_id.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            session_timeout_ms: join.session_timeout_ms,
            rebalance_timeout_ms: join.rebalance_timeout_ms.max(0),
            protocols: join.protocols.clone(),
            assignment: Bytes::new(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: true,
            session_deadline_ms: i64::MAX,
        }
    }

    /// Takes over what a member says when it joins again.
    pub(super) fn update(&mut self, join: &Join) {
        self.client_id = join.client_id.clone();
        self.client_host = join.client_host.clone();
        self.session_timeout_ms = join.session_timeout_ms;
        self.rebalance_timeout_ms = join.rebalance_timeout_ms.max(0);
        self.protocols = join.protocols.clone();
    }

    /// What it says to the leader through this assignor.
    pub(super) fn metadata(&self, protocol: Option<&StrBytes>) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| Some(name) == protocol)
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    pub(super) fn supports(&self, protocol: &StrBytes) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    pub(super) fn as_joined(&self, protocol: Option<&StrBytes>) -> JoinedMember {
        JoinedMember {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            metadata: self.metadata(protocol),
        }
    }

    /// It was heard of.
    pub(super) fn keep_alive(&mut self, elapsed_ms: i64) {
        self.session_deadline_ms = elapsed_ms + i64::from(self.session_timeout_ms);
    }

    /// When it dies of silence. A member that waits for the coordinator is not silent, but a new
    /// one may have gone away without a trace, so that its waiting has an end.
    pub(super) fn deadline_ms(&self) -> Option<i64> {
        let waits = self.awaiting_join.is_some() || self.awaiting_sync.is_some();
        (self.is_new || !waits).then_some(self.session_deadline_ms)
    }
}
