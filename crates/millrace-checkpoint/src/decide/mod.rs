//! When a checkpoint begins, when it is complete, and when it is given up.
//!
//! Pure: the [`Coordinator`] is told what happened and what time it is, and answers with what is
//! to be done. The runtime carries that out; a simulation can drive it just as well.
//!
//! # The life of a checkpoint
//!
//! ```text
//!            Trigger              Store              Commit
//!   (none) ----------> aligning --------> storing ----------> committing --> (none)
//!                         |    all acked     |    stored          all committed
//!            declined or  |                  | store failed
//!            timed out    +----> Abandon <---+ or timed out
//! ```
//!
//! - At most one checkpoint is in flight, from its `Trigger` until all tasks have committed or it
//!   was abandoned. Every task acknowledges every checkpoint and commits it, ended ones too.
//! - `Commit` comes once, after `Stored`. From then on the checkpoint can't fail: a task that
//!   can't commit is a failed task, and the job restarts from this very checkpoint.
//! - The interval counts from trigger to trigger, the minimum pause from the end of one to the next
//!   trigger; the timeout covers everything up to `Stored`.
//! - After an abandoned checkpoint the next asks for full snapshots, since differences that were
//!   made for the abandoned one are gone. So does the first after a start.
//! - `tolerable_failures` counts failures in a row; a stored checkpoint sets the count back.
//! - When all tasks have ended, a `Final` checkpoint follows at once, and `Finish` after its
//!   commits. When a stop is asked for, a `Stop` checkpoint does the same, unless all input ended
//!   before its barrier: then a `Final` one follows it, so that the job counts as complete. Pause
//!   and interval don't hold for these two, and if one of them fails, the job fails.
//! - Answers about a checkpoint that is not in flight (abandoned, or never triggered) are ignored.
//!   An abandoned one may have been stored after all: should the job restart before the next one
//!   is complete, it is a sound place to restart from.

use std::time::Duration;

use millrace_core::{Barrier, CheckpointId};

use crate::manifest::CheckpointKind;

/// When checkpoints are taken and how many are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointOptions {
    /// From one trigger to the next.
    pub interval: Duration,
    /// At least so long from the end of one to the trigger of the next.
    pub min_pause: Duration,
    /// A checkpoint that is not stored so long after its trigger is abandoned.
    pub timeout: Duration,
    /// The job fails when more than so many checkpoints in a row have failed.
    pub tolerable_failures: u32,
    /// How many complete checkpoints are kept, at least 1.
    pub retained: usize,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        CheckpointOptions {
            interval: Duration::from_secs(10),
            min_pause: Duration::ZERO,
            timeout: Duration::from_secs(600),
            tolerable_failures: 0,
            retained: 3,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time went by; due at [`Coordinator::next_wake`], harmless at any other moment.
    Tick,
    /// A task has taken and written its snapshot.
    Acked {
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Which task.
        task: usize,
    },
    /// A task could not take or write its snapshot.
    Declined {
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Which task.
        task: usize,
        /// Why.
        reason: String,
    },
    /// A task has come to the end of its inputs. It goes on to acknowledge checkpoints.
    TaskEnded {
        /// Which task.
        task: usize,
    },
    /// The manifest stands.
    Stored {
        /// Of which checkpoint.
        checkpoint: CheckpointId,
    },
    /// The manifest could not be written.
    StoreFailed {
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Why.
        reason: String,
    },
    /// A task has committed what it prepared, if it had anything.
    Committed {
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Which task.
        task: usize,
    },
    /// The job is to stop, so that it can go on later.
    StopRequested,
}

/// What is to be done, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the barrier to all sources and to ended tasks.
    Trigger {
        /// The barrier.
        barrier: Barrier,
        /// Why the checkpoint is taken.
        kind: CheckpointKind,
    },
    /// All snapshots are there: write the manifest, and answer `Stored` or `StoreFailed`.
    Store {
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Why it is taken.
        kind: CheckpointKind,
    },
    /// The manifest stands: let all tasks commit.
    Commit {
        /// Of which checkpoint.
        checkpoint: CheckpointId,
    },
    /// Give the checkpoint up. Its files can go once nothing is writing for it any more; what was
    /// prepared for it belongs to the next one.
    Abandon {
        /// Which checkpoint.
        checkpoint: CheckpointId,
        /// Why, for people.
        reason: String,
    },
    /// The last checkpoint is complete: all tasks may go. Nothing follows.
    Finish {
        /// `Stop` or `Final`.
        kind: CheckpointKind,
    },
    /// The job fails. Nothing follows.
    Fail {
        /// Why, for people.
        reason: String,
    },
}

