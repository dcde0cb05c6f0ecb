//! What a run says on standard error while it goes on.

use indicatif::ProgressBar;
use millrace_runtime::JobEvent;

use crate::failure::paint;
use crate::numbers::{counted, lasting};
use crate::stderr::say;

/// Writes to standard error, around the progress line.
#[derive(Clone)]
pub(super) struct Notices {
    line: ProgressBar,
    quiet: bool,
}

impl Notices {
    pub(super) fn new(line: ProgressBar, quiet: bool) -> Self {
        Notices { line, quiet }
    }

    /// Something to know; left out with `--quiet`.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            self.line.suspend(|| say!("{text}"));
        }
    }

    /// Something that may need doing; shown with `--quiet` too.
    pub(super) fn warn(&self, text: &str) {
        let warning = paint("warning:", "1;33");
        self.line.suspend(|| say!("{warning} {text}"));
    }

    /// Tells of an event, if it is worth a line.
    pub(super) fn tell(&self, event: &JobEvent) {
        match event {
            JobEvent::Restored { checkpoint, uri } => {
                self.note(&format!("going on from checkpoint {checkpoint} in `{uri}`"));
            }
            JobEvent::PassedOver { checkpoint, reason } => self.warn(&format!(
                "checkpoint {checkpoint} cannot be used, an older one is taken; what was committed \
                 with it may be written once more\n  cause: {reason}"
            )),
            JobEvent::CheckpointCompleted { checkpoint, duration, bytes } => {
                tracing::debug!(%checkpoint, ?duration, bytes, "checkpoint complete");
            }
            JobEvent::CheckpointFailed { checkpoint, reason } => {
                self.warn(&format!("checkpoint {checkpoint} was given up: {reason}"));
            }
            JobEvent::PruningFailed { reason } => {
                self.warn(&format!("old checkpoints could not be deleted: {reason}"));
            }
            JobEvent::Restarting { error, restart, delay } => self.warn(&format!(
                "the job failed and starts again in {} (restart {restart} in a row): {error}",
                lasting(*delay)
            )),
            JobEvent::SplitIdle { source, split } => self.note(&format!(
                "`{split}` of `{source}` is silent and no longer holds back the watermark"
            )),
            JobEvent::SplitsFound { source, splits } => {
                self.note(&format!("`{source}` has {}", counted(*splits as u64, "new split")));
            }
        }
    }
}
