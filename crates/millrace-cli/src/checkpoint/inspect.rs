use std::fmt::Write;

use millrace_checkpoint::{
    CheckpointStore, Manifest, OperatorEntry, SubtaskEntry, split_manifest_uri,
};
use millrace_core::{CheckpointId, Error};
use serde_json::Value;

use super::kind_name;
use crate::args::CheckpointArguments;
use crate::failure::Failure;
use crate::numbers::{bytes, counted, lasting};
use crate::stderr::say;
use crate::stdout;

/// Prints what a checkpoint holds, after all its files were read and compared with their checksums.
pub(super) async fn inspect(arguments: &CheckpointArguments) -> Result<(), Failure> {
    let (directory, checkpoint) = split_manifest_uri(&arguments.uri);
    let store = CheckpointStore::open_existing(directory)
        .map_err(|error| Failure::before_running(&error))?;
    let (manifest, passed_over) =
        whole(&store, checkpoint).await.map_err(|error| Failure::operation(&error))?;
    for (checkpoint, error) in passed_over {
        say!("warning: checkpoint {checkpoint} is damaged: {}", error.full_report());
    }
    if arguments.json {
        let value = serde_json::to_string_pretty(&manifest).map_err(|cause| {
            Failure::operation(&Error::report("a manifest is not JSON").caused_by(cause))
        })?;
        return stdout::print(&(value + "\n"));
    }
    stdout::print(&described(&manifest))
}

type Whole = (Manifest, Vec<(CheckpointId, Error)>);

async fn whole(
    store: &CheckpointStore,
    checkpoint: Option<CheckpointId>,
) -> millrace_core::Result<Whole> {
    if let Some(checkpoint) = checkpoint {
        return Ok((store.load_verified(checkpoint).await?, Vec::new()));
    }
    let newest = store.newest().await?;
    match newest.manifest {
        Some(manifest) => Ok((manifest, newest.passed_over)),
        None => Err(Error::restore(format!("there is no checkpoint in `{}`", store.uri()))),
    }
}

fn described(manifest: &Manifest) -> String {
    let files = manifest.files().count() as u64;
    let mut text = format!(
        "checkpoint {} of job `{}`\n\
         kind            {}\n\
         begun           {} UTC, complete after {}\n\
         state           {} in {}, all whole\n\
         key groups      {}\n\
         starts of job   {}\n",
        manifest.checkpoint,
        manifest.job,
        kind_name(manifest.kind),
        manifest.triggered,
        lasting(std::time::Duration::from_millis(manifest.duration_ms)),
        bytes(manifest.bytes()),
        counted(files, "file"),
        manifest.max_parallelism,
        manifest.attempts,
    );
    for (id, operator) in &manifest.operators {
        describe_operator(id.as_str(), operator, &mut text);
    }
    text
}

fn describe_operator(id: &str, operator: &OperatorEntry, text: &mut String) {
    let subtasks = operator.subtasks.len() as u64;
    // Writing to a string does not fail.
    let _ = writeln!(text, "\n{} ({})", operator.name, counted(subtasks, "subtask"));
    let _ = writeln!(text, "  id      {id}");
    let _ = writeln!(text, "  rows    {} in", counted(operator.ledger.rows_in, "row"));
    for (index, subtask) in operator.subtasks.iter().enumerate() {
        describe_subtask(index, subtask, text);
    }
}

fn describe_subtask(index: usize, subtask: &SubtaskEntry, text: &mut String) {
    if !subtask.state.is_empty() {
        let size = subtask.state.iter().map(|file| file.bytes).sum();
        let files = subtask.state.len() as u64;
        let _ = writeln!(
            text,
            "  state   subtask {index}: {} in {}",
            bytes(size),
            counted(files, "file")
        );
    }
    for split in &subtask.splits {
        let position = match (&split.split.position, split.finished) {
            (_, true) => "read to its end".to_owned(),
            (Value::Null, false) => "not begun".to_owned(),
            (position, false) => format!("at {position}"),
        };
        let _ = writeln!(
            text,
            "  split   subtask {index}: {} {position}, watermark {}",
            split.split.id, split.watermark
        );
    }
    if let Some(prepared) = &subtask.prepared {
        let rows = prepared.committables.iter().map(|committable| committable.rows).sum();
        let _ = writeln!(
            text,
            "  output  subtask {index}: {} in {} prepared",
            counted(rows, "row"),
            counted(prepared.committables.len() as u64, "piece")
        );
    }
}
