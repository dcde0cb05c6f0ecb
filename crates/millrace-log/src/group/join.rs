//! Joining a group.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::command::{Answer, Join, Joined, NEW_MEMBER_JOIN_TIMEOUT_MS, Ticket, Turn};
use super::member::Member;
use super::state::{Group, State};

impl Group {
    /// A client wants to be a member, or a member wants a new generation. The answer comes at once,
    /// or when all others have joined.
    pub(super) fn join(&mut self, join: &Join, ticket: Ticket, turn: &mut Turn) {
        if !self.has_room_for(&join.member_id, turn.config.max_size) {
            // A member that has not joined again yet gives way to those who have.
            self.remove_member(&join.member_id, turn);
            refuse(turn, ticket, StrBytes::new(), ResponseError::GroupMaxSizeReached);
        } else if !self.supports(&join.protocol_type, &join.protocols) {
            let code = ResponseError::InconsistentGroupProtocol;
            refuse(turn, ticket, join.member_id.clone(), code);
        } else if join.member_id.is_empty() {
            self.join_unknown(join, ticket, turn);
        } else {
            self.join_known(join, ticket, turn);
        }
        self.try_complete_join(turn);
    }

    fn has_room_for(&self, member_id: &StrBytes, max_size: usize) -> bool {
        let member = self.members.get(member_id);
        match self.state {
            State::Empty | State::Dead => true,
            State::PreparingRebalance => {
                let joined = self.members.values().filter(|m| m.awaiting_join.is_some()).count();
                member.is_some_and(|m| m.awaiting_join.is_some()) || joined < max_size
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < max_size
            }
        }
    }

    fn join_unknown(&mut self, join: &Join, ticket: Ticket, turn: &mut Turn) {
        let known = join.instance_id.as_ref().and_then(|id| self.static_members.get(id));
        if let Some(old_id) = known.cloned() {
            self.replace_static_member(&old_id, join, ticket, turn);
        } else if join.instance_id.is_none() && join.requires_known_member_id {
            // A client that never hears of its id (its connection broke) would else stay in the
            // group as a member that nobody speaks for.
            let deadline_ms = turn.now.elapsed_ms + i64::from(join.session_timeout_ms);
            self.pending_members.insert(join.new_member_id.clone(), deadline_ms);
            refuse(turn, ticket, join.new_member_id.clone(), ResponseError::MemberIdRequired);
        } else {
            self.add_member(join.new_member_id.clone(), join, ticket, turn);
        }
    }

    fn join_known(&mut self, join: &Join, ticket: Ticket, turn: &mut Turn) {
        let id = &join.member_id;
        if join.instance_id.is_none() && self.pending_members.contains_key(id) {
            self.add_member(id.clone(), join, ticket, turn);
            return;
        }
        if let Err(code) = self.check_member(id, join.instance_id.as_ref()) {
            refuse(turn, ticket, id.clone(), code);
            return;
        }
        let unchanged = self.members.get(id).is_some_and(|m| m.protocols == join.protocols);
        match self.state {
            // The answer to an earlier request was lost.
            State::CompletingRebalance if unchanged => {
                turn.answer(ticket, Answer::Joined(self.joined(id)));
            }
            // A leader may know of changes (of topics) that its metadata don't show.
            State::Stable if unchanged && !self.is_leader(id) => {
                turn.answer(ticket, Answer::Joined(self.joined(id)));
            }
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                self.join_again(join, ticket, turn);
            }
            State::Empty | State::Dead => {
                refuse(turn, ticket, id.clone(), ResponseError::UnknownMemberId);
            }
        }
    }

    fn join_again(&mut self, join: &Join, ticket: Ticket, turn: &mut Turn) {
        if let Some(member) = self.members.get_mut(&join.member_id) {
            member.update(join);
            if let Some(old) = member.awaiting_join.replace(ticket) {
                let code = ResponseError::RebalanceInProgress;
                refuse(turn, old, join.member_id.clone(), code);
            }
        }
        self.rebalance_if_possible(turn);
    }

    fn add_member(&mut self, id: StrBytes, join: &Join, ticket: Ticket, turn: &mut Turn) {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if let Some(rebalance) = &mut self.rebalance {
            rebalance.member_added = true;
        }
        let mut member = Member::new(id.clone(), join);
        member.awaiting_join = Some(ticket);
        member.session_deadline_ms = turn.now.elapsed_ms + NEW_MEMBER_JOIN_TIMEOUT_MS;
        match &join.instance_id {
            Some(instance_id) => {
                self.static_members.insert(instance_id.clone(), id.clone());
            }
            None => {
                self.pending_members.remove(&id);
            }
        }
        self.leader.get_or_insert_with(|| id.clone());
        self.members.insert(id, member);
        self.rebalance_if_possible(turn);
    }

    /// A static member came back without its id: it gets a new one, and whoever has the old one is
    /// fenced. While the group is stable and goes on with the same assignor, nobody else notices.
    fn replace_static_member(
        &mut self,
        old_id: &StrBytes,
        join: &Join,
        ticket: Ticket,
        turn: &mut Turn,
    ) {
        turn.before.push(self.image());
        let Some(mut member) = self.members.remove(old_id) else { return };
        let old_leader = self.leader.clone().unwrap_or_default();
        let new_id = join.new_member_id.clone();
        if let Some(old) = member.awaiting_join.take() {
            refuse(turn, old, old_id.clone(), ResponseError::FencedInstanceId);
        }
        if let Some(old) = member.awaiting_sync.take() {
            turn.answer(old, Answer::SyncRefused(ResponseError::FencedInstanceId));
        }
        member.id = new_id.clone();
        member.update(join);
        member.keep_alive(turn.now.elapsed_ms);
        if member.is_new {
            member.session_deadline_ms = turn.now.elapsed_ms + NEW_MEMBER_JOIN_TIMEOUT_MS;
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), new_id.clone());
        }
        if self.pending_sync.remove(old_id) {
            self.pending_sync.insert(new_id.clone());
        }
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        self.members.insert(new_id.clone(), member);

        if self.state == State::Stable && self.vote() == self.protocol {
            turn.records.push(self.stored());
            let joined = self.joined_as_before(&new_id, old_leader, join.can_skip_assignment);
            turn.answer(ticket, Answer::Joined(joined));
            return;
        }
        if let Some(member) = self.members.get_mut(&new_id) {
            member.awaiting_join = Some(ticket);
        }
        self.rebalance_if_possible(turn);
    }

    /// For a static member that came back: a leader must not make another assignment, which nobody
    /// would get. Clients that can't be told so are told that the leader is somebody else.
    fn joined_as_before(&self, id: &StrBytes, old_leader: StrBytes, can_skip: bool) -> Joined {
        let joined = self.joined(id);
        match can_skip {
            true => Joined { skip_assignment: self.is_leader(id), ..joined },
            false => Joined { leader: old_leader, members: Vec::new(), ..joined },
        }
    }
}

pub(super) fn refuse(turn: &mut Turn, ticket: Ticket, member_id: StrBytes, code: ResponseError) {
    turn.answer(ticket, Answer::JoinRefused { member_id, code });
}
