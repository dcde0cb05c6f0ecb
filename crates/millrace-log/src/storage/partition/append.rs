//! Appending: one batch after the other, under one lock.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_core::seam::Seams;

use super::prepare::{Prepared, prepare};
use super::snapshot::SnapshotFiles;
use super::{CLOSED, PartitionLog, Shared, View};
use crate::storage::producers::{Producers, Verdict};
use crate::storage::records::BatchHeader;
use crate::storage::segment::Segment;
use crate::storage::{Appended, Origin, TopicConfig, lock};
use crate::{FsyncPolicy, LogError, Result};

/// How long after it was told that writes fail it is told again.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// What only the one who appends needs.
#[derive(Debug)]
pub(super) struct Writer {
    /// When the segment that is written to was begun, or found.
    segment_since_ms: i64,
    /// How much earlier than `segment.ms` it is closed, drawn anew for each: a random number.
    jitter: u64,
    pub producers: Producers,
    pub snapshots: SnapshotFiles,
    /// Since the last snapshot an epoch was learned that no batch says.
    pub learned_epoch: bool,
    /// A failed write left bytes behind that could not be cut off.
    unrestored: bool,
    /// When it was last told that a write failed.
    failure_told: Option<Duration>,
}

impl Writer {
    pub fn new(seams: &Seams, producers: Producers, snapshots: SnapshotFiles) -> Self {
        Writer {
            segment_since_ms: seams.clock.now().as_millis(),
            jitter: seams.random.next_u64(),
            producers,
            snapshots,
            learned_epoch: false,
            unrestored: false,
            failure_told: None,
        }
    }
}

impl PartitionLog {
    /// Appends `batches` (a client's: exactly one) and says where they are.
    ///
    /// It returns as soon as they are written; [`PartitionLog::durable`] waits until they are as
    /// safe as the fsync policy demands. On any error nothing was appended.
    ///
    /// # Errors
    /// [`LogError::Refused`] with the code that a client gets; [`LogError::Io`] when the file can't
    /// be written, after a full disk too: the log goes on when there is room again.
    pub fn append(&self, batches: Bytes, origin: Origin) -> Result<Appended> {
        let shared = &*self.shared;
        let config = self.config();
        let now_ms = shared.seams.clock.now().as_millis();
        let mut prepared = prepare(batches, origin, &config, now_ms)?;
        let mut writer = lock::mutex(&shared.writer);
        for batch in &prepared {
            if let Verdict::Duplicate(sent) = writer.producers.check(&batch.header, origin)? {
                shared.refuse_if_closed()?;
                return Ok(Appended {
                    base_offset: sent.base_offset,
                    last_offset: sent.last_offset,
                    // As in Kafka, whether or not that was the log's time stamp.
                    append_time_ms: Some(sent.timestamp_ms),
                    log_start_offset: self.log_start_offset(),
                    duplicate: true,
                });
            }
        }
        let appended = shared.append(&mut writer, &mut prepared, &config, now_ms);
        shared.tell_of_failure(&mut writer, &appended);
        let appended = appended?;
        for batch in &prepared {
            writer.producers.appended(&batch.header, now_ms);
        }
        shared.show(&writer, appended.last_offset + 1);
        Ok(appended)
    }
}

impl Shared {
    pub(super) fn refuse_if_closed(&self) -> Result<()> {
        if lock::read(&self.view).closed { Err(CLOSED) } else { Ok(()) }
    }

    /// Says to whoever runs the log that writing fails, once a minute at most: a full disk may take
    /// a small batch between two large ones.
    fn tell_of_failure(&self, writer: &mut Writer, appended: &Result<Appended>) {
        let Err(error @ LogError::Io { .. }) = appended else { return };
        let now = self.seams.clock.elapsed();
        if writer.failure_told.is_none_or(|told| now.saturating_sub(told) >= TELL_AGAIN) {
            writer.failure_told = Some(now);
            tracing::error!(
                dir = %self.dir.display(), %error,
                "records are refused until they can be written"
            );
        }
    }

