//! The streaming plan: sources, calcs, window aggregations and sinks, before they become a graph.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millrace_connect::SinkTable;
use millrace_core::Port;

use crate::expr::Typed;
use crate::operators::changelog_normalize::NormalizeSpec;
use crate::operators::window_aggregate::WindowAggregateSpec;
use crate::planner::Table;

/// A node's place in [`StreamPlan::nodes`].
pub(crate) type NodeId = usize;

/// A DAG of nodes; an input has a smaller number than the node that reads it.
#[derive(Default)]
pub(crate) struct StreamPlan {
    pub nodes: Vec<StreamNode>,
}

/// A node and what it reads.
pub(crate) struct StreamNode {
    pub kind: NodeKind,
    pub inputs: Vec<Input>,
    /// The columns that go out at [`Port::MAIN`].
    pub schema: SchemaRef,
    /// The rowtime among them.
    pub rowtime: Option<usize>,
    pub parallelism: usize,
    /// What it computes, in words, down to the sources; see [`super::identity`].
    pub identity: String,
    /// Of a sink whose rows are changes.
    pub changes: Option<SinkChanges>,
}

/// What a sink has to know of the changes that it gets.
#[derive(Clone, Debug)]
pub(crate) struct SinkChanges {
    /// The columns of which no two rows of the changing table have the same values; `None` when
    /// not all of them are there.
    pub key: Option<Vec<usize>>,
    /// Whether it needs the rows as they were before their updates.
    pub update_before: bool,
}

/// Where a node's rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    pub node: NodeId,
    pub port: Port,
}

/// What a node does.
pub(crate) enum NodeKind {
    Scan(Scan),
    Calc(Calc),
    Normalize(NormalizeSpec),
    Window(WindowAggregateSpec),
    Sink(Target),
}

/// A table that is read, once for all that read it.
pub(crate) struct Scan {
    pub table: Arc<Table>,
    /// The physical columns that someone needs, ascending.
    pub used: Vec<usize>,
}

/// A filter and a projection.
pub(crate) struct Calc {
    /// Rows stay if all of these are true.
    pub conditions: Vec<Typed>,
    /// One for each column that goes out.
    pub columns: Vec<Typed>,
    /// Columns of a sink that may not be null, where the query's may.
    pub not_null: Vec<usize>,
    /// The sink's name, for what is said about nulls.
    pub target: String,
}

/// Where a statement's rows go.
pub(crate) enum Target {
    /// A table.
    Table { name: String, connector: &'static str, sink: SinkTable },
    /// The output of a bare SELECT, by the statement's number.
    Output { statement: usize, sink: Arc<dyn millrace_core::Sink> },
}

impl StreamPlan {
    /// Adds a node and returns its number.
    pub fn add(&mut self, node: StreamNode) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The numbers of the nodes that read `node` at `port`.
    pub fn readers(&self, node: NodeId, port: Port) -> impl Iterator<Item = NodeId> {
        let input = Input { node, port };
        self.nodes
            .iter()
            .enumerate()
            .filter(move |(_, reader)| reader.inputs.contains(&input))
            .map(|(id, _)| id)
    }
}
