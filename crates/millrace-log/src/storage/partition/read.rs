//! Reading: whole batches, as they are stored.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::{CLOSED, PartitionLog, View};
use crate::Result;
use crate::storage::records::{BatchHeader, HEADER_BYTES};
use crate::storage::segment::Segment;
use crate::storage::{AbortedTransaction, Fetched, Isolation, lock};

/// The most that one read takes into memory, but for a single larger batch.
const MAX_READ_BYTES: usize = 64 << 20;

impl PartitionLog {
    /// Reads whole batches from the one that holds `offset` on, up to `max_bytes`. With
    /// `at_least_one` the first comes even if it alone is larger. The end of a segment ends a read:
    /// the rest is the next one's.
    ///
    /// # Errors
    /// OFFSET_OUT_OF_RANGE when `offset` is not from the log's start to its end (to what the
    /// isolation shows, there is nothing rather than an error).
    pub fn read(
        &self,
        offset: i64,
        max_bytes: usize,
        at_least_one: bool,
        isolation: Isolation,
    ) -> Result<Fetched> {
        let view = self.view();
        if view.closed {
            return Err(CLOSED);
        }
        if offset < view.log_start || offset > view.log_end {
            return Err(ResponseError::OffsetOutOfRange.into());
        }
        let limit = view.limit(isolation);
        let (mut records, mut next_offset) = (Bytes::new(), offset);
        let mut at = view.segment_at(offset);
        while offset < limit && records.is_empty() {
            let Some(segment) = view.segments.get(at) else { break };
            match read_segment(segment, offset, limit, max_bytes, at_least_one)? {
                SegmentRead::Batches(read, behind) => (records, next_offset) = (read, behind),
                SegmentRead::NothingFits => break,
                SegmentRead::NothingHere => {}
            }
            at += 1;
        }
        let aborted = match isolation {
            Isolation::ReadCommitted => {
                lock::read(&self.shared.aborted).between(offset, next_offset)
            }
            Isolation::ReadUncommitted | Isolation::LogEnd => Vec::new(),
        };
        Ok(view.fetched(records, aborted))
    }

    /// Completes when something at or behind `offset` may be seen, or the log is closed. Dropping
    /// it before is safe.
    pub async fn wait_beyond(&self, offset: i64, isolation: Isolation) {
        loop {
            let changed = self.shared.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Listening begins before looking, so that what comes between the two is not missed.
            changed.as_mut().enable();
            let view = self.view();
            if view.closed || view.limit(isolation) > offset {
                return;
            }
            changed.await;
        }
    }
}

impl View {
    fn fetched(&self, records: Bytes, aborted: Vec<AbortedTransaction>) -> Fetched {
        Fetched {
            records,
            high_watermark: self.high_watermark,
            last_stable_offset: self.last_stable(),
            log_start_offset: self.log_start,
            aborted,
        }
    }
}

enum SegmentRead {
    /// They, and the offset behind them.
    Batches(Bytes, i64),
    /// There are batches, but the first is larger than what may be read.
    NothingFits,
    /// The segment ends before the offset.
    NothingHere,
}

/// One read of the file in the usual case; a second one where the first batch is larger than what
/// was read.
fn read_segment(
    segment: &Segment,
    offset: i64,
    limit: i64,
    max_bytes: usize,
    at_least_one: bool,
) -> Result<SegmentRead> {
    let delta = |offset: i64| {
        u32::try_from(offset.saturating_sub(segment.base_offset).max(0)).unwrap_or(u32::MAX)
    };
    let opened = segment.opened()?;
    let (from, behind) = {
        let index = lock::read(&opened.index);
        let behind = index.position_behind(delta(limit));
        (u64::from(index.position_before(delta(offset))), behind.map(u64::from))
    };
    let end = behind.unwrap_or_else(|| segment.size_bytes());
    let left = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
    // The place from the index is at most an interval early; that much is read on top.
    let mut wanted = max_bytes.clamp(HEADER_BYTES, MAX_READ_BYTES).saturating_add(4096);
    loop {
        wanted = wanted.min(left);
        let buffer = Bytes::from(segment.read(&opened, from, wanted)?);
        if buffer.len() < wanted {
            return Err(segment.damaged(from + buffer.len() as u64, "the file ends early"));
        }
        match cut(&buffer, offset, limit, max_bytes, at_least_one) {
            Cut::Batches(start, end, next_offset) => {
                return Ok(SegmentRead::Batches(buffer.slice(start..end), next_offset));
            }
            Cut::NothingFits => return Ok(SegmentRead::NothingFits),
            Cut::End => return Ok(SegmentRead::NothingHere),
            Cut::Needs(bytes) if bytes > wanted && wanted < left => wanted = bytes,
            Cut::Needs(_) => return Ok(SegmentRead::NothingHere),
            Cut::Broken(at, reason) => return Err(segment.damaged(from + at as u64, reason)),
        }
    }
}

enum Cut {
    /// From byte to byte, and the offset behind.
    Batches(usize, usize, i64),
    NothingFits,
    End,
    /// So many bytes of the buffer have to be there to say more.
    Needs(usize),
    Broken(usize, String),
}

/// Finds the batches from `offset` to `limit` in a buffer that begins with a batch and may end in
/// the middle of one.
fn cut(buffer: &[u8], offset: i64, limit: i64, max_bytes: usize, at_least_one: bool) -> Cut {
    let mut at = 0;
    let mut start = None;
    let mut next_offset = offset;
    while at < buffer.len() {
        let rest = &buffer[at..];
        if rest.len() < HEADER_BYTES {
            return start.map_or(Cut::Needs(at + HEADER_BYTES), |start| {
                Cut::Batches(start, at, next_offset)
            });
        }
        let header = match BatchHeader::parse(rest) {
            Ok(header) => header,
            Err(error) => return Cut::Broken(at, error.to_string()),
        };
        if header.base_offset >= limit {
            break;
        }
        let size_bytes = header.size_bytes;
        match start {
            None if header.last_offset() < offset => {}
            None if size_bytes > max_bytes && !at_least_one => return Cut::NothingFits,
            None if size_bytes > rest.len() => return Cut::Needs(at + size_bytes),
            None => start = Some(at),
            Some(start) if at - start + size_bytes > max_bytes || size_bytes > rest.len() => {
                return Cut::Batches(start, at, next_offset);
            }
            Some(_) => {}
        }
        next_offset = header.next_offset();
        at += size_bytes;
    }
    match start {
        Some(start) => Cut::Batches(start, at, next_offset),
        // A batch before the offset reaches past what was read.
        None if at > buffer.len() => Cut::Needs(at + HEADER_BYTES),
        None if at == buffer.len() => Cut::Needs(at + 1),
        None => Cut::End,
    }
}
