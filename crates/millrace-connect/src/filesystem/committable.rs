//! What a checkpoint keeps of prepared files, and their commit.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use millrace_core::{Committable, Error, Prepared, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::input::io_error;
use super::part_file::{PREPARED, sync_directory};

/// The version of both that this program writes.
const VERSION: u32 = 1;

/// A prepared file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileCommittable {
    version: u32,
    /// The partition's directory below the table's, such as `day=2013-01-01`; empty for none.
    pub partition: String,
    /// The hidden name.
    pub prepared: String,
    /// The final name.
    pub name: String,
    /// The length, to notice a file that lost its end.
    pub bytes: u64,
}

/// The writer's state: which prepared files are its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SinkState {
    version: u32,
    /// The mark in the names of prepared files of this job.
    pub lineage: String,
}

impl FileCommittable {
    pub fn new(partition: String, prepared: String, name: String, bytes: u64) -> Self {
        FileCommittable { version: VERSION, partition, prepared, name, bytes }
    }

    pub fn to_committable(&self, rows: u64) -> Committable {
        let payload = serde_json::to_value(self).expect("texts and numbers can be written as JSON");
        Committable { payload, rows }
    }

    /// # Errors
    /// `Restore` when it cannot be understood, or names a file outside of its directory.
    pub fn parse(committable: &Committable) -> Result<Self> {
        let file: FileCommittable = read_versioned("a prepared file", &committable.payload)?;
        let inside = |name: &str| !name.is_empty() && !name.contains('/') && name != "..";
        let parts_inside = file.partition.is_empty() || file.partition.split('/').all(inside);
        if !inside(&file.name) || !inside(&file.prepared) || !parts_inside {
            return Err(Error::restore("a prepared file lies outside of its table's directory"));
        }
        Ok(file)
    }
}

impl SinkState {
    pub fn new(lineage: String) -> Self {
        SinkState { version: VERSION, lineage }
    }

    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("texts can be written as JSON")
    }

    /// # Errors
    /// `Restore` when it cannot be understood.
    pub fn parse(state: &Value) -> Result<Self> {
        read_versioned("a file sink's state", state)
    }
}

fn read_versioned<T: for<'a> Deserialize<'a>>(what: &str, json: &Value) -> Result<T> {
    let cannot = |why: String| Error::restore(format!("{what} cannot be understood: {why}"));
    match json.get("version").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => return Err(cannot(format!("its version is {version}"))),
        None => return Err(cannot("it has no version".into())),
    }
    T::deserialize(json).map_err(|cause| cannot(cause.to_string()))
}

/// Whether files may have been committed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitKind {
    /// For the first time, by the writer that prepared them.
    First,
    /// After a restart: perhaps not for the first time.
    Again,
}

/// Gives prepared files their final names and makes that durable. Repeating it changes nothing.
/// Blocks.
///
/// # Errors
/// `Restore` when a file is damaged, `Retry` when the directory does not take the change now.
pub(crate) fn commit(root: &Path, prepared: &Prepared, kind: CommitKind) -> Result<()> {
    let mut changed = BTreeSet::new();
    for committable in &prepared.committables {
        let file = FileCommittable::parse(committable)?;
        let directory = root.join(&file.partition);
        if commit_file(&directory, &file, kind)? {
            changed.insert(directory);
        }
    }
    changed.iter().try_for_each(|directory| sync_directory(directory))
}

fn commit_file(directory: &Path, file: &FileCommittable, kind: CommitKind) -> Result<bool> {
    let from = directory.join(&file.prepared);
    let to = directory.join(&file.name);
    let length = match fs::metadata(&from) {
        Ok(metadata) => metadata.len(),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return match (to.exists(), kind) {
                (true, _) => Ok(false),
                (false, CommitKind::Again) => {
                    // Committed, and since taken away by its reader: the usual end of a file.
                    tracing::warn!(
                        "`{}` was part of the restored checkpoint and is not there; it must have \
                         been moved away since",
                        to.display()
                    );
                    Ok(false)
                }
                (false, CommitKind::First) => Err(Error::retry(format!(
                    "the prepared file `{}` has gone before it was committed",
                    from.display()
                ))),
            };
        }
        Err(cause) => return Err(io_error("read", &from, cause)),
    };
    if length != file.bytes {
        return Err(Error::restore(format!(
            "the prepared file `{}` has {length} bytes where the checkpoint has {}",
            from.display(),
            file.bytes
        )));
    }
    fs::rename(&from, &to).map_err(|cause| io_error("rename", &from, cause))?;
    Ok(true)
}

/// The prepared files that a restored checkpoint names, and the lineages of its writers.
pub(crate) struct Kept {
    pub files: BTreeSet<PathBuf>,
    pub lineages: BTreeSet<String>,
}

impl Kept {
    /// # Errors
    /// `Restore` when the checkpoint cannot be understood.
    pub fn of(root: &Path, restored: &[Prepared]) -> Result<Self> {
        let mut kept = Kept { files: BTreeSet::new(), lineages: BTreeSet::new() };
        for prepared in restored {
            if !prepared.state.is_null() {
                kept.lineages.insert(SinkState::parse(&prepared.state)?.lineage);
            }
            for committable in &prepared.committables {
                let file = FileCommittable::parse(committable)?;
                kept.files.insert(root.join(&file.partition).join(&file.prepared));
            }
        }
        Ok(kept)
    }

    /// Whether a prepared file is a leftover of this job that no checkpoint will ask for.
    pub fn is_leftover(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let lineage = name.strip_suffix(PREPARED).and_then(|name| name.rsplit('.').next());
        lineage.is_some_and(|lineage| self.lineages.contains(lineage)) && !self.files.contains(path)
    }
}
