//! A part file's three names: being written, prepared, final.
//!
//! | state | name | who may remove it |
//! |---|---|---|
//! | being written | `.<part>.inprogress` | anybody who finds it unlocked: its writer is dead |
//! | prepared | `.<part>.<lineage>.prepared` | a later run of the same job, if no manifest names it |
//! | committed | `<part>` | nobody here |
//!
//! `<part>` is `part-<run>-<subtask>-<number>.<extension>`, with a random run number drawn anew at
//! each opening, so that no two writers ever choose the same name, whatever jobs share the
//! directory. The writer keeps the file locked (`flock`) from its creation to its commit; the lock
//! ends with the process, so a file that can be locked has no living writer.
//!
//! Only names that begin with neither `.` nor `_` are data to any reader, so nothing shows before
//! the last rename, which is atomic.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow_array::RecordBatch;
use millrace_core::{Error, Result};

use super::input::io_error;
use crate::format::encoder::Encoder;

/// The end of the name of a file that is being written.
pub(crate) const IN_PROGRESS: &str = ".inprogress";
/// The end of the name of a file that waits for its checkpoint.
pub(crate) const PREPARED: &str = ".prepared";

/// A file that takes rows.
pub(crate) struct PartFile {
    directory: PathBuf,
    partition: String,
    name: String,
    encoder: Box<dyn Encoder>,
    rows: u64,
    /// When it was opened, by the clock that never goes back.
    pub opened: Duration,
}

/// A file whose content is complete; not yet durable.
pub(crate) struct ClosedPart {
    directory: PathBuf,
    pub partition: String,
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
    /// Holds the lock.
    file: File,
}

impl PartFile {
    /// Creates and locks the file in the partition's directory below `root`.
    ///
    /// # Errors
    /// `FixInput` when the directory cannot be written to as it is, `Retry` when not now.
    pub fn create(
        root: &Path,
        partition: &str,
        name: String,
        opened: Duration,
        encoder: impl FnOnce(File) -> Result<Box<dyn Encoder>>,
    ) -> Result<Self> {
        let directory = root.join(partition);
        fs::create_dir_all(&directory)
            .map_err(|cause| io_error("create the directory", &directory, cause))?;
        let path = directory.join(in_progress_name(&name));
        let file = create_locked(&path).map_err(|cause| io_error("create", &path, cause))?;
        let partition = partition.to_owned();
        Ok(PartFile { directory, partition, name, encoder: encoder(file)?, rows: 0, opened })
    }

    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.encoder.write(rows).map_err(|cause| self.failed("write", cause))?;
        self.rows += rows.num_rows() as u64;
        Ok(())
    }

    /// About how long it is by now.
    pub fn bytes(&self) -> u64 {
        self.encoder.bytes()
    }

    /// Writes what the format holds back.
    pub fn close(self) -> Result<ClosedPart> {
        let PartFile { directory, partition, name, encoder, rows, .. } = self;
        let path = directory.join(in_progress_name(&name));
        let finish = || -> io::Result<(File, u64)> {
            let file = encoder.finish()?;
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        };
        let (file, bytes) = finish().map_err(|cause| io_error("write", &path, cause))?;
        Ok(ClosedPart { directory, partition, name, rows, bytes, file })
    }

    fn failed(&self, doing: &str, cause: io::Error) -> Error {
        io_error(doing, &self.path(), cause)
    }

    fn path(&self) -> PathBuf {
        self.directory.join(in_progress_name(&self.name))
    }

    /// Gives the file up: nothing of it is in any checkpoint.
    pub fn remove(self) {
        // If this fails, the next run's sweep finds it.
        let _ = fs::remove_file(self.path());
    }
}

impl ClosedPart {
    /// Makes the content durable and gives the file its prepared name. The directory is to be
    /// synced after. Blocks.
    pub fn prepare(self, lineage: &str) -> Result<PreparedPart> {
        let from = self.directory.join(in_progress_name(&self.name));
        let prepared = prepared_name(&self.name, lineage);
        let to = self.directory.join(&prepared);
        self.file.sync_all().map_err(|cause| io_error("sync", &from, cause))?;
        fs::rename(&from, &to).map_err(|cause| io_error("rename", &from, cause))?;
        let ClosedPart { directory, partition, name, rows, bytes, file } = self;
        Ok(PreparedPart { directory, partition, prepared, name, rows, bytes, _lock: file })
    }

    /// Gives the file up: nothing of it is in any checkpoint.
    pub fn remove(self) {
        // If this fails, the next run's sweep finds it.
        let _ = fs::remove_file(self.directory.join(in_progress_name(&self.name)));
    }
}

/// A durable file that waits for its checkpoint, locked against sweeps as long as this lives.
pub(crate) struct PreparedPart {
    pub directory: PathBuf,
    pub partition: String,
    pub prepared: String,
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
    _lock: File,
}

fn in_progress_name(name: &str) -> String {
    format!(".{name}{IN_PROGRESS}")
}

fn prepared_name(name: &str, lineage: &str) -> String {
    format!(".{name}.{lineage}{PREPARED}")
}

/// Creates the file and locks it. Between the two a sweep may find it unlocked and remove it; then
/// it is created again.
fn create_locked(path: &Path) -> io::Result<File> {
    loop {
        let file = File::options().write(true).create_new(true).open(path)?;
        match file.lock() {
            Ok(()) => {}
            // Then no sweep can lock it either, and leaves it alone.
            Err(cause) if cause.kind() == io::ErrorKind::Unsupported => return Ok(file),
            Err(cause) => return Err(cause),
        }
        match fs::metadata(path) {
            Ok(found) if found.ino() == file.metadata()?.ino() => return Ok(file),
            Ok(_) => return Err(io::Error::from(io::ErrorKind::AlreadyExists)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(cause),
        }
    }
}

/// Removes the file unless it has a living writer; says whether it did.
pub(crate) fn remove_if_abandoned(path: &Path) -> Result<bool> {
    let gone = |cause: &io::Error| cause.kind() == io::ErrorKind::NotFound;
    let file = match File::options().write(true).open(path) {
        Ok(file) => file,
        Err(cause) if gone(&cause) => return Ok(false),
        Err(cause) => return Err(io_error("open", path, cause)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(cause)) if cause.kind() == io::ErrorKind::Unsupported => {
            return Ok(false);
        }
        Err(TryLockError::Error(cause)) => return Err(io_error("lock", path, cause)),
    }
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(cause) if gone(&cause) => Ok(false),
        Err(cause) => Err(io_error("remove", path, cause)),
    }
}

/// Makes renames and creations in a directory durable. Blocks.
pub(crate) fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|cause| io_error("sync", path, cause))
}
