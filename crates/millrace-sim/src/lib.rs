//! Deterministic simulation: the engine on one thread, in virtual time, from a seed.
//!
//! A [`Simulation`] hands a job the [`Seams`](millrace_core::seam::Seams) of a simulated world. All
//! its tasks run on the calling thread; which of the ready ones goes next, what random numbers the
//! job draws and which faults its storage shows ([`FaultyStore`]) follow from the seed alone, so a
//! failure that one seed shows is shown again by the same seed. Time stands still while anything can
//! run and then jumps to the next timer: an hour of a job passes in milliseconds.
//!
//! The simulation can end at any step ([`Simulation::crash_after`]), as a killed process does, and
//! a second one can be started on what the first has stored.
//!
//! What it does not do: it has no threads, so it finds no data race, and code that takes the
//! system's clock or draws randomness elsewhere escapes it. That is what the two [`Trace`]s of one
//! seed are compared for.

mod clock;
mod executor;
mod fault;
mod random;
mod seeds;
mod trace;

pub use executor::{Simulated, Simulation, run};
pub use fault::{Fault, Faults, FaultyStore};
pub use random::SimRandom;
pub use seeds::{SEED_VARIABLE, for_each_seed};
pub use trace::{Step, Trace};
