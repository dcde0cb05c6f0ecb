//! What a log does first: find out what is there.
//!
//! What is known of a segment stands in a file beside it (see [`SegmentFacts`]), and what is known
//! of producers in a [`ProducerSnapshot`]. Only what came behind them is read, and what they can't
//! vouch for:
//!
//! | segment | read |
//! |---|---|
//! | its file fits, and the snapshot is behind it | not at all |
//! | the last one | from where its file ends |
//! | its file is missing, torn or of another size | whole; the file is written anew |
//! | the machine was started anew, and it was not synced before | whole |
//! | the snapshot of producers ends before it | whole |
//!
//! What is read is checked by its checksums. A process that dies in the middle of a write leaves the
//! beginning of a batch at the end of the last segment; that was never acknowledged, and is cut
//! off. Anything else that is broken may have been acknowledged: the log then refuses to open, and
//! says where the damage is. The [`RecoveryPoint`] tells the two apart, and a loss of power from
//! both.

mod check;
mod replay;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::check::Check;
use self::replay::Replay;
use super::compaction::{finish_swap, was_compacted};
use super::point::RecoveryPoint;
use super::retention::LogStart;
use super::snapshot::Taken;
use super::stored::unless_missing;
use crate::storage::index::Index;
use crate::storage::index_file::{SegmentFacts, Unusable};
use crate::storage::producers::{AbortedIndex, ProducerSnapshot, Producers};
use crate::storage::segment::{Content, Segment, segment_path};
use crate::storage::{OpenFiles, TopicConfig, lock};
use crate::{LogError, Result};

/// What opening a log found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of batches that were read, and whose checksums were compared.
    pub checked_bytes: u64,
    /// Bytes of an unfinished write that were cut off.
    pub truncated_bytes: u64,
    /// Closed segments whose index files were not there or did not fit, and were written anew.
    pub rebuilt_indexes: u64,
}

/// What is there.
pub(super) struct Recovered {
    pub log_start: i64,
    /// At least one.
    pub segments: Vec<Arc<Segment>>,
    pub producers: Producers,
    pub aborted: AbortedIndex,
    /// What is on the disk, as far as is known.
    pub point: Option<RecoveryPoint>,
    /// Files were cut, made or removed.
    pub repaired: bool,
    /// How much of the last segment was not read.
    pub snapshot: Taken,
    pub report: Recovery,
}

pub(super) fn recover(
    dir: &Path,
    config: &TopicConfig,
    files: &Arc<OpenFiles>,
    now_ms: i64,
) -> Result<Recovered> {
    finish_swap(dir, files.disk())?;
    let point = RecoveryPoint::read(dir)?;
    let mut report = Recovery::default();
    let mut repaired = false;
    loop {
        let snapshot = newest_snapshot(dir)?;
        let snapshot_offset = snapshot.as_ref().map(|snapshot| snapshot.offset);
        let replay = Replay::new(was_compacted(dir), now_ms, snapshot);
        let check = Check { dir, config, point, files };
        let opening = Opening { check, replay, report, snapshot: Taken::default() };
        let mut recovered = opening.open()?;
        recovered.repaired |= repaired;
        let log_end = recovered.segments.last().map_or(0, |segment| segment.next_offset());
        let beyond = snapshot_offset.filter(|offset| *offset > log_end);
        let Some(beyond) = beyond else {
            return Ok(recovered);
        };
        // It has seen what a loss of power took. Removed, it does not mislead those who come when
        // the log is as long again.
        tracing::warn!(dir = %dir.display(), beyond, log_end, "removed a snapshot of lost records");
        ProducerSnapshot::remove(dir, beyond)?;
        report = recovered.report;
        repaired = true;
    }
}

/// The newest snapshot that can be read; what can't be is removed.
fn newest_snapshot(dir: &Path) -> Result<Option<ProducerSnapshot>> {
    for offset in ProducerSnapshot::list(dir)? {
        match ProducerSnapshot::read(dir, offset) {
            Ok(snapshot) => return Ok(Some(snapshot)),
            Err(reason) => {
                tracing::warn!(dir = %dir.display(), offset, reason, "removed a broken snapshot");
                ProducerSnapshot::remove(dir, offset)?;
            }
        }
    }
    Ok(None)
}

/// The segments, on the way through them.
struct Opening<'a> {
    check: Check<'a>,
    replay: Replay,
    report: Recovery,
    snapshot: Taken,
}

