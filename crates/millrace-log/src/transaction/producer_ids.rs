//! Producer ids: each is given once, whatever happens to the process.

use kafka_protocol::ResponseError;

/// How many ids are reserved by one write.
const BLOCK: i64 = 1_000;

/// Ids are reserved in blocks. A reservation is on disk before an id of it is given, and what a
/// process had reserved when it died is never touched again.
#[derive(Debug, Default)]
pub(super) struct ProducerIds {
    next: i64,
    below: i64,
}

impl ProducerIds {
    /// Takes in a reservation that was kept.
    pub(super) fn reserved(&mut self, below: i64) {
        self.below = self.below.max(below);
    }

    /// Counts all that is reserved as given.
    pub(super) fn skip_reserved(&mut self) {
        self.next = self.below;
    }

    /// The reservation to keep before [`Self::take`], if the last one is used up.
    pub(super) fn reserve(&self) -> Result<Option<i64>, ResponseError> {
        if self.next < self.below {
            return Ok(None);
        }
        // 2^63 ids: an id a nanosecond for 292 years.
        self.below.checked_add(BLOCK).map(Some).ok_or(ResponseError::UnknownServerError)
    }

    /// Gives an id.
    pub(super) fn take(&mut self) -> Result<i64, ResponseError> {
        if self.next >= self.below {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        self.next += 1;
        Ok(self.next - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_is_given_before_its_reservation_is_kept() {
        let mut ids = ProducerIds::default();
        assert_eq!(ids.take(), Err(ResponseError::CoordinatorNotAvailable));
        assert_eq!(ids.reserve(), Ok(Some(BLOCK)));
        assert_eq!(ids.take(), Err(ResponseError::CoordinatorNotAvailable));
        ids.reserved(BLOCK);
        assert_eq!((ids.reserve(), ids.take(), ids.take()), (Ok(None), Ok(0), Ok(1)));
    }

    #[test]
    fn a_restart_gives_no_id_that_was_reserved_before() {
        let mut ids = ProducerIds::default();
        ids.reserved(BLOCK);
        ids.skip_reserved();
        assert_eq!(ids.reserve(), Ok(Some(2 * BLOCK)));
        ids.reserved(2 * BLOCK);
        assert_eq!(ids.take(), Ok(BLOCK));
    }

    #[test]
    fn the_end_of_all_ids_is_refused_and_not_wrapped() {
        let mut ids = ProducerIds::default();
        ids.reserved(i64::MAX - 1);
        ids.skip_reserved();
        assert_eq!(ids.reserve(), Err(ResponseError::UnknownServerError));
    }
}
