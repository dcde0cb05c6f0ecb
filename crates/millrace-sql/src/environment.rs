//! What a script is planned with, and what comes of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millrace_core::{KeyGroups, Sink};
use millrace_runtime::graph::JobGraph;

use crate::plan::Explanation;

/// The rows of a bare SELECT.
#[derive(Clone, Copy, Debug)]
pub struct SelectOutput<'a> {
    /// Their columns.
    pub schema: &'a SchemaRef,
    /// The statement's number in its script, from 0.
    pub statement: usize,
    /// Whether rows change those before them, so that each has a kind.
    pub is_changelog: bool,
}

/// Makes the sink of a bare SELECT.
pub type OutputSink = Arc<dyn Fn(SelectOutput<'_>) -> Arc<dyn Sink> + Send + Sync>;

/// What a script is planned with.
#[derive(Clone)]
pub struct SqlEnvironment {
    /// The parallelism of a job that does not set `parallelism.default`.
    pub default_parallelism: usize,
    /// The key groups of a job that does not set `pipeline.max-parallelism`.
    pub key_groups: KeyGroups,
    /// Settings from the command line; they win over the script's.
    pub settings: Vec<(String, String)>,
    /// Where the rows of bare SELECTs go. Such a sink has one writer.
    pub output: OutputSink,
}

/// A script as a job.
pub struct PlannedScript {
    /// What is to be run. Without nodes if the script only explains.
    pub graph: JobGraph,
    /// The settings in force, by key. Only known keys, with checked values.
    pub settings: BTreeMap<String, String>,
    /// The whole job's plan.
    pub explain: Explanation,
    /// The plans that the script asks for with EXPLAIN, in their order.
    pub explained: Vec<Explanation>,
    /// What the author should know, though nothing is wrong; a line each.
    pub warnings: Vec<String>,
}

impl fmt::Debug for PlannedScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlannedScript")
            .field("settings", &self.settings)
            .field("explain", &self.explain.text)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}
