//! Makes the tasks and channels of one run.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use millrace_checkpoint::{CheckpointStore, SplitEntry};
use millrace_core::seam::Seams;
use millrace_core::{
    Element, KeyGroups, LedgerCounts, OperatorContext, OperatorId, Port, Prepared, ReaderContext,
    Restored, Result, Sink, SinkContext, Subtask,
};
use tokio::sync::mpsc;

use super::restore::Restore;
use crate::exchange::{EdgeWriter, InputChannel, InputGate, Outputs};
use crate::graph::{Edge, Exchange, JobGraph, NodeIndex, NodeKind, OperatorFactory, SourceNode};
use crate::options::JobOptions;
use crate::plan::{Plan, is_forward};
use crate::task::{
    AlignmentGroups, Chain, Command, Member, MemberKind, OperatorTask, SinkTail, SourceHead,
    SourceTask, TaskContext, TaskEvent, TaskFailure, TaskIndex,
};
use crate::watch::JobWatch;

/// The most commands that wait for a task. A checkpoint sends two, and one is under way at a time.
const COMMANDS: usize = 64;

/// Everything that goes into the tasks of one run.
pub(crate) struct Builder<'a> {
    pub(crate) graph: &'a JobGraph,
    pub(crate) plan: &'a Plan,
    pub(crate) options: &'a JobOptions,
    pub(crate) seams: &'a Seams,
    pub(crate) store: &'a CheckpointStore,
    pub(crate) watch: &'a JobWatch,
    pub(crate) restore: &'a Restore,
    /// A number that no other run of the job has.
    pub(crate) attempt: u64,
    pub(crate) events: mpsc::Sender<TaskEvent>,
}

/// A task that is ready to be spawned.
pub(crate) struct BuiltTask {
    pub(crate) name: String,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) body: futures::future::BoxFuture<'static, Result<(), TaskFailure>>,
}

/// The channels of one task before they are put together.
#[derive(Default)]
struct Wiring {
    inputs: Vec<InputChannel>,
    outputs: Vec<(usize, Port, EdgeWriter)>,
}

impl Builder<'_> {
    /// The tasks in the order of [`TaskIndex`]: chain by chain, subtask by subtask. `splits` has
    /// for each source the splits of its subtasks.
    pub(crate) fn build(
        &self,
        mut splits: Vec<(NodeIndex, Vec<Vec<SplitEntry>>)>,
    ) -> Result<Vec<BuiltTask>> {
        let mut wirings = self.wire();
        let mut tasks = Vec::new();
        let groups = AlignmentGroups::default();
        for (chain, wirings) in self.plan.chains.iter().zip(&mut wirings) {
            for index in 0..chain.parallelism {
                let subtask = Subtask { index, parallelism: chain.parallelism };
                let wiring = std::mem::take(&mut wirings[index]);
                let hand = splits
                    .iter_mut()
                    .find(|(node, _)| *node == chain.members[0])
                    .map(|(_, hands)| std::mem::take(&mut hands[index]));
                let task = TaskIndex(tasks.len());
                tasks.push(self.task(
                    task,
                    &chain.members,
                    subtask,
                    wiring,
                    hand.unwrap_or_default(),
                    &groups,
                ));
            }
        }
        Ok(tasks)
    }

    /// The channels, by chain and subtask.
    fn wire(&self) -> Vec<Vec<Wiring>> {
        let mut wirings: Vec<Vec<Wiring>> = self
            .plan
            .chains
            .iter()
            .map(|chain| (0..chain.parallelism).map(|_| Wiring::default()).collect())
            .collect();
        for &index in &self.plan.crossing {
            let edge = &self.graph.edges[index];
            let (from, member) = self.place(edge.from);
            let (to, _) = self.place(edge.to);
            for sender in 0..self.plan.chains[from].parallelism {
                let readers: Vec<usize> = if is_forward(self.graph, edge) {
                    vec![sender]
                } else {
                    (0..self.plan.chains[to].parallelism).collect()
                };
                let mut senders = Vec::with_capacity(readers.len());
                for reader in readers {
                    let (sender, receiver) = mpsc::channel(self.options.channel_elements.max(1));
                    wirings[to][reader].inputs.push(InputChannel { input: edge.input, receiver });
                    senders.push(sender);
                }
                let writer = self.writer(edge, sender, senders);
                wirings[from][sender].outputs.push((member, edge.port, writer));
            }
        }
        wirings
    }

    /// A node's chain, and its place in it.
    fn place(&self, node: NodeIndex) -> (usize, usize) {
        let place = self.plan.chains.iter().enumerate().find_map(|(chain, members)| {
            let member = members.members.iter().position(|&member| member == node)?;
            Some((chain, member))
        });
        place.expect("every node is in a chain")
    }

    fn writer(
        &self,
        edge: &Edge,
        sender: usize,
        mut readers: Vec<mpsc::Sender<Element>>,
    ) -> EdgeWriter {
        if is_forward(self.graph, edge) {
            return EdgeWriter::Forward(readers.pop().expect("one reader"));
        }
        match &edge.exchange {
            Exchange::Forward => unreachable!("forward edges were taken above"),
            Exchange::Hash(factory) => EdgeWriter::Hash {
                partitioner: factory(self.graph.key_groups),
                readers,
                parts: Vec::new(),
            },
            // Senders begin at different readers, so that the first ones do not get all of a
            // short stream.
            Exchange::Rebalance => EdgeWriter::Rebalance { next: sender % readers.len(), readers },
            Exchange::Broadcast => EdgeWriter::Broadcast(readers),
        }
    }

    fn task(
        &self,
        index: TaskIndex,
        members: &[NodeIndex],
        subtask: Subtask,
        wiring: Wiring,
        splits: Vec<SplitEntry>,
        groups: &AlignmentGroups,
    ) -> BuiltTask {
        let names: Vec<&str> =
            members.iter().map(|&node| self.graph.node(node).name.as_str()).collect();
        let name = format!("{} ({subtask})", names.join(" → "));
        let (sender, commands) = mpsc::channel(COMMANDS);
        let context = TaskContext {
            index,
            name: name.clone(),
            seams: self.seams.clone(),
            store: self.store.clone(),
            attempt: self.attempt,
            commands,
            events: self.events.clone(),
        };
        let blueprints: Vec<Blueprint> =
            members.iter().map(|&node| self.blueprint(node, subtask)).collect();
        let outputs = Outputs::new(wiring.outputs);
        let clock = self.seams.clock.clone();
        let head = match &self.graph.node(members[0]).kind {
            NodeKind::Source(node) => Some(self.source_head(node, subtask, splits, groups)),
            NodeKind::Operator(_) | NodeKind::Sink(_) => None,
        };
        let gate = InputGate::new(wiring.inputs);
        let body = async move {
            let mut members = Vec::with_capacity(blueprints.len());
            for blueprint in blueprints {
                members.push(blueprint.open().await?);
            }
            let chain = Chain::new(members, outputs, clock);
            match head {
                Some(head) => SourceTask::new(context, chain, head).run().await,
                None => OperatorTask::new(context, chain, gate).run().await,
            }
        };
        BuiltTask { name, commands: sender, body: Box::pin(body) }
    }

    fn source_head(
        &self,
        node: &SourceNode,
        subtask: Subtask,
        splits: Vec<SplitEntry>,
        groups: &AlignmentGroups,
    ) -> SourceHead {
        SourceHead {
            node: node.clone(),
            reader_context: ReaderContext {
                subtask,
                batch_rows: self.options.batch_rows.max(1),
                seams: self.seams.clone(),
            },
            splits,
            poll_interval: self.options.poll_interval.max(Duration::from_millis(1)),
            aligned: node.alignment.as_ref().map(|alignment| groups.join(alignment)),
        }
    }

    fn blueprint(&self, node: NodeIndex, subtask: Subtask) -> Blueprint {
        let described = self.graph.node(node);
        let kind = match &described.kind {
            NodeKind::Source(_) => BlueprintKind::Source,
            NodeKind::Operator(factory) => BlueprintKind::Operator {
                factory: factory.clone(),
                restored: self.restore.state(node, subtask),
            },
            NodeKind::Sink(sink) => BlueprintKind::Sink {
                sink: sink.clone(),
                restored: self.restore.prepared(node),
                attempt: self.attempt,
                checkpoint_interval: self.options.checkpoints.interval,
                seams: self.seams.clone(),
            },
        };
        Blueprint {
            node,
            id: described.id.clone(),
            subtask,
            key_groups: self.graph.key_groups,
            batch_rows: self.options.batch_rows.max(1),
            metrics: self.watch.metrics(node.0, subtask.index),
            kind,
        }
    }
}

