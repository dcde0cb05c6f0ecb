//! Forcing what was written to the disk.
//!
//! Each sync covers all that was written when it began, so appends that wait together share one.
//! After a sync failed, what is on the disk is unknown: pages may have been dropped that later
//! syncs would call clean. The log then refuses everything until it is opened again, and recovery
//! looks at what is really there.
//!
//! A new log has nothing on the disk, not even its own name: what it lacks the next opening makes.
//! All that is synced with its first records.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use kafka_protocol::error::ResponseError;

use super::point::{RecoveryPoint, this_boot};
use super::{PartitionLog, Shared, View};
use crate::storage::lock;
use crate::{FsyncPolicy, LogError, Result};

/// How far the disk is.
#[derive(Debug)]
pub(super) struct SyncState {
    /// The turn of those who wait for the disk.
    turn: tokio::sync::Mutex<()>,
    /// Everything before is on the disk. Held while syncing.
    synced: Mutex<Option<RecoveryPoint>>,
    /// What was on the disk when the log was opened.
    found_offset: i64,
    boot: u64,
    /// A file was made or removed since the directory was synced.
    dir_changed: AtomicBool,
    /// Nothing was ever synced, nor the directory's own name.
    is_new: AtomicBool,
    /// The log was deleted: nothing of it needs to be safe.
    discarded: AtomicBool,
    failed: AtomicBool,
}

impl SyncState {
    /// For a log of which so much is known to be on the disk.
    pub fn new(found: Option<RecoveryPoint>) -> Self {
        SyncState {
            turn: tokio::sync::Mutex::new(()),
            synced: Mutex::new(None),
            found_offset: found.map_or(-1, |point| point.offset),
            boot: this_boot(),
            dir_changed: AtomicBool::new(true),
            // A point before the first record is written by a log that has synced nothing.
            is_new: AtomicBool::new(found.is_none_or(|point| point.offset <= 0)),
            discarded: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        }
    }

    /// Refuses when a sync has failed.
    pub fn check(&self) -> Result<()> {
        if self.failed.load(Relaxed) {
            return Err(ResponseError::KafkaStorageError.into());
        }
        Ok(())
    }

    /// The directory's own content has to be synced too.
    pub fn dir_changed(&self) {
        self.dir_changed.store(true, Relaxed);
    }

    /// Nothing needs to be safe any more.
    pub fn discard(&self) {
        self.discarded.store(true, Relaxed);
    }
}

impl PartitionLog {
    /// Waits until everything through `offset` is as safe as the fsync policy demands; then the
    /// high watermark is behind it. Under [`FsyncPolicy::Interval`] and [`FsyncPolicy::Never`] that
    /// is at once.
    ///
    /// Under [`FsyncPolicy::Always`] nobody sees what was appended before someone called this or
    /// [`PartitionLog::sync`], so it is to be called after each append, awaited or not.
    ///
    /// # Errors
    /// When the disk refuses. Whether the records are safe is then unknown, and the log refuses
    /// everything until it is opened again. OFFSET_OUT_OF_RANGE for what was never appended.
    pub async fn durable(&self, offset: i64) -> Result<()> {
        if self.shared.fsync != FsyncPolicy::Always {
            return Ok(());
        }
        let reached = || {
            let view = lock::read(&self.shared.view);
            if offset >= view.log_end {
                return Err(LogError::Refused(ResponseError::OffsetOutOfRange));
            }
            Ok(view.high_watermark > offset)
        };
        if reached()? {
            return Ok(());
        }
        let _turn = self.shared.sync.turn.lock().await;
        // Whoever had the turn before may have synced this as well.
        if reached()? {
            return Ok(());
        }
        let (done, result) = tokio::sync::oneshot::channel();
        let shared = self.shared.clone();
        let work = Box::new(move || {
            // Nobody listens when the caller went away; the sync counts all the same.
            let _ = done.send(shared.sync_all());
        });
        let ran = self.shared.seams.spawner.spawn_blocking(work).await;
        match (ran, result.await) {
            (Ok(()), Ok(result)) => result,
            _ => Err(ResponseError::KafkaStorageError.into()),
        }
    }

