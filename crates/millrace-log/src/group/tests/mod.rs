//! Tests of the state machine, without a log.

mod commits;
mod joining;
mod property;
mod records;
mod service;
mod sessions;
mod undo;

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::command::{Answer, GroupConfig, Join, Joined, MemberRef, Moment, Sync, Ticket, Turn};
use super::coordinator::Coordinator;
use super::offsets::{Committed, TopicPartition};
use super::record::GroupRecord;
use super::service::refused;
use super::state::State;

pub(super) const GROUP: &str = "g";
pub(super) const SESSION_MS: i32 = 10_000;
pub(super) const REBALANCE_MS: i32 = 60_000;

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A coordinator, a clock, and what came out.
pub(super) struct Machine {
    pub coordinator: Coordinator,
    pub now_ms: i64,
    pub answers: BTreeMap<Ticket, Answer>,
    pub records: Vec<GroupRecord>,
    /// No record can be written.
    pub disk_fails: bool,
    next_ticket: Ticket,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self::with(GroupConfig::default())
    }

    pub(super) fn with(config: GroupConfig) -> Self {
        Machine {
            coordinator: Coordinator::new(config),
            now_ms: 1_000,
            answers: BTreeMap::new(),
            records: Vec::new(),
            disk_fails: false,
            next_ticket: 0,
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment { elapsed_ms: self.now_ms, wall_ms: 1_000_000 + self.now_ms }
    }

    pub(super) fn take(&mut self, turn: Turn) {
        let fails = self.disk_fails && !turn.records.is_empty();
        if fails {
            let tickets: Vec<Ticket> = turn.answers.iter().map(|(ticket, _)| *ticket).collect();
            self.coordinator.undo(turn.before, &tickets, turn.now);
        }
        for (ticket, answer) in turn.answers {
            let answer = match fails {
                true => refused(answer, ResponseError::NotCoordinator),
                false => answer,
            };
            let before = self.answers.insert(ticket, answer);
            assert!(before.is_none(), "request {ticket} is answered twice");
        }
        if !fails {
            self.records.extend(turn.records);
        }
    }

    pub(super) fn join(&mut self, join: &Join) -> Ticket {
        self.next_ticket += 1;
        let mut join = join.clone();
        join.new_member_id = text(&format!("{}-{}", join.client_id.as_str(), self.next_ticket));
        let turn = self.coordinator.join(&text(GROUP), &join, self.next_ticket, self.now());
        self.take(turn);
        self.next_ticket
    }

    pub(super) fn sync(&mut self, member: &MemberRef, parts: &[(&StrBytes, &str)]) -> Ticket {
        self.next_ticket += 1;
        let parts = parts.iter().map(|(id, part)| ((*id).clone(), bytes(part)));
        let sync = Sync { member: member.clone(), assignments: parts.collect(), ..Sync::default() };
        let turn = self.coordinator.sync(&text(GROUP), &sync, self.next_ticket, self.now());
        self.take(turn);
        self.next_ticket
    }

    pub(super) fn heartbeat(&mut self, member: &MemberRef) -> Result<(), ResponseError> {
        self.coordinator.heartbeat(&text(GROUP), member, self.now())
    }

    pub(super) fn leave(
        &mut self,
        members: &[(&StrBytes, Option<&str>)],
    ) -> Vec<Result<(), ResponseError>> {
        let members: Vec<_> =
            members.iter().map(|(id, instance)| ((*id).clone(), instance.map(text))).collect();
        let (results, turn) =
            self.coordinator.leave(&text(GROUP), &members, self.now()).expect("a named group");
        self.take(turn);
        results
    }

    pub(super) fn check_commit(&mut self, member: &MemberRef) -> Result<(), ResponseError> {
        self.coordinator.check_commit(&text(GROUP), member, false, self.now())
    }

    /// Lets time pass, firing each timer when it is due.
    pub(super) fn pass(&mut self, ms: i64) {
        let end_ms = self.now_ms + ms;
        while let Some(due_ms) = self.coordinator.next_deadline_ms().filter(|due| *due <= end_ms) {
            self.now_ms = self.now_ms.max(due_ms);
            let turn = self.coordinator.fire(self.now());
            self.take(turn);
            let next_ms = self.coordinator.next_deadline_ms();
            assert!(next_ms.is_none_or(|next_ms| next_ms > due_ms), "a timer does not stop");
        }
        self.now_ms = end_ms;
    }

    pub(super) fn state(&self) -> State {
        self.coordinator.group(&text(GROUP)).map_or(State::Dead, |group| group.state)
    }

    pub(super) fn generation(&self) -> i32 {
        self.coordinator.group(&text(GROUP)).map_or(-1, |group| group.generation)
    }

    pub(super) fn joined(&self, ticket: Ticket) -> Joined {
        match self.answers.get(&ticket) {
            Some(Answer::Joined(joined)) => joined.clone(),
            other => panic!("request {ticket} should have joined, but got {other:?}"),
        }
    }

    pub(super) fn join_refusal(&self, ticket: Ticket) -> (StrBytes, ResponseError) {
        match self.answers.get(&ticket) {
            Some(Answer::JoinRefused { member_id, code }) => (member_id.clone(), *code),
            other => panic!("request {ticket} should be refused, but got {other:?}"),
        }
    }

    pub(super) fn assignment(&self, ticket: Ticket) -> Bytes {
        match self.answers.get(&ticket) {
            Some(Answer::Synced { assignment, .. }) => assignment.clone(),
            other => panic!("request {ticket} should have its part, but got {other:?}"),
        }
    }

    pub(super) fn sync_refusal(&self, ticket: Ticket) -> ResponseError {
        match self.answers.get(&ticket) {
            Some(Answer::SyncRefused(code)) => *code,
            other => panic!("request {ticket} should be refused, but got {other:?}"),
        }
    }

    /// A new dynamic member that goes the whole way through; it is alone, or the caller lets the
    /// others join again.
    pub(super) fn join_dynamic(&mut self, client: &str) -> (StrBytes, Ticket) {
        let first = self.join(&dynamic(client));
        let (id, code) = self.join_refusal(first);
        assert_eq!(code, ResponseError::MemberIdRequired);
        let ticket = self.join(&Join { member_id: id.clone(), ..dynamic(client) });
        (id, ticket)
    }

    /// A group of these two in their first common generation, stable; the first leads.
    pub(super) fn stable_pair(&mut self) -> (MemberRef, MemberRef) {
        let (a, _) = self.join_dynamic("a");
        let (_, joined_b) = self.join_dynamic("b");
        let joined_a = self.join(&Join { member_id: a, ..dynamic("a") });
        let (a, b) = (self.joined(joined_a), self.joined(joined_b));
        assert_eq!(a.leader, a.member_id);
        let (a_ref, b_ref) = (of(&a), of(&b));
        self.sync(&b_ref, &[]);
        self.sync(&a_ref, &[(&a.member_id, "part a"), (&b.member_id, "part b")]);
        assert_eq!(self.state(), State::Stable);
        (a_ref, b_ref)
    }
}

