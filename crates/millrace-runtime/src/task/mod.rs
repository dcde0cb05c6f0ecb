//! Tasks: each runs one subtask of a chain of operators.
//!
//! # States
//!
//! A task *runs* until its input ends: a source has read all its splits or was told to stop behind
//! a barrier, another task has seen `End` in every channel. It then passes on `End` and has
//! *ended*, but stays: it still answers checkpoints (the coordinator asks each task directly, and a
//! barrier can no longer come through the channels) and commits. It leaves when told to finish.
//!
//! # Failures
//!
//! A task that fails returns its error, and the whole job is restarted or failed by it. A task that
//! notices that a neighbour is gone waits to be aborted: the neighbour's error is the one to tell.

mod alignment;
mod chain;
mod operator;
mod sink;
mod source;

use millrace_checkpoint::manifest::SplitEntry;
use millrace_checkpoint::{CheckpointStore, FileRef};
use millrace_core::seam::Seams;
use millrace_core::{
    Barrier, CheckpointId, Error, LedgerCounts, OperatorId, Prepared, Split, SplitId,
};
use tokio::sync::mpsc;

pub(crate) use alignment::{Aligned, AlignmentGroups};
pub(crate) use chain::{Chain, Member, MemberKind};
pub(crate) use operator::OperatorTask;
pub(crate) use sink::SinkTail;
pub(crate) use source::{SourceHead, SourceTask};

use crate::exchange::SendError;
use crate::graph::NodeIndex;

/// A task's number within the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TaskIndex(pub(crate) usize);

/// What the coordinator tells a task.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take part in a checkpoint: a source sends the barrier on, others wait for it unless they
    /// have ended.
    Trigger(Barrier),
    /// The checkpoint is complete: make visible what was prepared for it.
    Commit(CheckpointId),
    /// More to read. For sources.
    AddSplits(Vec<Split>),
    /// The job is over.
    Finish,
}

/// What a task tells the coordinator.
#[derive(Debug)]
pub(crate) enum TaskEvent {
    /// Its part of a checkpoint is stored.
    Acked { task: TaskIndex, checkpoint: CheckpointId, members: Vec<MemberAck> },
    /// Its part of a checkpoint could not be stored.
    Declined { task: TaskIndex, checkpoint: CheckpointId, error: Error },
    /// Its input was read to the end, and it has passed that on. A task that a stop barrier cut
    /// short does not say this.
    Ended { task: TaskIndex },
    /// It made visible what it had prepared.
    Committed { task: TaskIndex, checkpoint: CheckpointId },
    /// A split fell silent and no longer holds back the watermark.
    SplitIdle { node: NodeIndex, split: SplitId },
}

/// One operator's part of a checkpoint, from one subtask.
#[derive(Debug)]
pub(crate) struct MemberAck {
    pub(crate) node: NodeIndex,
    pub(crate) subtask: usize,
    pub(crate) state: StateUpdate,
    pub(crate) splits: Vec<SplitEntry>,
    pub(crate) prepared: Option<Prepared>,
    /// Rows since this run began, up to the barrier.
    pub(crate) ledger: LedgerCounts,
}

/// What happened to the chain of an operator's state files.
#[derive(Debug)]
pub(crate) enum StateUpdate {
    /// There is no state.
    Empty,
    /// It is as the last checkpoint has it.
    Unchanged,
    /// A new chain begins.
    Full(FileRef),
    /// The chain is one longer.
    Delta(FileRef),
}

/// Why a task ended early.
#[derive(Debug)]
pub(crate) enum TaskFailure {
    /// A neighbour is gone.
    Disconnected,
    /// Its own doing.
    Failed(Error),
}

impl From<Error> for TaskFailure {
    fn from(error: Error) -> Self {
        TaskFailure::Failed(error)
    }
}

impl From<SendError> for TaskFailure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Disconnected => TaskFailure::Disconnected,
            SendError::Failed(error) => TaskFailure::Failed(error),
        }
    }
}

/// What every task needs from around it.
pub(crate) struct TaskContext {
    pub(crate) index: TaskIndex,
    /// What the task is called in errors: its operators and subtask.
    pub(crate) name: String,
    pub(crate) seams: Seams,
    pub(crate) store: CheckpointStore,
    /// A number of this run of the job, for the names of files.
    pub(crate) attempt: u64,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: mpsc::Sender<TaskEvent>,
}

impl TaskContext {
    /// Tells the coordinator.
    pub(crate) async fn tell(&self, event: TaskEvent) -> Result<(), TaskFailure> {
        self.events.send(event).await.map_err(|_| TaskFailure::Disconnected)
    }
}

/// A snapshot that is yet to be encoded and stored.
pub(crate) struct PendingAck {
    pub(crate) checkpoint: CheckpointId,
    pub(crate) members: Vec<PendingMember>,
}

/// One operator's part of it.
pub(crate) struct PendingMember {
    pub(crate) id: OperatorId,
    pub(crate) snapshot: millrace_core::Snapshot,
    pub(crate) ack: MemberAck,
}

impl PendingAck {
    /// Encodes and stores the snapshots beside the task, then tells the coordinator.
    pub(crate) fn store(self, context: &TaskContext) {
        let (seams, store) = (context.seams.clone(), context.store.clone());
        let (task, attempt, events) = (context.index, context.attempt, context.events.clone());
        let checkpoint = self.checkpoint;
        let spawner = seams.spawner.clone();
        let name = format!("snapshot {checkpoint} of {}", context.name);
        // Nobody waits for this task: it ends by its message, and if the job is gone meanwhile the
        // message goes nowhere and the file is swept with the next checkpoint.
        drop(spawner.spawn(
            &name,
            Box::pin(async move {
                let event =
                    match store_members(self.members, checkpoint, attempt, &seams, &store).await {
                        Ok(members) => TaskEvent::Acked { task, checkpoint, members },
                        Err(error) => TaskEvent::Declined { task, checkpoint, error },
                    };
                let _ = events.send(event).await;
            }),
        ));
    }
}

async fn store_members(
    members: Vec<PendingMember>,
    checkpoint: CheckpointId,
    attempt: u64,
    seams: &Seams,
    store: &CheckpointStore,
) -> Result<Vec<MemberAck>, Error> {
    use millrace_core::Snapshot;
    let mut acks = Vec::with_capacity(members.len());
    for PendingMember { id, snapshot, mut ack } in members {
        let (encode, full) = match snapshot {
            Snapshot::Empty => {
                acks.push(ack);
                continue;
            }
            Snapshot::Unchanged => {
                ack.state = StateUpdate::Unchanged;
                acks.push(ack);
                continue;
            }
            Snapshot::Full(encode) => (encode, true),
            Snapshot::Delta(encode) => (encode, false),
        };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let work = Box::new(move || drop(sender.send(encode())));
        let encoded = seams.spawner.spawn_blocking(work).await;
        encoded.map_err(|error| {
            Error::report(format!("the state of `{id}` could not be encoded")).caused_by(error)
        })?;
        let bytes = receiver
            .await
            .map_err(|_| Error::report(format!("the state of `{id}` was not encoded")))??;
        let file = store.write_part(checkpoint, &id, ack.subtask, attempt, bytes).await?;
        ack.state = if full { StateUpdate::Full(file) } else { StateUpdate::Delta(file) };
        acks.push(ack);
    }
    Ok(acks)
}
