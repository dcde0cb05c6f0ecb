//! The streaming plan: how it is built from queries, settled, explained and compiled.

mod aggregate;
mod build;
mod changelog;
mod explain;
mod graph;
mod identity;
mod node;
mod settle;
mod target;
mod text;
mod watermark_options;

pub(crate) use build::PlanBuilder;
pub use explain::Explanation;
pub(crate) use explain::explain;
pub(crate) use graph::{GraphOptions, graph};
pub(crate) use node::StreamPlan;
pub(crate) use settle::settle;
pub(crate) use target::{OutputShape, TableShape};
