//! Handing out the leader's assignment.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::command::{Answer, Sync, Ticket, Turn};
use super::state::{Group, State};

impl Group {
    /// A member asks for its part. The answer comes when the leader has asked, who brings all parts.
    pub(super) fn sync(&mut self, sync: &Sync, ticket: Ticket, turn: &mut Turn) {
        if let Err(code) = self.check_sync(sync) {
            turn.answer(ticket, Answer::SyncRefused(code));
            return;
        }
        let id = &sync.member.member_id;
        self.pending_sync.remove(id);
        if self.pending_sync.is_empty() {
            self.sync_deadline_ms = None;
        }
        let Some(member) = self.members.get_mut(id) else { return };
        if let Some(old) = member.awaiting_sync.replace(ticket) {
            turn.answer(old, Answer::SyncRefused(ResponseError::RebalanceInProgress));
        }
        match self.state {
            State::CompletingRebalance if self.is_leader(id) => self.assign(sync, turn),
            State::Stable => self.hand_out(turn),
            _ => {}
        }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), ResponseError> {
        self.check_generation(&sync.member)?;
        let differs = |said: &Option<StrBytes>, is: &Option<StrBytes>| said.is_some() && said != is;
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol, &self.protocol)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        match self.state {
            State::Empty | State::Dead => Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// The group is stable: whom the leader has forgotten gets nothing to do.
    fn assign(&mut self, sync: &Sync, turn: &mut Turn) {
        turn.before.push(self.image());
        for (id, assignment) in &sync.assignments {
            if let Some(member) = self.members.get_mut(id) {
                member.assignment = assignment.clone();
            }
        }
        self.enter(State::Stable, turn);
        turn.records.push(self.stored());
        self.hand_out(turn);
    }

    fn hand_out(&mut self, turn: &mut Turn) {
        for member in self.members.values_mut() {
            let Some(ticket) = member.awaiting_sync.take() else { continue };
            member.keep_alive(turn.now.elapsed_ms);
            let answer = Answer::Synced {
                protocol_type: self.protocol_type.clone(),
                protocol: self.protocol.clone(),
                assignment: member.assignment.clone(),
            };
            turn.answer(ticket, answer);
        }
    }

    /// Who joined and then never asked for its part is out.
    pub(super) fn on_sync_deadline(&mut self, turn: &mut Turn) {
        self.sync_deadline_ms = None;
        let silent = std::mem::take(&mut self.pending_sync);
        if !matches!(self.state, State::CompletingRebalance | State::Stable) || silent.is_empty() {
            return;
        }
        for id in &silent {
            self.remove_member(id, turn);
        }
        self.rebalance_if_possible(turn);
    }
}
