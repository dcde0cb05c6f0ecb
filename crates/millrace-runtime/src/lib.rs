//! Execution of jobs: graph, tasks, exchange, time, checkpoints and recovery.
//!
//! A front end builds a [`JobGraph`]; a [`Job`] runs it on the seams that it is handed (the
//! system's, or a simulation's), keeps its checkpoints in a
//! [`CheckpointStore`](millrace_checkpoint::CheckpointStore), and is watched and stopped through a
//! [`JobWatch`].
//!
//! What this crate is not: it knows no SQL, no connector and no format, and it does not distribute
//! a job over machines.

pub mod graph;
pub mod ledger;
pub mod options;
pub mod testing;
pub mod watch;
pub mod window;

mod exchange;
mod execution;
mod job;
mod plan;
mod task;

pub use graph::{
    Edge, Exchange, JobGraph, Node, NodeIndex, NodeKind, SourceNode, WatermarkAlignment,
};
pub use job::{Job, JobReport, Outcome};
pub use ledger::{Ledger, LedgerLine, NodeRole};
pub use options::{JobOptions, RestartStrategy};
pub use watch::{CheckpointStats, JobEvent, JobState, JobWatch, OperatorStatus};
