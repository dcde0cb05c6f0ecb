//! Removes what crashed runs left behind.

use std::fs;
use std::io;
use std::path::Path;

use millrace_core::Result;

use super::committable::Kept;
use super::input::io_error;
use super::part_file::{IN_PROGRESS, PREPARED, remove_if_abandoned};

/// Removes abandoned files in progress (of any job: nobody can ever ask for them) and prepared
/// files of this job that the restored checkpoint does not name; returns how many. What a living
/// writer still holds is left alone. Blocks.
///
/// # Errors
/// When the directory cannot be read or changed.
pub(crate) fn sweep(directory: &Path, kept: &Kept) -> Result<u64> {
    let mut removed = 0;
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(cause) => return Err(io_error("read", directory, cause)),
    };
    for entry in entries {
        let entry = entry.map_err(|cause| io_error("read", directory, cause))?;
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory {
            if !name.starts_with(['.', '_']) {
                removed += sweep(&path, kept)?;
            }
            continue;
        }
        let ours = name.starts_with(".part-")
            && (name.ends_with(IN_PROGRESS)
                || (name.ends_with(PREPARED) && kept.is_leftover(&path)));
        if ours && remove_if_abandoned(&path)? {
            removed += 1;
        }
    }
    Ok(removed)
}
