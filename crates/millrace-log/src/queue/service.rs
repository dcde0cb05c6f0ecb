//! Runs the queues of all groups over their log.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use millrace_core::seam::Seams;
use tokio::sync::Notify;

use super::dead_letter;
use super::members::Members;
use super::partition::{Acknowledged, Acquired, GivenUp, Holder, SharePartition};
use super::record::QueueRecord;
use super::sessions::{Place, Sessions, Worker};
use super::settings::Settings;
use super::state_log;
use crate::broker::{Broker, Topic};
use crate::config::FsyncPolicy;
use crate::error::{LogError, Result};
use crate::storage::PartitionLog;

/// All share groups.
pub(crate) struct Queues {
    pub(super) log: Arc<PartitionLog>,
    seams: Seams,
    inner: Mutex<Inner>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) groups: HashMap<StrBytes, Group>,
    pub(super) sessions: Sessions,
}

#[derive(Default)]
pub(super) struct Group {
    pub(super) members: Members,
    set: BTreeMap<String, String>,
    pub(super) partitions: HashMap<Place, Arc<Mutex<SharePartition>>>,
    /// It is there though nobody works for it and it has begun with no partition, until the next start:
    /// its workers have left, or its offsets were deleted.
    pub(super) stays: bool,
    /// Something that was held is available again.
    released: Arc<Notify>,
}

/// What one group has in hand for one partition.
pub(super) struct Share {
    pub(super) group: StrBytes,
    pub(super) place: Place,
    pub(super) topic: Arc<Topic>,
    pub(super) log: Arc<PartitionLog>,
    pub(super) settings: Settings,
    partition: Arc<Mutex<SharePartition>>,
    released: Arc<Notify>,
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues").finish_non_exhaustive()
    }
}

impl Queues {
    /// Reads the queues from the log of `__share_group_state`.
    ///
    /// # Errors
    /// The log can't be read, or holds what this version does not know.
    pub(crate) fn open(log: Arc<PartitionLog>, seams: Seams) -> Result<Queues> {
        let mut inner = Inner::default();
        let now_ms = elapsed_ms(&seams);
        state_log::replay(&log, |record| inner.apply(record, now_ms))?;
        Ok(Queues { log, seams, inner: Mutex::new(inner) })
    }

