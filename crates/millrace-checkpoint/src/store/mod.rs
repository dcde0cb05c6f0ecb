//! Where checkpoints are kept.
//!
//! # Protocol
//!
//! A checkpoint is written in two steps: its parts, in any order, and then its manifest, which names
//! them all with length and checksum. It exists from the moment when the manifest does. So a crash
//! at any point leaves the checkpoints that were complete, and possibly parts that no manifest
//! names; those are swept away by the next [`CheckpointStore::prune`].
//!
//! - Nothing is overwritten: a part's name holds the checkpoint and the attempt, and a second
//!   manifest for one checkpoint is refused.
//! - Deleting goes the other way: the manifest first, then the parts that no manifest names any more.
//! - Reading trusts nothing: a manifest carries its own checksum, each part is compared with length
//!   and checksum in the manifest. [`CheckpointStore::newest`] passes over a damaged checkpoint to
//!   the one before, and says why.
//! - A file is written as a whole or not at all: object stores promise that, and on a local
//!   directory `local.rs` sees to it. What is damaged all the same (by a bad disk, by hand) counts as
//!   a checkpoint that existed and was committed, never as one that had not been completed.
//! - One process at a time writes to a directory; [`CheckpointStore::lock`] sees to it on a local
//!   one.

mod failure;
mod layout;
mod local;
mod open;
mod retain;

use std::path::PathBuf;
use std::sync::Arc;

use futures::TryStreamExt as _;
use millrace_core::{CheckpointId, Error, OperatorId, Result};
use object_store::path::Path;
use object_store::{
    Error as StoreError, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
};

use crate::manifest::{FileRef, Manifest};
use crate::manifest_file;
use failure::storage_error;

pub use local::Lock;
pub use open::split_manifest_uri;
pub use retain::{Listed, Newest, Summary};

/// Reads and writes the checkpoints of one job, in one directory of any object store.
///
/// Cloning is cheap; clones share the directory. All futures run on any executor.
///
/// ```
/// use millrace_checkpoint::CheckpointStore;
/// use millrace_core::{CheckpointId, OperatorId};
///
/// # futures::executor::block_on(async {
/// let store = CheckpointStore::open("memory:")?;
/// let operator = OperatorId::new("window");
/// let file = store.write_part(CheckpointId(1), &operator, 0, 1, b"state".to_vec()).await?;
/// assert_eq!(store.read_part(&file).await?, b"state");
/// assert!(store.newest().await?.manifest.is_none(), "no manifest, no checkpoint");
/// # Ok::<(), millrace_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct CheckpointStore {
    store: Arc<dyn ObjectStore>,
    root: Path,
    uri: String,
    durable: bool,
    /// The directory, if it is a local one.
    local: Option<PathBuf>,
}

impl CheckpointStore {
    /// Where the checkpoints are, as it was given to [`CheckpointStore::open`].
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether checkpoints outlive the process.
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// Keeps other processes from writing to a local directory until the lock is dropped or the
    /// process ends in whatever way; sweeps away files that a crashed process was writing. Does
    /// nothing for other storage.
    ///
    /// # Errors
    /// `FixInput` when another process (or another job of this one) holds the lock, with the
    /// directory's name.
    pub fn lock(&self) -> Result<Lock> {
        self.local.as_deref().map_or(Ok(Lock::none()), Lock::acquire)
    }

    /// Writes a piece of a subtask's state. It is durable when this returns, and counts for nothing
    /// until a manifest names it.
    ///
    /// # Errors
    /// `Retry` when there is no room or no answer, `FixInput` when writing is not allowed. The file
    /// may have been written all the same; [`CheckpointStore::discard`] removes it.
    pub async fn write_part(
        &self,
        checkpoint: CheckpointId,
        operator: &OperatorId,
        subtask: usize,
        attempt: u64,
        bytes: Vec<u8>,
    ) -> Result<FileRef> {
        let path = layout::part_name(checkpoint, operator, subtask, attempt);
        let file = FileRef { bytes: bytes.len() as u64, crc32c: crc32c::crc32c(&bytes), path };
        let target = self.part_path(&file)?;
        self.store
            .put(&target, PutPayload::from(bytes))
            .await
            .map_err(|cause| storage_error(&format!("write `{}`", self.shown(&target)), cause))?;
        Ok(file)
    }

    /// Reads a piece of state.
    ///
    /// # Errors
    /// `Restore` when the file is missing or is not the one that was written, `Retry` or
    /// `FixInput` when it cannot be read.
    pub async fn read_part(&self, file: &FileRef) -> Result<Vec<u8>> {
        let path = self.part_path(file)?;
        let shown = self.shown(&path);
        let bytes = self
            .read(&path)
            .await?
            .ok_or_else(|| Error::restore(format!("checkpoint file `{shown}` is missing")))?;
        if bytes.len() as u64 != file.bytes {
            return Err(Error::restore(format!(
                "checkpoint file `{shown}` has {} bytes instead of {}",
                bytes.len(),
                file.bytes
            )));
        }
        let crc32c = crc32c::crc32c(&bytes);
        if crc32c != file.crc32c {
            return Err(Error::restore(format!(
                "checkpoint file `{shown}` is damaged: its checksum is {crc32c:08x} instead of \
                 {:08x}",
                file.crc32c
            )));
        }
        Ok(bytes)
    }

