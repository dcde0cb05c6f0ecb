//! Who works for groups, and in which sessions.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::Queues;
use super::members::{Beat, Member, Told};
use super::partition::Holder;
use super::record::QueueRecord;
use super::service::report;
use super::sessions::{Continued, Place, Worker};
use super::state_log;
use crate::broker::Broker;
use crate::error::Result;

impl Queues {
    /// A member says that it is there. A change of it is written before it is told, so that it goes on
    /// after a restart as if there had been none.
    ///
    /// # Errors
    /// The code for the member. COORDINATOR_NOT_AVAILABLE: its place could not be written down, and it
    /// is to ask again.
    pub(crate) fn beat(
        &self,
        broker: &Broker,
        group_id: &StrBytes,
        beat: Beat,
    ) -> Result<Told, ResponseError> {
        let find = |name: &str| {
            let topic = broker.topics().get(name).filter(|topic| !topic.internal)?;
            Some((topic.id, topic.partition_count()))
        };
        let mut inner = self.lock();
        let has_begun = inner.groups.get(group_id).is_some_and(|group| group.has_begun());
        if beat.epoch != 0 && !has_begun {
            return Err(ResponseError::GroupIdNotFound);
        }
        let member_id = beat.member_id.clone();
        let members = &mut inner.groups.entry(group_id.clone()).or_default().members;
        let before = members.get(&member_id).cloned();
        let told = members.beat(beat, self.now_ms(), find)?;
        let stored = members.get(&member_id).map(Member::store);
        if stored != before.as_ref().map(Member::store) {
            let (group, member) = (group_id.to_string(), member_id.to_string());
            let record = QueueRecord::Member { group, member, value: stored };
            if let Err(error) = state_log::append(&self.log, &record, self.wall_ms()) {
                members.put_back(&member_id, before);
                let (group, member) = (group_id.as_str(), member_id.as_str());
                tracing::error!(group, member, %error, "a member of a queue can't be kept");
                return Err(ResponseError::CoordinatorNotAvailable);
            }
        }
        Ok(told)
    }

    /// A member leaves; what it holds is available again.
    ///
    /// # Errors
    /// The code for the member, as with [`beat`](Self::beat).
    pub(crate) fn leave(&self, broker: &Broker, worker: &Worker) -> Result<(), ResponseError> {
        let (ended, left) = {
            let mut inner = self.lock();
            let ended = inner.sessions.close(worker);
            let group = inner.groups.get_mut(&worker.0).filter(|group| group.has_begun());
            let left = match group {
                None => Err(ResponseError::GroupIdNotFound),
                Some(group) if group.members.get(&worker.1).is_none() => {
                    Err(ResponseError::UnknownMemberId)
                }
                Some(group) => self.forget_member(worker).map(|()| {
                    group.members.leave(&worker.1);
                    group.stays = true;
                }),
            };
            (ended, left)
        };
        self.release(broker, worker, ended);
        left
    }

    /// Takes those out of their groups that were silent for too long.
    pub(super) fn expire_members(&self, broker: &Broker, now_ms: i64) {
        let mut silent: Vec<(Worker, Option<u64>)> = Vec::new();
        {
            let mut inner = self.lock();
            for (id, group) in &mut inner.groups {
                let expired = group.members.expire(now_ms);
                group.stays |= !expired.is_empty();
                silent.extend(expired.into_iter().map(|member| ((id.clone(), member), None)));
            }
            for (worker, ended) in &mut silent {
                *ended = inner.sessions.close(worker);
                // If it can't be: the next start finds it again, and ends it again.
                let _ = self.forget_member(worker);
            }
        }
        for (worker, ended) in silent {
            self.release(broker, &worker, ended);
        }
    }

    fn forget_member(&self, worker: &Worker) -> Result<(), ResponseError> {
        let (group, member) = (worker.0.to_string(), worker.1.to_string());
        let record = QueueRecord::Member { group, member, value: None };
        state_log::append(&self.log, &record, self.wall_ms()).map(|_| ()).map_err(|error| {
            let (group, member) = (worker.0.as_str(), worker.1.as_str());
            tracing::error!(group, member, %error, "a member of a queue can't be forgotten");
            ResponseError::CoordinatorNotAvailable
        })
    }

    /// See [`continue_with`](super::sessions::Sessions::continue_with); one that begins anew gives back
    /// what the old one held.
    pub(crate) fn continue_session(
        &self,
        broker: &Broker,
        worker: &Worker,
        epoch: i32,
        connection: u64,
        (added, forgotten): (&[Place], &[Place]),
    ) -> Result<Continued, ResponseError> {
        let continued =
            self.lock().sessions.continue_with(worker, epoch, connection, added, forgotten)?;
        self.release(broker, worker, continued.ended);
        Ok(continued)
    }

    /// The session of a worker, if this connection has a say in it.
    pub(crate) fn session_of(&self, worker: &Worker, connection: u64) -> Option<u64> {
        self.lock().sessions.number(worker, connection)
    }

    /// A session ends: what its worker holds is available again.
    pub(crate) fn close_session(&self, broker: &Broker, worker: &Worker) {
        let ended = self.lock().sessions.close(worker);
        self.release(broker, worker, ended);
    }

    /// A connection is gone, and with it the sessions of its workers.
    pub(crate) fn disconnected(&self, broker: &Broker, connection: u64) {
        let closed = self.lock().sessions.close_connection(connection);
        for (worker, session) in closed {
            self.release(broker, &worker, Some(session));
        }
    }

    /// The members of a group, if there is one.
    pub(crate) fn members(&self, group: &StrBytes) -> Option<Vec<(StrBytes, Member)>> {
        let inner = self.lock();
        let group = inner.groups.get(group).filter(|group| group.has_begun())?;
        let members = group.members.iter();
        Some(members.map(|(id, member)| (id.clone(), member.clone())).collect())
    }

    /// What a worker got in a session that has ended, or before it, is available again.
    fn release(&self, broker: &Broker, worker: &Worker, ended: Option<u64>) {
        let Some(session) = ended else { return };
        let holder = Holder { worker: worker.1.clone(), session };
        let places: Vec<Place> = {
            let inner = self.lock();
            let group = inner.groups.get(&worker.0);
            group.map(|group| group.partitions.keys().copied().collect()).unwrap_or_default()
        };
        for place in places {
            let Ok(share) = self.share(broker, &worker.0, place) else { continue };
            let settled = self.settle(broker, &share, |partition| {
                let released = partition.release(&holder);
                Ok((Vec::new(), released))
            });
            if let Err(error) = settled {
                // Its locks end in their time.
                report(&error, &share.group, share.place);
            }
        }
    }
}
