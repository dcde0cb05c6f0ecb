//! The data directory: one owner at a time, and what the broker must remember about itself.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{IoSlice, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millrace_core::seam::Random;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{LogError, Result};
use crate::storage::disk::{Disk, SystemDisk};

/// The version of `meta.json` that is written.
const META_VERSION: u32 = 1;

/// The lock on a data directory, held while this lives; the system lets go of it with the process.
#[derive(Debug)]
pub(crate) struct DataLock {
    path: PathBuf,
    file: File,
}

/// What the owner of a directory says about itself.
#[derive(Serialize, Deserialize)]
struct Holder {
    pid: u32,
    address: Option<SocketAddr>,
}

impl DataLock {
    /// Makes the directory if need be, and takes it.
    ///
    /// # Errors
    /// [`LogError::InUse`] when another process has it, with what that one says about itself.
    pub(crate) fn take(data_dir: &Path) -> Result<DataLock> {
        let new = data_dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty());
        let new: Vec<&Path> = new.take_while(|dir| !dir.exists()).collect();
        fs::create_dir_all(data_dir).map_err(LogError::io("create", data_dir))?;
        new.into_iter().try_for_each(|dir| sync_parent(dir, &SystemDisk))?;
        let path = data_dir.join("lock");
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(LogError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LogError::InUse {
                    path: data_dir.to_owned(),
                    holder: read_holder(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(LogError::io("lock", path)(error)),
        }
        let mut lock = DataLock { path, file };
        lock.describe(None)?;
        Ok(lock)
    }

    /// Lets go of the directory before this is dropped: all its files are closed.
    pub(super) fn release(&self) -> Result<()> {
        self.file.unlock().map_err(LogError::io("unlock", &self.path))
    }

    /// Writes down who holds the lock, and where it listens.
    pub(super) fn describe(&mut self, address: Option<SocketAddr>) -> Result<()> {
        let holder = Holder { pid: std::process::id(), address };
        let text = serde_json::to_string(&holder).expect("a holder is plain data");
        let failed = LogError::io("write", &self.path);
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.write_all(text.as_bytes())
        };
        write().map_err(failed)
    }
}

fn read_holder(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.take(1_000).read_to_string(&mut text).ok()?;
    let holder: Holder = serde_json::from_str(&text).ok()?;
    let address = holder.address.map(|address| format!(", which listens on {address}"));
    Some(format!("process {}{}", holder.pid, address.unwrap_or_default()))
}

/// What the broker remembers about itself: `meta.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    version: u32,
    pub(super) cluster_id: String,
}

impl Meta {
    /// Reads the file, or makes up what a new directory needs.
    pub(super) fn open(data_dir: &Path, random: &dyn Random, disk: &dyn Disk) -> Result<Meta> {
        let path = data_dir.join("meta.json");
        if let Some(meta) = read_json::<Meta>(&path)? {
            if meta.version != META_VERSION {
                return Err(LogError::Config(format!(
                    "`{}` is of version {}, and this program knows version {META_VERSION}",
                    path.display(),
                    meta.version
                )));
            }
            return Ok(meta);
        }
        let cluster_id = URL_SAFE_NO_PAD.encode(random_uuid(random).as_bytes());
        let meta = Meta { version: META_VERSION, cluster_id };
        write_json(&path, &meta, disk)?;
        Ok(meta)
    }
}

/// A random id of the kind that Kafka gives to clusters and topics.
pub(super) fn random_uuid(random: &dyn Random) -> Uuid {
    loop {
        let bits = (u128::from(random.next_u64()) << 64) | u128::from(random.next_u64());
        let id = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
        // Written in base64 it must not look like an option of a command.
        if !URL_SAFE_NO_PAD.encode(id.as_bytes()).starts_with('-') {
            return id;
        }
    }
}

/// Reads a file of JSON; none if it isn't there.
///
/// # Errors
/// It cannot be read, or is not what it should be.
pub(crate) fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LogError::io("read", path)(error)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| LogError::Damaged {
        path: path.to_owned(),
        position: 0,
        reason: error.to_string(),
    })
}

/// Replaces a file whole or not at all, and brings it to the disk.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T, disk: &dyn Disk) -> Result<()> {
    write_json_for(path, value, 0o666, disk)
}

/// As [`write_json`], for the eyes of the owner alone.
pub(crate) fn write_private_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    write_json_for(path, value, 0o600, &SystemDisk)
}

fn write_json_for<T: Serialize>(path: &Path, value: &T, mode: u32, disk: &dyn Disk) -> Result<()> {
    let text = serde_json::to_vec_pretty(value).expect("what is stored is plain data");
    let temporary = path.with_extension("tmp");
    // One that a crash left may have other permissions.
    let _ = fs::remove_file(&temporary);
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(mode);
    let file = options.open(&temporary).map_err(LogError::io("create", &temporary))?;
    disk.write(&file, &mut [IoSlice::new(&text)])
        .and_then(|()| disk.sync(&file))
        .map_err(LogError::io("write", &temporary))?;
    fs::rename(&temporary, path).map_err(LogError::io("rename", &temporary))?;
    sync_parent(path, disk)
}

/// Brings the name of a file or directory to the disk.
pub(super) fn sync_parent(path: &Path, disk: &dyn Disk) -> Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_dir(parent.unwrap_or(Path::new(".")), disk)
}

/// Brings the names in a directory to the disk.
pub(super) fn sync_dir(dir: &Path, disk: &dyn Disk) -> Result<()> {
    disk.sync_dir(dir).map_err(LogError::io("sync", dir))
}
