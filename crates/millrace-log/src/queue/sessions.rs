//! Share sessions: what a worker fetches from, without naming it in each request.

//!
//! A session ends with its connection, or when its worker begins another one, and what the worker got
//! in it is available again. Both can happen at the same time: a worker that has lost its connection
//! comes back at once, under the same name and before the end of the old connection is seen, and what
//! it has sent over that one may be served behind its first new requests. So each session has a
//! number; what is handed out is held in a session, and only its end releases it; and the connection
//! of the session before has no say in the new one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

/// Sessions at a time: Kafka's `group.share.max.share.sessions`.
const MAX_SESSIONS: usize = 2_000;

/// The epoch of a request that begins a session.
const INITIAL_EPOCH: i32 = 0;

/// The epoch of a request that ends a session.
pub(crate) const FINAL_EPOCH: i32 = -1;

/// A topic's id and a partition of it.
pub(crate) type Place = (Uuid, i32);

/// A worker of a group.
pub(crate) type Worker = (StrBytes, StrBytes);

/// The sessions of all workers.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: HashMap<Worker, Session>,
    /// How many there have been.
    count: u64,
}

#[derive(Debug)]
struct Session {
    lease: Lease,
    /// The epoch that the next request has to have.
    next_epoch: i32,
    /// On which it began.
    connection: u64,
    /// That of the session which this one took the place of.
    stale_connection: Option<u64>,
    places: Vec<Place>,
}

/// A session for those who hand out records in it.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) session: u64,
    is_over: Arc<AtomicBool>,
}

/// A session with which it goes on.
#[derive(Debug)]
pub(crate) struct Continued {
    pub(crate) lease: Lease,
    /// What to fetch from, beginning with another place each time.
    pub(crate) places: Vec<Place>,
    /// The session before, which has ended with this.
    pub(crate) ended: Option<u64>,
}

impl Lease {
    /// Whether the session has ended: nothing may be handed out in it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.lease.is_over.store(true, Ordering::SeqCst);
    }
}

impl Sessions {
    /// Takes the next request of a session, or the one that begins it.
    ///
    /// # Errors
    /// The code for the worker.
    pub(crate) fn continue_with(
        &mut self,
        worker: &Worker,
        epoch: i32,
        connection: u64,
        added: &[Place],
        forgotten: &[Place],
    ) -> Result<Continued, ResponseError> {
        let mut ended = None;
        if epoch == INITIAL_EPOCH {
            if self.open.len() >= MAX_SESSIONS && !self.open.contains_key(worker) {
                return Err(ResponseError::ShareSessionLimitReached);
            }
            let before = self.open.remove(worker);
            let others = before.as_ref().map(|before| before.connection);
            ended = before.map(|before| before.lease.session);
            self.count += 1;
            let session = Session {
                lease: Lease { session: self.count, is_over: Arc::default() },
                next_epoch: INITIAL_EPOCH,
                connection,
                stale_connection: others.filter(|other| *other != connection),
                places: Vec::new(),
            };
            self.open.insert(worker.clone(), session);
        }
        let session = self.open.get_mut(worker).filter(|session| session.is_heard_on(connection));
        let session = session.ok_or(ResponseError::ShareSessionNotFound)?;
        if epoch != session.next_epoch {
            return Err(ResponseError::InvalidShareSessionEpoch);
        }
        session.next_epoch = epoch.checked_add(1).unwrap_or(INITIAL_EPOCH + 1);
        session.places.retain(|place| !forgotten.contains(place));
        for place in added {
            if !session.places.contains(place) {
                session.places.push(*place);
            }
        }
        if !session.places.is_empty() {
            session.places.rotate_left(1);
        }
        Ok(Continued { lease: session.lease.clone(), places: session.places.clone(), ended })
    }

    /// The number of a worker's session, if this connection has a say in it.
    pub(crate) fn number(&self, worker: &Worker, connection: u64) -> Option<u64> {
        let session = self.open.get(worker).filter(|session| session.is_heard_on(connection));
        session.map(|session| session.lease.session)
    }

    /// Ends a session, and gives its number if there was one.
    pub(crate) fn close(&mut self, worker: &Worker) -> Option<u64> {
        self.open.remove(worker).map(|session| session.lease.session)
    }

    /// Ends the sessions of a connection, and gives their workers and numbers.
    pub(crate) fn close_connection(&mut self, connection: u64) -> Vec<(Worker, u64)> {
        let closed = self.open.extract_if(|_, session| session.connection == connection);
        closed.map(|(worker, session)| (worker, session.lease.session)).collect()
    }
}

impl Session {
    fn is_heard_on(&self, connection: u64) -> bool {
        self.stale_connection != Some(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker() -> Worker {
        (StrBytes::from_static_str("g"), StrBytes::from_static_str("m"))
    }

    #[test]
    fn requests_of_a_session_come_in_their_order() {
        let mut sessions = Sessions::default();
        let place = (Uuid::from_u128(1), 0);
        let mut go_on = |epoch, added: &[Place], forgotten: &[Place]| {
            let continued = sessions.continue_with(&worker(), epoch, 7, added, forgotten);
            continued.map(|continued| continued.places)
        };
        assert_eq!(go_on(1, &[], &[]), Err(ResponseError::ShareSessionNotFound));
        assert_eq!(go_on(0, &[place], &[]), Ok(vec![place]));
        assert_eq!(go_on(1, &[], &[]), Ok(vec![place]));
        assert_eq!(go_on(1, &[], &[]), Err(ResponseError::InvalidShareSessionEpoch));
        assert_eq!(go_on(2, &[], &[place]), Ok(Vec::new()));
        assert!(sessions.close_connection(8).is_empty());
        assert_eq!(sessions.close_connection(7), [(worker(), 1)]);
        assert_eq!(sessions.number(&worker(), 7), None);
    }

    /// A worker lost its connection and came back at once. What it had sent before was served when it
    /// had come back: it took the new session's next epoch, and had the session end with the old
    /// connection.
    #[test]
    fn what_comes_late_from_a_lost_connection_does_not_touch_the_new_session() {
        let mut sessions = Sessions::default();
        let old = sessions.continue_with(&worker(), 0, 7, &[], &[]).expect("it begins");
        let new = sessions.continue_with(&worker(), 0, 8, &[], &[]).expect("it begins anew");
        assert_eq!((new.ended, new.lease.session), (Some(1), 2));
        assert!(old.lease.is_over() && !new.lease.is_over());
        let late = sessions.continue_with(&worker(), 1, 7, &[], &[]).map(|_| ());
        assert_eq!(late, Err(ResponseError::ShareSessionNotFound));
        assert_eq!(sessions.number(&worker(), 7), None);
        assert!(sessions.close_connection(7).is_empty());
        // One that was never this worker's own may speak for it, but does not take the session along.
        sessions.continue_with(&worker(), 1, 9, &[], &[]).expect("it goes on");
        assert!(sessions.close_connection(9).is_empty());
        assert_eq!(sessions.close_connection(8), [(worker(), 2)]);
        assert!(new.lease.is_over());
    }
}
