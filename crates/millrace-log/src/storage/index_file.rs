//! What is known of a segment, in a file beside it, so that opening a log reads no records.
//!
//! The file says how far the segment was read when it was written (all of it, once the segment is
//! closed), what its batches amount to, where some of them stand, which transactions were aborted in
//! it, and which were open at its end. All of that follows from the batches. So the file is never
//! synced, and never trusted where it does not fit: checksums tell a torn one, and its size must be
//! that of the segment. It is then made again from the segment.
//!
//! ```text
//! version (1) | 6 numbers (48) | counts of entries, aborted, open (12)
//! aborted (32 each) | open (16 each) | checksum (4)
//! entries (16 each) | checksum (4)
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::path::Path;

use bytes::{Buf, BufMut};

use super::AbortedTransaction;
use super::disk::Disk;
use super::index::{ENTRY_BYTES, Index};
use super::producers::AbortedEntry;
use super::segment::Content;

const VERSION: u8 = 1;

/// Bytes in front of what differs in length.
const FIXED_BYTES: usize = 1 + 6 * 8 + 3 * 4;

const ABORTED_BYTES: usize = 32;
const OPEN_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 4;

/// What a log has to know of a segment when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentFacts {
    /// What its batches amount to, up to where they were read.
    pub content: Content,
    /// Where some of them stand.
    pub index: Index,
    /// The transactions whose abort markers are in it, by marker.
    pub aborted: Vec<AbortedEntry>,
    /// The transactions that are open at its end: first offset and producer.
    pub open: BTreeMap<i64, i64>,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it is not there")]
    Missing,
    #[error("it cannot be read: {0}")]
    Io(io::Error),
    #[error("version {0} is not known")]
    Version(u8),
    #[error("it ends early")]
    Torn,
    #[error("a checksum does not fit")]
    Checksum,
    #[error("it is for the segment at offset {0}")]
    OtherSegment(i64),
    #[error("it knows {known_bytes} bytes of a segment of {size_bytes}")]
    OtherSize { known_bytes: u64, size_bytes: u64 },
    #[error("the segment may have lost since what was not synced")]
    NotSynced,
    #[error("the snapshot of producers is older")]
    OldSnapshot,
}

impl SegmentFacts {
    /// Puts a file in place of the one that is there, if any.
    pub fn write(&self, base_offset: i64, path: &Path, disk: &dyn Disk) -> io::Result<()> {
        let bytes = self.encode(base_offset);
        disk.write(&File::create(path)?, &mut [IoSlice::new(&bytes)])
    }

    /// Reads what `write` wrote for the segment with this base offset, all but the index, which is
    /// empty.
    pub fn read(base_offset: i64, path: &Path) -> Result<Self, Unusable> {
        Self::read_from(base_offset, &mut File::open(path).map_err(unreadable)?)
    }

    /// Reads the index too.
    pub fn read_all(base_offset: i64, path: &Path) -> Result<Self, Unusable> {
        let mut file = File::open(path).map_err(unreadable)?;
        let facts = Self::read_from(base_offset, &mut file)?;
        let mut entries = Vec::new();
        file.read_to_end(&mut entries).map_err(unreadable)?;
        let index = Index::decode(checked(&entries, 0)?);
        Ok(SegmentFacts { index, ..facts })
    }

    fn read_from(base_offset: i64, file: &mut File) -> Result<Self, Unusable> {
        let mut fixed = [0; FIXED_BYTES];
        file.read_exact(&mut fixed).map_err(unreadable)?;
        let head = Head::decode(&fixed)?;
        let length = file.metadata().map_err(unreadable)?.len();
        // No memory is taken for more than the file has.
        if length != (FIXED_BYTES + head.rest_bytes() + head.entries_bytes()) as u64 {
            return Err(Unusable::Torn);
        }
        let mut rest = vec![0; head.rest_bytes()];
        file.read_exact(&mut rest).map_err(unreadable)?;
        let rest = checked(&rest, crc32c::crc32c(&fixed))?;
        if head.base_offset != base_offset {
            return Err(Unusable::OtherSegment(head.base_offset));
        }
        Ok(head.facts(rest))
    }

    fn encode(&self, base_offset: i64) -> Vec<u8> {
        let content = &self.content;
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.index.len() * ENTRY_BYTES + 64);
        bytes.put_u8(VERSION);
        bytes.put_i64(base_offset);
        bytes.put_u64(content.size_bytes);
        bytes.put_i64(content.next_offset);
        bytes.put_i64(content.max_timestamp_ms);
        bytes.put_i64(content.max_timestamp_batch);
        bytes.put_i64(content.first_timestamp_ms.unwrap_or(i64::MIN));
        // A segment has fewer than 2^32 bytes, and each of these stands for some of them.
        for count in [self.index.len(), self.aborted.len(), self.open.len()] {
            bytes.put_u32(count as u32);
        }
        for AbortedEntry { transaction, stable_offset } in &self.aborted {
            bytes.put_i64(transaction.producer_id);
            bytes.put_i64(transaction.first_offset);
            bytes.put_i64(transaction.last_offset);
            bytes.put_i64(*stable_offset);
        }
        for (first_offset, producer_id) in &self.open {
            bytes.put_i64(*first_offset);
            bytes.put_i64(*producer_id);
        }
        bytes.put_u32(crc32c::crc32c(&bytes));
        let entries_from = bytes.len();
        self.index.encode(&mut bytes);
        bytes.put_u32(crc32c::crc32c(&bytes[entries_from..]));
        bytes
    }
}

