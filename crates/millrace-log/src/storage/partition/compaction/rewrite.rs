//! Writes segments anew without what compaction drops.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use super::keys::NewestOffsets;
use crate::storage::index::Index;
use crate::storage::partition::lookup::walk;
use crate::storage::producers::{AbortedIndex, OpenTransactions};
use crate::storage::records::{BatchHeader, HEADER_BYTES, Marker, Records, decode};
use crate::storage::segment::{Content, Segment, segment_path};
use crate::{LogError, Result};

/// Transactions on the way through the log.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// By producer: from first offset to marker.
    aborted: HashMap<i64, Vec<(i64, i64)>>,
    /// By producer: whether a record of its current transaction stays.
    stays: HashMap<i64, bool>,
}

impl Transactions {
    pub fn new(index: &AbortedIndex) -> Self {
        let mut aborted: HashMap<i64, Vec<(i64, i64)>> = HashMap::new();
        for transaction in index.between(0, i64::MAX) {
            let range = (transaction.first_offset, transaction.last_offset);
            aborted.entry(transaction.producer_id).or_default().push(range);
        }
        Transactions { aborted, stays: HashMap::new() }
    }

    /// Whether the batch belongs to an aborted transaction.
    pub fn aborted(&self, header: &BatchHeader) -> bool {
        let inside = |(first, last): &(i64, i64)| (*first..=*last).contains(&header.base_offset);
        header.attributes.is_transactional()
            && self.aborted.get(&header.producer_id).is_some_and(|all| all.iter().any(inside))
    }
}

/// What stays.
pub(super) struct Filter<'a> {
    pub log_start: i64,
    /// The log's end: the batch right before it stays, so that readers come to the end.
    pub last_kept: i64,
    /// Tombstones and markers below may go.
    pub tombstone_limit: i64,
    pub newest: &'a NewestOffsets,
    pub transactions: Transactions,
    /// Those that are open behind what was looked at.
    pub open: OpenTransactions,
    pub dropped_markers: Vec<i64>,
    pub without_key: u64,
}

/// What becomes of a batch.
enum Kept {
    All,
    Nothing,
    /// It has to be put together anew: header and records.
    Some([u8; HEADER_BYTES], Vec<u8>, BatchHeader),
}

impl Filter<'_> {
    fn keep(&mut self, segment: &Segment, header: &BatchHeader, batch: &[u8]) -> Result<Kept> {
        self.open.add(header, Marker::read(header, batch).as_ref());
        if header.last_offset() < self.log_start {
            return Ok(Kept::Nothing);
        }
        let must_stay = header.next_offset() == self.last_kept;
        if header.attributes.is_control() {
            return Ok(self.keep_marker(header, must_stay));
        }
        let kept = if must_stay {
            Kept::All
        } else if self.transactions.aborted(header) {
            Kept::Nothing
        } else {
            let broken = |reason| segment.damaged(0, format!("{}: {reason}", header.base_offset));
            self.keep_records(header, batch).map_err(broken)?
        };
        if header.attributes.is_transactional() {
            let stays = !matches!(kept, Kept::Nothing);
            *self.transactions.stays.entry(header.producer_id).or_default() |= stays;
        }
        Ok(kept)
    }

    fn keep_marker(&mut self, header: &BatchHeader, must_stay: bool) -> Kept {
        let stays = self.transactions.stays.remove(&header.producer_id).unwrap_or(false);
        if stays || must_stay || header.base_offset >= self.tombstone_limit {
            return Kept::All;
        }
        self.dropped_markers.push(header.base_offset);
        Kept::Nothing
    }

    fn keep_records(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<Kept, String> {
        let block = decode(header, batch).map_err(|error| error.to_string())?;
        let (mut kept, mut count, mut max_timestamp_ms) = (Vec::new(), 0, -1);
        for record in Records::new(header, &block) {
            let record = record.map_err(|error| error.to_string())?;
            let Some(key) = record.key else {
                self.without_key += 1;
                continue;
            };
            let expired = record.value.is_none() && record.offset < self.tombstone_limit;
            if !expired && !self.newest.has_newer(key, record.offset) {
                kept.extend_from_slice(record.encoded);
                count += 1;
                max_timestamp_ms = record.timestamp_ms.max(max_timestamp_ms);
            }
        }
        if count == header.record_count {
            return Ok(Kept::All);
        }
        if count == 0 {
            return Ok(Kept::Nothing);
        }
        // Known since the records could be inflated.
        let codec = header.attributes.codec().ok_or("its codec does not exist")?;
        let body = codec.compress(&kept, None).map_err(|error| error.to_string())?;
        let header = BatchHeader {
            record_count: count,
            max_timestamp_ms,
            size_bytes: HEADER_BYTES + body.len(),
            ..*header
        };
        Ok(Kept::Some(header.encode(&body), body, header))
    }
}

/// A file that is to replace segments.
pub(super) struct Rewritten {
    pub file: File,
    pub content: Content,
    pub index: Index,
}

/// The name of a file that is being written.
pub(super) const CLEANED: &str = "log.cleaned";

/// Writes the segments of a group into one file, which the caller syncs; `None` when nothing would
/// change.
pub(super) fn rewrite(
    dir: &Path,
    group: &[Arc<Segment>],
    filter: &mut Filter<'_>,
    index_interval_bytes: u32,
) -> Result<Option<Rewritten>> {
    let base_offset = group[0].base_offset;
    let path = segment_path(dir, base_offset, CLEANED);
    let mut options = std::fs::OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(true);
    let file = options.open(&path).map_err(LogError::io("create", &path))?;
    let mut writer = BufWriter::with_capacity(1 << 20, &file);
    let mut content = Content::empty(base_offset);
    let mut index = Index::default();
    let mut unchanged = group.len() == 1;
    for segment in group {
        walk(segment, 0, segment.size_bytes(), |header, batch| {
            let (written, header) = match filter.keep(segment, header, batch)? {
                Kept::All => (writer.write_all(batch), *header),
                Kept::Nothing => {
                    unchanged = false;
                    return Ok(true);
                }
                Kept::Some(head, body, header) => {
                    unchanged = false;
                    (writer.write_all(&head).and_then(|()| writer.write_all(&body)), header)
                }
            };
            written.map_err(LogError::io("write", &path))?;
            content.add(base_offset, &header, &mut index, index_interval_bytes);
            Ok(true)
        })?;
        content.next_offset = segment.next_offset();
    }
    writer.flush().map_err(LogError::io("write", &path))?;
    drop(writer);
    if unchanged {
        std::fs::remove_file(&path).map_err(LogError::io("remove", &path))?;
        return Ok(None);
    }
    Ok(Some(Rewritten { file, content, index }))
}
