//! One run of a job, from its start or a checkpoint to its end or failure.
//!
//! The run's coordinator deals out splits, turns what the pure
//! [`Coordinator`](millrace_checkpoint::decide::Coordinator) decides into messages and files, and
//! gathers what tasks answer. When a task fails, all are aborted and awaited before the run ends:
//! the next run must not meet a writer of this one.

mod build;
mod checkpointing;
mod restore;
mod splits;

use std::pin::Pin;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use millrace_checkpoint::decide::{Action, Coordinator, Event};
use millrace_checkpoint::{CheckpointKind, CheckpointStore, SplitEntry};
use millrace_core::seam::{JoinError, Seams, Task};
use millrace_core::{CheckpointId, Error, ErrorKind, Result, Split};
use tokio::sync::{mpsc, oneshot};

use self::build::{Builder, reporting};
use self::checkpointing::{Assembly, StoredCheckpoint};
pub(crate) use self::restore::Restore;
use self::splits::SplitDealer;
use crate::graph::{JobGraph, NodeIndex, NodeKind};
use crate::ledger::Ledger;
use crate::options::JobOptions;
use crate::plan::Plan;
use crate::task::{Command, TaskEvent, TaskFailure, TaskIndex};
use crate::watch::{JobEvent, JobWatch, Order};

/// The most events of tasks that wait for the coordinator.
const EVENTS: usize = 256;
/// How long a source may still look for its first splits when the job is told to stop: whoever it
/// asks may never answer.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// What a run is made of.
pub(crate) struct Run<'a> {
    pub(crate) graph: &'a JobGraph,
    pub(crate) options: &'a JobOptions,
    pub(crate) seams: &'a Seams,
    pub(crate) store: &'a CheckpointStore,
    pub(crate) watch: &'a JobWatch,
    pub(crate) restore: Restore,
    /// The number of the first checkpoint of this run.
    pub(crate) next_checkpoint: CheckpointId,
    /// Which start of the job this is, from 1.
    pub(crate) attempts: u64,
}

/// How a run ended that did not fail.
pub(crate) struct RunEnd {
    pub(crate) kind: RunEndKind,
    pub(crate) ledger: Ledger,
    /// The newest complete checkpoint, and where its manifest is.
    pub(crate) checkpoint: Option<(CheckpointId, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunEndKind {
    Finished,
    Stopped,
    Cancelled,
}

/// What happened beside the tasks.
enum Background {
    Stored { checkpoint: CheckpointId, result: Result<StoredCheckpoint> },
    Found { dealer: usize, result: Result<Vec<Split>> },
    Swept(Result<()>),
}

/// The dealers of all sources, and what their subtasks begin with.
type Dealt = (Vec<SplitDealer>, Vec<(NodeIndex, Vec<Vec<SplitEntry>>)>);

type TaskEnd = (TaskIndex, Result<Result<(), TaskFailure>, JoinError>);

struct Coordination<'a> {
    run: &'a Run<'a>,
    coordinator: Coordinator,
    assembly: Assembly,
    dealers: Vec<SplitDealer>,
    /// The first task of each node, where subtask `i` has index `first + i`.
    first_task: Vec<usize>,
    commands: Vec<mpsc::Sender<Command>>,
    background: FuturesUnordered<BoxFuture<'a, Background>>,
    /// The order that was last acted on.
    order: Order,
    /// What the checkpoint that failed last failed of.
    failure_kind: ErrorKind,
}

impl Run<'_> {
    pub(crate) async fn execute(&self) -> Result<RunEnd> {
        let plan = Plan::of(self.graph, self.options.chaining);
        let (dealers, splits) = match self.deal_splits_unless_stopped().await? {
            Ok(dealt) => dealt,
            Err(kind) => {
                let mut assembly = Assembly::new(self, &plan);
                let checkpoint = assembly.newest();
                return Ok(RunEnd { kind, ledger: assembly.ledger(), checkpoint });
            }
        };
        let (events_in, events) = mpsc::channel(EVENTS);
        let tasks = Builder {
            graph: self.graph,
            plan: &plan,
            options: self.options,
            seams: self.seams,
            store: self.store,
            watch: self.watch,
            restore: &self.restore,
            attempt: self.seams.random.next_u64(),
            events: events_in,
        }
        .build(splits)?;
        let mut commands = Vec::with_capacity(tasks.len());
        let mut handles = Tasks::default();
        for (index, task) in tasks.into_iter().enumerate() {
            commands.push(task.commands);
            let (result_in, result) = oneshot::channel();
            let handle = self.seams.spawner.spawn(&task.name, reporting(task.body, result_in));
            handles.add(TaskIndex(index), task.name, handle, result);
        }
        let now = self.seams.clock.elapsed();
        let checkpoints = self.options.checkpoints.clone();
        let coordination = Coordination {
            run: self,
            coordinator: Coordinator::new(checkpoints, plan.tasks(), self.next_checkpoint, now),
            assembly: Assembly::new(self, &plan),
            first_task: first_tasks(self.graph, &plan),
            dealers,
            commands,
            background: FuturesUnordered::new(),
            order: Order::Run,
            failure_kind: ErrorKind::Retry,
        };
        let end = coordination.coordinate(events, &mut handles).await;
        // Finished tasks are gone already; after a failure or a cancellation the others are not.
        handles.abort_all().await;
        end
    }