/// What a member of a chain is made from, in its own task: opening may take time.
struct Blueprint {
    node: NodeIndex,
    id: OperatorId,
    subtask: Subtask,
    key_groups: KeyGroups,
    batch_rows: usize,
    metrics: Arc<millrace_core::metrics::SubtaskMetrics>,
    kind: BlueprintKind,
}

enum BlueprintKind {
    Source,
    Operator {
        factory: OperatorFactory,
        restored: Restored,
    },
    Sink {
        sink: Arc<dyn Sink>,
        restored: Vec<Prepared>,
        attempt: u64,
        checkpoint_interval: Duration,
        seams: Seams,
    },
}

impl Blueprint {
    async fn open(self) -> Result<Member> {
        let kind = match self.kind {
            BlueprintKind::Source => MemberKind::Source,
            BlueprintKind::Operator { factory, restored } => {
                let mut operator = factory(self.subtask)?;
                operator.open(&OperatorContext {
                    id: self.id.clone(),
                    subtask: self.subtask,
                    key_groups: self.key_groups,
                    batch_rows: self.batch_rows,
                })?;
                if !restored.is_empty() {
                    operator.restore(restored)?;
                }
                MemberKind::Operator(operator)
            }
            BlueprintKind::Sink { sink, restored, attempt, checkpoint_interval, seams } => {
                let context = SinkContext {
                    id: self.id.clone(),
                    subtask: self.subtask,
                    restored,
                    attempt,
                    checkpoint_interval: Some(checkpoint_interval),
                    seams,
                };
                MemberKind::Sink(SinkTail::new(sink.open(context).await?))
            }
        };
        Ok(Member {
            node: self.node,
            id: self.id,
            subtask: self.subtask.index,
            kind,
            metrics: self.metrics,
            ledger: LedgerCounts::default(),
        })
    }
}

/// Runs a task's body and sends what it returned.
pub(crate) fn reporting(
    body: impl Future<Output = Result<(), TaskFailure>> + Send + 'static,
    result: tokio::sync::oneshot::Sender<Result<(), TaskFailure>>,
) -> futures::future::BoxFuture<'static, ()> {
    Box::pin(async move {
        let _ = result.send(body.await);
    })
}
