//! Puts a file in place of several, as one step.
//!
//! The list of what is to be replaced is on the disk before anything is touched. As long as it is
//! there, the replacement can be finished from it, however often it is tried.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rewrite::{CLEANED, Rewritten};
use crate::storage::OpenFiles;
use crate::storage::disk::Disk;
use crate::storage::partition::stored::{read_json, unless_missing, write_json};
use crate::storage::segment::{Segment, segment_path};
use crate::{LogError, Result};

/// A replacement that has begun.
#[derive(Debug, Serialize, Deserialize)]
struct Swap {
    version: u32,
    /// The segment whose file is replaced.
    base_offset: i64,
    /// The segments whose content is in that file now.
    removed: Vec<i64>,
}

fn swap_path(dir: &Path) -> PathBuf {
    dir.join("swap.json")
}

/// Replaces the files of a group.
pub(super) fn swap(
    dir: &Path,
    group: &[Arc<Segment>],
    rewritten: Rewritten,
    files: &Arc<OpenFiles>,
) -> Result<Segment> {
    let base_offset = group[0].base_offset;
    let removed = group[1..].iter().map(|segment| segment.base_offset).collect();
    let swap = Swap { version: 1, base_offset, removed };
    write_json(dir, &swap_path(dir), &swap, files.disk())?;
    group.iter().for_each(|segment| segment.pin());
    swap.finish(dir, files.disk())?;
    let path = segment_path(dir, base_offset, "log");
    let Rewritten { file, content, index } = rewritten;
    Ok(Segment::open(file, path, content, index, base_offset, files))
}

impl Swap {
    fn finish(&self, dir: &Path, disk: &dyn Disk) -> Result<()> {
        // What is known of the old files must not meet the new one. Should a loss of power bring
        // an index back, it brings back this list as well.
        for base_offset in self.removed.iter().chain([&self.base_offset]) {
            let path = segment_path(dir, *base_offset, "index");
            unless_missing(std::fs::remove_file(&path)).map_err(LogError::io("remove", &path))?;
        }
        let cleaned = segment_path(dir, self.base_offset, CLEANED);
        let path = segment_path(dir, self.base_offset, "log");
        // Not there: it was renamed before.
        unless_missing(std::fs::rename(&cleaned, &path))
            .map_err(LogError::io("rename", &cleaned))?;
        for base_offset in &self.removed {
            let path = segment_path(dir, *base_offset, "log");
            unless_missing(std::fs::remove_file(&path)).map_err(LogError::io("remove", &path))?;
        }
        disk.sync_dir(dir).map_err(LogError::io("sync", dir))?;
        let path = swap_path(dir);
        unless_missing(std::fs::remove_file(&path)).map_err(LogError::io("remove", &path))
    }
}

/// Finishes what a crash interrupted, and removes what was not finished. The first thing when a log
/// is opened.
pub(in crate::storage::partition) fn finish(dir: &Path, disk: &dyn Disk) -> Result<()> {
    let path = swap_path(dir);
    if let Some(swap) = read_json::<Swap>(&path)? {
        if swap.version != 1 {
            let reason = format!("version {} is not known", swap.version);
            return Err(LogError::Damaged { path, position: 0, reason });
        }
        swap.finish(dir, disk)?;
    }
    for entry in std::fs::read_dir(dir).map_err(LogError::io("list", dir))? {
        let path = entry.map_err(LogError::io("list", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(CLEANED) || name.ends_with(".tmp") {
            std::fs::remove_file(&path).map_err(LogError::io("remove", &path))?;
        }
    }
    Ok(())
}
