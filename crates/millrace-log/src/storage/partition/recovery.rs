//! What a log does first: find out what is there.
//!
//! Every batch is checked by its checksum. A process that dies in the middle of a write leaves the
//! beginning of a batch at the end of the last segment; that was never acknowledged, and is cut
//! off. Anything else that is broken may have been acknowledged: the log then refuses to open, and
//! says where the damage is. The [`RecoveryPoint`] tells the two apart, and a loss of power from
//! both.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compaction::{finish_swap, was_compacted};
use super::point::RecoveryPoint;
use super::retention::LogStart;
use crate::storage::TopicConfig;
use crate::storage::producers::{AbortedIndex, Producers};
use crate::storage::records::{BatchError, BatchHeader, HEADER_BYTES, Marker};
use crate::storage::scan::{Found, Scan};
use crate::storage::segment::{Content, Segment, read_at, segment_path};
use crate::{LogError, Result};

/// What opening a log found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes whose checksums were compared.
    pub checked_bytes: u64,
    /// Bytes of an unfinished write that were cut off.
    pub truncated_bytes: u64,
}

/// What is there.
pub(super) struct Recovered {
    pub log_start: i64,
    /// At least one.
    pub segments: Vec<Arc<Segment>>,
    pub producers: Producers,
    pub aborted: AbortedIndex,
    pub report: Recovery,
}

pub(super) fn recover(dir: &Path, config: &TopicConfig, now_ms: i64) -> Result<Recovered> {
    finish_swap(dir)?;
    let mut report = Recovery::default();
    let mut replay = Replay {
        compacted: was_compacted(dir),
        now_ms,
        producers: Producers::default(),
        aborted: AbortedIndex::default(),
    };
    let point = RecoveryPoint::read(dir)?;
    let base_offsets = base_offsets(dir)?;
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    for (at, &base_offset) in base_offsets.iter().enumerate() {
        let is_last = at + 1 == base_offsets.len();
        let cut_before = report.truncated_bytes;
        let segment =
            open_segment(dir, base_offset, (point, is_last), config, &mut replay, &mut report)?;
        if let Some(before) = segments.last()
            && !replay.follows(before.next_offset(), base_offset)
        {
            let reason = format!("the segment before it ends at offset {}", before.next_offset());
            return Err(segment.damaged(0, reason));
        }
        segments.push(Arc::new(segment));
        if report.truncated_bytes > cut_before {
            // The log ends here. What a loss of power left behind it has lost its beginning.
            report.truncated_bytes += remove_segments(dir, &base_offsets[at + 1..])?;
            break;
        }
    }
    check_end(dir, point, &segments)?;
    let log_start = begin_at(dir, &mut segments)?;
    replay.aborted.forget_before(log_start);
    Ok(Recovered {
        log_start,
        segments,
        producers: replay.producers,
        aborted: replay.aborted,
        report,
    })
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
        std::fs::remove_file(&path).map_err(LogError::io("remove", &path))?;
    }
    Ok(removed_bytes)
}

/// Removes the segments that are wholly before the log's start, and says where that is.
fn begin_at(dir: &Path, segments: &mut Vec<Arc<Segment>>) -> Result<i64> {
    let kept_start = LogStart::read(dir)?.unwrap_or(0);
    let log_end = segments.last().map_or(0, |segment| segment.next_offset());
    if segments.is_empty() || log_end < kept_start {
        // What a loss of power took had been deleted anyhow: the log goes on where it should begin.
        segments.drain(..).try_for_each(|segment| segment.remove())?;
        segments.push(Arc::new(Segment::create(dir, kept_start)?));
    }
    while segments.len() > 1 && segments[1].base_offset <= kept_start {
        segments.remove(0).remove()?;
    }
    Ok(kept_start.max(segments[0].base_offset))
}

/// The segments in a directory, by their names.
fn base_offsets(dir: &Path) -> Result<Vec<i64>> {
    let mut offsets = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(LogError::io("list", dir))? {
        let path = entry.map_err(LogError::io("list", dir))?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            offsets.push(base_offset(&path)?);
        }
    }
    offsets.sort_unstable();
    Ok(offsets)
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

