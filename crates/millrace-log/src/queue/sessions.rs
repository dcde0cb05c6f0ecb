//! Share sessions: what a worker fetches from, without naming it in each request.

use std::collections::HashMap;

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
}

#[derive(Debug)]
struct Session {
    /// The epoch that the next request has to have.
    next_epoch: i32,
    connection: u64,
    places: Vec<Place>,
}

impl Sessions {
    /// Takes the next request of a session, or the one that begins it. Gives the places of the
    /// session, beginning with another one each time.
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
    ) -> Result<Vec<Place>, ResponseError> {
        if epoch == INITIAL_EPOCH {
            if self.open.len() >= MAX_SESSIONS && !self.open.contains_key(worker) {
                return Err(ResponseError::ShareSessionLimitReached);
            }
            let session = Session { next_epoch: INITIAL_EPOCH, connection, places: Vec::new() };
            self.open.insert(worker.clone(), session);
        }
        let session = self.open.get_mut(worker).ok_or(ResponseError::ShareSessionNotFound)?;
        if epoch != session.next_epoch {
            return Err(ResponseError::InvalidShareSessionEpoch);
        }
        session.next_epoch = epoch.checked_add(1).unwrap_or(INITIAL_EPOCH + 1);
        session.connection = connection;
        session.places.retain(|place| !forgotten.contains(place));
        for place in added {
            if !session.places.contains(place) {
                session.places.push(*place);
            }
        }
        if !session.places.is_empty() {
            session.places.rotate_left(1);
        }
        Ok(session.places.clone())
    }

    /// Whether a worker has a session.
    pub(crate) fn contains(&self, worker: &Worker) -> bool {
        self.open.contains_key(worker)
    }

    /// Ends a session. Says whether there was one.
    pub(crate) fn close(&mut self, worker: &Worker) -> bool {
        self.open.remove(worker).is_some()
    }

    /// Ends the sessions of a connection, and names their workers.
    pub(crate) fn close_connection(&mut self, connection: u64) -> Vec<Worker> {
        let closed = self.open.extract_if(|_, session| session.connection == connection);
        closed.map(|(worker, _)| worker).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_a_session_come_in_their_order() {
        let mut sessions = Sessions::default();
        let worker = (StrBytes::from_static_str("g"), StrBytes::from_static_str("m"));
        let place = (Uuid::from_u128(1), 0);
        let missing = sessions.continue_with(&worker, 1, 7, &[], &[]);
        assert_eq!(missing, Err(ResponseError::ShareSessionNotFound));
        assert_eq!(sessions.continue_with(&worker, 0, 7, &[place], &[]), Ok(vec![place]));
        assert_eq!(sessions.continue_with(&worker, 1, 7, &[], &[]), Ok(vec![place]));
        let again = sessions.continue_with(&worker, 1, 7, &[], &[]);
        assert_eq!(again, Err(ResponseError::InvalidShareSessionEpoch));
        assert_eq!(sessions.continue_with(&worker, 2, 7, &[], &[place]), Ok(Vec::new()));
        assert!(sessions.close_connection(8).is_empty());
        assert_eq!(sessions.close_connection(7), std::slice::from_ref(&worker));
        assert!(!sessions.contains(&worker));
    }
}
