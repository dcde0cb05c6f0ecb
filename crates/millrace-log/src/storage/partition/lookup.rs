//! Finding offsets by time.

use super::{PartitionLog, View};
use crate::Result;
use crate::storage::records::{BatchHeader, Records, decode};
use crate::storage::scan::{Found, Scan};
use crate::storage::segment::Segment;
use crate::storage::{Isolation, lock};

impl PartitionLog {
    /// The offset and the time stamp of the first record that a reader may see and that is as young
    /// as `time_ms` or younger. Stamps need not ascend: it is the first such record in the log's
    /// order.
    ///
    /// # Errors
    /// When a segment can't be read, or is damaged.
    pub fn offset_for_time(
        &self,
        time_ms: i64,
        isolation: Isolation,
    ) -> Result<Option<(i64, i64)>> {
        let view = self.view();
        let limit = view.limit(isolation);
        for segment in &view.segments[view.segment_at(view.log_start)..] {
            let (is_young, end) =
                segment.with(|content| (content.max_timestamp_ms >= time_ms, content.size_bytes));
            if !is_young {
                continue;
            }
            let from = {
                let opened = segment.opened()?;
                let index = lock::read(&opened.index);
                u64::from(index.position_before_time(time_ms))
            };
            let is_young = |header: &BatchHeader| header.max_timestamp_ms >= time_ms;
            let mut found = None;
            walk(segment, from, end, |header, batch| {
                if header.base_offset >= limit {
                    return Ok(false);
                }
                if is_young(header) && header.last_offset() >= view.log_start {
                    found = first_record(segment, header, batch, |offset, timestamp_ms| {
                        timestamp_ms >= time_ms && offset >= view.log_start
                    })?;
                }
                Ok(found.is_none())
            })?;
            if found.is_some() {
                return Ok(found.filter(|(offset, _)| *offset < limit));
            }
        }
        Ok(None)
    }

    /// The offset and the time stamp of the record with the largest time stamp; of several the
    /// first.
    ///
    /// # Errors
    /// As [`PartitionLog::offset_for_time`].
    pub fn max_timestamp(&self) -> Result<Option<(i64, i64)>> {
        let view = self.view();
        let mut largest: Option<(i64, i64)> = None;
        for segment in &view.segments[view.segment_at(view.log_start)..] {
            let beats = |timestamp_ms: i64| {
                timestamp_ms >= 0 && largest.is_none_or(|(_, largest)| timestamp_ms > largest)
            };
            if !beats(segment.with(|content| content.max_timestamp_ms)) {
                continue;
            }
            if let Some(found) = max_in_segment(segment, &view)?
                && beats(found.1)
            {
                largest = Some(found);
            }
        }
        Ok(largest)
    }
}

fn max_in_segment(segment: &Segment, view: &View) -> Result<Option<(i64, i64)>> {
    // Where records at the front no longer count, the largest of the rest has to be searched for.
    let begins_inside = segment.base_offset < view.log_start;
    let (delta, end) = segment.with(|content| {
        ((content.max_timestamp_batch - segment.base_offset) as u32, content.size_bytes)
    });
    let from = if begins_inside {
        0
    } else {
        let opened = segment.opened()?;
        let index = lock::read(&opened.index);
        u64::from(index.position_before(delta))
    };
    let mut largest: Option<(i64, i64)> = None;
    walk(segment, from, end, |header, batch| {
        let beats = |timestamp_ms| largest.is_none_or(|(_, largest)| timestamp_ms > largest);
        if header.last_offset() >= view.log_start && beats(header.max_timestamp_ms) {
            // The batch's largest may be of a record that no longer counts.
            visit(segment, header, batch, |offset, timestamp_ms| {
                let beats = largest.is_none_or(|(_, largest)| timestamp_ms > largest);
                if offset >= view.log_start && beats {
                    largest = Some((offset, timestamp_ms));
                }
                true
            })?;
        }
        Ok(true)
    })?;
    Ok(largest)
}

/// Goes over the batches from one position to another, until `look` has seen enough.
pub(super) fn walk(
    segment: &Segment,
    from: u64,
    end: u64,
    mut look: impl FnMut(&BatchHeader, &[u8]) -> Result<bool>,
) -> Result<()> {
    let opened = segment.opened()?;
    let mut scan = Scan::new(&opened.file, from, end);
    while let Some(found) = scan.next().map_err(|source| segment.error("read", source))? {
        match found {
            Found::Batch { header, batch, .. } => {
                if !look(&header, batch)? {
                    break;
                }
            }
            Found::Broken { position, reason } => return Err(segment.damaged(position, reason)),
        }
    }
    Ok(())
}

fn first_record(
    segment: &Segment,
    header: &BatchHeader,
    batch: &[u8],
    is_it: impl Fn(i64, i64) -> bool,
) -> Result<Option<(i64, i64)>> {
    let mut found = None;
    visit(segment, header, batch, |offset, timestamp_ms| {
        found = is_it(offset, timestamp_ms).then_some((offset, timestamp_ms));
        found.is_none()
    })?;
    Ok(found)
}

/// Goes over offsets and time stamps of a batch's records, until `look` has seen enough.
fn visit(
    segment: &Segment,
    header: &BatchHeader,
    batch: &[u8],
    mut look: impl FnMut(i64, i64) -> bool,
) -> Result<()> {
    let broken = |reason| segment.damaged(0, format!("offset {}: {reason}", header.base_offset));
    let block = decode(header, batch).map_err(broken)?;
    for record in Records::new(header, &block) {
        let record = record.map_err(broken)?;
        if !look(record.offset, record.timestamp_ms) {
            break;
        }
    }
    Ok(())
}
