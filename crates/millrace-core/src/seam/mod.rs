//! The seams: the clock, randomness and spawning are handed in.
//!
//! The engine runs in production on the system's clock and a tokio runtime, and in simulation on
//! one thread, in virtual time, from a seed. Nothing else in it may look at a clock, draw a random
//! number or start a task; `clippy.toml` forbids the usual ways. Storage is handed in too, as the
//! `object_store` behind `millrace-checkpoint`.

mod clock;
mod random;
mod spawn;

use std::fmt;
use std::sync::Arc;

pub use clock::{Clock, SystemClock};
pub use random::{Random, SystemRandom};
pub use spawn::{JoinError, Spawner, Task, TokioSpawner, yield_now};

/// Everything from outside that the engine runs on.
#[derive(Clone)]
pub struct Seams {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where random numbers come from.
    pub random: Arc<dyn Random>,
    /// Where tasks run.
    pub spawner: Arc<dyn Spawner>,
}

/// Without content: what is behind a seam is not for printing.
impl fmt::Debug for Seams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seams").finish_non_exhaustive()
    }
}

impl Seams {
    /// The system's clock and randomness, and the tokio runtime that the caller runs in.
    pub fn system() -> Self {
        Seams {
            clock: Arc::new(SystemClock::default()),
            random: Arc::new(SystemRandom::default()),
            spawner: Arc::new(TokioSpawner),
        }
    }
}
