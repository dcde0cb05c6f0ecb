//! How bytes get to the disk: a seam, so that tests can fill the disk or cut the power.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

/// What the log asks of a disk.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// Writes all of the parts where the file stands. When that fails, some may have been written.
    fn write(&self, file: &File, parts: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Forces what was written to a file to the disk.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Makes new, renamed and removed names of a directory safe.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Does both for many, in any order and whichever way is quickest.
    ///
    /// # Errors
    /// When one of them failed. Others may be safe or not.
    fn sync_many(&self, many: &[Unsynced]) -> io::Result<()> {
        many.iter().try_for_each(|one| one.sync(self))
    }
}

/// What is to be forced to the disk.
#[derive(Debug)]
pub(crate) enum Unsynced {
    File(File),
    Dir(PathBuf),
}

impl Unsynced {
    fn sync<D: Disk + ?Sized>(&self, disk: &D) -> io::Result<()> {
        match self {
            Unsynced::File(file) => disk.sync(file),
            Unsynced::Dir(dir) => disk.sync_dir(dir),
        }
    }
}

/// Threads that wait for the disk at once: a file system that keeps a journal writes it once for all
/// who wait meanwhile.
const SYNCS_AT_ONCE: usize = 16;

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

    fn sync_many(&self, many: &[Unsynced]) -> io::Result<()> {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(one) = many.get(next.fetch_add(1, Relaxed)) {
                one.sync(self)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let others = 1..many.len().min(SYNCS_AT_ONCE);
            // Without another thread it takes longer.
            let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
            let others: Vec<_> = others.filter_map(spawn).collect();
            let own = work();
            let panicked = |_| Err(io::Error::other("a sync panicked"));
            let joined = others.into_iter().map(|other| other.join().unwrap_or_else(panicked));
            joined.fold(own, Result::and)
        })
    }
}

/// Whether there is no room for more.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_synced_and_one_that_fails_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let open = |at: usize| File::create(dir.path().join(at.to_string())).unwrap();
        let mut many: Vec<Unsynced> = (0..40).map(|at| Unsynced::File(open(at))).collect();
        many.push(Unsynced::Dir(dir.path().to_owned()));
        SystemDisk.sync_many(&many).unwrap();
        for at in [0, 20, 41] {
            let missing = Unsynced::Dir(dir.path().join("missing"));
            many.insert(at, missing);
            let error = SystemDisk.sync_many(&many).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            many.remove(at);
        }
        SystemDisk.sync_many(&[]).unwrap();
    }
}
