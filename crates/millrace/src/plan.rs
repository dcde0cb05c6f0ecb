//! The job as it is written down, until it is known how parallel each part is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use millrace_core::{Error, KeyGroups, OperatorId, Port, Result};
use millrace_runtime::graph::PartitionerFactory;
use millrace_runtime::{Exchange, JobGraph, Node, NodeIndex, NodeKind};

/// Shared by an environment and its streams.
#[derive(Clone, Default)]
pub struct Plan(Arc<Mutex<Draft>>);

#[derive(Default)]
struct Draft {
    nodes: Vec<DraftNode>,
    edges: Vec<DraftEdge>,
}

/// Makes a node's work for the given parallelism.
pub type Build = Box<dyn Fn(usize) -> NodeKind + Send>;

struct DraftNode {
    settings: Settings,
    /// What it is, for ids and names: `map`, `window TUMBLE(60000 ms)`.
    what: String,
    build: Build,
}

/// What a user may say about an operator.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub uid: Option<String>,
    pub name: Option<String>,
    pub parallelism: Option<usize>,
}

struct DraftEdge {
    from: NodeIndex,
    port: Port,
    to: NodeIndex,
    route: Route,
}

/// How rows get from one operator to the next.
#[derive(Clone)]
pub enum Route {
    /// Straight on when both sides are as parallel, in turn otherwise.
    Forward,
    /// In turn.
    Rebalance,
    /// To all.
    Broadcast,
    /// By key; straight on when there is only one to one.
    Hash(PartitionerFactory),
}

impl Plan {
    /// Adds a node without inputs.
    pub fn source(&self, what: impl Into<String>, build: Build) -> NodeIndex {
        self.add(what.into(), Settings::default(), build)
    }

    /// Adds a node that reads `port` of `from`.
    pub fn then(
        &self,
        (from, port, route): (NodeIndex, Port, Route),
        what: impl Into<String>,
        settings: Settings,
        build: Build,
    ) -> NodeIndex {
        let to = self.add(what.into(), settings, build);
        self.lock().edges.push(DraftEdge { from, port, to, route });
        to
    }

    fn add(&self, what: String, settings: Settings, build: Build) -> NodeIndex {
        let mut draft = self.lock();
        draft.nodes.push(DraftNode { settings, what, build });
        NodeIndex(draft.nodes.len() - 1)
    }

    /// Changes what the user said about a node.
    pub fn change(&self, node: NodeIndex, change: impl FnOnce(&mut Settings)) {
        change(&mut self.lock().nodes[node.0].settings);
    }

    /// Replaces what a node does.
    pub fn rebuild(&self, node: NodeIndex, build: Build) {
        self.lock().nodes[node.0].build = build;
    }

    /// The graph, with `parallelism` for all nodes that have none of their own.
    ///
    /// # Errors
    /// `FixInput` for a parallelism of zero.
    pub fn graph(&self, name: &str, parallelism: usize, groups: KeyGroups) -> Result<JobGraph> {
        let draft = self.lock();
        let mut graph = JobGraph::new(name, groups);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for node in &draft.nodes {
            let count = counts.entry(&node.what).or_default();
            *count += 1;
            let numbered =
                if *count == 1 { node.what.clone() } else { format!("{} {count}", node.what) };
            let parallelism = node.settings.parallelism.unwrap_or(parallelism);
            let name = node.settings.name.clone().unwrap_or_else(|| numbered.clone());
            if parallelism == 0 {
                return Err(Error::fix_input(format!("operator `{name}` has a parallelism of 0")));
            }
            graph.add(Node {
                id: OperatorId::new(node.settings.uid.clone().unwrap_or(numbered)),
                name,
                parallelism,
                kind: (node.build)(parallelism),
            });
        }
        for DraftEdge { from, port, to, route } in &draft.edges {
            let (senders, receivers) = (graph.node(*from).parallelism, graph.node(*to).parallelism);
            let exchange = match route {
                Route::Forward if senders == receivers => Exchange::Forward,
                Route::Hash(_) if senders == 1 && receivers == 1 => Exchange::Forward,
                Route::Forward | Route::Rebalance => Exchange::Rebalance,
                Route::Broadcast => Exchange::Broadcast,
                Route::Hash(partitioner) => Exchange::Hash(Arc::clone(partitioner)),
            };
            graph.connect(*from, *port, *to, exchange);
        }
        Ok(graph)
    }

    fn lock(&self) -> MutexGuard<'_, Draft> {
        self.0.lock().expect("no holder panics")
    }
}
