//! Writing down what follows from the batches, so that the next opening need not read them.
//!
//! A snapshot is the file of facts of the segment that is written to, as far as it goes, and the file
//! of producers for the same offset. One is taken when a segment is closed, when the log is closed,
//! and by maintenance: as soon as much was appended since the last, or a little and then nothing.
//! Before records are dropped one is taken and synced, since what the dropped batches said of their
//! producers is nowhere else then.
//!
//! All but that last one may be lost without harm: the next opening reads more.

use std::fs::File;
use std::path::Path;

use super::append::Writer;
use super::{PartitionLog, Shared};
use crate::storage::disk::Disk;
use crate::storage::index_file::SegmentFacts;
use crate::storage::lock;
use crate::storage::producers::ProducerSnapshot;
use crate::storage::segment::{Content, Segment, segment_path};
use crate::{LogError, Result};

/// Bytes behind the last snapshot from which on maintenance takes another.
const MUCH_BYTES: u64 = 16 << 20;

/// The same, where nothing was appended since the last look.
const LITTLE_BYTES: u64 = 1 << 20;

/// How far the snapshots are. Held while one is taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The segment in which the newest stands, and where.
    segment: i64,
    position: u64,
    /// The log's end when maintenance looked last.
    looked_at: i64,
}

impl Taken {
    /// What opening the log did not have to read.
    pub fn found(segment: i64, position: u64) -> Self {
        Taken { segment, position, looked_at: -1 }
    }

    /// Whether nothing came since. So it is with a log that never held anything.
    fn reaches(&self, segment: i64, position: u64) -> bool {
        self.segment == segment && self.position == position
    }
}

/// The files of producers that are there, oldest first, and which of them are on the disk for sure.
#[derive(Debug, Default)]
pub(super) struct SnapshotFiles(Vec<(i64, bool)>);

impl SnapshotFiles {
    /// Those that opening the log found. Where batches were dropped, the newest is synced: it has
    /// what they said. Else it has nothing that can't be read again.
    pub fn found(dir: &Path, has_dropped: bool, disk: &dyn Disk) -> Result<Self> {
        let mut offsets = ProducerSnapshot::list(dir)?;
        let newest = offsets.first().copied().filter(|_| has_dropped);
        if let Some(newest) = newest {
            let path = ProducerSnapshot::path(dir, newest);
            let synced = File::open(&path).and_then(|file| disk.sync(&file));
            synced.map_err(LogError::io("sync", &path))?;
        }
        offsets.reverse();
        Ok(SnapshotFiles(offsets.into_iter().map(|at| (at, Some(at) == newest)).collect()))
    }

    fn has_synced(&self, offset: i64) -> bool {
        self.0.contains(&(offset, true))
    }

    /// A file was written. Gives those that are of no more use: two are kept, should one be torn,
    /// and the newest that can't be.
    fn written(&mut self, offset: i64, synced: bool) -> Vec<i64> {
        self.0.retain(|(other, _)| *other != offset);
        self.0.push((offset, synced));
        let newest_synced = self.0.iter().rposition(|(_, synced)| *synced);
        let first_kept = self.0.len().saturating_sub(2);
        let mut useless = Vec::new();
        let mut at = 0;
        self.0.retain(|(offset, _)| {
            let kept = at >= first_kept || Some(at) == newest_synced;
            at += 1;
            if !kept {
                useless.push(*offset);
            }
            kept
        });
        useless
    }
}

/// What a snapshot holds.
struct Snapshot {
    offset: i64,
    segment: i64,
    facts: SegmentFacts,
    producers: Vec<u8>,
}

impl PartitionLog {
    /// Takes a snapshot where it would save the next opening much.
    pub(super) fn snapshot_if_due(&self) {
        let shared = &*self.shared;
        let mut taken = lock::mutex(&shared.snapshots);
        let (log_end, active) = {
            let view = lock::read(&shared.view);
            (view.log_end, view.active())
        };
        let covered = if active.base_offset == taken.segment { taken.position } else { 0 };
        let bytes = active.size_bytes().saturating_sub(covered);
        let due = bytes >= MUCH_BYTES || (bytes >= LITTLE_BYTES && log_end == taken.looked_at);
        taken.looked_at = log_end;
        if due {
            shared.snapshot_or_warn(&mut taken);
        }
    }
}

impl Shared {
    /// Takes a snapshot because the log is closed, unless the last one says the same.
    pub(super) fn last_snapshot(&self) {
        let mut taken = lock::mutex(&self.snapshots);
        let active = lock::read(&self.view).active();
        let learned_epoch = lock::mutex(&self.writer).learned_epoch;
        if learned_epoch || !taken.reaches(active.base_offset, active.size_bytes()) {
            self.snapshot_or_warn(&mut taken);
        }
    }

