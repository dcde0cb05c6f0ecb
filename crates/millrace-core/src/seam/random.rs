use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Gives random numbers; not for secrets.
pub trait Random: Send + Sync {
    /// 64 random bits.
    fn next_u64(&self) -> u64;
}

/// Seeded by the operating system, through the standard library's hash keys.
#[derive(Debug)]
pub struct SystemRandom {
    keys: RandomState,
    drawn: AtomicU64,
}

impl Default for SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn default() -> Self {
        SystemRandom { keys: RandomState::new(), drawn: AtomicU64::new(0) }
    }
}

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        let mut hasher = self.keys.build_hasher();
        hasher.write_u64(self.drawn.fetch_add(1, Relaxed));
        hasher.finish()
    }
}
