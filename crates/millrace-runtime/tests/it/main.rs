//! Whole jobs on the runtime, with sources and sinks that only these tests have.

mod alignment;
mod failure;
mod flow;
mod idleness;
mod support;