    /// Deals out the splits, or says how the run ends if it is stopped while a source is still
    /// looking for them: nothing was read, so there is nothing to take a checkpoint of.
    async fn deal_splits_unless_stopped(&self) -> Result<Result<Dealt, RunEndKind>> {
        let stopped = async {
            if self.watch.wait_for_order(Order::Run).await == Order::Cancel {
                return RunEndKind::Cancelled;
            }
            tokio::select! {
                () = self.seams.clock.sleep(STOP_PATIENCE) => RunEndKind::Stopped,
                _ = self.watch.wait_for_order(Order::Stop) => RunEndKind::Cancelled,
            }
        };
        tokio::select! {
            biased;
            dealt = self.deal_splits() => dealt.map(Ok),
            kind = stopped => Ok(Err(kind)),
        }
    }

    async fn deal_splits(&self) -> Result<Dealt> {
        let mut dealers = Vec::new();
        let mut hands = Vec::new();
        for (index, node) in self.graph.nodes.iter().enumerate() {
            if let NodeKind::Source(source) = &node.kind {
                let index = NodeIndex(index);
                let (dealer, hand) =
                    SplitDealer::open(index, source, node.parallelism, &self.restore).await?;
                dealers.push(dealer);
                hands.push((index, hand));
            }
        }
        Ok((dealers, hands))
    }
}

/// The first task of each node; tasks are numbered chain by chain, subtask by subtask.
fn first_tasks(graph: &JobGraph, plan: &Plan) -> Vec<usize> {
    let mut first = vec![0; graph.nodes.len()];
    let mut next = 0;
    for chain in &plan.chains {
        for member in &chain.members {
            first[member.0] = next;
        }
        next += chain.parallelism;
    }
    first
}

impl<'a> Coordination<'a> {
    async fn coordinate(
        mut self,
        mut events: mpsc::Receiver<TaskEvent>,
        tasks: &mut Tasks,
    ) -> Result<RunEnd> {
        for dealer in 0..self.dealers.len() {
            self.look_for_splits(dealer);
        }
        let (clock, watch) = (self.run.seams.clock.clone(), self.run.watch.clone());
        let mut finishing = None;
        enum Woken {
            Task(TaskEvent),
            Ended(TaskEnd),
            Background(Background),
            Ordered(Order),
            Tick,
        }
        loop {
            let wake = self.coordinator.next_wake();
            let tick = async {
                match wake {
                    Some(at) => clock.sleep(at.saturating_sub(clock.elapsed())).await,
                    None => std::future::pending().await,
                }
            };
            let woken = tokio::select! {
                biased;
                order = watch.wait_for_order(self.order) => Woken::Ordered(order),
                Some(done) = self.background.next() => Woken::Background(done),
                Some(event) = events.recv() => Woken::Task(event),
                ended = tasks.next() => Woken::Ended(ended),
                () = tick => Woken::Tick,
            };
            let actions = match woken {
                Woken::Ordered(Order::Cancel) => return Ok(self.end(RunEndKind::Cancelled)),
                Woken::Ordered(order) => {
                    self.order = order;
                    self.decide(Event::StopRequested)
                }
                Woken::Background(done) => self.background_done(done)?,
                Woken::Task(event) => self.task_event(event)?,
                Woken::Tick => {
                    // What takes too long now may be quicker another time.
                    self.failure_kind = ErrorKind::Retry;
                    self.decide(Event::Tick)
                }
                Woken::Ended((task, end)) => match (tasks.judge(task, end)?, finishing) {
                    (true, Some(kind)) => return Ok(self.end(kind)),
                    (true, None) => {
                        return Err(Error::report("all tasks ended before the job did"));
                    }
                    (false, _) => Vec::new(),
                },
            };
            for action in actions {
                if let Some(kind) = self.act(action)? {
                    finishing = Some(kind);
                }
            }
        }
    }

