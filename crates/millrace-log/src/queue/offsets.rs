//! How far groups are, as administrators see and set it.

use std::sync::PoisonError;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::Queues;
use super::partition::SharePartition;
use super::record::QueueRecord;
use super::service::{Inner, record};
use super::sessions::Place;
use super::state_log;
use crate::error::Result;

impl Queues {
    /// Whether somebody works or worked for a group.
    pub(crate) fn has_begun(&self, group: &StrBytes) -> bool {
        self.lock().groups.get(group).is_some_and(|group| group.has_begun())
    }

    /// The partitions that a group has begun with, each with its first record that is not done; in
    /// order.
    pub(crate) fn start_offsets(&self, group: &StrBytes) -> Vec<(Place, i64)> {
        let inner = self.lock();
        let partitions = inner.groups.get(group).into_iter().flat_map(|group| &group.partitions);
        let mut offsets: Vec<_> = partitions
            .map(|(place, partition)| {
                let partition = partition.lock().unwrap_or_else(PoisonError::into_inner);
                (*place, partition.start_offset())
            })
            .collect();
        offsets.sort();
        offsets
    }

    /// Has a group that nobody works for go on from these offsets. What it has done behind them is
    /// done again, and what is before them is passed by.
    ///
    /// # Errors
    /// There is no such group, or it has workers; the log can't be written.
    pub(crate) async fn alter_offsets(
        &self,
        group: &StrBytes,
        offsets: &[(Place, i64)],
    ) -> Result<()> {
        let last = {
            let mut inner = self.lock();
            inner.check_idle(group)?;
            let mut last = None;
            for (place, offset) in offsets {
                let record = record(group, *place, &SharePartition::new(*offset));
                last = Some(state_log::append(&self.log, &record, self.wall_ms())?);
                inner.apply(record, self.now_ms());
            }
            last
        };
        self.durable(last).await
    }

    /// Has a group forget topics that nobody reads for it.
    ///
    /// # Errors
    /// As with [`alter_offsets`](Self::alter_offsets).
    pub(crate) async fn delete_offsets(&self, group: &StrBytes, topics: &[Uuid]) -> Result<()> {
        self.forget_where(group, |(topic, _)| topics.contains(topic), true).await
    }

    /// Deletes a group that nobody works for. Its settings stay, as with Kafka.
    ///
    /// # Errors
    /// As with [`alter_offsets`](Self::alter_offsets).
    pub(crate) async fn delete(&self, group: &StrBytes) -> Result<()> {
        self.forget_where(group, |_| true, false).await
    }

    /// A group that stays does so until the next start, if nobody works for it again.
    async fn forget_where(
        &self,
        group: &StrBytes,
        which: impl Fn(&Place) -> bool,
        stays: bool,
    ) -> Result<()> {
        let last = {
            let mut inner = self.lock();
            inner.check_idle(group)?;
            let places = inner.groups.get(group).into_iter().flat_map(|g| g.partitions.keys());
            let places: Vec<Place> = places.filter(|place| which(place)).copied().collect();
            let mut last = None;
            for (topic, partition) in places {
                let group = group.to_string();
                let record = QueueRecord::Partition { group, topic, partition, value: None };
                last = Some(state_log::append(&self.log, &record, self.wall_ms())?);
                inner.apply(record, self.now_ms());
            }
            if let Some(group) = inner.groups.get_mut(group) {
                group.stays = stays;
            }
            last
        };
        self.durable(last).await
    }

    async fn durable(&self, offset: Option<i64>) -> Result<()> {
        match offset {
            Some(offset) => self.log.durable(offset).await,
            None => Ok(()),
        }
    }
}

impl Inner {
    /// That there is such a group, and nobody works for it.
    fn check_idle(&self, group: &StrBytes) -> Result<(), ResponseError> {
        match self.groups.get(group).filter(|group| group.has_begun()) {
            None => Err(ResponseError::GroupIdNotFound),
            Some(group) if !group.members.is_empty() => Err(ResponseError::NonEmptyGroup),
            Some(_) => Ok(()),
        }
    }
}
