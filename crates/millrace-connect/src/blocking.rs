//! Work that waits for a disk or another process, off the task's thread.

use millrace_core::seam::Seams;
use millrace_core::{Error, Result};
use tokio::sync::oneshot;

/// Runs `work` where it may block, and gives its result.
///
/// # Errors
/// Those of `work`; `Report` when it panicked.
pub(crate) async fn blocking<T: Send + 'static>(
    seams: &Seams,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, mut receiver) = oneshot::channel();
    let ended = seams.spawner.spawn_blocking(Box::new(move || {
        // Nobody waits any more when the task was dropped meanwhile.
        let _ = sender.send(work());
    }));
    let ended = ended.await;
    receiver.try_recv().unwrap_or_else(|_| {
        let error = Error::report("blocking work did not come to its end");
        Err(match ended {
            Err(cause) => error.caused_by(cause),
            Ok(()) => error,
        })
    })
}
