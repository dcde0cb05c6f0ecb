use std::future::pending;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Completes when nobody reads standard output any more. A write would tell so, too, but while
/// nothing comes nothing is written, and the command would stay for ever.
pub(super) async fn closed() {
    // Only pipes and the like can be watched; a file has no reader that could go away.
    let Ok(watched) = watch() else { return pending().await };
    loop {
        match watched.ready(Interest::ERROR).await {
            Ok(ready) if ready.ready().is_error() => return,
            Ok(mut ready) => ready.clear_ready(),
            Err(_) => return pending().await,
        }
    }
}

#[expect(deprecated, reason = "what replaces it is unsafe; this descriptor is owned, and stays")]
fn watch() -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(io::stdout().as_fd().try_clone_to_owned()?, Interest::ERROR)
}
