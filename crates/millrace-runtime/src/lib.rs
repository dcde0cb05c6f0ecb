//! Execution of jobs: graph, tasks, exchange, time, checkpoints and recovery.

pub mod graph;
pub mod testing;
pub mod window;

pub use graph::{Edge, Exchange, JobGraph, Node, NodeIndex, NodeKind, SourceNode};
