//! Dropping old records: by age, by size, and when asked to.
//!
//! What is dropped first stops being there for readers (the log start moves, and is written down),
//! then its files are removed, oldest first. A crash in between leaves files below the log start,
//! which the next opening removes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use serde::{Deserialize, Serialize};

use super::stored::{read_json, write_json};
use super::{PartitionLog, Shared, View};
use crate::storage::disk::{Disk, is_full};
use crate::storage::segment::Segment;
use crate::storage::{TopicConfig, lock};
use crate::{LogError, Result};

/// A producer that was not heard of for a day is forgotten, as in Kafka.
const PRODUCER_EXPIRATION_MS: i64 = 24 * 60 * 60 * 1000;

impl PartitionLog {
    /// Drops all records before `offset`, or with -1 all that may be seen, and says where the log
    /// begins now. It survives restarts when it returns; it blocks on the disk.
    ///
    /// # Errors
    /// OFFSET_OUT_OF_RANGE behind the high watermark; POLICY_VIOLATION for a topic that is compacted
    /// and not deleted from.
    pub fn delete_records_before(&self, offset: i64) -> Result<i64> {
        let shared = &*self.shared;
        if !self.config().delete {
            return Err(ResponseError::PolicyViolation.into());
        }
        let _maintenance = lock::mutex(&shared.maintenance);
        shared.refuse_if_closed()?;
        let high_watermark = self.high_watermark();
        let offset = if offset == -1 { high_watermark } else { offset };
        if offset < 0 || offset > high_watermark {
            return Err(ResponseError::OffsetOutOfRange.into());
        }
        shared.raise_log_start(offset)?;
        Ok(self.log_start_offset())
    }

    /// Does what is due: drops segments that are too old or too many, compacts, and forgets
    /// producers that were silent for a day. The log's owner calls it now and then, where it may
    /// block.
    ///
    /// # Errors
    /// When files can't be read, written or removed. The log goes on.
    pub fn maintain(&self) -> Result<()> {
        let shared = &*self.shared;
        let _maintenance = lock::mutex(&shared.maintenance);
        shared.refuse_if_closed()?;
        let config = self.config();
        let now_ms = shared.seams.clock.now().as_millis();
        if config.delete {
            shared.apply_retention(&config, now_ms)?;
        }
        if config.compact {
            shared.compact(&config, now_ms)?;
        }
        self.forget_producers(now_ms);
        self.snapshot_if_due();
        Ok(())
    }

    pub(super) fn forget_producers(&self, now_ms: i64) {
        let mut writer = lock::mutex(&self.shared.writer);
        writer.producers.forget_before(now_ms.saturating_sub(PRODUCER_EXPIRATION_MS));
    }
}

impl Shared {
    fn apply_retention(&self, config: &TopicConfig, now_ms: i64) -> Result<()> {
        let view = lock::read(&self.view).clone();
        let too_old = |segment: &Segment| {
            let Some(retention_ms) = config.retention_ms else { return false };
            segment.size_bytes() > 0 && now_ms.saturating_sub(age_from(segment)) > retention_ms
        };
        let total_bytes: u64 = view.segments.iter().map(|segment| segment.size_bytes()).sum();
        let mut surplus =
            config.retention_bytes.map_or(0, |limit| total_bytes.saturating_sub(limit));
        let mut log_start = view.log_start;
        for (at, segment) in view.segments.iter().enumerate() {
            let next_offset = view.next_offset(at);
            let size_bytes = segment.size_bytes();
            let too_many = size_bytes > 0 && surplus >= size_bytes;
            if next_offset > view.high_watermark || !(too_many || too_old(segment)) {
                break;
            }
            surplus = surplus.saturating_sub(size_bytes);
            log_start = next_offset;
        }
        if log_start == view.log_start {
            return Ok(());
        }
        if log_start == view.log_end {
            // Even the segment that is written to: a new one takes its place.
            let mut writer = lock::mutex(&self.writer);
            let (log_end, active) = {
                let view = lock::read(&self.view);
                (view.log_end, view.active())
            };
            if log_end == log_start && active.size_bytes() > 0 {
                self.roll(&mut writer, log_end, now_ms)?;
            }
        }
        tracing::info!(dir = %self.dir.display(), log_start, "dropped records past their retention");
        self.raise_log_start(log_start)
    }

