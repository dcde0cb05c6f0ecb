//! Writes part files exactly once.
//!
//! # Protocol
//!
//! Every `prepare` closes all open files (as Flink's bulk formats do), makes them durable under
//! hidden names and lists them as committables; `commit` renames them. So a file belongs to exactly
//! one checkpoint, and nothing has to be truncated after a crash.
//!
//! - A crash before `prepare` ends leaves unlocked files in progress: the next opening removes them.
//! - A crash between `prepare` and the manifest leaves prepared files that no manifest names: a
//!   start from an older checkpoint of the same job (known by its *lineage*, a random mark kept in
//!   the checkpoint) removes them. A start without checkpoint cannot know whose they are and leaves
//!   them hidden.
//! - A crash between manifest and commit: the next opening commits what the manifest names.
//!
//! The parallelism may change: whichever subtask takes over a former one's committables commits
//! them, and subtask 0 alone sweeps, sparing what is locked by living writers.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use millrace_core::seam::Seams;
use millrace_core::{
    Batch, CheckpointId, Columns, Prepared, Result, Sink, SinkContext, SinkWriter,
};

use super::committable::{CommitKind, FileCommittable, Kept, SinkState, commit};
use super::input::io_error;
use super::part_file::{ClosedPart, PartFile, PreparedPart, sync_directory};
use super::partition::Partitioning;
use super::rolling::RollingPolicy;
use super::sweep::sweep;
use crate::blocking::blocking;
use crate::format::Format;

/// How many partitions a subtask fills at the same time; beyond, the one that was opened first is
/// closed.
const OPEN_PARTITIONS: usize = 64;

/// Files below a directory.
#[derive(Clone, Debug)]
pub(crate) struct FileSink {
    pub directory: PathBuf,
    pub format: Format,
    /// The columns of the files.
    pub file_schema: SchemaRef,
    pub partitioning: Partitioning,
    pub rolling: RollingPolicy,
}

impl FileSink {
    /// Opens a writer; see [`Sink::open`].
    pub async fn open_writer(&self, context: SinkContext) -> Result<FileSinkWriter> {
        let seams = context.seams.clone();
        let restored = context.restored.clone();
        let kept = Kept::of(&self.directory, &restored)?;
        let fresh = format!("{:016x}", seams.random.next_u64());
        let lineage = kept.lineages.first().cloned().unwrap_or(fresh);
        let run = format!("{:016x}", seams.random.next_u64());
        let (root, subtask) = (self.directory.clone(), context.subtask);
        let mine: Vec<Prepared> = context.mine().cloned().collect();
        blocking(&seams, move || {
            fs::create_dir_all(&root)
                .map_err(|cause| io_error("create the directory", &root, cause))?;
            mine.iter().try_for_each(|prepared| commit(&root, prepared, CommitKind::Again))?;
            if subtask.index == 0 {
                let removed = sweep(&root, &kept)?;
                if removed > 0 {
                    tracing::info!(
                        "removed {removed} unfinished files of a former run from `{}`",
                        root.display()
                    );
                }
            }
            Ok(())
        })
        .await?;
        Ok(FileSinkWriter {
            last_check: seams.clock.elapsed(),
            sink: self.clone(),
            name_prefix: format!("part-{run}-{}", subtask.index),
            next_number: 0,
            lineage,
            seams,
            open: BTreeMap::new(),
            closed: Vec::new(),
            prepared: BTreeMap::new(),
        })
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(self.open_writer(context).await?))
    }
}

/// Writes the files of one subtask.
pub(crate) struct FileSinkWriter {
    sink: FileSink,
    name_prefix: String,
    next_number: u64,
    lineage: String,
    seams: Seams,
    /// By partition.
    open: BTreeMap<String, PartFile>,
    /// Full ones, for the next checkpoint.
    closed: Vec<ClosedPart>,
    /// Locked until they are committed.
    prepared: BTreeMap<CheckpointId, Vec<PreparedPart>>,
    last_check: Duration,
}

impl FileSinkWriter {
    /// Appends rows of the table's schema.
    pub fn append(&mut self, rows: &arrow_array::RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        for (partition, rows) in self.sink.partitioning.divide(rows)? {
            if !self.open.contains_key(&partition) {
                let file = self.create(&partition)?;
                self.open.insert(partition.clone(), file);
            }
            let file = self.open.get_mut(&partition).expect("it was opened above");
            file.write(&rows)?;
            if file.bytes() >= self.sink.rolling.file_bytes {
                self.close(&partition)?;
            }
        }
        self.close_old()
    }

