//! The binary as its users meet it: whole outputs, exit codes, signals.

mod bad_input;
mod explain;
mod harness;
mod kill;
#[cfg(feature = "kafka")]
mod log;
mod metrics;
mod misuse;
mod month;
mod resume;
mod signals;
mod storage_faults;
mod streams;
#[cfg(feature = "kafka")]
mod topics;
