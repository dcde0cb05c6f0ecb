//! What the batches of a log say, taken in one after the other.

use crate::storage::index::Index;
use crate::storage::index_file::SegmentFacts;
use crate::storage::producers::{AbortedIndex, OpenTransactions, ProducerSnapshot, Producers};
use crate::storage::records::{BatchHeader, Marker};
use crate::storage::segment::Content;

/// Where a log is while it is read.
pub(super) struct Replay {
    /// Only compaction leaves gaps between offsets.
    pub compacted: bool,
    /// Nobody knows how long ago the batches came, so their producers count as heard of now.
    pub now_ms: i64,
    pub producers: Producers,
    /// What `producers` have seen all below of.
    pub producers_offset: i64,
    pub open: OpenTransactions,
    pub aborted: AbortedIndex,
}

impl Replay {
    pub fn new(compacted: bool, now_ms: i64, snapshot: Option<ProducerSnapshot>) -> Self {
        let (producers, producers_offset) = match snapshot {
            Some(snapshot) => (snapshot.producers, snapshot.offset),
            None => (Producers::default(), 0),
        };
        Replay {
            compacted,
            now_ms,
            producers,
            producers_offset,
            open: OpenTransactions::default(),
            aborted: AbortedIndex::default(),
        }
    }

    /// Whether `offset` may be the next one where `expected` would be without a gap.
    pub fn follows(&self, expected: i64, offset: i64) -> bool {
        offset == expected || (self.compacted && offset > expected)
    }

    /// Takes in what a file says of a segment.
    pub fn add_facts(&mut self, facts: &SegmentFacts) {
        self.aborted.extend(&facts.aborted);
        self.open = OpenTransactions::new(&facts.open);
    }

    /// What is to be written of a segment that was read to where this is.
    pub fn facts(&self, base_offset: i64, content: Content, index: Index) -> SegmentFacts {
        let aborted = self.aborted.ended_within(base_offset, content.next_offset);
        SegmentFacts { content, index, aborted, open: self.open.by_first_offset() }
    }

    /// Takes in the next batch.
    pub fn add(&mut self, header: &BatchHeader, batch: &[u8]) {
        let marker = Marker::read(header, batch);
        if let Some((ended, stable_offset)) = self.open.add(header, marker.as_ref()) {
            self.aborted.ended(&ended, stable_offset);
        }
        if header.base_offset < self.producers_offset {
            return;
        }
        if let Some(marker) = marker {
            self.producers.marked(
                header.producer_id,
                header.producer_epoch,
                marker.coordinator_epoch,
                self.now_ms,
                Some((header.base_offset, marker.outcome)),
            );
            self.producers.stamped(header.producer_id, header.max_timestamp_ms);
        } else if !header.attributes.is_control() {
            self.producers.appended(header, self.now_ms);
        }
    }
}
