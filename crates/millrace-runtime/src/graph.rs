//! The job graph: what is to be run, before it is cut into tasks.
//!
//! A graph is a DAG of nodes (sources, operators, sinks), each with its own parallelism, joined by
//! edges that say how rows are exchanged. Front ends (the typed API, SQL) build it; [`crate::Job`]
//! runs it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use millrace_core::{
    BadRecordPolicy, Error, KeyGroups, Operator, OperatorId, Partitioner, Port, Result, Sink,
    Source, Subtask, WatermarkStrategy,
};

/// A node's place in [`JobGraph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub usize);

/// Makes the parallel instances of an operator.
pub type OperatorFactory = Arc<dyn Fn(Subtask) -> Result<Box<dyn Operator>> + Send + Sync>;

/// Makes a partitioner for each sending subtask.
pub type PartitionerFactory = Arc<dyn Fn(KeyGroups) -> Box<dyn Partitioner> + Send + Sync>;

/// A job as a DAG of nodes.
#[derive(Clone)]
pub struct JobGraph {
    /// The job's name, in messages and manifests.
    pub name: String,
    /// Sources, operators and sinks. An edge leads from a smaller index to a larger one.
    pub nodes: Vec<Node>,
    /// Which output feeds which input.
    pub edges: Vec<Edge>,
    /// How keys are spread.
    pub key_groups: KeyGroups,
}

/// A source, an operator or a sink.
#[derive(Clone)]
pub struct Node {
    /// Its name in checkpoints, unique in the graph.
    pub id: OperatorId,
    /// Its name for people, such as `window TUMBLE(1 h) by origin`.
    pub name: String,
    /// How many subtasks it has, at least 1.
    pub parallelism: usize,
    /// What it does.
    pub kind: NodeKind,
}

/// What a node does.
#[derive(Clone)]
pub enum NodeKind {
    /// Brings rows in.
    Source(SourceNode),
    /// Works on rows.
    Operator(OperatorFactory),
    /// Takes rows out.
    Sink(Arc<dyn Sink>),
}

/// A source with what the runtime does around it.
#[derive(Clone)]
pub struct SourceNode {
    /// Where rows come from.
    pub source: Arc<dyn Source>,
    /// How rows get event time; without it they have none, and no watermark but the final one.
    pub watermarks: Option<Arc<dyn WatermarkStrategy>>,
    /// What becomes of records that can't be decoded. With `DeadLetter` they leave as
    /// `Records<BadRecord>` at [`Port::SIDE`].
    pub bad_records: BadRecordPolicy,
    /// A split that is silent for so long stops holding back the watermark. `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Whether splits that run ahead wait for others.
    pub alignment: Option<WatermarkAlignment>,
}

/// Splits of the sources of one group do not run away from each other in event time.
///
/// A split whose watermark is more than `max_drift` ahead of the one furthest behind in the whole
/// group is not read for so long. It may be ahead by a batch more. Splits that are finished or idle are
/// not waited for; one that has not had a record yet is, until it is idle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatermarkAlignment {
    /// Sources that name the same group wait for each other.
    pub group: String,
    /// How far a split may be ahead.
    pub max_drift: Duration,
}

/// Joins an output to an input.
#[derive(Clone)]
pub struct Edge {
    /// The node that sends.
    pub from: NodeIndex,
    /// Which of its outputs.
    pub port: Port,
    /// The node that receives.
    pub to: NodeIndex,
    /// Which of its inputs; 0 unless it is a join.
    pub input: usize,
    /// Which subtask gets which rows.
    pub exchange: Exchange,
}

/// How rows of one operator's subtasks reach the subtasks of the next.
#[derive(Clone)]
pub enum Exchange {
    /// Subtask *i* feeds subtask *i*; both sides have the same parallelism. May be chained.
    Forward,
    /// Each row goes to the owner of its key group.
    Hash(PartitionerFactory),
    /// Batches go to the subtasks in turn.
    Rebalance,
    /// Every subtask gets every row.
    Broadcast,
}

impl Exchange {
    /// The exchange's name in plans.
    pub fn name(&self) -> &'static str {
        match self {
            Exchange::Forward => "forward",
            Exchange::Hash(_) => "hash",
            Exchange::Rebalance => "rebalance",
            Exchange::Broadcast => "broadcast",
        }
    }
}

impl JobGraph {
    /// An empty graph.
    pub fn new(name: impl Into<String>, key_groups: KeyGroups) -> Self {
        JobGraph { name: name.into(), nodes: Vec::new(), edges: Vec::new(), key_groups }
    }

    /// Adds a node and returns its index.
    pub fn add(&mut self, node: Node) -> NodeIndex {
        self.nodes.push(node);
        NodeIndex(self.nodes.len() - 1)
    }

    /// Feeds input 0 of `to` from `port` of `from`.
    pub fn connect(&mut self, from: NodeIndex, port: Port, to: NodeIndex, exchange: Exchange) {
        self.edges.push(Edge { from, port, to, input: 0, exchange });
    }

    /// The node at `index`.
    pub fn node(&self, index: NodeIndex) -> &Node {
        &self.nodes[index.0]
    }

    /// The edges that leave `node`.
    pub fn outputs(&self, node: NodeIndex) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.from == node)
    }

    /// The edges that lead to `node`.
    pub fn inputs(&self, node: NodeIndex) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.to == node)
    }

    /// Checks what every other part of the runtime relies on.
    ///
    /// # Errors
    /// `FixInput` for what a user can cause (a parallelism of 0 or above the number of key groups,
    /// two operators with one uid, an empty job), `Report` for what only a front end can.
    pub fn validate(&self) -> Result<()> {
        if self.nodes.is_empty() {
            return Err(Error::fix_input(format!("job `{}` has nothing to run", self.name)));
        }
        let mut ids = HashSet::new();
        for node in &self.nodes {
            if !ids.insert(&node.id) {
                return Err(Error::fix_input(format!(
                    "two operators of job `{}` have the id `{}`",
                    self.name, node.id
                ))
                .hint("give each a `uid` of its own"));
            }
            let limit = usize::from(self.key_groups.max_parallelism());
            if node.parallelism == 0 || node.parallelism > limit {
                return Err(Error::fix_input(format!(
                    "operator `{}` has a parallelism of {}; 1 to {limit} (the number of key \
                     groups) is possible",
                    node.name, node.parallelism
                )));
            }
        }
        for edge in &self.edges {
            self.validate_edge(edge)?;
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let inputs = self.inputs(NodeIndex(index)).count();
            let is_source = matches!(node.kind, NodeKind::Source(_));
            if is_source != (inputs == 0) {
                return Err(Error::report(format!("node `{}` has {inputs} inputs", node.name)));
            }
        }
        Ok(())
    }

    fn validate_edge(&self, edge: &Edge) -> Result<()> {
        let broken =
            |what: &str| Err(Error::report(format!("edge {} → {} {what}", edge.from.0, edge.to.0)));
        if edge.from >= edge.to || edge.to.0 >= self.nodes.len() {
            return broken("does not lead forward to a node of the graph");
        }
        if matches!(self.node(edge.from).kind, NodeKind::Sink(_)) {
            return broken("leaves a sink");
        }
        let same = self.node(edge.from).parallelism == self.node(edge.to).parallelism;
        if matches!(edge.exchange, Exchange::Forward) && !same {
            return broken("is forward between different parallelisms");
        }
        Ok(())
    }
}