/// Reads a segment through, and cuts off what was not finished.
fn open_segment(
    dir: &Path,
    base_offset: i64,
    (point, is_last): (Option<RecoveryPoint>, bool),
    config: &TopicConfig,
    replay: &mut Replay,
    report: &mut Recovery,
) -> Result<Segment> {
    let path = segment_path(dir, base_offset, "log");
    let opened = OpenOptions::new().read(true).write(true).open(&path);
    let mut file = opened.map_err(LogError::io("open", &path))?;
    let size_bytes = file.metadata().map_err(LogError::io("open", &path))?.len();
    let mut content = Content::empty(base_offset);
    let mut scan = Scan::new(&file, 0, size_bytes);
    let mut broken = None;
    while let Some(found) = scan.next().map_err(LogError::io("read", &path))? {
        match found {
            // The base offset is not in the checksum.
            Found::Batch { header, position, .. }
                if !replay.follows(content.next_offset, header.base_offset) =>
            {
                return Err(LogError::Damaged {
                    path,
                    position,
                    reason: format!(
                        "the batch's offset is {} where {} must follow",
                        header.base_offset, content.next_offset
                    ),
                });
            }
            Found::Batch { header, batch, .. } => {
                replay.add(&header, batch);
                content.add(base_offset, &header, config.index_interval_bytes);
            }
            Found::Broken { position, reason } => broken = Some((position, reason)),
        }
    }
    report.checked_bytes += content.size_bytes;
    if let Some((position, reason)) = broken {
        let tail =
            Tail { file: &file, position, end: size_bytes, next_offset: content.next_offset };
        let was_safe = point.is_some_and(|point| point.covers(base_offset, position));
        let lost_power = point.is_some_and(|point| point.before_restart());
        let unfinished = !was_safe
            && (lost_power
                || is_last && !tail.holds_a_batch().map_err(LogError::io("read", &path))?);
        if !unfinished {
            return Err(LogError::Damaged { path, position, reason: reason.to_string() });
        }
        tracing::warn!(
            path = %path.display(),
            position,
            bytes = size_bytes - position,
            %reason,
            "cut off a write that was not finished"
        );
        report.truncated_bytes += size_bytes - position;
        file.set_len(position).map_err(LogError::io("truncate", &path))?;
    }
    let end = SeekFrom::Start(content.size_bytes);
    file.seek(end).map_err(LogError::io("open", &path))?;
    Ok(Segment::of(file, path, base_offset, content))
}

/// What the batches say about their producers, taken in one after the other.
struct Replay {
    /// Only compaction leaves gaps between offsets.
    compacted: bool,
    /// Nobody knows how long ago the batches came, so their producers count as heard of now.
    now_ms: i64,
    producers: Producers,
    aborted: AbortedIndex,
}

impl Replay {
    /// Whether `offset` may be the next one where `expected` would be without a gap.
    fn follows(&self, expected: i64, offset: i64) -> bool {
        offset == expected || (self.compacted && offset > expected)
    }

    fn add(&mut self, header: &BatchHeader, batch: &[u8]) {
        let Some(marker) = Marker::read(header, batch) else {
            if !header.attributes.is_control() {
                self.producers.appended(header, self.now_ms);
            }
            return;
        };
        let ended = self.producers.marked(
            header.producer_id,
            header.producer_epoch,
            marker.coordinator_epoch,
            self.now_ms,
            Some((header.base_offset, marker.outcome)),
        );
        let stable_offset = self.producers.first_open_offset().unwrap_or(header.next_offset());
        if let Some(ended) = ended {
            self.aborted.ended(&ended, stable_offset);
        }
    }
}

/// What follows the last whole batch of a file.
struct Tail<'a> {
    file: &'a std::fs::File,
    position: u64,
    end: u64,
    next_offset: i64,
}

impl Tail<'_> {
    /// Whether a whole batch that could have been appended stands anywhere in the tail: then what is
    /// broken before it is not the end of an unfinished write.
    fn holds_a_batch(&self) -> std::io::Result<bool> {
        let tail = read_at(self.file, self.position, (self.end - self.position) as usize)?;
        let starts = 1..tail.len().saturating_sub(HEADER_BYTES - 1);
        Ok(starts.into_iter().any(|at| self.is_batch(&tail[at..])))
    }

    fn is_batch(&self, bytes: &[u8]) -> bool {
        // The version first: it rules out nearly all places.
        if bytes[16] != 2 {
            return false;
        }
        let fits = |header: &BatchHeader| -> Result<(), BatchError> { header.verify(bytes) };
        BatchHeader::parse(bytes).is_ok_and(|header| {
            header.base_offset > self.next_offset
                && header.base_offset - self.next_offset <= i64::from(i32::MAX)
                && fits(&header).is_ok()
        })
    }
}
