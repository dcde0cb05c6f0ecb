//! Random numbers from a seed.

use std::sync::{Mutex, PoisonError};

use millrace_core::seam::Random;
use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};

/// A seeded stream of random numbers; the same seed and purpose give the same stream.
#[derive(Debug)]
pub struct SimRandom(Mutex<StdRng>);

impl SimRandom {
    /// A stream for one purpose: streams of one seed with different purposes do not resemble each
    /// other, so that a draw more here changes nothing there.
    pub fn new(seed: u64, purpose: &str) -> Self {
        // FNV-1a, so that the seed of a stream is the same on every machine.
        let mixed = purpose
            .bytes()
            .chain(seed.to_le_bytes())
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        SimRandom(Mutex::new(StdRng::seed_from_u64(mixed)))
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&self, bound: u64) -> u64 {
        // The high half of a product: as even as 64 bits allow, and one draw each time.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True in about `per_mille` of 1,000 cases.
    pub fn chance(&self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }
}

impl Random for SimRandom {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }
}