impl Opening<'_> {
    fn open(mut self) -> Result<Recovered> {
        let dir = self.check.dir;
        let base_offsets = base_offsets(dir)?;
        remove_stray_indexes(dir, &base_offsets)?;
        let mut segments: Vec<Arc<Segment>> = Vec::new();
        for (at, &base_offset) in base_offsets.iter().enumerate() {
            let is_last = at + 1 == base_offsets.len();
            let cut_before = self.report.truncated_bytes;
            let segment = self.open_segment(base_offset, is_last)?;
            if let Some(before) = segments.last()
                && !self.replay.follows(before.next_offset(), base_offset)
            {
                let end = before.next_offset();
                let reason = format!("the segment before it ends at offset {end}");
                return Err(segment.damaged(0, reason));
            }
            segments.push(Arc::new(segment));
            if self.report.truncated_bytes > cut_before {
                // The log ends here. What a loss of power left behind it has lost its beginning.
                let behind = &base_offsets[at + 1..];
                self.report.truncated_bytes += remove_segments(dir, behind)?;
                break;
            }
        }
        let point = self.check.point;
        check_end(dir, point, &segments)?;
        let found = segments.len();
        let begun = segments.first().map(|segment| segment.base_offset);
        let log_start = begin_at(dir, &mut segments, self.check.files)?;
        // A log that is new is no repair, and one that has lost all its files is not new.
        let repaired = match begun {
            None => point.is_some_and(|point| point.offset > 0),
            Some(base_offset) => {
                found != segments.len()
                    || base_offset != segments[0].base_offset
                    || self.report.truncated_bytes > 0
                    || self.report.rebuilt_indexes > 0
            }
        };
        let Replay { producers, mut aborted, .. } = self.replay;
        aborted.forget_before(log_start);
        Ok(Recovered {
            log_start,
            segments,
            producers,
            aborted,
            point,
            repaired,
            snapshot: self.snapshot,
            report: self.report,
        })
    }

    /// A segment, by its file of facts or by reading it.
    fn open_segment(&mut self, base_offset: i64, is_last: bool) -> Result<Segment> {
        let dir = self.check.dir;
        let path = segment_path(dir, base_offset, "log");
        let index_path = segment_path(dir, base_offset, "index");
        let size_bytes = std::fs::metadata(&path).map_err(LogError::io("open", &path))?.len();
        let read = if is_last { SegmentFacts::read_all } else { SegmentFacts::read };
        let usable = read(base_offset, &index_path)
            .and_then(|facts| self.usable(facts, base_offset, size_bytes, is_last));
        let why = match usable {
            Ok(facts) => {
                self.replay.add_facts(&facts);
                if is_last {
                    self.snapshot = Taken::found(base_offset, facts.content.size_bytes);
                    return self.read(base_offset, (facts.content, facts.index), true);
                }
                return Ok(Segment::closed(path, facts.content, base_offset, self.check.files));
            }
            Err(why) => why,
        };
        let is_missing = matches!(why, Unusable::Missing);
        if !is_missing {
            // What is behind it may be appended to, or cut: no later start must find it to fit.
            let removed = std::fs::remove_file(&index_path);
            removed.map_err(LogError::io("remove", &index_path))?;
        }
        let segment =
            self.read(base_offset, (Content::empty(base_offset), Index::default()), is_last)?;
        let path = path.display();
        if !is_last {
            self.report.rebuilt_indexes += 1;
            tracing::warn!(%path, %why, "the index of a segment was made anew from its batches");
            let index = lock::read(&segment.opened()?.index).clone();
            let content = segment.with(Content::clone);
            segment.write_facts(&self.replay.facts(base_offset, content, index));
            // `PartitionLog::open` syncs what may need it through another handle as well.
            segment.release();
        } else if !is_missing {
            tracing::warn!(%path, %why, "the index of the last segment is not used");
        }
        Ok(segment)
    }

    fn read(
        &mut self,
        base_offset: i64,
        known: (Content, Index),
        is_last: bool,
    ) -> Result<Segment> {
        self.check.read_segment(base_offset, known, is_last, &mut self.replay, &mut self.report)
    }

    /// Whether the segment need not be read where these facts hold.
    fn usable(
        &self,
        facts: SegmentFacts,
        base_offset: i64,
        size_bytes: u64,
        is_last: bool,
    ) -> Result<SegmentFacts, Unusable> {
        let known_bytes = facts.content.size_bytes;
        let fits = if is_last { known_bytes <= size_bytes } else { known_bytes == size_bytes };
        if !fits {
            return Err(Unusable::OtherSize { known_bytes, size_bytes });
        }
        let is_synced = |point: RecoveryPoint| {
            point.same_start() || known_bytes == 0 || point.covers(base_offset, known_bytes - 1)
        };
        if !self.check.point.is_some_and(is_synced) {
            return Err(Unusable::NotSynced);
        }
        if facts.content.next_offset > self.replay.producers_offset {
            return Err(Unusable::OldSnapshot);
        }
        Ok(facts)
    }
}

