//! Execution of jobs: graph, tasks, exchange, time, checkpoints and recovery.

pub mod graph;
pub mod window;

pub use graph::{Edge, Exchange, JobGraph, Node, NodeIndex, NodeKind, SourceNode};