pub(super) fn of(joined: &Joined) -> MemberRef {
    let member_id = joined.member_id.clone();
    MemberRef { member_id, instance_id: None, generation: joined.generation }
}

pub(super) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// What a consumer of these topics tells the leader.
pub(super) fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(1);
    bytes.put_i32(topics.len() as i32);
    for topic in topics {
        bytes.put_i16(topic.len() as i16);
        bytes.put_slice(topic.as_bytes());
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

pub(super) fn dynamic(client: &str) -> Join {
    Join {
        member_id: StrBytes::new(),
        instance_id: None,
        new_member_id: StrBytes::new(),
        client_id: text(client),
        client_host: text("/127.0.0.1"),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        protocol_type: text("consumer"),
        protocols: vec![(text("range"), subscription(&["t"]))],
        requires_known_member_id: true,
        can_skip_assignment: true,
    }
}

pub(super) fn fixed(instance: &str) -> Join {
    Join { instance_id: Some(text(instance)), ..dynamic(instance) }
}

pub(super) fn place(partition: i32) -> TopicPartition {
    TopicPartition { topic: text("t"), partition }
}

pub(super) fn committed(offset: i64) -> Committed {
    Committed {
        offset,
        leader_epoch: -1,
        metadata: text("m"),
        commit_time_ms: 1_000_000,
        expire_time_ms: None,
    }
}
