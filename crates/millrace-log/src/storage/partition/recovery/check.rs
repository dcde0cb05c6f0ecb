//! Reads a segment through, and cuts off what was not finished.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use super::replay::Replay;
use super::{Recovery, open_file};
use crate::storage::index::Index;
use crate::storage::partition::point::RecoveryPoint;
use crate::storage::records::{BatchError, BatchHeader, HEADER_BYTES};
use crate::storage::scan::{Found, Scan};
use crate::storage::segment::{Content, Segment, read_at, segment_path};
use crate::storage::{OpenFiles, TopicConfig};
use crate::{LogError, Result};

/// How a segment is read.
pub(super) struct Check<'a> {
    pub dir: &'a Path,
    pub config: &'a TopicConfig,
    pub point: Option<RecoveryPoint>,
    pub files: &'a Arc<OpenFiles>,
}

impl Check<'_> {
    /// Reads what is behind `known`, to the end of the segment. What that says is taken in by
    /// `replay`.
    pub fn read_segment(
        &self,
        base_offset: i64,
        (known, mut index): (Content, Index),
        is_last: bool,
        replay: &mut Replay,
        report: &mut Recovery,
    ) -> Result<Segment> {
        let path = segment_path(self.dir, base_offset, "log");
        let mut file = open_file(&path)?;
        let size_bytes = file.metadata().map_err(LogError::io("open", &path))?.len();
        let mut content = known;
        let known_bytes = content.size_bytes;
        let mut scan = Scan::new(&file, known_bytes, size_bytes);
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
                    let interval_bytes = self.config.index_interval_bytes;
                    content.add(base_offset, &header, &mut index, interval_bytes);
                }
                Found::Broken { position, reason } => broken = Some((position, reason)),
            }
        }
        report.checked_bytes += content.size_bytes - known_bytes;
        if let Some((position, reason)) = broken {
            let next_offset = content.next_offset;
            let tail = Tail { file: &file, position, end: size_bytes, next_offset };
            let unfinished = self.is_unfinished(base_offset, is_last, &tail);
            if !unfinished.map_err(LogError::io("read", &path))? {
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
        Ok(Segment::open(file, path, content, index, base_offset, self.files))
    }

    /// Whether what is broken was never acknowledged, or is what the fsync policy left to a loss of
    /// power.
    fn is_unfinished(&self, base_offset: i64, is_last: bool, tail: &Tail<'_>) -> io::Result<bool> {
        let was_safe = self.point.is_some_and(|point| point.covers(base_offset, tail.position));
        let lost_power = self.point.is_some_and(|point| point.before_restart());
        Ok(!was_safe && (lost_power || is_last && !tail.holds_a_batch()?))
    }
}

/// What follows the last whole batch of a file.
struct Tail<'a> {
    file: &'a File,
    position: u64,
    end: u64,
    next_offset: i64,
}

impl Tail<'_> {
    /// Whether a whole batch that could have been appended stands anywhere in the tail: then what is
    /// broken before it is not the end of an unfinished write.
    fn holds_a_batch(&self) -> io::Result<bool> {
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
