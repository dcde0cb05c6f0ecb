//! Puts a checkpoint together from what the tasks answer.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_checkpoint::FileRef;
use millrace_checkpoint::manifest::{self, CheckpointKind, Manifest, OperatorEntry, SubtaskEntry};
use millrace_core::{CheckpointId, Error, LedgerCounts, Result, Subtask, Timestamp};

use super::Run;
use crate::graph::NodeIndex;
use crate::ledger::Ledger;
use crate::plan::Plan;
use crate::task::{MemberAck, StateUpdate};
use crate::watch::{JobEvent, JobWatch};

/// A checkpoint whose manifest was written.
pub(crate) struct StoredCheckpoint {
    pub(crate) manifest: Manifest,
    pub(crate) uri: String,
    /// The bytes of state that it newly wrote.
    pub(crate) bytes: u64,
    pub(crate) duration: Duration,
}

/// The state files written for this very checkpoint.
pub(crate) fn new_bytes(manifest: &Manifest) -> u64 {
    let subtasks = manifest.operators.values().flat_map(|operator| &operator.subtasks);
    subtasks.flat_map(|subtask| subtask.state.last()).map(|file| file.bytes).sum()
}

/// What is known of the checkpoint under way, and of the newest complete one.
pub(crate) struct Assembly {
    under_way: Option<UnderWay>,
    /// Each subtask's chain of state files, by node and subtask.
    chains: Vec<Vec<Vec<FileRef>>>,
    /// Where rows had gone before this run.
    base: Vec<LedgerCounts>,
    ledger: Ledger,
    stored: Option<StoredCheckpoint>,
}

struct UnderWay {
    checkpoint: CheckpointId,
    kind: CheckpointKind,
    triggered: Timestamp,
    triggered_at: Duration,
    members: BTreeMap<(NodeIndex, usize), MemberAck>,
}

impl Assembly {
    pub(crate) fn new(run: &Run<'_>, plan: &Plan) -> Self {
        let mut chains = vec![Vec::new(); run.graph.nodes.len()];
        for chain in &plan.chains {
            for &node in &chain.members {
                let subtasks = (0..chain.parallelism).map(|index| {
                    run.restore.files(node, Subtask { index, parallelism: chain.parallelism })
                });
                chains[node.0] = subtasks.collect();
            }
        }
        let nodes = run.graph.nodes.iter().enumerate();
        let base: Vec<LedgerCounts> =
            nodes.map(|(index, node)| run.restore.ledger(NodeIndex(index), &node.kind)).collect();
        let mut ledger = Ledger::of(run.graph);
        for (line, base) in ledger.lines.iter_mut().zip(&base) {
            line.counts = base.clone();
        }
        Assembly { under_way: None, chains, base, ledger, stored: None }
    }

    pub(crate) fn triggered(
        &mut self,
        checkpoint: CheckpointId,
        kind: CheckpointKind,
        triggered: Timestamp,
        triggered_at: Duration,
    ) {
        let members = BTreeMap::new();
        self.under_way = Some(UnderWay { checkpoint, kind, triggered, triggered_at, members });
    }

    /// Takes in a task's answer. Answers to abandoned checkpoints come to nothing: the one after
    /// them asks for whole states.
    pub(crate) fn acked(&mut self, checkpoint: CheckpointId, members: Vec<MemberAck>) {
        let Some(under_way) = self.under_way.as_mut().filter(|one| one.checkpoint == checkpoint)
        else {
            return;
        };
        for member in members {
            under_way.members.insert((member.node, member.subtask), member);
        }
    }

    /// The manifest of the checkpoint under way, all of whose tasks have answered. The ledger is
    /// checked here.
    ///
    /// # Errors
    /// `Report` when rows are missing: a bug that must not be made durable.
    pub(crate) fn manifest(&mut self, run: &Run<'_>) -> Result<Manifest> {
        let under_way = self
            .under_way
            .take()
            .ok_or_else(|| Error::report("a checkpoint was to be stored that was not taken"))?;
        self.sum_up(&under_way);
        let differences = self.ledger.differences(run.graph);
        if !differences.is_empty() {
            return Err(Error::report(format!(
                "the ledger of checkpoint {} does not add up: {}",
                under_way.checkpoint,
                differences.join("; ")
            ))
            .hint("rows were lost or counted twice: this is a bug in Millrace"));
        }
        let mut operators: BTreeMap<_, OperatorEntry> = BTreeMap::new();
        for (index, line) in self.ledger.lines.iter().enumerate() {
            let subtasks = vec![SubtaskEntry::default(); self.chains[index].len()];
            let entry =
                OperatorEntry { name: line.name.clone(), subtasks, ledger: line.counts.clone() };
            operators.insert(line.id.clone(), entry);
        }
        for ((node, subtask), member) in under_way.members {
            let chain = &mut self.chains[node.0][subtask];
            match member.state {
                StateUpdate::Empty => chain.clear(),
                StateUpdate::Unchanged => {}
                StateUpdate::Full(file) => *chain = vec![file],
                StateUpdate::Delta(file) => chain.push(file),
            }
            let operator = operators.get_mut(&self.ledger.lines[node.0].id).expect("just inserted");
            operator.subtasks[subtask] = SubtaskEntry {
                state: chain.clone(),
                splits: member.splits,
                prepared: member.prepared,
            };
        }
        let took = run.seams.clock.elapsed().saturating_sub(under_way.triggered_at);
        Ok(Manifest {
            version: manifest::VERSION,
            job: run.graph.name.clone(),
            checkpoint: under_way.checkpoint,
            kind: under_way.kind,
            triggered: under_way.triggered,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            max_parallelism: run.graph.key_groups.max_parallelism(),
            attempts: run.attempts,
            operators,
        })
    }

    fn sum_up(&mut self, under_way: &UnderWay) {
        self.ledger.checkpoint = Some(under_way.checkpoint);
        for (line, base) in self.ledger.lines.iter_mut().zip(&self.base) {
            line.counts = base.clone();
        }
        for ((node, _), member) in &under_way.members {
            self.ledger.lines[node.0].counts.add(&member.ledger);
        }
    }

    pub(crate) fn stored(&mut self, stored: StoredCheckpoint) {
        self.stored = Some(stored);
    }

    /// Counts what the newest checkpoint commits as committed.
    pub(crate) fn committing(&mut self) {
        let Some(stored) = &self.stored else {
            return;
        };
        for line in &mut self.ledger.lines {
            let Some(entry) = stored.manifest.operators.get(&line.id) else {
                continue;
            };
            let prepared = entry.subtasks.iter().flat_map(|subtask| &subtask.prepared);
            let rows: u64 = prepared.flat_map(|one| &one.committables).map(|one| one.rows).sum();
            line.counts.passed += rows;
            line.counts.absorbed = line.counts.absorbed.saturating_sub(rows);
        }
    }

    pub(crate) fn tell_completed(&self, watch: &JobWatch) {
        let Some(stored) = &self.stored else {
            return;
        };
        let (checkpoint, bytes) = (stored.manifest.checkpoint, stored.bytes);
        let duration = stored.duration;
        watch.count_checkpoint(|stats| {
            stats.completed += 1;
            stats.last = Some(checkpoint);
            stats.last_duration = duration;
            stats.last_bytes = bytes;
        });
        watch.tell(JobEvent::CheckpointCompleted { checkpoint, duration, bytes });
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// The newest checkpoint that this run completed, and its manifest's URI.
    pub(crate) fn newest(&mut self) -> Option<(CheckpointId, String)> {
        self.stored.take().map(|stored| (stored.manifest.checkpoint, stored.uri))
    }
}