    fn snapshot_or_warn(&self, taken: &mut Taken) {
        if let Err(error) = self.take_snapshot(taken, false) {
            tracing::warn!(dir = %self.dir.display(), %error, "a snapshot was not written");
        }
    }

    /// Has what follows from all batches on the disk, so that batches may go.
    ///
    /// # Errors
    /// When it can't be written or synced.
    pub(super) fn synced_snapshot(&self) -> Result<()> {
        let mut taken = lock::mutex(&self.snapshots);
        let log_end = lock::read(&self.view).log_end;
        if lock::mutex(&self.writer).snapshots.has_synced(log_end) {
            return Ok(());
        }
        self.take_snapshot(&mut taken, true)
    }

    fn take_snapshot(&self, taken: &mut Taken, sync: bool) -> Result<()> {
        let (snapshot, sync) = {
            let mut writer = lock::mutex(&self.writer);
            let snapshot = self.snapshot(&writer)?;
            writer.learned_epoch = false;
            // A file that is on the disk for sure is replaced by another that is.
            let sync = sync || writer.snapshots.has_synced(snapshot.offset);
            (snapshot, sync)
        };
        if sync {
            // One that stands for records that are lost would be lost with them.
            self.sync_all()?;
        }
        let disk = self.files.disk();
        let Snapshot { offset, producers, .. } = &snapshot;
        let written = ProducerSnapshot::write(&self.dir, *offset, producers, sync, disk);
        written.map_err(LogError::io("write", &self.dir))?;
        let path = segment_path(&self.dir, snapshot.segment, "index");
        let temporary = path.with_extension("index.tmp");
        let written = snapshot.facts.write(snapshot.segment, &temporary, disk);
        written.map_err(LogError::io("write", &temporary))?;
        let useless = {
            let mut writer = lock::mutex(&self.writer);
            // Where the segment was closed meanwhile, the file that says all of it stays.
            let is_active = lock::read(&self.view).active().base_offset == snapshot.segment;
            let renamed = match is_active {
                true => std::fs::rename(&temporary, &path),
                false => std::fs::remove_file(&temporary),
            };
            renamed.map_err(LogError::io("rename", &temporary))?;
            writer.snapshots.written(snapshot.offset, sync)
        };
        if sync {
            disk.sync_dir(&self.dir).map_err(LogError::io("sync", &self.dir))?;
        }
        taken.segment = snapshot.segment;
        taken.position = snapshot.facts.content.size_bytes;
        self.remove_snapshots(&useless);
        Ok(())
    }

    fn snapshot(&self, writer: &Writer) -> Result<Snapshot> {
        let (offset, active) = {
            let view = lock::read(&self.view);
            (view.log_end, view.active())
        };
        Ok(Snapshot {
            offset,
            segment: active.base_offset,
            facts: self.facts(&active, writer)?,
            producers: ProducerSnapshot::encode(offset, &writer.producers),
        })
    }

    /// What is known of the segment that is written to.
    fn facts(&self, active: &Segment, writer: &Writer) -> Result<SegmentFacts> {
        let index = lock::read(&active.opened()?.index).clone();
        let content = active.with(Content::clone);
        let aborted = lock::read(&self.aborted);
        let aborted = aborted.ended_within(active.base_offset, content.next_offset);
        Ok(SegmentFacts { content, index, aborted, open: writer.producers.open().clone() })
    }

    /// Writes down what is known of the segment that is written to, as another takes its place.
    pub(super) fn seal(&self, active: &Segment, writer: &mut Writer, log_end: i64) {
        match self.facts(active, writer) {
            Ok(facts) => active.write_facts(&facts),
            Err(error) => tracing::warn!(%error, "the index of a segment was not written"),
        }
        if writer.snapshots.has_synced(log_end) {
            return;
        }
        let producers = ProducerSnapshot::encode(log_end, &writer.producers);
        match ProducerSnapshot::write(&self.dir, log_end, &producers, false, self.files.disk()) {
            Ok(()) => self.remove_snapshots(&writer.snapshots.written(log_end, false)),
            Err(error) => {
                tracing::warn!(dir = %self.dir.display(), %error, "a snapshot was not written");
            }
        }
    }

    fn remove_snapshots(&self, offsets: &[i64]) {
        for offset in offsets {
            if let Err(error) = ProducerSnapshot::remove(&self.dir, *offset) {
                tracing::warn!(%error, "an old snapshot remains");
            }
        }
    }
}
