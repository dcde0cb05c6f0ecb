//! Staying in a group, and getting out of it: heartbeats, leaving, and silence.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::command::{MemberRef, Turn};
use super::consumer::Consumers;
use super::state::{Group, State};

impl Group {
    /// A member is alive. It learns here that it has to join again.
    pub(super) fn heartbeat(
        &mut self,
        member: &MemberRef,
        turn: &mut Turn,
    ) -> Result<(), ResponseError> {
        self.check_generation(member)?;
        self.keep_alive(&member.member_id, turn);
        match self.state {
            State::Empty | State::Dead => Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    pub(super) fn keep_alive(&mut self, member_id: &StrBytes, turn: &Turn) {
        if let Some(member) = self.members.get_mut(member_id).filter(|member| !member.is_new) {
            member.keep_alive(turn.now.elapsed_ms);
        }
    }

    /// A member goes, or somebody says it has: by its id, or a static one by what it is known by.
    pub(super) fn leave(
        &mut self,
        member_id: &StrBytes,
        instance_id: Option<&StrBytes>,
        turn: &mut Turn,
    ) -> Result<(), ResponseError> {
        if let Some(consumers) = &mut self.consumers {
            return leave_consumers(consumers, member_id, instance_id);
        }
        if member_id.is_empty() {
            let known = instance_id.and_then(|id| self.static_members.get(id)).cloned();
            self.remove_and_rebalance(&known.ok_or(ResponseError::UnknownMemberId)?, turn);
        } else if self.pending_members.remove(member_id).is_some() {
            self.try_complete_join(turn);
        } else {
            self.check_member(member_id, instance_id)?;
            self.remove_and_rebalance(member_id, turn);
        }
        Ok(())
    }

    fn remove_and_rebalance(&mut self, member_id: &StrBytes, turn: &mut Turn) {
        self.remove_member(member_id, turn);
        match self.state {
            State::Stable | State::CompletingRebalance | State::PreparingRebalance => {
                self.rebalance_if_possible(turn);
            }
            State::Empty | State::Dead => {}
        }
    }

    /// Does what is due.
    pub(super) fn fire(&mut self, turn: &mut Turn) {
        let now_ms = turn.now.elapsed_ms;
        if let Some(consumers) = &mut self.consumers {
            consumers.expire(&self.id, now_ms);
            self.downgrade_if_all_classic(turn);
        }
        let is_due = |deadline_ms: Option<i64>| deadline_ms.is_some_and(|due_ms| due_ms <= now_ms);

        let known = self.pending_members.len();
        self.pending_members.retain(|_, deadline_ms| *deadline_ms > now_ms);
        if self.pending_members.len() < known {
            self.try_complete_join(turn);
        }
        let silent = self.members.values().filter(|member| is_due(member.deadline_ms()));
        let silent: Vec<StrBytes> = silent.map(|member| member.id.clone()).collect();
        for id in silent {
            // The removal of one may have been what another was waiting for.
            if self.members.get(&id).is_some_and(|member| is_due(member.deadline_ms())) {
                tracing::info!(group = %self.id, member = %id, "member is silent and removed");
                self.remove_and_rebalance(&id, turn);
            }
        }
        if is_due(self.sync_deadline_ms) {
            self.on_sync_deadline(turn);
        }
        // Last, as a rebalance that the others began may be over at once.
        if is_due(self.rebalance.map(|rebalance| rebalance.deadline_ms)) {
            self.on_rebalance_deadline(turn);
        }
    }
}

/// An administrator takes out a member whose partitions the coordinator divides.
fn leave_consumers(
    consumers: &mut Consumers,
    member_id: &StrBytes,
    instance_id: Option<&StrBytes>,
) -> Result<(), ResponseError> {
    let known = instance_id.and_then(|id| consumers.member_of(id)).cloned();
    let member_id = match (member_id.is_empty(), instance_id, known) {
        (false, None, _) => member_id.clone(),
        (true, Some(_), Some(known)) => known,
        (false, Some(_), Some(known)) if known != *member_id => {
            return Err(ResponseError::FencedInstanceId);
        }
        (false, Some(_), Some(known)) => known,
        _ => return Err(ResponseError::UnknownMemberId),
    };
    match consumers.remove(&member_id) {
        true => Ok(()),
        false => Err(ResponseError::UnknownMemberId),
    }
}
