//! A disk that keeps what was synced and nothing else.
//!
//! Files and directories are told apart by what they are and not by their names: a rename that was
//! not synced is not there after a loss of power, and the file under its old name is.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use tempfile::TempDir;

use crate::storage::disk::{Disk, SystemDisk};

/// Which file it is. Numbers are given again, but not at the same time.
type Id = (u64, u128);

fn id(metadata: &Metadata) -> Id {
    let created = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    (metadata.ino(), created.map_or(0, |since| since.as_nanos()))
}

#[derive(Debug)]
pub(super) struct PowerDisk {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Syncs until the power goes.
    left: u32,
    files: HashMap<Id, Vec<u8>>,
    dirs: HashMap<Id, BTreeMap<OsString, Entry>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: Id,
    is_dir: bool,
}

/// What a loss of power leaves of what was not synced.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leftover {
    Nothing,
    /// This many of 256 parts of what was appended to a file behind its last sync.
    Tails(u8),
}

impl PowerDisk {
    /// A disk on which all is safe that is there, and whose power goes with this sync from now on.
    pub fn new(root: &Path, left: u32) -> Self {
        let mut state = State { left, ..State::default() };
        state.keep_all(root);
        PowerDisk { root: root.to_owned(), state: Mutex::new(state) }
    }

    /// The power goes with this sync from now on.
    pub fn goes_after(&self, syncs: u32) {
        self.state.lock().unwrap().left = syncs;
    }

    /// What is there after the power has gone, in a directory of its own.
    pub fn after_loss(&self, leftover: Leftover) -> TempDir {
        let mut state = self.state.lock().unwrap();
        state.left = 0;
        let mut live = HashMap::new();
        find_files(&self.root, &mut live);
        let dir = tempfile::tempdir().unwrap();
        let root = id(&fs::metadata(&self.root).unwrap());
        state.restore(root, dir.path(), &live, leftover);
        dir
    }
}

impl Disk for PowerDisk {
    fn write(&self, file: &File, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        if self.state.lock().unwrap().left == 0 {
            return Err(io::ErrorKind::Other.into());
        }
        SystemDisk.write(file, parts)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.use_power()?;
        // It may have been opened for writing only, and have another name by now.
        let bytes = fs::read(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        state.files.insert(id(&file.metadata()?), bytes);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.use_power()?;
        state.keep_dir(dir)
    }
}

impl State {
    fn use_power(&mut self) -> io::Result<()> {
        self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::Other)?;
        if self.left == 0 { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    }

    fn keep_dir(&mut self, dir: &Path) -> io::Result<()> {
        let mut entries = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let is_dir = metadata.is_dir();
            entries.insert(entry.file_name(), Entry { id: id(&metadata), is_dir });
        }
        self.dirs.insert(id(&fs::metadata(dir)?), entries);
        Ok(())
    }

    fn keep_all(&mut self, dir: &Path) {
        self.keep_dir(dir).unwrap();
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                self.keep_all(&entry.path());
            } else {
                self.files.insert(id(&metadata), fs::read(entry.path()).unwrap());
            }
        }
    }

    fn restore(&self, dir: Id, to: &Path, live: &HashMap<Id, PathBuf>, leftover: Leftover) {
        for (name, entry) in self.dirs.get(&dir).into_iter().flatten() {
            let to = to.join(name);
            if entry.is_dir {
                fs::create_dir(&to).unwrap();
                self.restore(entry.id, &to, live, leftover);
                continue;
            }
            let synced = self.files.get(&entry.id).cloned().unwrap_or_default();
            let live = live.get(&entry.id).map(|path| fs::read(path).unwrap());
            let bytes = match (leftover, live) {
                (Leftover::Tails(_), Some(live)) if name == "recovery-point" => {
                    before_restart(live)
                }
                (Leftover::Tails(parts), Some(live)) if live.starts_with(&synced) => {
                    let tail = &live[synced.len()..];
                    [&synced[..], &tail[..tail.len() * usize::from(parts) / 256]].concat()
                }
                _ => synced,
            };
            fs::write(&to, bytes).unwrap();
        }
    }
}

/// Where the files are now.
fn find_files(dir: &Path, found: &mut HashMap<Id, PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            find_files(&entry.path(), found);
        } else {
            found.insert(id(&metadata), entry.path());
        }
    }
}

/// A recovery point of another start of the machine: this one never stopped, and knows it.
fn before_restart(mut point: Vec<u8>) -> Vec<u8> {
    const BOOT: usize = 25;
    const CHECKSUM: usize = 33;
    if point.len() > CHECKSUM {
        point[BOOT] ^= 0x10;
        let crc = crc32c::crc32c(&point[..CHECKSUM]);
        point[CHECKSUM..].copy_from_slice(&crc.to_be_bytes());
    }
    point
}
