//! A partition: the log that clients append to and read from.
//!
//! Appends take turns under one lock; a reader takes a [`View`] of the moment and reads files
//! without any lock held, so that it neither waits for a write nor holds one up. Segments are
//! shared by count: one that retention deletes goes on serving whoever reads it.
//!
//! Offsets, from the first on: `log start ≤ last stable ≤ high watermark ≤ log end`. The log end
//! moves with each write. The high watermark, below which records may be seen, follows it at once,
//! or under [`FsyncPolicy::Always`] when the records are on the disk. The last stable offset stays
//! before the first transaction whose end is not seen yet.

mod append;
mod compaction;
mod lookup;
mod point;
mod prepare;
mod read;
mod recovery;
mod retention;
mod snapshot;
mod stored;
mod sync;
mod transaction;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use kafka_protocol::error::ResponseError;
use millrace_core::seam::Seams;
use tokio::sync::Notify;

use self::append::Writer;
pub use self::recovery::Recovery;
use self::snapshot::{SnapshotFiles, Taken};
use self::sync::SyncState;
use super::disk::SystemDisk;
use super::producers::AbortedIndex;
use super::segment::Segment;
use super::{Isolation, OpenFiles, TopicConfig, lock};
use crate::{FsyncPolicy, LogError, Result};

/// Files of closed segments that a log has open which shares them with no other.
const OPEN_FILES: usize = 16;

/// One partition on disk. All methods take `&self`; share it as an `Arc`.
///
/// Methods that are not `async` work on files, which the page cache makes a matter of
/// microseconds.
///
/// ```
/// use millrace_core::seam::Seams;
/// use millrace_log::FsyncPolicy;
/// use millrace_log::storage::records::BatchBuilder;
/// use millrace_log::storage::{Isolation, Origin, PartitionLog, TopicConfig};
///
/// # fn main() -> millrace_log::Result<()> {
/// let dir = tempfile::tempdir().unwrap();
/// let config = TopicConfig::default();
/// let log = PartitionLog::open(dir.path(), config, FsyncPolicy::Never, Seams::system())?;
/// let mut batch = BatchBuilder::new();
/// batch.push(0, Some(b"key"), Some(b"value"));
/// let appended = log.append(batch.build(), Origin::Client)?;
/// assert_eq!((appended.base_offset, appended.last_offset), (0, 0));
/// let fetched = log.read(0, 1 << 20, true, Isolation::ReadUncommitted)?;
/// assert_eq!(fetched.high_watermark, 1);
/// assert_eq!(fetched.records.len(), batch.build().len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PartitionLog {
    shared: Arc<Shared>,
}

/// What the log shares with a sync that runs beside it.
#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    fsync: FsyncPolicy,
    seams: Seams,
    files: Arc<OpenFiles>,
    config: RwLock<Arc<TopicConfig>>,
    /// Held while segments are dropped or rewritten; taken before `writer`.
    maintenance: Mutex<()>,
    /// Taken before `writer`.
    snapshots: Mutex<Taken>,
    /// Taken before `view`, never the other way round.
    writer: Mutex<Writer>,
    view: RwLock<View>,
    /// Added to before `view` moves.
    aborted: RwLock<AbortedIndex>,
    /// Told whenever more may be seen than before.
    changed: Notify,
    sync: SyncState,
    recovery: Recovery,
}

/// What there is at a moment.
#[derive(Clone, Debug)]
struct View {
    /// By base offset; the last is the one that is written to.
    segments: Arc<Vec<Arc<Segment>>>,
    log_start: i64,
    high_watermark: i64,
    log_end: i64,
    /// The first offset of the open transactions.
    first_open: Option<i64>,
    /// Ended transactions whose markers are not seen yet: first offset and marker. Only a log that
    /// waits for the disk has any.
    unseen_ends: Vec<(i64, i64)>,
    closed: bool,
}

impl View {
    fn last_stable(&self) -> i64 {
        let unseen = self.unseen_ends.iter().map(|(first_offset, _)| *first_offset);
        let undecided = unseen.chain(self.first_open).min();
        let stable = undecided.map_or(self.high_watermark, |first| first.min(self.high_watermark));
        // A transaction's beginning may have been dropped.
        stable.max(self.log_start)
    }

    /// Lets everything below be seen.
    fn raise_high_watermark(&mut self, offset: i64) {
        self.high_watermark = self.high_watermark.max(offset);
        self.unseen_ends.retain(|(_, marker)| *marker >= offset);
    }

    /// The offset from which on a reader sees nothing.
    fn limit(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark,
            Isolation::ReadCommitted => self.last_stable(),
            Isolation::LogEnd => self.log_end,
        }
    }

    /// Which segment holds the offset, or would.
    fn segment_at(&self, offset: i64) -> usize {
        let behind = self.segments.partition_point(|segment| segment.base_offset <= offset);
        behind.saturating_sub(1)
    }
}

