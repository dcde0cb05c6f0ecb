//! Where a run keeps its checkpoints, and where it begins.

use std::io::{BufRead, IsTerminal};

use millrace_checkpoint::{CheckpointStore, Lock, Manifest, split_manifest_uri};
use millrace_core::{Error, Result};

use super::notices::Notices;
use crate::args::RunArguments;
use crate::numbers::counted;

/// A job's own checkpoints, locked while it runs.
pub(super) struct OwnStore {
    pub(super) store: CheckpointStore,
    _lock: Lock,
}

/// Opens and locks the checkpoint directory; without one, checkpoints are kept in memory. With
/// `--fresh`, what is there is deleted, after a question.
///
/// # Errors
/// `FixInput` when the directory cannot be used, is in use, or when nobody said yes.
pub(super) async fn open_own(
    directory: Option<&str>,
    arguments: &RunArguments,
    notices: &Notices,
) -> Result<OwnStore> {
    let store = CheckpointStore::open(directory.unwrap_or("memory:"))?;
    let lock = store.lock()?;
    if arguments.fresh {
        match directory {
            Some(_) => clear(&store, arguments.yes, notices).await?,
            None => {
                return Err(Error::fix_input("--fresh has no checkpoints to delete")
                    .hint("name their directory with --checkpoint-dir"));
            }
        }
    }
    Ok(OwnStore { store, _lock: lock })
}

async fn clear(store: &CheckpointStore, yes: bool, notices: &Notices) -> Result<()> {
    let listed = store.list().await?;
    let Some(newest) = listed.last() else {
        // There may be leftovers of a first checkpoint that never completed.
        return store.clear().await;
    };
    let job = match &newest.summary {
        Ok(summary) => format!(" of job `{}`", summary.job),
        Err(_) => String::new(),
    };
    let lost = format!(
        "{}{job} in `{}`, the newest is {}",
        counted(listed.len() as u64, "checkpoint"),
        store.uri(),
        newest.checkpoint
    );
    if !yes && !agreed(&lost, notices) {
        return Err(Error::fix_input(format!("--fresh would delete {lost}"))
            .hint("say --yes to delete them, or name another --checkpoint-dir"));
    }
    store.clear().await?;
    notices.note(&format!("deleted {lost}; the job begins anew, its earlier output stays"));
    Ok(())
}

/// Asks, if somebody is there to answer.
fn agreed(lost: &str, notices: &Notices) -> bool {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return false;
    }
    notices.warn(&format!("--fresh deletes {lost}. Go on? [y/N]"));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// The checkpoint that `--restore` names, from its store.
///
/// # Errors
/// `FixInput` when it makes no sense with the job's own checkpoints, `Restore` when there is none
/// or it is damaged.
pub(super) async fn open_given(
    uri: &str,
    own: &CheckpointStore,
    notices: &Notices,
) -> Result<Option<(Manifest, CheckpointStore)>> {
    let (directory, checkpoint) = split_manifest_uri(uri);
    let store = CheckpointStore::open_existing(directory)?;
    if store.uri() == own.uri() {
        return Err(Error::fix_input("--restore and --checkpoint-dir name the same directory")
            .hint(
                "give the restored job a --checkpoint-dir of its own; one alone goes on from its \
                   newest checkpoint without --restore",
            ));
    }
    if let Some(newest) = own.list().await?.last() {
        notices.note(&format!(
            "`{}` holds checkpoint {}; the job goes on there, not from --restore",
            own.uri(),
            newest.checkpoint
        ));
        return Ok(None);
    }
    let manifest = match checkpoint {
        Some(checkpoint) => Some(store.load_verified(checkpoint).await?),
        None => {
            let newest = store.newest().await?;
            for (checkpoint, error) in newest.passed_over {
                notices.warn(&format!(
                    "checkpoint {checkpoint} of `{directory}` cannot be used: {error}"
                ));
            }
            newest.manifest
        }
    };
    match manifest {
        Some(manifest) => Ok(Some((manifest, store))),
        None => Err(Error::restore(format!("there is no checkpoint in `{directory}`"))),
    }
}
