//! Cuts a job graph into tasks: which operators share one, and which channels join them.

use millrace_core::Port;

use crate::graph::{Edge, Exchange, JobGraph, NodeIndex, NodeKind};

/// Operators that run in one task, from the first to the last; one task for each subtask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// A source or an operator, then operators, then perhaps a sink.
    pub(crate) members: Vec<NodeIndex>,
    /// The parallelism that all of them have.
    pub(crate) parallelism: usize,
}

/// A graph cut into chains.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In an order in which writers come before readers.
    pub(crate) chains: Vec<Chain>,
    /// Indices into the graph's edges: those that cross from chain to chain.
    pub(crate) crossing: Vec<usize>,
}

impl Plan {
    pub(crate) fn of(graph: &JobGraph, chaining: bool) -> Plan {
        let mut chains: Vec<Chain> = Vec::new();
        let mut chain_of = vec![usize::MAX; graph.nodes.len()];
        let mut crossing = Vec::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            let upstream = if chaining { chained_upstream(graph, NodeIndex(index)) } else { None };
            match upstream {
                Some(upstream) => {
                    chain_of[index] = chain_of[upstream.0];
                    chains[chain_of[index]].members.push(NodeIndex(index));
                }
                None => {
                    chain_of[index] = chains.len();
                    chains.push(Chain {
                        members: vec![NodeIndex(index)],
                        parallelism: node.parallelism,
                    });
                }
            }
        }
        for (index, edge) in graph.edges.iter().enumerate() {
            let inside = chaining && chained_upstream(graph, edge.to) == Some(edge.from);
            if !inside {
                crossing.push(index);
            }
        }
        Plan { chains, crossing }
    }

    pub(crate) fn tasks(&self) -> usize {
        self.chains.iter().map(|chain| chain.parallelism).sum()
    }
}

/// Whether rows of subtask *i* all go to subtask *i*. An exchange between one subtask and one has
/// no choice, whatever it is called.
pub(crate) fn is_forward(graph: &JobGraph, edge: &Edge) -> bool {
    let (from, to) = (graph.node(edge.from).parallelism, graph.node(edge.to).parallelism);
    matches!(edge.exchange, Exchange::Forward) || (from == 1 && to == 1)
}

/// The node whose task `node` joins: its only input, which has `node` as the only reader of its
/// main output, one to one.
fn chained_upstream(graph: &JobGraph, node: NodeIndex) -> Option<NodeIndex> {
    let mut inputs = graph.inputs(node);
    let (Some(edge), None) = (inputs.next(), inputs.next()) else {
        return None;
    };
    let readers = graph.outputs(edge.from).filter(|other| other.port == Port::MAIN).count();
    let fits = edge.port == Port::MAIN
        && readers == 1
        && is_forward(graph, edge)
        && !matches!(graph.node(edge.from).kind, NodeKind::Sink(_));
    fits.then_some(edge.from)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millrace_core::{Batch, Collector, KeyGroups, Operator, OperatorId, Result, Subtask};

    use super::*;
    use crate::graph::Node;

    struct Nothing;

    impl Operator for Nothing {
        fn process(&mut self, _: usize, _: Batch, _: &mut dyn Collector) -> Result<()> {
            Ok(())
        }
    }

    fn graph(parallelisms: &[usize]) -> JobGraph {
        let mut graph = JobGraph::new("test", KeyGroups::default());
        for (index, &parallelism) in parallelisms.iter().enumerate() {
            let factory = |_: Subtask| Ok(Box::new(Nothing) as Box<dyn Operator>);
            graph.add(Node {
                id: OperatorId::new(format!("n{index}")),
                name: format!("n{index}"),
                parallelism,
                kind: NodeKind::Operator(Arc::new(factory)),
            });
        }
        graph
    }

    fn chains(graph: &JobGraph) -> Vec<Vec<usize>> {
        let plan = Plan::of(graph, true);
        plan.chains.iter().map(|chain| chain.members.iter().map(|node| node.0).collect()).collect()
    }

    #[test]
    fn forward_edges_chain_and_exchanges_do_not() {
        let mut graph = graph(&[2, 2, 2, 2]);
        graph.connect(NodeIndex(0), Port::MAIN, NodeIndex(1), Exchange::Forward);
        graph.connect(NodeIndex(1), Port::MAIN, NodeIndex(2), Exchange::Rebalance);
        graph.connect(NodeIndex(2), Port::MAIN, NodeIndex(3), Exchange::Forward);
        assert_eq!(chains(&graph), [vec![0, 1], vec![2, 3]]);
        assert_eq!(Plan::of(&graph, true).crossing, [1]);
        assert_eq!(Plan::of(&graph, false).chains.len(), 4);
    }

    #[test]
    fn an_exchange_between_single_subtasks_chains() {
        let mut graph = graph(&[1, 1]);
        graph.connect(NodeIndex(0), Port::MAIN, NodeIndex(1), Exchange::Rebalance);
        assert_eq!(chains(&graph), [vec![0, 1]]);
    }

    #[test]
    fn a_node_with_two_readers_ends_its_chain() {
        let mut graph = graph(&[1, 1, 1]);
        graph.connect(NodeIndex(0), Port::MAIN, NodeIndex(1), Exchange::Forward);
        graph.connect(NodeIndex(0), Port::MAIN, NodeIndex(2), Exchange::Forward);
        assert_eq!(chains(&graph), [vec![0], vec![1], vec![2]]);
    }

    #[test]
    fn a_reader_of_a_side_output_is_a_task_of_its_own() {
        let mut graph = graph(&[1, 1, 1]);
        graph.connect(NodeIndex(0), Port::MAIN, NodeIndex(1), Exchange::Forward);
        graph.connect(NodeIndex(0), Port::SIDE, NodeIndex(2), Exchange::Forward);
        assert_eq!(chains(&graph), [vec![0, 1], vec![2]]);
        assert_eq!(Plan::of(&graph, true).crossing, [1]);
    }
}