/// Decides about the checkpoints of one run of a job.
///
/// ```
/// use std::time::Duration;
/// use millrace_checkpoint::{Action, CheckpointOptions, Coordinator, Event};
/// use millrace_core::CheckpointId;
///
/// let id = CheckpointId(1);
/// let options = CheckpointOptions { interval: Duration::from_secs(1), ..Default::default() };
/// let mut coordinator = Coordinator::new(options, 1, id, Duration::ZERO);
/// let now = coordinator.next_wake().unwrap();
/// assert_eq!(now, Duration::from_secs(1));
/// assert!(matches!(coordinator.on(Event::Tick, now)[..], [Action::Trigger { .. }]));
/// let acked = Event::Acked { checkpoint: id, task: 0 };
/// assert!(matches!(coordinator.on(acked, now)[..], [Action::Store { .. }]));
/// let stored = Event::Stored { checkpoint: id };
/// assert_eq!(coordinator.on(stored, now), [Action::Commit { checkpoint: id }]);
/// ```
#[derive(Debug)]
pub struct Coordinator {
    options: CheckpointOptions,
    next: CheckpointId,
    /// When the next periodic checkpoint is due, if none is in flight.
    due: Duration,
    in_flight: Option<InFlight>,
    /// Which tasks have ended, all input being read.
    ended: TaskSet,
    stop_requested: bool,
    stopped: bool,
    needs_full: bool,
    failures_in_a_row: u32,
    over: bool,
}

#[derive(Debug)]
struct InFlight {
    checkpoint: CheckpointId,
    kind: CheckpointKind,
    triggered: Duration,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Aligning { acked: TaskSet },
    Storing,
    Committing { committed: TaskSet },
}

impl Coordinator {
    /// For a run of `tasks` tasks that begins at `now` and numbers its checkpoints from `next` on.
    /// All times are those of `Clock::elapsed`.
    ///
    /// # Panics
    /// When there are no tasks.
    pub fn new(
        options: CheckpointOptions,
        tasks: usize,
        next: CheckpointId,
        now: Duration,
    ) -> Self {
        assert!(tasks > 0, "a job has tasks");
        Coordinator {
            next,
            due: now.saturating_add(options.interval),
            options,
            in_flight: None,
            ended: TaskSet::none_of(tasks),
            stop_requested: false,
            stopped: false,
            needs_full: true,
            failures_in_a_row: 0,
            over: false,
        }
    }