impl PartitionLog {
    /// Opens the partition in `dir`, which is made if it is not there.
    ///
    /// Only what came behind the last snapshot is read. What was not written completely when the last
    /// process died is cut off; see [`PartitionLog::recovery`].
    ///
    /// # Errors
    /// [`LogError::Damaged`] when records are found broken that may have been acknowledged: they are
    /// never dropped silently. [`LogError::Io`] for everything that the file system refuses.
    pub fn open(
        dir: &Path,
        config: TopicConfig,
        fsync: FsyncPolicy,
        seams: Seams,
    ) -> Result<PartitionLog> {
        Self::open_among(
            dir,
            config,
            fsync,
            seams,
            OpenFiles::new(OPEN_FILES, Arc::new(SystemDisk)),
        )
    }

    /// As [`PartitionLog::open`], for a log that shares its open files with others.
    pub(crate) fn open_among(
        dir: &Path,
        config: TopicConfig,
        fsync: FsyncPolicy,
        seams: Seams,
        files: Arc<OpenFiles>,
    ) -> Result<PartitionLog> {
        std::fs::create_dir_all(dir).map_err(LogError::io("create", dir))?;
        let now_ms = seams.clock.now().as_millis();
        let recovered = recovery::recover(dir, &config, &files, now_ms)?;
        let log_end = recovered.segments.last().map_or(0, |segment| segment.next_offset());
        let has_dropped = recovered.log_start > 0 || compaction::was_compacted(dir);
        let view = View {
            log_start: recovered.log_start,
            segments: Arc::new(recovered.segments),
            high_watermark: log_end,
            log_end,
            first_open: recovered.producers.first_open_offset(),
            unseen_ends: Vec::new(),
            closed: false,
        };
        let shared = Shared {
            dir: dir.to_owned(),
            fsync,
            files: files.clone(),
            config: RwLock::new(Arc::new(config)),
            maintenance: Mutex::new(()),
            snapshots: Mutex::new(recovered.snapshot),
            writer: Mutex::new(Writer::new(
                &seams,
                recovered.producers,
                SnapshotFiles::found(dir, has_dropped, files.disk())?,
            )),
            view: RwLock::new(view),
            aborted: RwLock::new(recovered.aborted),
            changed: Notify::new(),
            sync: SyncState::new(recovered.point),
            recovery: recovered.report,
            seams,
        };
        // What recovery found complete may still be in the page cache alone.
        shared.sync_found(recovered.point, recovered.repaired)?;
        let log = PartitionLog { shared: Arc::new(shared) };
        log.forget_producers(now_ms);
        Ok(log)
    }

    /// What opening had to repair.
    pub fn recovery(&self) -> &Recovery {
        &self.shared.recovery
    }

    /// Where the partition is.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// The offset of the first record that may be read.
    pub fn log_start_offset(&self) -> i64 {
        self.view().log_start
    }

    /// The offset below which records may be seen.
    pub fn high_watermark(&self) -> i64 {
        self.view().high_watermark
    }

    /// The offset below which all transactions have ended.
    pub fn last_stable_offset(&self) -> i64 {
        self.view().last_stable()
    }

    /// The offset that the next record gets.
    pub fn log_end_offset(&self) -> i64 {
        self.view().log_end
    }

    /// Bytes of all segments; indexes are not counted.
    pub fn size_bytes(&self) -> u64 {
        self.view().segments.iter().map(|segment| segment.size_bytes()).sum()
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<TopicConfig> {
        lock::read(&self.shared.config).clone()
    }

    /// Puts other settings in force, from the next append on.
    pub fn set_config(&self, config: TopicConfig) {
        *lock::write(&self.shared.config) = Arc::new(config);
    }

    /// Refuses all that comes from now on, wakes who waits, and forces everything to the disk.
    ///
    /// # Errors
    /// When the disk refuses; the log is closed nevertheless.
    pub fn close(&self) -> Result<()> {
        {
            // With the lock for appends, so that none is halfway.
            let _writer = lock::mutex(&self.shared.writer);
            lock::write(&self.shared.view).closed = true;
        }
        self.shared.changed.notify_waiters();
        // What maintains the log stops soon. Behind that nothing more is written to the directory.
        let _maintenance = lock::mutex(&self.shared.maintenance);
        self.shared.last_snapshot();
        self.shared.sync_all()
    }

    /// Refuses all that comes from now on and wakes who waits, as [`PartitionLog::close`] does.
    /// The log's directory is about to go: nothing is forced to the disk.
    pub(crate) fn discard(&self) {
        self.shared.sync.discard();
        {
            let _writer = lock::mutex(&self.shared.writer);
            lock::write(&self.shared.view).closed = true;
        }
        self.shared.changed.notify_waiters();
        let _maintenance = lock::mutex(&self.shared.maintenance);
    }

    fn view(&self) -> View {
        lock::read(&self.shared.view).clone()
    }
}

/// The answer of a log that was closed: the client asks anew who leads the partition, and learns
/// whether it still exists.
const CLOSED: LogError = LogError::Refused(ResponseError::NotLeaderOrFollower);

#[cfg(test)]
mod tests;
