//! Going back to where a group was, because what it came to could not be written down.

use super::command::Ticket;
use super::state::Group;
use crate::group::offsets::Offsets;

/// What time brought about is tried again no sooner than this.
const AGAIN_MS: i64 = 1_000;

impl Group {
    /// The group as it is, without its offsets: no turn changes them.
    pub(super) fn image(&self) -> Group {
        Group {
            id: self.id.clone(),
            state: self.state,
            state_since_ms: self.state_since_ms,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            generation: self.generation,
            leader: self.leader.clone(),
            members: self.members.clone(),
            static_members: self.static_members.clone(),
            pending_members: self.pending_members.clone(),
            pending_sync: self.pending_sync.clone(),
            sync_deadline_ms: self.sync_deadline_ms,
            rebalance: self.rebalance,
            subscribed: self.subscribed.clone(),
            offsets: Offsets::default(),
            consumers: self.consumers.clone(),
        }
    }

    /// Makes an image a group again, some of whose requests were answered meanwhile: who sent them
    /// has to ask anew.
    pub(super) fn undone(&mut self, answered: &[Ticket], elapsed_ms: i64) {
        let again_ms = elapsed_ms + AGAIN_MS;
        let is_answered = |ticket: &mut Ticket| answered.contains(ticket);
        for (id, member) in &mut self.members {
            member.awaiting_join.take_if(is_answered);
            if member.awaiting_sync.take_if(is_answered).is_some() {
                self.pending_sync.insert(id.clone());
            }
            member.session_deadline_ms = member.session_deadline_ms.max(again_ms);
        }
        if !self.pending_sync.is_empty() {
            let timeout_ms = self.rebalance_timeout_ms();
            self.sync_deadline_ms.get_or_insert(elapsed_ms + timeout_ms);
        }
        let deadlines = self.pending_members.values_mut().chain(&mut self.sync_deadline_ms);
        let rebalance = self.rebalance.as_mut().map(|rebalance| &mut rebalance.deadline_ms);
        for deadline_ms in deadlines.chain(rebalance) {
            *deadline_ms = (*deadline_ms).max(again_ms);
        }
    }
}