    /// Takes note of what happened, at `now`, and says what is to be done.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.over {
            return actions;
        }
        match event {
            Event::Tick => self.check_timeout(now, &mut actions),
            Event::Acked { checkpoint, task } => self.acked(checkpoint, task, &mut actions),
            Event::Declined { checkpoint, task, reason } => {
                let aligning = |phase: &Phase| matches!(phase, Phase::Aligning { .. });
                if self.in_phase(checkpoint, aligning) {
                    self.abandon(format!("task {task} declined: {reason}"), now, &mut actions);
                }
            }
            Event::TaskEnded { task } => self.task_ended(task),
            Event::Stored { checkpoint } => self.stored(checkpoint, &mut actions),
            Event::StoreFailed { checkpoint, reason } => {
                if self.in_phase(checkpoint, |phase| matches!(phase, Phase::Storing)) {
                    self.abandon(reason, now, &mut actions);
                }
            }
            Event::Committed { checkpoint, task } => {
                self.committed(checkpoint, task, now, &mut actions);
            }
            Event::StopRequested => self.stop_requested = true,
        }
        self.begin_if_due(now, &mut actions);
        actions
    }

    /// When to send [`Event::Tick`], if nothing else happens before. `None`: no need to.
    pub fn next_wake(&self) -> Option<Duration> {
        if self.over {
            return None;
        }
        match &self.in_flight {
            None => Some(self.due),
            Some(InFlight { phase: Phase::Committing { .. }, .. }) => None,
            Some(in_flight) => Some(in_flight.triggered.saturating_add(self.options.timeout)),
        }
    }

    fn in_phase(&self, checkpoint: CheckpointId, is: impl Fn(&Phase) -> bool) -> bool {
        self.in_flight
            .as_ref()
            .is_some_and(|in_flight| in_flight.checkpoint == checkpoint && is(&in_flight.phase))
    }

    /// The checkpoint in flight, if it is this one.
    fn current(&mut self, checkpoint: CheckpointId) -> Option<&mut InFlight> {
        self.in_flight.as_mut().filter(|in_flight| in_flight.checkpoint == checkpoint)
    }

    fn acked(&mut self, checkpoint: CheckpointId, task: usize, actions: &mut Vec<Action>) {
        let Some(in_flight) = self.current(checkpoint) else { return };
        let Phase::Aligning { acked } = &mut in_flight.phase else { return };
        acked.insert(task);
        if acked.is_complete() {
            in_flight.phase = Phase::Storing;
            actions.push(Action::Store { checkpoint, kind: in_flight.kind });
        }
    }

    fn stored(&mut self, checkpoint: CheckpointId, actions: &mut Vec<Action>) {
        let tasks = self.ended.len();
        let Some(in_flight) = self.current(checkpoint) else { return };
        if matches!(in_flight.phase, Phase::Storing) {
            in_flight.phase = Phase::Committing { committed: TaskSet::none_of(tasks) };
            self.failures_in_a_row = 0;
            actions.push(Action::Commit { checkpoint });
        }
    }

    fn committed(
        &mut self,
        checkpoint: CheckpointId,
        task: usize,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let Some(in_flight) = self.current(checkpoint) else { return };
        let Phase::Committing { committed } = &mut in_flight.phase else { return };
        committed.insert(task);
        if !committed.is_complete() {
            return;
        }
        let kind = in_flight.kind;
        self.end_of_flight(now);
        self.stopped |= kind == CheckpointKind::Stop;
        let complete = self.ended.is_complete();
        if kind == CheckpointKind::Final || (kind == CheckpointKind::Stop && !complete) {
            self.over = true;
            actions.push(Action::Finish { kind });
        }
    }

    /// A task also ends when the barrier of a `Stop` checkpoint stopped its source; that is not the
    /// end of its input. The task then acknowledges first and ends afterwards.
    fn task_ended(&mut self, task: usize) {
        let stopped_by_barrier = self.stopped
            || match &self.in_flight {
                Some(InFlight { kind: CheckpointKind::Stop, phase, .. }) => match phase {
                    Phase::Aligning { acked } => acked.contains(task),
                    Phase::Storing | Phase::Committing { .. } => true,
                },
                _ => false,
            };
        if !stopped_by_barrier {
            self.ended.insert(task);
        }
    }

    fn check_timeout(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let Some(in_flight) = &self.in_flight else { return };
        let limit = self.options.timeout;
        if now < in_flight.triggered.saturating_add(limit) {
            return;
        }
        let reason = match &in_flight.phase {
            Phase::Committing { .. } => return,
            Phase::Aligning { acked } => format!(
                "it did not complete within {limit:?}: {} of {} tasks have answered",
                acked.count(),
                acked.len()
            ),
            Phase::Storing => format!("its manifest was not written within {limit:?}"),
        };
        self.abandon(reason, now, actions);
    }

    fn abandon(&mut self, reason: String, now: Duration, actions: &mut Vec<Action>) {
        let Some(in_flight) = self.in_flight.take() else { return };
        let checkpoint = in_flight.checkpoint;
        self.set_due(in_flight.triggered, now);
        self.needs_full = true;
        self.failures_in_a_row += 1;
        let fatal = in_flight.kind != CheckpointKind::Periodic
            || self.failures_in_a_row > self.options.tolerable_failures;
        if fatal {
            self.over = true;
        }
        let failure = fatal.then(|| Action::Fail {
            reason: match self.failures_in_a_row {
                1 => format!("checkpoint {checkpoint} failed: {reason}"),
                in_a_row => {
                    format!("checkpoint {checkpoint} failed, {in_a_row} in a row: {reason}")
                }
            },
        });
        actions.push(Action::Abandon { checkpoint, reason });
        actions.extend(failure);
    }

    fn end_of_flight(&mut self, now: Duration) {
        if let Some(in_flight) = self.in_flight.take() {
            self.set_due(in_flight.triggered, now);
        }
    }

    fn set_due(&mut self, triggered: Duration, now: Duration) {
        let by_interval = triggered.saturating_add(self.options.interval);
        self.due = by_interval.max(now.saturating_add(self.options.min_pause));
    }

    fn begin_if_due(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.over || self.in_flight.is_some() {
            return;
        }
        let kind = if self.ended.is_complete() {
            CheckpointKind::Final
        } else if self.stop_requested {
            CheckpointKind::Stop
        } else if now >= self.due {
            CheckpointKind::Periodic
        } else {
            return;
        };
        let checkpoint = self.next;
        self.next = checkpoint.next();
        self.in_flight = Some(InFlight {
            checkpoint,
            kind,
            triggered: now,
            phase: Phase::Aligning { acked: TaskSet::none_of(self.ended.len()) },
        });
        let full = std::mem::replace(&mut self.needs_full, false);
        let barrier = Barrier { checkpoint, full, stop: kind == CheckpointKind::Stop };
        actions.push(Action::Trigger { barrier, kind });
    }
}

/// Some of the tasks `0..len`.
#[derive(Debug)]
struct TaskSet {
    members: Vec<bool>,
    count: usize,
}

impl TaskSet {
    fn none_of(len: usize) -> Self {
        TaskSet { members: vec![false; len], count: 0 }
    }

    /// Adds a task; one that is there already, or that does not exist, changes nothing.
    fn insert(&mut self, task: usize) {
        if let Some(member @ false) = self.members.get_mut(task) {
            *member = true;
            self.count += 1;
        }
    }

    fn contains(&self, task: usize) -> bool {
        self.members.get(task).copied().unwrap_or(false)
    }

    fn count(&self) -> usize {
        self.count
    }

    fn len(&self) -> usize {
        self.members.len()
    }

    fn is_complete(&self) -> bool {
        self.count == self.members.len()
    }
}

#[cfg(test)]
mod tests;
