//! Which checkpoints there are, which one to start from, and which ones to keep.

use std::collections::HashSet;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use millrace_core::{CheckpointId, Error, ErrorKind, Result, Timestamp};
use object_store::path::Path;

use super::{CheckpointStore, layout};
use crate::manifest::{CheckpointKind, Manifest};

/// How many parts are read at a time when a checkpoint is verified.
const VERIFIED_AT_ONCE: usize = 4;

/// A checkpoint in a listing.
#[derive(Debug)]
pub struct Listed {
    /// Its number.
    pub checkpoint: CheckpointId,
    /// The URI of its manifest.
    pub uri: String,
    /// What its manifest says, or why that cannot be read. Its parts are not looked at.
    pub summary: Result<Summary>,
}

/// A line about a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The job's name.
    pub job: String,
    /// Why it was taken.
    pub kind: CheckpointKind,
    /// When its barriers were sent.
    pub triggered: Timestamp,
    /// From the barriers to the manifest.
    pub duration: Duration,
    /// The size of the state that it names, in bytes; parts shared with other checkpoints count in
    /// each.
    pub bytes: u64,
}

impl From<&Manifest> for Summary {
    fn from(manifest: &Manifest) -> Self {
        Summary {
            job: manifest.job.clone(),
            kind: manifest.kind,
            triggered: manifest.triggered,
            duration: Duration::from_millis(manifest.duration_ms),
            bytes: manifest.bytes(),
        }
    }
}

/// The checkpoint to start from.
#[derive(Debug)]
pub struct Newest {
    /// The newest checkpoint that is whole; `None` when there is no checkpoint at all.
    pub manifest: Option<Manifest>,
    /// Newer ones that are damaged, the newest first, and what is wrong with them. What their sinks
    /// committed may be written once more when the job goes on from an older checkpoint.
    pub passed_over: Vec<(CheckpointId, Error)>,
}

impl CheckpointStore {
    /// All checkpoints in ascending order.
    ///
    /// # Errors
    /// `Retry` or `FixInput` when the directory or a manifest cannot be read; what is read and is
    /// damaged stands in the list.
    pub async fn list(&self) -> Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for checkpoint in self.manifest_ids().await? {
            let summary = damaged_apart(self.load(checkpoint).await)?;
            let uri = self.shown(&layout::manifest_path(&self.root, checkpoint));
            listed.push(Listed {
                checkpoint,
                uri,
                summary: summary.map(|manifest| Summary::from(&manifest)),
            });
        }
        Ok(listed)
    }

    /// The newest checkpoint whose manifest and parts are all there and undamaged: every file is
    /// read.
    ///
    /// # Errors
    /// `Restore` when there are checkpoints but none is whole; `Retry` or `FixInput` when
    /// storage does not answer, for then nothing is known about the newest one, and an older one
    /// would be the wrong choice.
    pub async fn newest(&self) -> Result<Newest> {
        let mut passed_over = Vec::new();
        for checkpoint in self.manifest_ids().await?.into_iter().rev() {
            match damaged_apart(self.load_verified(checkpoint).await)? {
                Ok(manifest) => return Ok(Newest { manifest: Some(manifest), passed_over }),
                Err(error) => passed_over.push((checkpoint, error)),
            }
        }
        let Some((newest, _)) = passed_over.first() else {
            return Ok(Newest { manifest: None, passed_over });
        };
        let message = format!(
            "none of the {} checkpoints in `{}` can be used; the newest is {newest}",
            passed_over.len(),
            self.uri
        );
        let cause = passed_over.swap_remove(0).1;
        // A hint of the cause (such as to run a newer version) is the better one.
        let hint = cause.hint_text().unwrap_or(
            "bring the files back from a copy, or start anew with `--fresh`, which deletes them",
        );
        Err(Error::restore(message).hint(hint.to_owned()).caused_by(cause))
    }

    /// The manifest of a checkpoint, after all its parts have been read and compared with it.
    ///
    /// # Errors
    /// `Restore` when anything is missing or damaged.
    pub async fn load_verified(&self, checkpoint: CheckpointId) -> Result<Manifest> {
        let manifest = self.load(checkpoint).await?;
        futures::stream::iter(manifest.files().map(|file| self.read_part(file)))
            .buffer_unordered(VERIFIED_AT_ONCE)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        Ok(manifest)
    }

    /// Deletes all but the newest `keep` checkpoints (at least one is kept), and then the parts
    /// that none of the kept ones names.
    ///
    /// Damaged checkpoints don't count as kept; they go when they are older than all that are.
    /// Parts of a checkpoint that is being written now, and parts that a manifest which can't be
    /// read might name, stay.
    ///
    /// # Errors
    /// `Retry` or `FixInput` when storage refuses; some may have been deleted by then.
    pub async fn prune(&self, keep: usize) -> Result<()> {
        let keep = keep.max(1);
        let mut kept: Vec<Manifest> = Vec::new();
        let mut unreadable: Option<CheckpointId> = None;
        let mut newest: Option<CheckpointId> = None;
        for checkpoint in self.manifest_ids().await?.into_iter().rev() {
            newest = newest.or(Some(checkpoint));
            if kept.len() == keep {
                self.delete(&layout::manifest_path(&self.root, checkpoint)).await?;
                continue;
            }
            match damaged_apart(self.load(checkpoint).await)? {
                Ok(manifest) => kept.push(manifest),
                Err(_) => unreadable = unreadable.or(Some(checkpoint)),
            }
        }
        let Some(newest) = newest else { return Ok(()) };
        let mut named = HashSet::new();
        for file in kept.iter().flat_map(Manifest::files) {
            named.insert(self.part_path(file)?);
        }
        for checkpoint in self.part_folders().await? {
            if checkpoint > newest || unreadable.is_some_and(|unknown| checkpoint <= unknown) {
                continue;
            }
            for part in self.list_under(&layout::parts_path(&self.root, checkpoint)).await? {
                if !named.contains(&part) {
                    self.delete(&part).await?;
                }
            }
        }
        Ok(())
    }

    /// Removes what an abandoned checkpoint has left: its manifest, should it have been written
    /// after all, and its parts. Nothing may be writing for it any more.
    ///
    /// # Errors
    /// `Retry` or `FixInput` when storage refuses.
    pub async fn discard(&self, checkpoint: CheckpointId) -> Result<()> {
        self.delete(&layout::manifest_path(&self.root, checkpoint)).await?;
        self.delete_all(&layout::parts_path(&self.root, checkpoint)).await
    }

    /// Deletes all checkpoints, for a job that starts anew. Other files in the directory stay.
    ///
    /// # Errors
    /// `Retry` or `FixInput` when storage refuses; some may have been deleted by then.
    pub async fn clear(&self) -> Result<()> {
        // Oldest first: if this breaks off, the newest one still stands with all its parts.
        for checkpoint in self.manifest_ids().await? {
            self.delete(&layout::manifest_path(&self.root, checkpoint)).await?;
        }
        for checkpoint in self.part_folders().await? {
            self.delete_all(&layout::parts_path(&self.root, checkpoint)).await?;
        }
        Ok(())
    }

    async fn delete_all(&self, folder: &Path) -> Result<()> {
        for path in self.list_under(folder).await? {
            self.delete(&path).await?;
        }
        Ok(())
    }
}

/// Tells damage, which concerns one checkpoint, from storage that does not answer, which says
/// nothing about it.
fn damaged_apart<T>(result: Result<T>) -> Result<Result<T>> {
    match result {
        Err(error) if error.kind() != ErrorKind::Restore => Err(error),
        other => Ok(other),
    }
}
