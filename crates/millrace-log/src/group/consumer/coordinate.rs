//! Groups of the newer protocol among all groups.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::beat::{Beat, LEAVES, Told};
use super::{Consumers, TopicSource};
use crate::error::{LogError, Result};
use crate::group::command::{Join, Moment, Ticket, Turn};
use crate::group::coordinator::Coordinator;
use crate::group::join::refuse;
use crate::group::record::StoredEpoch;
use crate::group::state::State;

impl Coordinator {
    /// Takes a member's heartbeat, and gives what is to be written before it is told anything.
    ///
    /// # Errors
    /// The code for the member; the group has members who are no consumers.
    pub(in crate::group) fn consumer_beat(
        &mut self,
        group_id: &StrBytes,
        beat: &Beat,
        source: &dyn TopicSource,
        now: Moment,
    ) -> Result<(Told, Turn)> {
        let mut turn = Turn::new(*self.config(), now);
        let joins = beat.epoch == 0;
        let is_divided = self.group(group_id).is_some_and(|group| group.consumers().is_some());
        if !joins && !is_divided {
            // A group that went back to the classic protocol without it: it is to join anew.
            let code = match self.group(group_id) {
                Some(_) => ResponseError::UnknownMemberId,
                None => ResponseError::GroupIdNotFound,
            };
            let reason = format!("Group {} not found.", group_id.escape_debug());
            return Err(LogError::rejected(code, reason));
        }
        let max_size = turn.config.consumer_max_size;
        let session_timeout_ms = turn.config.consumer_session_timeout_ms;
        let is_new = self.group(group_id).is_none();
        let group = self.group_or_new(group_id, now);
        let is_upgraded = group.state != State::Empty;
        if is_upgraded {
            group.upgrade(source, &mut turn)?;
        } else if beat.epoch == LEAVES
            && group.consumers.as_ref().is_some_and(|c| c.is_last_of_newer(&beat.member_id))
        {
            turn.before.push(group.image());
        }
        let generation = group.generation;
        let consumers =
            group.consumers.get_or_insert_with(|| Consumers::new(generation, session_timeout_ms));
        let before = consumers.epoch();
        let told = match joins && consumers.is_full(max_size, beat) {
            true => {
                let reason = format!("The consumer group has reached its maximum of {max_size}.");
                Err(LogError::rejected(ResponseError::GroupMaxSizeReached, reason))
            }
            false => consumers.beat(beat, source, now.elapsed_ms),
        };
        let epoch = consumers.epoch();
        match &told {
            Ok(_) if epoch != before => {
                group.state_since_ms = now.wall_ms;
            }
            Ok(_) => {}
            Err(_) if is_upgraded => {
                // The members go on as if nobody had come, and who waits goes on waiting.
                self.undo(std::mem::take(&mut turn.before), &[], now);
            }
            Err(_) if !is_divided => group.consumers = None,
            Err(_) => {}
        }
        if told.is_err() && is_new {
            self.forget(group_id);
        }
        if beat.epoch == LEAVES
            && told.is_ok()
            && let Some(group) = self.group_mut(group_id)
        {
            group.downgrade_if_all_classic(&mut turn);
        }
        if told.is_ok() {
            self.keep(group_id, &mut turn);
        }
        self.set_timer(group_id);
        Ok((told?, turn))
    }

    /// A client of the classic protocol joins a group whose partitions the coordinator divides.
    /// `None`: it is not such a group, or has no members.
    pub(in crate::group) fn classic_join(
        &mut self,
        group_id: &StrBytes,
        join: &Join,
        ticket: Ticket,
        source: &dyn TopicSource,
        now: Moment,
    ) -> Option<Turn> {
        let mut turn = Turn::new(*self.config(), now);
        let sessions = turn.config.min_session_timeout_ms..=turn.config.max_session_timeout_ms;
        let group = self.group_mut(group_id)?;
        group.consumers.as_ref().filter(|consumers| !consumers.is_empty())?;
        if !sessions.contains(&join.session_timeout_ms) {
            let code = ResponseError::InvalidSessionTimeout;
            refuse(&mut turn, ticket, join.member_id.clone(), code);
            return Some(turn);
        }
        // A member that could not be written down has not joined.
        let image = group.image();
        turn.before.push(image);
        let consumers = group.consumers.as_mut()?;
        let before = consumers.epoch();
        let answer =
            consumers.classic_join(join, turn.config.consumer_max_size, source, now.elapsed_ms);
        turn.answer(ticket, answer);
        let epoch = consumers.epoch();
        if epoch != before {
            group.state_since_ms = now.wall_ms;
        }
        self.keep(group_id, &mut turn);
        self.set_timer(group_id);
        Some(turn)
    }

    /// Has what has changed of a group written down with the turn.
    pub(in crate::group) fn keep(&mut self, group_id: &StrBytes, turn: &mut Turn) {
        let consumers = self.group_mut(group_id).and_then(|group| group.consumers.as_mut());
        if let Some(consumers) = consumers {
            turn.records.extend(consumers.take_records(group_id, turn.now));
        }
    }

    /// What a group wanted kept could not be written: it comes again with the next turn.
    pub(in crate::group) fn keep_all_again(&mut self, group_id: &StrBytes) {
        if let Some(consumers) = self.group_mut(group_id).and_then(|group| group.consumers.as_mut())
        {
            consumers.keep_all_again();
        }
    }

    /// The group of a record that is read again at the start, and its members.
    pub(in crate::group) fn divided(&mut self, id: &StrBytes, now: Moment) -> &mut Consumers {
        let session_timeout_ms = self.config().consumer_session_timeout_ms;
        let group = self.group_or_new(id, now);
        if group.consumers.is_none() {
            let stored = StoredEpoch { epoch: 0, state_since_ms: now.wall_ms };
            group.become_divided(stored, session_timeout_ms);
        }
        group.consumers.get_or_insert_default()
    }

    /// A record of a group's epoch was written, or is read again at the start. What is in memory is
    /// newer than what was just written.
    pub(in crate::group) fn apply_epoch(
        &mut self,
        group_id: &StrBytes,
        value: Option<StoredEpoch>,
        now: Moment,
    ) {
        let Some(stored) = value else {
            if let Some(group) = self.group_mut(group_id) {
                group.consumers = None;
            }
            return;
        };
        let session_timeout_ms = self.config().consumer_session_timeout_ms;
        let group = self.group_or_new(group_id, now);
        if group.consumers.as_ref().is_some_and(|consumers| consumers.epoch() >= stored.epoch) {
            return;
        }
        if group.consumers.is_none() {
            group.become_divided(stored, session_timeout_ms);
        }
        group.state_since_ms = stored.state_since_ms;
        if let Some(consumers) = &mut group.consumers {
            consumers.restore_epoch(stored.epoch);
        }
    }
}
