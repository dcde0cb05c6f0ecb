//! What a run takes over from a checkpoint.

use std::collections::BTreeMap;

use millrace_checkpoint::{CheckpointStore, FileRef, Manifest, OperatorEntry, SplitEntry};
use millrace_core::seam::Seams;
use millrace_core::{Error, LedgerCounts, Prepared, Restored, Result, SinkContext, Subtask};

use crate::graph::{JobGraph, NodeIndex, NodeKind};
use crate::ledger::Ledger;

/// A checkpoint, matched with the nodes of a graph and read into memory.
#[derive(Default)]
pub(crate) struct Restore {
    nodes: BTreeMap<NodeIndex, RestoredNode>,
}

struct RestoredNode {
    entry: OperatorEntry,
    /// The content of the entry's state files, by former subtask.
    chains: Vec<Vec<Vec<u8>>>,
    /// Whether the files are in the store that this run writes to, so that new differences may
    /// build on them.
    same_store: bool,
}

impl Restore {
    /// Reads the state that `manifest` names.
    ///
    /// # Errors
    /// `FixInput` when the checkpoint is of a job that does not match: other key groups, or state
    /// of operators that this one lacks. `Restore` when files are damaged.
    pub(crate) async fn read(
        graph: &JobGraph,
        manifest: &Manifest,
        store: &CheckpointStore,
        same_store: bool,
    ) -> Result<Restore> {
        check(graph, manifest)?;
        let mut nodes = BTreeMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            let Some(entry) = manifest.operators.get(&node.id) else {
                continue;
            };
            let mut chains = Vec::with_capacity(entry.subtasks.len());
            for subtask in &entry.subtasks {
                let mut chain = Vec::with_capacity(subtask.state.len());
                for file in &subtask.state {
                    chain.push(store.read_part(file).await?);
                }
                chains.push(chain);
            }
            let node = RestoredNode { entry: entry.clone(), chains, same_store };
            nodes.insert(NodeIndex(index), node);
        }
        Ok(Restore { nodes })
    }

    /// The state for one subtask of an operator: its own chain if the parallelism is what it was,
    /// all chains otherwise, to pick its key groups from.
    pub(crate) fn state(&self, node: NodeIndex, subtask: Subtask) -> Restored {
        let Some(node) = self.nodes.get(&node) else {
            return Restored::default();
        };
        let chains = if node.chains.len() == subtask.parallelism {
            vec![node.chains[subtask.index].clone()]
        } else {
            node.chains.clone()
        };
        Restored { chains }
    }

    /// The chain of files that new differences of a subtask may build on. The first checkpoint of
    /// a run asks for whole states, so this is what an `Unchanged` one would refer to.
    pub(crate) fn files(&self, node: NodeIndex, subtask: Subtask) -> Vec<FileRef> {
        match self.nodes.get(&node) {
            Some(node) if node.same_store && node.chains.len() == subtask.parallelism => {
                node.entry.subtasks[subtask.index].state.clone()
            }
            _ => Vec::new(),
        }
    }

    /// What all former subtasks of a sink had prepared.
    pub(crate) fn prepared(&self, node: NodeIndex) -> Vec<Prepared> {
        let Some(node) = self.nodes.get(&node) else {
            return Vec::new();
        };
        node.entry
            .subtasks
            .iter()
            .map(|subtask| subtask.prepared.clone().unwrap_or_default())
            .collect()
    }

    /// All splits of a source, or `None` if the checkpoint does not know the source.
    pub(crate) fn splits(&self, node: NodeIndex) -> Option<Vec<SplitEntry>> {
        let entry = &self.nodes.get(&node)?.entry;
        Some(entry.subtasks.iter().flat_map(|subtask| subtask.splits.clone()).collect())
    }

    /// Opens each sink once, so that it commits what was prepared, and closes it again: for a job
    /// that has nothing else left to do. Returns the ledger of the job.
    pub(crate) async fn commit_sinks(&self, graph: &JobGraph, seams: &Seams) -> Result<Ledger> {
        let mut ledger = Ledger::of(graph);
        for (index, node) in graph.nodes.iter().enumerate() {
            let index = NodeIndex(index);
            ledger.lines[index.0].counts = self.ledger(index, &node.kind);
            let NodeKind::Sink(sink) = &node.kind else {
                continue;
            };
            sink.open(SinkContext {
                id: node.id.clone(),
                subtask: Subtask { index: 0, parallelism: 1 },
                restored: self.prepared(index),
                attempt: seams.random.next_u64(),
                checkpoint_interval: None,
                seams: seams.clone(),
            })
            .await?;
        }
        Ok(ledger)
    }

    /// Where the node's rows had gone by then. What a sink had prepared is committed by restoring.
    pub(crate) fn ledger(&self, node: NodeIndex, kind: &NodeKind) -> LedgerCounts {
        let Some(restored) = self.nodes.get(&node) else {
            return LedgerCounts::default();
        };
        let mut counts = restored.entry.ledger.clone();
        if matches!(kind, NodeKind::Sink(_)) {
            let prepared = self.prepared(node);
            let committed: u64 =
                prepared.iter().flat_map(|one| &one.committables).map(|one| one.rows).sum();
            counts.passed += committed;
            counts.absorbed = counts.absorbed.saturating_sub(committed);
        }
        counts
    }
}

fn check(graph: &JobGraph, manifest: &Manifest) -> Result<()> {
    let wanted = graph.key_groups.max_parallelism();
    if manifest.max_parallelism != wanted {
        return Err(Error::fix_input(format!(
            "checkpoint {} was taken with {} key groups, the job has {wanted}",
            manifest.checkpoint, manifest.max_parallelism
        ))
        .hint(format!("set the maximum parallelism to {}", manifest.max_parallelism)));
    }
    for (id, entry) in &manifest.operators {
        if !graph.nodes.iter().any(|node| node.id == *id) {
            return Err(Error::fix_input(format!(
                "checkpoint {} holds `{}`, which the job no longer has",
                manifest.checkpoint, entry.name
            ))
            .hint("the job has changed since: use another checkpoint directory, or start afresh"));
        }
    }
    for node in &graph.nodes {
        if !manifest.operators.contains_key(&node.id) {
            return Err(Error::fix_input(format!(
                "the job has `{}`, which checkpoint {} does not know",
                node.name, manifest.checkpoint
            ))
            .hint("the job has changed since: use another checkpoint directory, or start afresh"));
        }
    }
    Ok(())
}
