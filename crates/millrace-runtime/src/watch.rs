//! Watching and steering a job while it runs.

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use millrace_core::metrics::{MetricsReading, SubtaskMetrics};
use millrace_core::{CheckpointId, OperatorId};
use tokio::sync::{Notify, broadcast};

use crate::graph::JobGraph;
use crate::ledger::{Ledger, NodeRole};

/// How many events a slow listener may be behind before it misses some.
const EVENTS: usize = 256;

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Not started yet.
    Created,
    /// Reading a checkpoint.
    Restoring,
    /// At work.
    Running,
    /// Waiting to be started again after a failure.
    Restarting,
    /// All input was read and all output committed.
    Finished,
    /// Stopped with a checkpoint, to go on later.
    Stopped,
    /// Ended without a last checkpoint, as it was told.
    Cancelled,
    /// Ended by an error.
    Failed,
}

/// Something worth telling whoever runs the job.
#[derive(Clone, Debug)]
pub enum JobEvent {
    /// The job goes on from this checkpoint.
    Restored {
        /// Its number.
        checkpoint: CheckpointId,
        /// The directory it came from.
        uri: String,
    },
    /// A newer checkpoint could not be used, and why.
    PassedOver {
        /// Its number.
        checkpoint: CheckpointId,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint is complete and its output visible.
    CheckpointCompleted {
        /// Its number.
        checkpoint: CheckpointId,
        /// From its barriers to its manifest.
        duration: Duration,
        /// The state that it newly wrote.
        bytes: u64,
    },
    /// A checkpoint was given up.
    CheckpointFailed {
        /// Its number.
        checkpoint: CheckpointId,
        /// Why.
        reason: String,
    },
    /// Old checkpoints could not be deleted; they take up space, nothing else.
    PruningFailed {
        /// Why.
        reason: String,
    },
    /// The job failed and will be started again.
    Restarting {
        /// What it failed of, with cause and hint.
        error: String,
        /// Which restart in a row, from 1.
        restart: u32,
        /// When.
        delay: Duration,
    },
    /// A split has been silent for so long that it no longer holds back the watermark.
    SplitIdle {
        /// The source.
        source: String,
        /// The split.
        split: String,
    },
    /// New splits were found.
    SplitsFound {
        /// The source.
        source: String,
        /// How many.
        splits: usize,
    },
}

/// One operator, source or sink, as it is now.
#[derive(Clone, Debug)]
pub struct OperatorStatus {
    /// Its id in checkpoints.
    pub id: OperatorId,
    /// Its name for people.
    pub name: String,
    /// What it is.
    pub role: NodeRole,
    /// Its subtasks, by index.
    pub subtasks: Vec<MetricsReading>,
}

/// Checkpoints of this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointStats {
    /// How many completed.
    pub completed: u64,
    /// How many were given up.
    pub failed: u64,
    /// The newest complete one.
    pub last: Option<CheckpointId>,
    /// How long that one took, from its barriers to its manifest.
    pub last_duration: Duration,
    /// How much state it newly wrote.
    pub last_bytes: u64,
}

/// A handle on a job. Clones watch the same job.
#[derive(Clone)]
pub struct JobWatch(Arc<Shared>);

struct Shared {
    nodes: Vec<NodeMetrics>,
    status: Mutex<Status>,
    order: AtomicU8,
    ordered: Notify,
    events: broadcast::Sender<JobEvent>,
}

struct NodeMetrics {
    id: OperatorId,
    name: String,
    role: NodeRole,
    subtasks: Vec<Arc<SubtaskMetrics>>,
}

struct Status {
    state: JobState,
    checkpoints: CheckpointStats,
    ledger: Option<Ledger>,
    restarts: u32,
}

/// What the job was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    Run = 0,
    Stop = 1,
    Cancel = 2,
}

impl JobWatch {
    pub(crate) fn new(graph: &JobGraph) -> Self {
        let nodes = graph.nodes.iter().map(|node| NodeMetrics {
            id: node.id.clone(),
            name: node.name.clone(),
            role: NodeRole::of(&node.kind),
            subtasks: (0..node.parallelism).map(|_| Arc::default()).collect(),
        });
        JobWatch(Arc::new(Shared {
            nodes: nodes.collect(),
            status: Mutex::new(Status {
                state: JobState::Created,
                checkpoints: CheckpointStats::default(),
                ledger: None,
                restarts: 0,
            }),
            order: AtomicU8::new(Order::Run as u8),
            ordered: Notify::new(),
            events: broadcast::channel(EVENTS).0,
        }))
    }

    /// Asks the job to take a last checkpoint and stop, to be resumed from there.
    pub fn stop(&self) {
        self.order(Order::Stop);
    }

    /// Asks the job to stop at once. What came after its last checkpoint is done again when it is
    /// resumed.
    pub fn cancel(&self) {
        self.order(Order::Cancel);
    }

    /// What the job is doing.
    pub fn state(&self) -> JobState {
        self.status().state
    }

    /// How often the job was started again in this process.
    pub fn restarts(&self) -> u32 {
        self.status().restarts
    }

    /// All nodes of the job as they are now, in the order of the graph.
    pub fn operators(&self) -> Vec<OperatorStatus> {
        let nodes = self.0.nodes.iter().map(|node| OperatorStatus {
            id: node.id.clone(),
            name: node.name.clone(),
            role: node.role,
            subtasks: node.subtasks.iter().map(|metrics| metrics.read()).collect(),
        });
        nodes.collect()
    }

    /// The checkpoints of this run.
    pub fn checkpoints(&self) -> CheckpointStats {
        self.status().checkpoints
    }

    /// The ledger as of the newest checkpoint.
    pub fn ledger(&self) -> Option<Ledger> {
        self.status().ledger.clone()
    }

    /// What happens from now on. A listener that falls far behind misses events.
    pub fn events(&self) -> broadcast::Receiver<JobEvent> {
        self.0.events.subscribe()
    }

    pub(crate) fn metrics(&self, node: usize, subtask: usize) -> Arc<SubtaskMetrics> {
        self.0.nodes[node].subtasks[subtask].clone()
    }

    pub(crate) fn tell(&self, event: JobEvent) {
        // Nobody may be listening.
        let _ = self.0.events.send(event);
    }

    pub(crate) fn set_state(&self, state: JobState) {
        self.status().state = state;
    }

    pub(crate) fn set_ledger(&self, ledger: Ledger) {
        self.status().ledger = Some(ledger);
    }

    pub(crate) fn count_restart(&self) -> u32 {
        let mut status = self.status();
        status.restarts += 1;
        status.restarts
    }

    pub(crate) fn count_checkpoint(&self, change: impl FnOnce(&mut CheckpointStats)) {
        change(&mut self.status().checkpoints);
    }

    pub(crate) fn ordered(&self) -> Order {
        match self.0.order.load(SeqCst) {
            0 => Order::Run,
            1 => Order::Stop,
            _ => Order::Cancel,
        }
    }

    /// Completes when the order is more than `than`.
    pub(crate) async fn wait_for_order(&self, than: Order) -> Order {
        loop {
            let notified = self.0.ordered.notified();
            let order = self.ordered();
            if order > than {
                return order;
            }
            notified.await;
        }
    }

    fn order(&self, order: Order) {
        self.0.order.fetch_max(order as u8, SeqCst);
        self.0.ordered.notify_waiters();
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.0.status.lock().expect("no holder of the status panics")
    }
}
