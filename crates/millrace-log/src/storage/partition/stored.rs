//! Small files beside the segments: replaced whole or not at all.

use std::fs::File;
use std::io::{self, IoSlice};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::storage::disk::Disk;
use crate::{LogError, Result};

/// Reads a file of JSON; `None` when it is not there.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LogError::io("read", path)(error)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| LogError::Damaged {
        path: path.to_owned(),
        position: 0,
        reason: error.to_string(),
    })
}

/// Writes a file of JSON in `dir`; it is on the disk when this returns.
pub(super) fn write_json(
    dir: &Path,
    path: &Path,
    value: &impl Serialize,
    disk: &dyn Disk,
) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let written = serde_json::to_vec(value).map_err(io::Error::from).and_then(|text| {
        let file = File::create(&temporary)?;
        disk.write(&file, &mut [IoSlice::new(&text)])?;
        disk.sync(&file)?;
        std::fs::rename(&temporary, path)
    });
    written.map_err(LogError::io("write", path))?;
    disk.sync_dir(dir).map_err(LogError::io("sync", dir))
}

/// Nothing to remove or to rename is as good as done.
pub(super) fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