    fn create(&mut self, partition: &str) -> Result<PartFile> {
        if self.open.len() >= OPEN_PARTITIONS {
            let first = self.open.iter().min_by_key(|(_, file)| file.opened);
            if let Some(first) = first.map(|(partition, _)| partition.clone()) {
                self.close(&first)?;
            }
        }
        let FileSink { directory, format, file_schema, .. } = &self.sink;
        let extension = format.extension();
        let name = format!("{}-{}.{extension}", self.name_prefix, self.next_number);
        self.next_number += 1;
        let opened = self.seams.clock.elapsed();
        PartFile::create(directory, partition, name, opened, |file| {
            format.encoder(file, file_schema)
        })
    }

    fn close(&mut self, partition: &str) -> Result<()> {
        if let Some(file) = self.open.remove(partition) {
            self.closed.push(file.close()?);
        }
        Ok(())
    }

    fn close_old(&mut self) -> Result<()> {
        let now = self.seams.clock.elapsed();
        if now.saturating_sub(self.last_check) < self.sink.rolling.check_interval {
            return Ok(());
        }
        self.last_check = now;
        let limit = self.sink.rolling.rollover_interval;
        let old = |file: &PartFile| now.saturating_sub(file.opened) >= limit;
        let partitions: Vec<String> = self
            .open
            .iter()
            .filter(|(_, file)| old(file))
            .map(|(partition, _)| partition.clone())
            .collect();
        partitions.iter().try_for_each(|partition| self.close(partition))
    }
}

#[async_trait]
impl SinkWriter for FileSinkWriter {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        let columns: Columns = batch.downcast()?;
        columns.check_append_only("a table of files")?;
        self.append(&columns.rows)
    }

    async fn flush(&mut self) -> Result<()> {
        self.close_old()
    }

    async fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Prepared> {
        let partitions: Vec<String> = self.open.keys().cloned().collect();
        partitions.iter().try_for_each(|partition| self.close(partition))?;
        let closed = std::mem::take(&mut self.closed);
        let (root, lineage) = (self.sink.directory.clone(), self.lineage.clone());
        let parts = blocking(&self.seams, move || {
            let parts = closed
                .into_iter()
                .map(|part| part.prepare(&lineage))
                .collect::<Result<Vec<PreparedPart>>>()?;
            sync_all_directories(&root, &parts)?;
            Ok(parts)
        })
        .await?;
        let committables = parts
            .iter()
            .map(|part| {
                FileCommittable::new(
                    part.partition.clone(),
                    part.prepared.clone(),
                    part.name.clone(),
                    part.bytes,
                )
                .to_committable(part.rows)
            })
            .collect();
        if !parts.is_empty() {
            self.prepared.insert(checkpoint, parts);
        }
        Ok(Prepared { committables, state: SinkState::new(self.lineage.clone()).to_json() })
    }

    async fn commit(&mut self, checkpoint: CheckpointId, prepared: &Prepared) -> Result<()> {
        let kind = match self.prepared.contains_key(&checkpoint) {
            true => CommitKind::First,
            false => CommitKind::Again,
        };
        if !prepared.committables.is_empty() {
            let (root, prepared) = (self.sink.directory.clone(), prepared.clone());
            blocking(&self.seams, move || commit(&root, &prepared, kind)).await?;
        }
        self.prepared.remove(&checkpoint);
        Ok(())
    }
}

/// Files that no checkpoint will name are removed; prepared ones may be named and stay.
impl Drop for FileSinkWriter {
    fn drop(&mut self) {
        std::mem::take(&mut self.open).into_values().for_each(PartFile::remove);
        std::mem::take(&mut self.closed).into_iter().for_each(ClosedPart::remove);
    }
}

/// The directories of the files and those above them, up to the table's: any may be new.
fn sync_all_directories(root: &std::path::Path, parts: &[PreparedPart]) -> Result<()> {
    let mut directories = std::collections::BTreeSet::new();
    for part in parts {
        let below = part.directory.ancestors().take_while(|above| above.starts_with(root));
        directories.extend(below.map(std::path::Path::to_owned));
    }
    directories.iter().try_for_each(|directory| sync_directory(directory))
}