    fn decide(&mut self, event: Event) -> Vec<Action> {
        self.coordinator.on(event, self.run.seams.clock.elapsed())
    }

    fn end(mut self, kind: RunEndKind) -> RunEnd {
        let checkpoint = self.assembly.newest();
        RunEnd { kind, ledger: self.assembly.ledger(), checkpoint }
    }

    fn task_event(&mut self, event: TaskEvent) -> Result<Vec<Action>> {
        Ok(match event {
            TaskEvent::Acked { task, checkpoint, members } => {
                self.assembly.acked(checkpoint, members);
                self.decide(Event::Acked { checkpoint, task: task.0 })
            }
            TaskEvent::Declined { task, checkpoint, error } => {
                let reason = error.full_report();
                self.failure_kind = error.kind();
                self.decide(Event::Declined { checkpoint, task: task.0, reason })
            }
            TaskEvent::Ended { task } => self.decide(Event::TaskEnded { task: task.0 }),
            TaskEvent::Committed { task, checkpoint } => {
                self.decide(Event::Committed { checkpoint, task: task.0 })
            }
            TaskEvent::SplitIdle { node, split } => {
                let source = self.run.graph.node(node).name.clone();
                self.run.watch.tell(JobEvent::SplitIdle { source, split: split.to_string() });
                Vec::new()
            }
        })
    }

    fn background_done(&mut self, done: Background) -> Result<Vec<Action>> {
        match done {
            Background::Stored { checkpoint, result: Ok(stored) } => {
                self.assembly.stored(stored);
                Ok(self.decide(Event::Stored { checkpoint }))
            }
            Background::Stored { checkpoint, result: Err(error) } => {
                let reason = error.full_report();
                self.failure_kind = error.kind();
                Ok(self.decide(Event::StoreFailed { checkpoint, reason }))
            }
            Background::Found { dealer, result } => {
                self.deal(dealer, result?)?;
                self.look_for_splits(dealer);
                Ok(Vec::new())
            }
            Background::Swept(Ok(())) => Ok(Vec::new()),
            Background::Swept(Err(error)) => {
                self.run.watch.tell(JobEvent::PruningFailed { reason: error.full_report() });
                Ok(Vec::new())
            }
        }
    }

    /// Does what was decided; tells when all tasks have been told to go.
    fn act(&mut self, action: Action) -> Result<Option<RunEndKind>> {
        match action {
            Action::Trigger { barrier, kind } => {
                let clock = &self.run.seams.clock;
                self.assembly.triggered(barrier.checkpoint, kind, clock.now(), clock.elapsed());
                self.tell_all(|| Command::Trigger(barrier))?;
            }
            Action::Store { checkpoint, .. } => {
                let manifest = self.assembly.manifest(self.run)?;
                let store = self.run.store.clone();
                self.background.push(
                    async move {
                        let bytes = checkpointing::new_bytes(&manifest);
                        let duration = Duration::from_millis(manifest.duration_ms);
                        let result = store.write_manifest(&manifest).await;
                        let result =
                            result.map(|uri| StoredCheckpoint { manifest, uri, bytes, duration });
                        Background::Stored { checkpoint, result }
                    }
                    .boxed(),
                );
            }
            Action::Commit { checkpoint } => {
                self.assembly.committing();
                self.run.watch.set_ledger(self.assembly.ledger());
                self.assembly.tell_completed(self.run.watch);
                self.tell_all(|| Command::Commit(checkpoint))?;
                let (store, keep) = (self.run.store.clone(), self.run.options.checkpoints.retained);
                self.background.push(
                    async move { Background::Swept(store.prune(keep.max(1)).await.map(drop)) }
                        .boxed(),
                );
            }
            Action::Abandon { checkpoint, reason } => {
                self.run.watch.count_checkpoint(|stats| stats.failed += 1);
                self.run.watch.tell(JobEvent::CheckpointFailed { checkpoint, reason });
            }
            Action::Finish { kind } => {
                self.tell_all(|| Command::Finish)?;
                return Ok(Some(match kind {
                    CheckpointKind::Stop => RunEndKind::Stopped,
                    CheckpointKind::Final | CheckpointKind::Periodic => RunEndKind::Finished,
                }));
            }
            Action::Fail { reason } => return Err(Error::new(self.failure_kind, reason)),
        }
        Ok(None)
    }