    /// Writes the batches; `show` is to follow when the writer's state has taken them in.
    pub(super) fn append(
        &self,
        writer: &mut Writer,
        prepared: &mut [Prepared],
        config: &TopicConfig,
        now_ms: i64,
    ) -> Result<Appended> {
        self.sync.check()?;
        let (mut segment, log_end, log_start_offset, closed) = {
            let view = lock::read(&self.view);
            (view.active(), view.log_end, view.log_start, view.closed)
        };
        if closed {
            return Err(CLOSED);
        }
        let mut next_offset = log_end;
        for batch in &mut *prepared {
            batch.place(next_offset)?;
            next_offset = batch.header.next_offset();
        }
        if writer.unrestored {
            segment.truncate(segment.size_bytes())?;
            writer.unrestored = false;
        }
        if must_roll(writer, &segment, prepared, config, now_ms) {
            segment = self.roll(writer, log_end, now_ms)?;
        }
        let mut parts = Vec::with_capacity(2 * prepared.len());
        for batch in &*prepared {
            parts.push(IoSlice::new(&batch.head));
            parts.push(IoSlice::new(&batch.body));
        }
        segment.write(&mut parts).map_err(|failed| {
            writer.unrestored = !failed.restored;
            failed.error
        })?;
        let headers: Vec<BatchHeader> = prepared.iter().map(|batch| batch.header).collect();
        segment.added(&headers, config.index_interval_bytes)?;
        Ok(Appended {
            base_offset: log_end,
            last_offset: next_offset - 1,
            append_time_ms: prepared.iter().find_map(|batch| batch.append_time_ms),
            log_start_offset,
            duplicate: false,
        })
    }

    /// Lets readers see what was appended, as far as the fsync policy has them.
    pub(super) fn show(&self, writer: &Writer, log_end: i64) {
        {
            let mut view = lock::write(&self.view);
            view.log_end = log_end;
            view.first_open = writer.producers.first_open_offset();
            if self.fsync != FsyncPolicy::Always {
                view.raise_high_watermark(log_end);
            }
        }
        self.changed.notify_waiters();
    }

    /// Begins a segment at the log's end.
    pub(super) fn roll(
        &self,
        writer: &mut Writer,
        log_end: i64,
        now_ms: i64,
    ) -> Result<Arc<Segment>> {
        let segment = Arc::new(Segment::create(&self.dir, log_end, &self.files)?);
        let closed = lock::read(&self.view).active();
        self.seal(&closed, writer, log_end);
        if self.fsync == FsyncPolicy::Never {
            closed.release();
        }
        self.sync.dir_changed();
        let mut view = lock::write(&self.view);
        let mut segments = Vec::with_capacity(view.segments.len() + 1);
        segments.extend(view.segments.iter().cloned());
        segments.push(segment.clone());
        view.segments = Arc::new(segments);
        drop(view);
        writer.segment_since_ms = now_ms;
        writer.jitter = self.seams.random.next_u64();
        writer.unrestored = false;
        Ok(segment)
    }
}

impl View {
    /// The segment that is written to.
    pub(super) fn active(&self) -> Arc<Segment> {
        self.segments[self.segments.len() - 1].clone()
    }
}

/// Whether the batches need a new segment: they don't fit, the segment is old, or their offsets are
/// too far from its first for the index.
fn must_roll(
    writer: &Writer,
    segment: &Segment,
    prepared: &[Prepared],
    config: &TopicConfig,
    now_ms: i64,
) -> bool {
    let (size_bytes, first_timestamp_ms) =
        segment.with(|content| (content.size_bytes, content.first_timestamp_ms));
    let Some(last) = prepared.last().filter(|_| size_bytes > 0) else {
        return false;
    };
    let bytes: u64 = prepared.iter().map(|batch| batch.header.size_bytes as u64).sum();
    let jitter = config.segment_jitter_ms.min(config.segment_ms - 1);
    let jitter = if jitter > 0 { (writer.jitter % jitter as u64) as i64 } else { 0 };
    let age_ms = match (first_timestamp_ms, last.header.max_timestamp_ms) {
        (Some(first), stamp) if first >= 0 && stamp >= 0 => stamp.saturating_sub(first),
        _ => now_ms.saturating_sub(writer.segment_since_ms),
    };
    size_bytes + bytes > u64::from(config.segment_bytes)
        || age_ms > config.segment_ms - jitter
        || last.header.last_offset() - segment.base_offset > i64::from(i32::MAX)
}
