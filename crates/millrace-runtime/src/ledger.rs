//! The ledger of a whole job: sums over subtasks, and the three laws (`millrace_core::ledger`).

use millrace_core::{CheckpointId, LedgerCounts, OperatorId, Port};
use serde::Serialize;

use crate::graph::{Exchange, JobGraph, NodeIndex, NodeKind};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeRole {
    /// It brings rows in.
    Source,
    /// It works on rows.
    Operator,
    /// It takes rows out.
    Sink,
}

impl NodeRole {
    /// The role of a node of this kind.
    pub fn of(kind: &NodeKind) -> Self {
        match kind {
            NodeKind::Source(_) => NodeRole::Source,
            NodeKind::Operator(_) => NodeRole::Operator,
            NodeKind::Sink(_) => NodeRole::Sink,
        }
    }
}

/// Where the rows of one node went, since the job's first start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerLine {
    /// The node's id in checkpoints.
    pub id: OperatorId,
    /// The node's name for people.
    pub name: String,
    /// What the node is.
    pub role: NodeRole,
    /// All subtasks together.
    pub counts: LedgerCounts,
}

/// Where every row of a job went, as of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// The checkpoint whose barriers cut the counts.
    pub checkpoint: Option<CheckpointId>,
    /// A line for each node, in the order of the graph.
    pub lines: Vec<LedgerLine>,
}

impl Ledger {
    /// An empty ledger for a graph.
    pub(crate) fn of(graph: &JobGraph) -> Self {
        let lines = graph.nodes.iter().map(|node| LedgerLine {
            id: node.id.clone(),
            name: node.name.clone(),
            role: NodeRole::of(&node.kind),
            counts: LedgerCounts::default(),
        });
        Ledger { checkpoint: None, lines: lines.collect() }
    }

    /// Rows read by all sources.
    pub fn rows_read(&self) -> u64 {
        let sources = self.lines.iter().filter(|line| line.role == NodeRole::Source);
        sources.map(|line| line.counts.rows_in).sum()
    }

    /// What does not add up, a sentence each; nothing if all is well.
    pub(crate) fn differences(&self, graph: &JobGraph) -> Vec<String> {
        let mut found = Vec::new();
        for line in &self.lines {
            let unaccounted = line.counts.unaccounted();
            if unaccounted != 0 {
                found.push(format!(
                    "`{}` had {} rows in and cannot say what became of {unaccounted} of them",
                    line.name, line.counts.rows_in
                ));
            }
        }
        for (index, line) in self.lines.iter().enumerate() {
            let received = line.counts.rows_in;
            let sent = expected_in(graph, NodeIndex(index), |from, port| self.sent(from, port));
            if line.role != NodeRole::Source && sent != received {
                found.push(format!("`{}` was sent {sent} rows and received {received}", line.name));
            }
        }
        found
    }

    fn sent(&self, from: NodeIndex, port: Port) -> u64 {
        self.lines[from.0].counts.rows_out.get(port.0).copied().unwrap_or(0)
    }
}

/// The rows that all edges into a node carried.
fn expected_in(graph: &JobGraph, node: NodeIndex, sent: impl Fn(NodeIndex, Port) -> u64) -> u64 {
    let edges = graph.inputs(node).map(|edge| {
        let copies = match edge.exchange {
            Exchange::Broadcast => graph.node(node).parallelism as u64,
            Exchange::Forward | Exchange::Hash(_) | Exchange::Rebalance => 1,
        };
        sent(edge.from, edge.port) * copies
    });
    edges.sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millrace_core::{Batch, Collector, KeyGroups, Operator, Result, Subtask};

    use super::*;
    use crate::graph::Node;

    struct Nothing;

    impl Operator for Nothing {
        fn process(&mut self, _: usize, _: Batch, _: &mut dyn Collector) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_row_lost_in_an_operator_or_between_two_is_found() {
        let mut graph = JobGraph::new("test", KeyGroups::default());
        for (name, parallelism) in [("a", 1), ("b", 3)] {
            graph.add(Node {
                id: OperatorId::new(name),
                name: name.to_owned(),
                parallelism,
                kind: NodeKind::Operator(Arc::new(|_: Subtask| {
                    Ok(Box::new(Nothing) as Box<dyn Operator>)
                })),
            });
        }
        graph.connect(NodeIndex(0), Port::MAIN, NodeIndex(1), Exchange::Broadcast);
        let mut ledger = Ledger::of(&graph);
        ledger.lines[0].role = NodeRole::Source;
        ledger.lines[0].counts =
            LedgerCounts { rows_in: 5, passed: 5, rows_out: vec![5], ..LedgerCounts::default() };
        ledger.lines[1].counts =
            LedgerCounts { rows_in: 15, absorbed: 15, ..LedgerCounts::default() };
        assert_eq!(ledger.differences(&graph), Vec::<String>::new());
        ledger.lines[1].counts.rows_in = 14;
        assert_eq!(
            ledger.differences(&graph),
            [
                "`b` had 14 rows in and cannot say what became of -1 of them",
                "`b` was sent 15 rows and received 14",
            ]
        );
    }
}
