//! From one generation to the next.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::command::{Answer, Turn};
use super::join::refuse;
use super::state::{Group, Rebalance, State};

/// Where only static members are left that are silent, the group looks again no sooner than this.
const MIN_POSTPONEMENT_MS: i64 = 1_000;

impl Group {
    /// Calls the members to join again, or, if they are being called already, looks whether all
    /// have.
    pub(super) fn rebalance_if_possible(&mut self, turn: &mut Turn) {
        match self.state {
            State::Empty | State::Stable | State::CompletingRebalance => {
                self.prepare_rebalance(turn);
            }
            State::PreparingRebalance => self.try_complete_join(turn),
            State::Dead => {}
        }
    }

    fn prepare_rebalance(&mut self, turn: &mut Turn) {
        if self.state == State::CompletingRebalance {
            self.send_away_from_sync(turn);
        }
        self.pending_sync.clear();
        self.sync_deadline_ms = None;

        let was_empty = self.state == State::Empty;
        self.enter(State::PreparingRebalance, turn);
        let delay_ms = turn.config.initial_rebalance_delay_ms;
        let timeout_ms = self.rebalance_timeout_ms();
        let initial = was_empty && delay_ms > 0;
        self.rebalance = Some(Rebalance {
            deadline_ms: turn.now.elapsed_ms + if initial { delay_ms } else { timeout_ms },
            initial_remaining_ms: initial.then(|| (timeout_ms - delay_ms).max(0)),
            member_added: false,
        });
        match was_empty && delay_ms <= 0 {
            true => self.complete_join(turn),
            false => self.try_complete_join(turn),
        }
    }

    /// The assignment that they wait for will not come.
    fn send_away_from_sync(&mut self, turn: &mut Turn) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(ticket) = member.awaiting_sync.take() {
                member.keep_alive(turn.now.elapsed_ms);
                turn.answer(ticket, Answer::SyncRefused(ResponseError::RebalanceInProgress));
            }
        }
    }

    /// Begins the next generation if nobody is missing.
    pub(super) fn try_complete_join(&mut self, turn: &mut Turn) {
        let waits_its_time = self.rebalance.is_some_and(|r| r.initial_remaining_ms.is_some());
        let all_joined = self.pending_members.is_empty()
            && self.members.values().all(|member| member.awaiting_join.is_some());
        if self.state == State::PreparingRebalance && !waits_its_time && all_joined {
            self.complete_join(turn);
        }
    }

    /// The time for joining is over.
    pub(super) fn on_rebalance_deadline(&mut self, turn: &mut Turn) {
        let Some(rebalance) = &mut self.rebalance else { return };
        match rebalance.initial_remaining_ms {
            Some(remaining_ms) if rebalance.member_added && remaining_ms > 0 => {
                let delay_ms = turn.config.initial_rebalance_delay_ms.clamp(1, remaining_ms);
                rebalance.deadline_ms = turn.now.elapsed_ms + delay_ms;
                rebalance.initial_remaining_ms = Some(remaining_ms - delay_ms);
                rebalance.member_added = false;
            }
            _ => self.complete_join(turn),
        }
    }

    /// Goes on with those who have joined, and with static members, who may be away for as long as
    /// their session lasts.
    fn complete_join(&mut self, turn: &mut Turn) {
        let gone = self.members.values().filter(|m| m.awaiting_join.is_none());
        let gone: Vec<StrBytes> =
            gone.filter(|m| m.instance_id.is_none()).map(|m| m.id.clone()).collect();
        for id in gone {
            self.remove_member(&id, turn);
        }
        if self.members.is_empty() {
            self.become_empty(turn);
        } else if self.elect_leader() {
            self.begin_generation(turn);
        } else {
            let postponed_ms = self.rebalance_timeout_ms().max(MIN_POSTPONEMENT_MS);
            self.rebalance = Some(Rebalance {
                deadline_ms: turn.now.elapsed_ms + postponed_ms,
                initial_remaining_ms: None,
                member_added: false,
            });
        }
    }

    /// Keeps the leader if it has joined, or takes one that has; false if nobody has.
    fn elect_leader(&mut self) -> bool {
        let has_joined = |id: &StrBytes| {
            self.members.get(id).is_some_and(|member| member.awaiting_join.is_some())
        };
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        match self.members.values().find(|member| member.awaiting_join.is_some()) {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    fn become_empty(&mut self, turn: &mut Turn) {
        self.next_generation();
        self.protocol = None;
        self.leader = None;
        self.read_subscriptions();
        self.enter(State::Empty, turn);
        turn.records.push(self.stored());
    }

    fn begin_generation(&mut self, turn: &mut Turn) {
        self.next_generation();
        self.protocol = self.vote();
        self.read_subscriptions();
        self.enter(State::CompletingRebalance, turn);
        self.sync_deadline_ms = Some(turn.now.elapsed_ms + self.rebalance_timeout_ms());
        self.pending_sync = self.members.keys().cloned().collect();

        let ids: Vec<StrBytes> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.is_new = false;
            member.assignment = Bytes::new();
            member.keep_alive(turn.now.elapsed_ms);
            if let Some(ticket) = member.awaiting_join.take() {
                turn.answer(ticket, Answer::Joined(joined));
            }
        }
    }

    fn next_generation(&mut self) {
        self.rebalance = None;
        // As in Kafka's arithmetic a group would go on at the lowest number, which clients take for
        // none; so it begins again.
        self.generation = self.generation.checked_add(1).unwrap_or(1);
    }

    /// Takes a member out without a rebalance; what it waits for is refused.
    pub(super) fn remove_member(&mut self, id: &StrBytes, turn: &mut Turn) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance_id) = &member.instance_id
            && self.static_members.get(instance_id) == Some(id)
        {
            self.static_members.remove(instance_id);
        }
        self.pending_sync.remove(id);
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        if let Some(ticket) = member.awaiting_join {
            refuse(turn, ticket, StrBytes::new(), ResponseError::UnknownMemberId);
        }
        if let Some(ticket) = member.awaiting_sync {
            turn.answer(ticket, Answer::SyncRefused(ResponseError::UnknownMemberId));
        }
    }
}