    /// Forces to the disk what was written since the last time; nothing to do costs nothing.
    ///
    /// It blocks. Under [`FsyncPolicy::Interval`] the log's owner calls it at least that often.
    ///
    /// # Errors
    /// As [`PartitionLog::durable`].
    pub fn sync(&self) -> Result<()> {
        self.shared.sync_all()
    }
}

impl Shared {
    fn sync_dir(&self) -> Result<()> {
        self.files.disk().sync_dir(&self.dir).map_err(LogError::io("sync", &self.dir))
    }

    /// Brings the name of the log's directory to the disk.
    fn sync_name(&self) -> Result<()> {
        let parent = self.dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        self.files.disk().sync_dir(parent).map_err(LogError::io("sync", parent))
    }

    /// The point up to which all would be safe after a sync that begins now.
    fn point(&self, view: &View) -> RecoveryPoint {
        let active = view.active();
        RecoveryPoint {
            offset: view.log_end,
            segment: active.base_offset,
            position: active.size_bytes(),
            boot: self.sync.boot,
        }
    }

    /// Makes what opening has found safe, as far as it is not known to be.
    pub(super) fn sync_found(&self, found: Option<RecoveryPoint>, repaired: bool) -> Result<()> {
        let point = self.point(&lock::read(&self.view));
        let is_new = self.sync.is_new.load(Relaxed);
        let is_known =
            found.map(|found| RecoveryPoint { boot: point.boot, ..found }) == Some(point);
        if repaired || !(is_known || is_new && point.offset == 0) {
            return self.sync_all();
        }
        if !is_new {
            *lock::mutex(&self.sync.synced) = Some(point);
            self.sync.dir_changed.store(false, Relaxed);
        }
        if found != Some(point) {
            self.write_point(point);
        }
        Ok(())
    }

    pub(super) fn sync_all(&self) -> Result<()> {
        self.sync.check()?;
        let mut synced_point = lock::mutex(&self.sync.synced);
        let view = lock::read(&self.view).clone();
        let (segments, log_end) = (&view.segments, view.log_end);
        let point = self.point(&view);
        let is_new = self.sync.is_new.load(Relaxed);
        let is_synced = *synced_point == Some(point) && !self.sync.dir_changed.load(Relaxed);
        if is_synced || is_new && log_end == 0 || self.sync.discarded.load(Relaxed) {
            return Ok(());
        }
        let synced_offset = synced_point.map_or(self.sync.found_offset, |point| point.offset);
        let dir_changed = self.sync.dir_changed.swap(false, Relaxed);
        let synced = segments
            .iter()
            .filter(|segment| segment.next_offset() > synced_offset)
            .try_for_each(|segment| segment.sync())
            .and_then(|()| if dir_changed { self.sync_dir() } else { Ok(()) })
            .and_then(|()| if is_new { self.sync_name() } else { Ok(()) });
        if let Err(error) = synced {
            if self.sync.discarded.load(Relaxed) {
                return Ok(());
            }
            self.sync.failed.store(true, Relaxed);
            tracing::error!(
                dir = %self.dir.display(), %error,
                "a sync failed: the partition refuses to write until the log is started again"
            );
            return Err(error);
        }
        *synced_point = Some(point);
        self.sync.is_new.store(false, Relaxed);
        let closed = &segments[..segments.len() - 1];
        let behind = closed.partition_point(|segment| segment.next_offset() <= synced_offset);
        closed[behind..].iter().for_each(|segment| segment.release());
        self.write_point(point);
        if self.fsync == FsyncPolicy::Always {
            let mut view = lock::write(&self.view);
            view.raise_high_watermark(log_end);
            drop(view);
            self.changed.notify_waiters();
        }
        Ok(())
    }

    /// Without the point the next opening knows less, and nothing is lost.
    fn write_point(&self, point: RecoveryPoint) {
        let written = RecoveryPoint::open(&self.dir).and_then(|file| {
            point.write(&file).map_err(LogError::io("write", RecoveryPoint::path(&self.dir)))
        });
        if let Err(error) = written
            && self.dir.exists()
        {
            tracing::warn!(dir = %self.dir.display(), %error, "the recovery point was not written");
        }
    }
}