pub(super) fn open_file(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.map_err(LogError::io("open", path))
}

/// Refuses a log that ends before what was on the disk, unless that had been deleted.
fn check_end(dir: &Path, point: Option<RecoveryPoint>, segments: &[Arc<Segment>]) -> Result<()> {
    let Some(point) = point else { return Ok(()) };
    let log_end = segments.last().map_or(0, |segment| segment.next_offset());
    let deleted_to = LogStart::read(dir)?.unwrap_or(0);
    if log_end < point.offset && deleted_to < point.offset {
        return Err(LogError::Damaged {
            path: segment_path(dir, point.segment, "log"),
            position: segments.last().map_or(0, |segment| segment.size_bytes()),
            reason: format!(
                "the log ends at offset {log_end}, and {} had been on the disk",
                point.offset
            ),
        });
    }
    Ok(())
}

fn remove_segments(dir: &Path, base_offsets: &[i64]) -> Result<u64> {
    let mut removed_bytes = 0;
    for base_offset in base_offsets {
        let path = segment_path(dir, *base_offset, "log");
        removed_bytes += std::fs::metadata(&path).map_err(LogError::io("open", &path))?.len();
        tracing::warn!(path = %path.display(), "removed a segment behind what a loss of power took");
        let index = segment_path(dir, *base_offset, "index");
        unless_missing(std::fs::remove_file(&index)).map_err(LogError::io("remove", &index))?;
        std::fs::remove_file(&path).map_err(LogError::io("remove", &path))?;
    }
    Ok(removed_bytes)
}

/// Removes the segments that are wholly before the log's start, and says where that is.
fn begin_at(dir: &Path, segments: &mut Vec<Arc<Segment>>, files: &Arc<OpenFiles>) -> Result<i64> {
    let kept_start = LogStart::read(dir)?.unwrap_or(0);
    let log_end = segments.last().map_or(0, |segment| segment.next_offset());
    if segments.is_empty() || log_end < kept_start {
        // What a loss of power took had been deleted anyhow: the log goes on where it should begin.
        segments.drain(..).try_for_each(|segment| segment.remove())?;
        segments.push(Arc::new(Segment::create(dir, kept_start, files)?));
    }
    while segments.len() > 1 && segments[1].base_offset <= kept_start {
        segments.remove(0).remove()?;
    }
    Ok(kept_start.max(segments[0].base_offset))
}

/// The segments in a directory, by their names.
fn base_offsets(dir: &Path) -> Result<Vec<i64>> {
    let paths = with_extension(dir, "log")?;
    let mut offsets = paths.iter().map(|path| base_offset(path)).collect::<Result<Vec<_>>>()?;
    offsets.sort_unstable();
    Ok(offsets)
}

/// Removes index files whose segments are gone, lest they meet others at the same offsets.
fn remove_stray_indexes(dir: &Path, base_offsets: &[i64]) -> Result<()> {
    for path in with_extension(dir, "index")? {
        if !base_offset(&path).is_ok_and(|offset| base_offsets.binary_search(&offset).is_ok()) {
            std::fs::remove_file(&path).map_err(LogError::io("remove", &path))?;
        }
    }
    Ok(())
}

fn with_extension(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(LogError::io("list", dir))? {
        let path = entry.map_err(LogError::io("list", dir))?.path();
        if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn base_offset(path: &Path) -> Result<i64> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let digits = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
    stem.parse().ok().filter(|_| digits).ok_or_else(|| LogError::Damaged {
        path: PathBuf::from(path),
        position: 0,
        reason: "a segment is named by its first offset in 20 digits".to_owned(),
    })
}
