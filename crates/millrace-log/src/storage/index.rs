//! The sparse index of a segment, by offset and by time.
//!
//! An entry stands before a batch, about one for each `index.interval.bytes`. It says where the
//! batch begins, and how large the time stamps before it grew: so one table answers "where is the
//! batch with this offset" and "where could the first record as young as this be", and what
//! follows is a short walk over batches.

use bytes::{Buf, BufMut};

/// Bytes of a stored entry.
pub(super) const ENTRY_BYTES: usize = 16;

/// What is known about one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The batch's base offset, counted from that of the segment.
    pub offset_delta: u32,
    /// Where it begins in the file.
    pub position: u32,
    /// The largest time stamp in the segment before it; `i64::MIN` when there is none.
    pub max_timestamp_before_ms: i64,
}

/// The entries of one segment, ascending in all their parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    entries: Vec<Entry>,
}

impl Index {
    /// Adds an entry if the last one is `interval_bytes` or more away.
    pub fn note(&mut self, entry: Entry, interval_bytes: u32) {
        let last = self.entries.last().map_or(0, |last| last.position);
        if entry.position - last >= interval_bytes.max(1) {
            self.entries.push(entry);
        }
    }

    /// The entries as they are stored, behind each other.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        for entry in &self.entries {
            bytes.put_u32(entry.offset_delta);
            bytes.put_u32(entry.position);
            bytes.put_i64(entry.max_timestamp_before_ms);
        }
    }

    /// Entries that were stored.
    pub fn decode(mut bytes: &[u8]) -> Self {
        let mut entries = Vec::with_capacity(bytes.len() / ENTRY_BYTES);
        while bytes.remaining() >= ENTRY_BYTES {
            entries.push(Entry {
                offset_delta: bytes.get_u32(),
                position: bytes.get_u32(),
                max_timestamp_before_ms: bytes.get_i64(),
            });
        }
        Index { entries }
    }

    /// Whether the other knows all places that this one knows.
    #[cfg(test)]
    pub fn is_part_of(&self, other: &Index) -> bool {
        self.entries.iter().all(|entry| other.entries.contains(entry))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// A place at or before the batch that holds the offset.
    pub fn position_before(&self, offset_delta: u32) -> u32 {
        let behind = self.entries.partition_point(|entry| entry.offset_delta <= offset_delta);
        behind.checked_sub(1).map_or(0, |at| self.entries[at].position)
    }

    /// The first known place behind all records below the offset, if one is known.
    pub fn position_behind(&self, offset_delta: u32) -> Option<u32> {
        let at = self.entries.partition_point(|entry| entry.offset_delta < offset_delta);
        self.entries.get(at).map(|entry| entry.position)
    }

    /// A place before which no record has this time stamp or a later one.
    pub fn position_before_time(&self, timestamp_ms: i64) -> u32 {
        let behind =
            self.entries.partition_point(|entry| entry.max_timestamp_before_ms < timestamp_ms);
        behind.checked_sub(1).map_or(0, |at| self.entries[at].position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let mut index = Index::default();
        for (offset_delta, position, max_timestamp_before_ms) in
            [(0, 0, i64::MIN), (10, 100, 7), (20, 150, 9), (30, 300, 9), (40, 420, 11)]
        {
            index.note(Entry { offset_delta, position, max_timestamp_before_ms }, 100);
        }
        index
    }

    #[test]
    fn entries_keep_their_distance() {
        let positions: Vec<_> = index().entries.iter().map(|entry| entry.position).collect();
        assert_eq!(positions, [100, 300, 420]);
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        let mut bytes = Vec::new();
        index().encode(&mut bytes);
        assert_eq!(bytes.len(), index().len() * ENTRY_BYTES);
        assert_eq!(Index::decode(&bytes), index());
    }

    #[test]
    fn a_lookup_never_lands_behind_what_is_looked_for() {
        let index = index();
        let before = [0, 9, 10, 29, 30, 1000].map(|offset| index.position_before(offset));
        assert_eq!(before, [0, 0, 100, 100, 300, 420]);
        let behind = [0, 10, 11, 30, 41].map(|offset| index.position_behind(offset));
        assert_eq!(behind, [Some(100), Some(100), Some(300), Some(300), None]);
        let by_time = [0, 7, 8, 9, 10, 11, 12].map(|time| index.position_before_time(time));
        assert_eq!(by_time, [0, 0, 100, 100, 300, 300, 420]);
    }
}
