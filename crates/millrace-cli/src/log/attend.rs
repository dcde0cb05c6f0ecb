//! Commands that go on until they are done or a signal stops them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use futures::channel::oneshot;
use millrace_core::Error;
use millrace_core::seam::Seams;

use crate::failure::Failure;
use crate::signals::Signals;

/// Set when a signal asked the command to stop.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether to end now, in order.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// Runs `work` on a thread of its own, where it may block. The first signal sets the stop that it
/// was given; the second one ends the command at once. When `left` completes, nobody is left to
/// work for, and the command ends quietly.
pub(super) async fn attend<T: Send + 'static>(
    seams: &Seams,
    left: impl Future<Output = ()>,
    work: impl FnOnce(Stop) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::operation(&error))?;
    let stop = Stop::default();
    let (send, receive) = oneshot::channel();
    let given = stop.clone();
    let running = seams.spawner.spawn_blocking(Box::new(move || {
        // Nobody receives after a second signal.
        let _ = send.send(work(given));
    }));
    let (mut running, mut left) = (std::pin::pin!(running), std::pin::pin!(left));
    let mut is_left = false;
    loop {
        tokio::select! {
            ended = &mut running => {
                if let Err(error) = ended {
                    return Err(Failure::operation(&Error::report("the command broke off").caused_by(error)));
                }
                break;
            }
            () = &mut left, if !is_left => {
                is_left = true;
                stop.0.store(true, Relaxed);
            }
            signal = signals.next() => {
                if stop.0.swap(true, Relaxed) {
                    return Err(Failure::signal(signal));
                }
            }
        }
    }
    if is_left {
        return Err(Failure::quietly());
    }
    receive.await.unwrap_or_else(|_| {
        Err(Failure::operation(&Error::report("the command ended without a result")))
    })
}