    /// Takes a worker's word on records that it got in a session; it is in the log when this returns.
    pub(crate) async fn acknowledge(
        &self,
        broker: &Broker,
        (worker, session): (&Worker, u64),
        place: Place,
        acknowledged: &[Acknowledged],
    ) -> Result<(), ResponseError> {
        let settled = self.share(broker, &worker.0, place).and_then(|share| {
            let now_ms = self.now_ms();
            let holder = Holder { worker: worker.1.clone(), session };
            self.settle(broker, &share, |partition| {
                let rejected = partition.acknowledge(&holder, acknowledged, now_ms)?;
                Ok((rejected, true))
            })
        });
        let outcome = match settled {
            Ok(Some(offset)) => self.log.durable(offset).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        outcome.map_err(|error| {
            report(&error, &worker.0, place);
            error.code()
        })
    }

    /// How long workers of a group may keep a record.
    pub(crate) fn lock_duration_ms(&self, group: &StrBytes) -> i32 {
        let set = self.set(group);
        // What was set was checked then.
        let settings = Settings::parse(&set).or_else(|_| Settings::parse(&BTreeMap::new()));
        let duration_ms = settings.map_or(0, |settings| settings.limits.lock_duration_ms);
        i32::try_from(duration_ms).unwrap_or(i32::MAX)
    }

    /// What was set for a group.
    pub(crate) fn set(&self, group: &str) -> BTreeMap<String, String> {
        let inner = self.lock();
        let group = inner.groups.get(&StrBytes::from_string(group.to_owned()));
        group.map(|group| group.set.clone()).unwrap_or_default()
    }

    /// Checks settings of a group and, unless they are only to be checked, puts them in force.
    ///
    /// # Errors
    /// INVALID_CONFIG for what can't be; the log can't be written.
    pub(crate) fn set_settings(
        &self,
        broker: &Broker,
        group: &str,
        set: BTreeMap<String, String>,
        validate_only: bool,
    ) -> Result<()> {
        let settings = Settings::parse(&set)?;
        if let Some(name) = &settings.dead_letter_topic
            && broker.topics().get(name).is_none_or(|topic| topic.internal)
        {
            let message =
                format!("The dead-letter topic '{}' does not exist.", name.escape_debug());
            return Err(LogError::rejected(ResponseError::InvalidConfig, message));
        }
        if validate_only {
            return Ok(());
        }
        let mut inner = self.lock();
        let value = (!set.is_empty()).then_some(set);
        let record = QueueRecord::Settings { group: group.to_owned(), value };
        state_log::append(&self.log, &record, self.wall_ms())?;
        inner.apply(record, self.now_ms());
        Ok(())
    }

    /// The groups that somebody works or worked for, in order, and whether anybody does now.
    pub(crate) fn list(&self) -> Vec<(StrBytes, bool)> {
        let inner = self.lock();
        let began = inner.groups.iter().filter(|(_, group)| group.has_begun());
        let mut list: Vec<_> =
            began.map(|(id, group)| (id.clone(), !group.members.is_empty())).collect();
        list.sort();
        list
    }

    /// The groups that something was set for, in order.
    pub(crate) fn configured_groups(&self) -> Vec<String> {
        let inner = self.lock();
        let set = inner.groups.iter().filter(|(_, group)| !group.set.is_empty());
        let mut names: Vec<_> = set.map(|(id, _)| id.to_string()).collect();
        names.sort();
        names
    }

    /// Lets time act: ends locks and sessions, gives up what was tried too often, and forgets the
    /// partitions of topics that are gone.
    pub(crate) fn sweep(&self, broker: &Broker) {
        let now_ms = self.now_ms();
        self.expire_members(broker, now_ms);
        let mut shares = Vec::new();
        {
            let mut inner = self.lock();
            for (id, group) in &inner.groups {
                shares.extend(group.partitions.keys().map(|place| (id.clone(), *place)));
            }
            inner.groups.retain(|_, group| !group.is_nothing());
        }
        for (group, place) in shares {
            if broker.topics().get_by_id(place.0).is_none() {
                self.forget(&group, place);
                continue;
            }
            let Ok(share) = self.share(broker, &group, place) else { continue };
            self.expire(broker, &share, now_ms);
        }
    }

    /// Ends the locks of a partition whose time is over, if there are some.
    pub(super) fn expire_if_due(&self, broker: &Broker, share: &Share) {
        let now_ms = self.now_ms();
        let next_end_ms = share.lock().next_lock_end_ms();
        if next_end_ms.is_some_and(|end_ms| end_ms <= now_ms) {
            self.expire(broker, share, now_ms);
        }
    }

    fn expire(&self, broker: &Broker, share: &Share, now_ms: i64) {
        let settled = self.settle(broker, share, |partition| {
            let expired = partition.expire_locks(now_ms);
            Ok((Vec::new(), expired))
        });
        if let Err(error) = settled {
            report(&error, &share.group, share.place);
        }
    }

    fn forget(&self, group: &StrBytes, (topic, partition): Place) {
        if let Some(group) = self.lock().groups.get_mut(group) {
            group.partitions.remove(&(topic, partition));
        }
        let name = group.to_string();
        let record = QueueRecord::Partition { group: name, topic, partition, value: None };
        if let Err(error) = state_log::append(&self.log, &record, self.wall_ms()) {
            // The next start finds it again, and forgets it again.
            tracing::warn!(group = group.as_str(), %error, "a deleted topic stays in a queue");
        }
    }

    /// The share of a group in a partition, which begins with this if there was none.
    pub(super) fn share(&self, broker: &Broker, group: &StrBytes, place: Place) -> Result<Share> {
        let topic = broker.topics().get_by_id(place.0).ok_or(ResponseError::UnknownTopicId)?;
        let log = topic.partition(place.1).filter(|_| !topic.internal).cloned();
        let log = log.ok_or(ResponseError::UnknownTopicOrPartition)?;
        let mut inner = self.lock();
        let entry = inner.groups.entry(group.clone()).or_default();
        let settings = Settings::parse(&entry.set)?;
        let released = entry.released.clone();
        let partition = if let Some(partition) = entry.partitions.get(&place) {
            partition.clone()
        } else {
            let start_offset = match settings.from_earliest {
                true => log.log_start_offset(),
                false => log.high_watermark(),
            };
            let partition = SharePartition::new(start_offset);
            // At once, lest what comes before the first acknowledgement be passed by after a crash.
            let record = record(group, place, &partition);
            state_log::append(&self.log, &record, self.wall_ms())?;
            let partition = Arc::new(Mutex::new(partition));
            entry.partitions.insert(place, partition.clone());
            partition
        };
        let group = group.clone();
        Ok(Share { group, place, topic, log, settings, partition, released })
    }

    /// Changes a partition: on a copy, which counts when all that it leads to is written. Gives the
    /// offset of what was written.
    pub(super) fn settle(
        &self,
        broker: &Broker,
        share: &Share,
        change: impl FnOnce(&mut SharePartition) -> Result<(Vec<GivenUp>, bool)>,
    ) -> Result<Option<i64>> {
        let mut partition = share.lock();
        let mut next = partition.clone();
        let (mut given_up, changed) = change(&mut next)?;
        let rejects = !given_up.is_empty();
        let mut rid = next.clone();
        given_up.extend(rid.give_up(&share.settings.limits));
        if !changed && given_up.is_empty() {
            return Ok(None);
        }
        match write_dead_letters(broker, share, &given_up) {
            Ok(()) => next = rid,
            // What was tried too often stays; it must not keep the rest from going on.
            Err(error) if changed && !rejects => report(&error, &share.group, share.place),
            Err(error) => return Err(error),
        }
        let record = record(&share.group, share.place, &next);
        let offset = state_log::append(&self.log, &record, self.wall_ms())?;
        *partition = next;
        drop(partition);
        share.released.notify_waiters();
        Ok(Some(offset))
    }

    pub(super) fn now_ms(&self) -> i64 {
        elapsed_ms(&self.seams)
    }

    pub(super) fn wall_ms(&self) -> i64 {
        self.seams.clock.now().as_millis()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn elapsed_ms(seams: &Seams) -> i64 {
    i64::try_from(seams.clock.elapsed().as_millis()).unwrap_or(i64::MAX / 2)
}

impl Group {
    /// Whether nothing is lost with it.
    fn is_nothing(&self) -> bool {
        !self.has_begun() && self.set.is_empty()
    }

    /// Whether it is more than settings for what may come.
    pub(super) fn has_begun(&self) -> bool {
        !self.members.is_empty() || !self.partitions.is_empty() || self.stays
    }
}

impl Inner {
    /// Takes what was written. A member that is read again at the start has a session's time to be
    /// heard.
    pub(super) fn apply(&mut self, record: QueueRecord, now_ms: i64) {
        match record {
            QueueRecord::Partition { group, topic, partition, value } => {
                let group = self.groups.entry(StrBytes::from_string(group)).or_default();
                let place = (topic, partition);
                match value {
                    None => group.partitions.remove(&place),
                    Some(stored) => {
                        let partition = Arc::new(Mutex::new(SharePartition::restore(&stored)));
                        group.partitions.insert(place, partition)
                    }
                };
            }
            QueueRecord::Settings { group, value } => {
                let group = self.groups.entry(StrBytes::from_string(group)).or_default();
                group.set = value.unwrap_or_default();
            }
            QueueRecord::Member { group, member, value } => {
                let group = self.groups.entry(StrBytes::from_string(group)).or_default();
                group.members.restore(StrBytes::from_string(member), value, now_ms);
            }
        }
    }
}

impl Share {
    pub(super) fn lock(&self) -> MutexGuard<'_, SharePartition> {
        self.partition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when something that was held may be available.
    pub(super) fn released(&self) -> Arc<Notify> {
        self.released.clone()
    }
}

pub(super) fn record(
    group: &StrBytes,
    (topic, partition): Place,
    state: &SharePartition,
) -> QueueRecord {
    let (group, value) = (group.to_string(), Some(state.store()));
    QueueRecord::Partition { group, topic, partition, value }
}

fn write_dead_letters(broker: &Broker, share: &Share, given_up: &[GivenUp]) -> Result<()> {
    if given_up.is_empty() {
        return Ok(());
    }
    let (group, topic, partition) = (share.group.as_str(), &share.topic.name, share.place.1);
    let Some(name) = &share.settings.dead_letter_topic else {
        let count = given_up.len();
        tracing::warn!(group, topic, partition, count, "records are given up");
        return Ok(());
    };
    let dead_letters = broker.topics().get(name).ok_or_else(|| {
        let message = format!("the dead-letter topic `{name}` does not exist any more");
        LogError::rejected(ResponseError::UnknownTopicOrPartition, message)
    })?;
    let to = dead_letters.partition(partition % dead_letters.partition_count());
    let to = to.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let place = dead_letter::Place { group, topic, partition, log: &share.log };
    dead_letter::write(&place, given_up, to)?;
    if broker.config().fsync == FsyncPolicy::Always {
        // The state must not be safer than the copies, lest a loss of power lose the records.
        to.sync()?;
    }
    Ok(())
}

/// Logs what is not a client's doing.
pub(super) fn report(error: &LogError, group: &StrBytes, (topic, partition): Place) {
    if !matches!(error, LogError::Refused(_)) {
        let group = group.as_str();
        tracing::error!(group, %topic, partition, %error, "a queue can't go on");
    }
}

/// Runs in a row, as a worker got them, with the batches that they stand in.
pub(crate) struct HandedOut {
    pub(crate) acquired: Vec<Acquired>,
    pub(crate) records: bytes::Bytes,
}