    fn begins_segment(&self, offset: i64) -> bool {
        let view = lock::read(&self.view);
        view.segments.binary_search_by_key(&offset, |segment| segment.base_offset).is_ok()
    }

    /// The first offset of the segment that holds this one.
    fn segment_of(&self, offset: i64) -> i64 {
        let view = lock::read(&self.view);
        view.segments[view.segment_at(offset)].base_offset
    }

    /// Moves the log's start and removes what is before it. Only with the lock for maintenance.
    fn raise_log_start(&self, offset: i64) -> Result<()> {
        if offset <= lock::read(&self.view).log_start {
            return Ok(());
        }
        let keep = || {
            self.synced_snapshot().and_then(|()| {
                LogStart { version: 1, log_start_offset: offset }
                    .write(&self.dir, self.files.disk())
            })
        };
        match keep() {
            Err(LogError::Io { source, .. }) if is_full(&source) && self.begins_segment(offset) => {
                // To drop segments is what makes room. The log begins with the first that is left,
                // and its producers are still in memory.
                tracing::warn!(dir = %self.dir.display(), "the disk is full");
            }
            Err(LogError::Io { source, action, path }) if is_full(&source) => {
                // Whole segments before it go first; then there is room to say the rest.
                let first_left = self.segment_of(offset);
                if first_left <= lock::read(&self.view).log_start {
                    return Err(LogError::Io { source, action, path });
                }
                self.raise_log_start(first_left)?;
                keep()?;
            }
            kept => kept?,
        }
        lock::write(&self.aborted).forget_before(offset);
        let removed = {
            // With the lock for appends, which add to the same list.
            let _writer = lock::mutex(&self.writer);
            let mut view = lock::write(&self.view);
            view.log_start = offset;
            let kept = view.segment_at(offset);
            let mut segments: Vec<Arc<Segment>> = view.segments.to_vec();
            let removed: Vec<Arc<Segment>> = segments.drain(..kept).collect();
            view.segments = Arc::new(segments);
            removed
        };
        for segment in &removed {
            segment.remove()?;
        }
        self.sync.dir_changed();
        Ok(())
    }
}

impl View {
    /// The offset behind a segment: the next one's first, as the last batches may be compacted away.
    pub(super) fn next_offset(&self, at: usize) -> i64 {
        self.segments.get(at + 1).map_or(self.log_end, |next| next.base_offset)
    }
}

/// From when a segment's age counts: its largest time stamp, or without any its last change.
fn age_from(segment: &Segment) -> i64 {
    let stamp = segment.with(|content| content.max_timestamp_ms);
    if stamp >= 0 { stamp } else { segment.modified_ms().unwrap_or(i64::MAX) }
}

/// Where a log begins, as it is kept.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct LogStart {
    version: u32,
    pub log_start_offset: i64,
}

impl LogStart {
    pub fn path(dir: &Path) -> PathBuf {
        dir.join("log-start.json")
    }

    fn write(&self, dir: &Path, disk: &dyn Disk) -> Result<()> {
        write_json(dir, &Self::path(dir), self, disk)
    }

    pub fn read(dir: &Path) -> Result<Option<i64>> {
        let path = Self::path(dir);
        let Some(start) = read_json::<Self>(&path)? else { return Ok(None) };
        if start.version != 1 || start.log_start_offset < 0 {
            let reason = format!("version {} is not known", start.version);
            return Err(LogError::Damaged { path, position: 0, reason });
        }
        Ok(Some(start.log_start_offset))
    }
}