/// What stands in front.
struct Head {
    base_offset: i64,
    content: Content,
    entries: usize,
    aborted: usize,
    open: usize,
}

impl Head {
    fn decode(mut bytes: &[u8]) -> Result<Self, Unusable> {
        let version = bytes.get_u8();
        if version != VERSION {
            return Err(Unusable::Version(version));
        }
        let base_offset = bytes.get_i64();
        let mut content = Content::empty(base_offset);
        content.size_bytes = bytes.get_u64();
        content.next_offset = bytes.get_i64();
        content.max_timestamp_ms = bytes.get_i64();
        content.max_timestamp_batch = bytes.get_i64();
        content.first_timestamp_ms = Some(bytes.get_i64()).filter(|ms| *ms != i64::MIN);
        let mut count = || bytes.get_u32() as usize;
        let (entries, aborted, open) = (count(), count(), count());
        Ok(Head { base_offset, content, entries, aborted, open })
    }

    /// Bytes of what follows up to the first checksum, which is counted.
    fn rest_bytes(&self) -> usize {
        self.aborted * ABORTED_BYTES + self.open * OPEN_BYTES + CHECKSUM_BYTES
    }

    /// Bytes of the entries and their checksum.
    fn entries_bytes(&self) -> usize {
        self.entries * ENTRY_BYTES + CHECKSUM_BYTES
    }

    fn facts(self, mut rest: &[u8]) -> SegmentFacts {
        let aborted = (0..self.aborted).map(|_| AbortedEntry {
            transaction: AbortedTransaction {
                producer_id: rest.get_i64(),
                first_offset: rest.get_i64(),
                last_offset: rest.get_i64(),
            },
            stable_offset: rest.get_i64(),
        });
        let aborted = aborted.collect();
        let open = (0..self.open).map(|_| (rest.get_i64(), rest.get_i64())).collect();
        SegmentFacts { content: self.content, index: Index::default(), aborted, open }
    }
}

/// The bytes before a checksum that fits.
fn checked(bytes: &[u8], crc_before: u32) -> Result<&[u8], Unusable> {
    let (content, crc) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Unusable::Torn)?;
    if crc32c::crc32c_append(crc_before, content).to_be_bytes() != *crc {
        return Err(Unusable::Checksum);
    }
    Ok(content)
}

fn unreadable(error: io::Error) -> Unusable {
    match error.kind() {
        io::ErrorKind::NotFound => Unusable::Missing,
        io::ErrorKind::UnexpectedEof => Unusable::Torn,
        _ => Unusable::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::index::Entry;
    use super::*;

    fn facts() -> SegmentFacts {
        let mut content = Content::empty(7);
        content.size_bytes = 900;
        content.next_offset = 40;
        content.max_timestamp_ms = 12;
        content.max_timestamp_batch = 9;
        content.first_timestamp_ms = Some(-1);
        let mut index = Index::default();
        for position in [0, 300, 700] {
            let offset_delta = position / 10;
            let entry = Entry { offset_delta, position, max_timestamp_before_ms: 3 };
            index.note(entry, 200);
        }
        let transaction = AbortedTransaction { producer_id: 5, first_offset: 8, last_offset: 11 };
        let aborted = vec![AbortedEntry { transaction, stable_offset: 10 }];
        SegmentFacts { content, index, aborted, open: BTreeMap::from([(10, 6), (12, 4)]) }
    }

    fn read(bytes: &[u8], base_offset: i64) -> Result<SegmentFacts, Unusable> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        std::fs::write(&path, bytes).unwrap();
        SegmentFacts::read_all(base_offset, &path)
    }

    #[test]
    fn facts_are_read_as_they_were_written_and_no_other_bytes_are() {
        let bytes = facts().encode(7);
        assert_eq!(read(&bytes, 7).unwrap(), facts());
        assert!(matches!(read(&bytes, 8), Err(Unusable::OtherSegment(7))));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(read(&flipped, 7).is_err(), "byte {at}");
            assert!(matches!(read(&bytes[..at], 7), Err(Unusable::Torn)), "{at} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(read(&longer, 7), Err(Unusable::Torn)));
        let missing = SegmentFacts::read(7, Path::new("/nowhere/at/all"));
        assert!(matches!(missing, Err(Unusable::Missing)));
    }

    #[test]
    fn version_1_stays_readable() {
        let mut stored = vec![1];
        for number in [7, 900, 40, 12, 9, -1i64] {
            stored.extend(number.to_be_bytes());
        }
        for count in [2, 1, 2u32] {
            stored.extend(count.to_be_bytes());
        }
        for number in [5, 8, 11, 10, 10, 6, 12, 4i64] {
            stored.extend(number.to_be_bytes());
        }
        stored.extend(crc32c::crc32c(&stored).to_be_bytes());
        let mut entries = Vec::new();
        for (offset_delta, position) in [(30, 300), (70, 700u32)] {
            entries.extend(u32::to_be_bytes(offset_delta));
            entries.extend(position.to_be_bytes());
            entries.extend(3i64.to_be_bytes());
        }
        entries.extend(crc32c::crc32c(&entries).to_be_bytes());
        stored.extend(entries);
        assert_eq!(read(&stored, 7).unwrap(), facts());
    }
}
