//! Which transactions are open at a place of the log, and how those before it ended.

use std::collections::BTreeMap;

use super::Ended;
use crate::storage::records::{BatchHeader, Marker};

/// The transactions that are open behind a batch.
///
/// It knows less than [`Producers`](super::Producers), and so can begin at any segment: what a
/// segment's file says of the one before it is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::storage) struct OpenTransactions {
    /// First offsets by producer.
    by_producer: BTreeMap<i64, i64>,
}

impl OpenTransactions {
    /// From first offsets and producers.
    pub fn new(open: &BTreeMap<i64, i64>) -> Self {
        let by_producer = open.iter().map(|(first_offset, producer)| (*producer, *first_offset));
        OpenTransactions { by_producer: by_producer.collect() }
    }

    /// First offsets and producers.
    pub fn by_first_offset(&self) -> BTreeMap<i64, i64> {
        self.by_producer.iter().map(|(producer, first_offset)| (*first_offset, *producer)).collect()
    }

    /// Takes in a batch: the transaction that it ends, and the last stable offset behind it.
    pub fn add(&mut self, header: &BatchHeader, marker: Option<&Marker>) -> Option<(Ended, i64)> {
        let producer_id = header.producer_id;
        let Some(marker) = marker else {
            if header.attributes.is_transactional() && !header.attributes.is_control() {
                self.by_producer.entry(producer_id).or_insert(header.base_offset);
            }
            return None;
        };
        let first_offset = self.by_producer.remove(&producer_id)?;
        let (last_offset, outcome) = (header.base_offset, marker.outcome);
        let stable_offset = self.by_producer.values().copied().min();
        let ended = Ended { producer_id, first_offset, last_offset, outcome };
        Some((ended, stable_offset.unwrap_or(header.next_offset())))
    }
}
