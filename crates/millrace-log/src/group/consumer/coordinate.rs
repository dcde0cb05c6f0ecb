//! Groups of the newer protocol among all groups.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::beat::{Beat, Told};
use super::{Consumers, TopicSource};
use crate::error::{LogError, Result};
use crate::group::command::Moment;
use crate::group::coordinator::Coordinator;
use crate::group::record::{GroupRecord, StoredEpoch};
use crate::group::state::State;

impl Coordinator {
    /// Takes a member's heartbeat, and gives the record to be written with its answer, if any.
    ///
    /// # Errors
    /// The code for the member; the group has members of the classic protocol.
    pub(in crate::group) fn consumer_beat(
        &mut self,
        group_id: &StrBytes,
        beat: &Beat,
        source: &dyn TopicSource,
        now: Moment,
    ) -> Result<(Told, Option<GroupRecord>)> {
        let joins = beat.epoch == 0;
        let is_divided = self.group(group_id).is_some_and(|group| group.consumers().is_some());
        if !joins && !is_divided {
            let reason = format!("Group {} not found.", group_id.escape_debug());
            return Err(LogError::rejected(ResponseError::GroupIdNotFound, reason));
        }
        let is_new = self.group(group_id).is_none();
        let group = self.group_or_new(group_id, now);
        if group.state != State::Empty {
            let reason = format!("Group {} is not a consumer group.", group_id.escape_debug());
            return Err(LogError::rejected(ResponseError::GroupIdNotFound, reason));
        }
        let generation = group.generation;
        let consumers = group.consumers.get_or_insert_with(|| Consumers::new(generation));
        let before = consumers.epoch();
        let told = consumers.beat(beat, source, now.elapsed_ms);
        let epoch = consumers.epoch();
        if told.is_err() && !is_divided {
            group.consumers = None;
        }
        if epoch != before {
            group.state_since_ms = now.wall_ms;
        }
        let record = (told.is_ok() && epoch != before).then(|| GroupRecord::DividedGroup {
            group: group_id.clone(),
            value: Some(StoredEpoch { epoch, state_since_ms: group.state_since_ms }),
        });
        if told.is_err() && is_new {
            self.forget(group_id);
        }
        self.set_timer(group_id);
        Ok((told?, record))
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
        let group = self.group_or_new(group_id, now);
        if group.consumers.as_ref().is_some_and(|consumers| consumers.epoch() >= stored.epoch) {
            return;
        }
        group.become_divided(stored);
    }
}
