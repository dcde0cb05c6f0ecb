//! The simulation itself, and jobs in it.

mod executor;
mod fault;
mod job;
