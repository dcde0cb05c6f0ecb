//! How bytes get to the disk: a seam, so that tests can fill the disk or cut the power.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::path::Path;

/// What the log asks of a disk.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// Writes all of the parts where the file stands. When that fails, some may have been written.
    fn write(&self, file: &File, parts: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Forces what was written to a file to the disk.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Makes new, renamed and removed names of a directory safe.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// The system's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemDisk;

impl Disk for SystemDisk {
    fn write(&self, mut file: &File, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        while !parts.is_empty() {
            match file.write_vectored(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut parts, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

/// Whether there is no room for more.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}