    /// Completes a checkpoint, durably, and returns the manifest's URI. All its parts must have
    /// been written.
    ///
    /// # Errors
    /// As for [`CheckpointStore::write_part`]; the manifest may have been written all the same.
    /// `Report` when there is another manifest of this number.
    pub async fn write_manifest(&self, manifest: &Manifest) -> Result<String> {
        let path = layout::manifest_path(&self.root, manifest.checkpoint);
        let shown = self.shown(&path);
        let bytes = manifest_file::encode(manifest)?;
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&path, PutPayload::from(bytes.clone()), options).await {
            Ok(_) => Ok(shown),
            // A first try whose answer got lost: the storage client tries again by itself.
            Err(StoreError::AlreadyExists { .. }) if self.read(&path).await? == Some(bytes) => {
                Ok(shown)
            }
            Err(StoreError::AlreadyExists { .. }) => {
                Err(Error::report(format!("there is another manifest `{shown}` already"))
                    .hint("if two jobs write to this directory, give each one of its own"))
            }
            Err(cause) => Err(storage_error(&format!("write `{shown}`"), cause)),
        }
    }

    /// The manifest of a checkpoint. Its parts are not looked at.
    ///
    /// # Errors
    /// `Restore` when it is missing, damaged or of a newer version.
    pub async fn load(&self, checkpoint: CheckpointId) -> Result<Manifest> {
        let path = layout::manifest_path(&self.root, checkpoint);
        let shown = self.shown(&path);
        let bytes = self.read(&path).await?.ok_or_else(|| {
            Error::restore(format!("there is no checkpoint {checkpoint} in `{}`", self.uri))
                .hint(format!("`millrace checkpoint list {}` shows those that are there", self.uri))
        })?;
        let manifest =
            manifest_file::decode(&bytes).map_err(|error| error.context(format!("`{shown}`")))?;
        if manifest.checkpoint != checkpoint {
            return Err(Error::restore(format!(
                "`{shown}` is the manifest of checkpoint {}",
                manifest.checkpoint
            )));
        }
        Ok(manifest)
    }

    /// A number above that of every checkpoint that was ever begun here and has left a trace,
    /// abandoned ones too; 1 in an empty directory.
    ///
    /// # Errors
    /// `Retry` or `FixInput` when the directory cannot be read.
    pub async fn next_checkpoint_id(&self) -> Result<CheckpointId> {
        let manifests = self.manifest_ids().await?;
        let begun = self.part_folders().await?;
        let newest = manifests.into_iter().chain(begun).max();
        match newest {
            None => Ok(CheckpointId(1)),
            Some(CheckpointId(u64::MAX)) => {
                Err(Error::restore(format!("`{}` has no numbers left for checkpoints", self.uri)))
            }
            Some(newest) => Ok(newest.next()),
        }
    }

    /// The numbers of all manifests, ascending.
    async fn manifest_ids(&self) -> Result<Vec<CheckpointId>> {
        let folder = self.root.clone().join(layout::MANIFESTS);
        let objects = self.list_under(&folder).await?;
        let names = objects.iter().filter_map(Path::filename);
        let mut ids: Vec<CheckpointId> = names.filter_map(layout::manifest_id).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// The checkpoints that parts were written for.
    async fn part_folders(&self) -> Result<Vec<CheckpointId>> {
        let folder = self.root.clone().join(layout::PARTS);
        let listed = self.store.list_with_delimiter(Some(&folder)).await;
        let listed = listed
            .map_err(|cause| storage_error(&format!("list `{}`", self.shown(&folder)), cause))?;
        let names = listed.common_prefixes.iter().filter_map(Path::filename);
        Ok(names.filter_map(layout::plain_number).collect())
    }

    async fn list_under(&self, folder: &Path) -> Result<Vec<Path>> {
        let objects = self.store.list(Some(folder));
        objects
            .map_ok(|object| object.location)
            .try_collect()
            .await
            .map_err(|cause| storage_error(&format!("list `{}`", self.shown(folder)), cause))
    }

    /// The object's content, or `None` if it does not exist.
    async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let read = async { self.store.get(path).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(cause) => Err(storage_error(&format!("read `{}`", self.shown(path)), cause)),
        }
    }

    async fn delete(&self, path: &Path) -> Result<()> {
        match self.store.delete(path).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(cause) => Err(storage_error(&format!("delete `{}`", self.shown(path)), cause)),
        }
    }

    /// A part's place. A manifest is input like any other: its paths stay below the directory.
    fn part_path(&self, file: &FileRef) -> Result<Path> {
        let relative = Path::parse(&file.path).ok().filter(|path| {
            path.parts().next().is_some_and(|first| first.as_ref() == layout::PARTS)
        });
        let relative = relative.ok_or_else(|| {
            Error::restore(format!("`{}` is not the path of a checkpoint file", file.path))
        })?;
        Ok(self.root.parts().chain(relative.parts()).collect())
    }

    /// The object's URI, for people.
    fn shown(&self, path: &Path) -> String {
        let below: Path = path.parts().skip(self.root.parts().count()).collect();
        let slash = if self.uri.ends_with('/') { "" } else { "/" };
        format!("{}{slash}{below}", self.uri)
    }
}