    fn tell_all(&self, command: impl Fn() -> Command) -> Result<()> {
        (0..self.commands.len()).try_for_each(|task| self.tell(task, command()))
    }

    fn tell(&self, task: usize, command: Command) -> Result<()> {
        match self.commands[task].try_send(command) {
            // A task that is gone has failed; its end tells why.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(command)) => {
                Err(Error::report(format!("task {task} does not take its commands ({command:?})")))
            }
        }
    }

    /// Asks a source for new splits when its interval has passed, if it has one.
    fn look_for_splits(&mut self, dealer: usize) {
        let Some(interval) = self.dealers[dealer].interval() else {
            return;
        };
        let source = self.dealers[dealer].source().source.clone();
        let clock = self.run.seams.clock.clone();
        // The next look comes after this one's finds were dealt out: these are all that are known.
        let known = self.dealers[dealer].known().clone();
        self.background.push(
            async move {
                clock.sleep(interval).await;
                Background::Found { dealer, result: source.discover_new(&known).await }
            }
            .boxed(),
        );
    }

    fn deal(&mut self, dealer: usize, found: Vec<Split>) -> Result<()> {
        let node = self.dealers[dealer].node;
        let dealt = self.dealers[dealer].deal(found);
        if dealt.is_empty() {
            return Ok(());
        }
        let (source, splits) = (self.run.graph.node(node).name.clone(), dealt.len());
        self.run.watch.tell(JobEvent::SplitsFound { source, splits });
        for subtask in 0..self.run.graph.node(node).parallelism {
            let hand: Vec<Split> = dealt
                .iter()
                .filter(|(owner, _)| *owner == subtask)
                .map(|(_, split)| split.clone())
                .collect();
            if !hand.is_empty() {
                self.tell(self.first_task[node.0] + subtask, Command::AddSplits(hand))?;
            }
        }
        Ok(())
    }
}

/// The running tasks of a run.
#[derive(Default)]
struct Tasks {
    names: Vec<String>,
    running: FuturesUnordered<RunningTask>,
    left: usize,
}

/// A task's handle and, once it has returned, its result.
struct RunningTask {
    index: TaskIndex,
    handle: Box<dyn Task>,
    result: oneshot::Receiver<Result<(), TaskFailure>>,
}

impl Future for RunningTask {
    type Output = TaskEnd;

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<TaskEnd> {
        let index = self.index;
        Pin::new(&mut self.handle).poll(context).map(|joined| {
            let result =
                joined.map(|()| self.result.try_recv().unwrap_or(Err(TaskFailure::Disconnected)));
            (index, result)
        })
    }
}

impl Tasks {
    fn add(
        &mut self,
        index: TaskIndex,
        name: String,
        handle: Box<dyn Task>,
        result: oneshot::Receiver<Result<(), TaskFailure>>,
    ) {
        self.names.push(name);
        self.running.push(RunningTask { index, handle, result });
        self.left += 1;
    }

    async fn next(&mut self) -> TaskEnd {
        match self.running.next().await {
            Some(end) => end,
            None => std::future::pending().await,
        }
    }

    /// Whether all tasks are through.
    ///
    /// # Errors
    /// The error that ends the run. A task that only lost its neighbour ends it not: the
    /// neighbour's own end is still to come.
    fn judge(
        &mut self,
        task: TaskIndex,
        end: Result<Result<(), TaskFailure>, JoinError>,
    ) -> Result<bool> {
        self.left -= 1;
        let name = &self.names[task.0];
        match end {
            Ok(Ok(())) => Ok(self.left == 0),
            Ok(Err(TaskFailure::Failed(error))) => Err(error.context(format!("`{name}`"))),
            Ok(Err(TaskFailure::Disconnected)) if self.left > 0 => Ok(false),
            Ok(Err(TaskFailure::Disconnected)) => {
                Err(Error::report("every task lost its neighbours and none says why"))
            }
            Err(JoinError::Panicked(message)) => {
                Err(Error::report(format!("`{name}` panicked: {message}"))
                    .hint("this is a bug in Millrace or in a function of the job"))
            }
            Err(JoinError::Aborted) => Err(Error::report(format!("`{name}` was aborted"))),
        }
    }

    async fn abort_all(&mut self) {
        for task in &self.running {
            task.handle.abort();
        }
        while self.running.next().await.is_some() {}
    }
}
