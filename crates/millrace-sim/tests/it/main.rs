//! The simulation itself.

mod executor;
mod fault;
