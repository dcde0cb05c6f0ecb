use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn options() -> CheckpointOptions {
    CheckpointOptions { interval: 10 * SECOND, ..CheckpointOptions::default() }
}

fn coordinator(options: CheckpointOptions, tasks: usize) -> Coordinator {
    Coordinator::new(options, tasks, CheckpointId(1), Duration::ZERO)
}

fn at(seconds: u32) -> Duration {
    seconds * SECOND
}

fn trigger(checkpoint: u64, kind: CheckpointKind, full: bool) -> Action {
    let checkpoint = CheckpointId(checkpoint);
    Action::Trigger {
        barrier: Barrier { checkpoint, full, stop: kind == CheckpointKind::Stop },
        kind,
    }
}

/// Answers everything about a checkpoint of one task, at `now`, and returns the last actions.
fn complete(coordinator: &mut Coordinator, checkpoint: u64, now: Duration) -> Vec<Action> {
    let checkpoint = CheckpointId(checkpoint);
    let stored = coordinator.on(Event::Acked { checkpoint, task: 0 }, now);
    assert!(matches!(stored[..], [Action::Store { .. }]), "{stored:?}");
    let commit = coordinator.on(Event::Stored { checkpoint }, now);
    assert_eq!(commit, [Action::Commit { checkpoint }]);
    coordinator.on(Event::Committed { checkpoint, task: 0 }, now)
}

use CheckpointKind::{Final, Periodic, Stop};

#[test]
fn the_interval_counts_from_trigger_to_trigger() {
    let mut it = coordinator(options(), 1);
    assert_eq!(it.on(Event::Tick, at(9)), []);
    assert_eq!(it.on(Event::Tick, at(10)), [trigger(1, Periodic, true)]);
    assert_eq!(complete(&mut it, 1, at(17)), []);
    assert_eq!(it.next_wake(), Some(at(20)));
    assert_eq!(it.on(Event::Tick, at(20)), [trigger(2, Periodic, false)]);
}

#[test]
fn the_minimum_pause_counts_from_the_end_of_one_to_the_next_trigger() {
    let mut it = coordinator(CheckpointOptions { min_pause: at(5), ..options() }, 1);
    it.on(Event::Tick, at(10));
    complete(&mut it, 1, at(18));
    assert_eq!(it.next_wake(), Some(at(23)));
    assert_eq!(it.on(Event::Tick, at(22)), []);
    assert_eq!(it.on(Event::Tick, at(23)), [trigger(2, Periodic, false)]);
}

#[test]
fn a_checkpoint_that_outlasts_the_interval_is_followed_by_the_next_at_once() {
    let mut it = coordinator(options(), 1);
    it.on(Event::Tick, at(10));
    assert_eq!(it.on(Event::Tick, at(25)), [], "never two in flight");
    assert_eq!(complete(&mut it, 1, at(31)), [trigger(2, Periodic, false)]);
}

#[test]
fn a_checkpoint_that_times_out_is_abandoned_and_the_next_one_is_full() {
    let limits = CheckpointOptions { timeout: at(60), tolerable_failures: 1, ..options() };
    let mut it = coordinator(limits, 2);
    it.on(Event::Tick, at(10));
    it.on(Event::Acked { checkpoint: CheckpointId(1), task: 1 }, at(11));
    assert_eq!(it.next_wake(), Some(at(70)));
    assert_eq!(it.on(Event::Tick, at(69)), []);
    let actions = it.on(Event::Tick, at(70));
    let reason = "it did not complete within 60s: 1 of 2 tasks have answered".to_owned();
    assert_eq!(
        actions,
        [Action::Abandon { checkpoint: CheckpointId(1), reason }, trigger(2, Periodic, true)]
    );
    let late = Event::Acked { checkpoint: CheckpointId(1), task: 0 };
    assert_eq!(it.on(late, at(71)), [], "an answer about an abandoned checkpoint");
}

#[test]
fn the_timeout_ends_with_the_manifest() {
    let mut it = coordinator(CheckpointOptions { timeout: at(60), ..options() }, 1);
    it.on(Event::Tick, at(10));
    let checkpoint = CheckpointId(1);
    it.on(Event::Acked { checkpoint, task: 0 }, at(11));
    it.on(Event::Stored { checkpoint }, at(12));
    assert_eq!(it.next_wake(), None);
    assert_eq!(it.on(Event::Tick, at(500)), []);
}

#[test]
fn more_failures_in_a_row_than_are_tolerable_fail_the_job() {
    let mut it = coordinator(CheckpointOptions { tolerable_failures: 1, ..options() }, 1);
    let decline = |id| Event::Declined {
        checkpoint: CheckpointId(id),
        task: 0,
        reason: "no room".to_owned(),
    };
    it.on(Event::Tick, at(10));
    assert_eq!(it.on(decline(1), at(11)).len(), 1);
    it.on(Event::Tick, at(20));
    complete(&mut it, 2, at(21));
    it.on(Event::Tick, at(30));
    assert_eq!(it.on(decline(3), at(31)).len(), 1, "the count began anew");
    it.on(Event::Tick, at(40));
    let actions = it.on(decline(4), at(41));
    let reason = "checkpoint 4 failed, 2 in a row: task 0 declined: no room".to_owned();
    assert_eq!(actions[1], Action::Fail { reason });
    assert_eq!(it.next_wake(), None);
    assert_eq!(it.on(Event::Tick, at(100)), []);
}

#[test]
fn the_end_of_all_input_is_followed_by_a_final_checkpoint_and_the_end() {
    let mut it = coordinator(options(), 1);
    let ended = it.on(Event::TaskEnded { task: 0 }, at(1));
    assert_eq!(ended, [trigger(1, Final, true)]);
    assert_eq!(complete(&mut it, 1, at(2)), [Action::Finish { kind: Final }]);
    assert_eq!(it.on(Event::StopRequested, at(3)), []);
}

#[test]
fn a_stop_waits_for_the_checkpoint_in_flight_and_not_for_the_pause() {
    let mut it = coordinator(CheckpointOptions { min_pause: at(60), ..options() }, 1);
    it.on(Event::Tick, at(10));
    assert_eq!(it.on(Event::StopRequested, at(11)), []);
    assert_eq!(complete(&mut it, 1, at(12)), [trigger(2, Stop, false)]);
    let ended_by_the_barrier = |it: &mut Coordinator| it.on(Event::TaskEnded { task: 0 }, at(13));
    let checkpoint = CheckpointId(2);
    it.on(Event::Acked { checkpoint, task: 0 }, at(13));
    assert_eq!(ended_by_the_barrier(&mut it), []);
    it.on(Event::Stored { checkpoint }, at(14));
    let finish = it.on(Event::Committed { checkpoint, task: 0 }, at(15));
    assert_eq!(finish, [Action::Finish { kind: Stop }]);
}

#[test]
fn input_that_ends_before_the_barrier_of_a_stop_makes_the_job_complete() {
    let mut it = coordinator(options(), 1);
    assert_eq!(it.on(Event::StopRequested, at(1)), [trigger(1, Stop, true)]);
    assert_eq!(it.on(Event::TaskEnded { task: 0 }, at(1)), []);
    assert_eq!(complete(&mut it, 1, at(2)), [trigger(2, Final, false)]);
    assert_eq!(complete(&mut it, 2, at(3)), [Action::Finish { kind: Final }]);
}

#[test]
fn a_stop_or_final_checkpoint_that_fails_fails_the_job_whatever_is_tolerable() {
    let mut it = coordinator(CheckpointOptions { tolerable_failures: 9, ..options() }, 1);
    it.on(Event::StopRequested, at(1));
    let checkpoint = CheckpointId(1);
    it.on(Event::Acked { checkpoint, task: 0 }, at(2));
    let actions = it.on(Event::StoreFailed { checkpoint, reason: "disk full".into() }, at(3));
    assert!(matches!(actions[..], [Action::Abandon { .. }, Action::Fail { .. }]), "{actions:?}");
}

/// What the tasks and the store would do next, in an order that the test case chooses.
#[derive(Clone, Debug)]
struct World {
    tasks: usize,
    now: Duration,
    /// Answers that are under way: any of them may come next.
    pending: Vec<Event>,
    running: BTreeSet<usize>,
    /// The checkpoint in flight, with the answers that have come.
    flight: Option<Flight>,
    last_id: u64,
    finished: Option<CheckpointKind>,
    failed: bool,
    failures_in_a_row: u32,
}

#[derive(Clone, Debug)]
struct Flight {
    checkpoint: CheckpointId,
    kind: CheckpointKind,
    acked: BTreeSet<usize>,
    store_asked: bool,
    stored: bool,
    committed: BTreeSet<usize>,
}

impl World {
    fn new(tasks: usize) -> Self {
        World {
            tasks,
            now: Duration::ZERO,
            pending: Vec::new(),
            running: (0..tasks).collect(),
            flight: None,
            last_id: 0,
            finished: None,
            failed: false,
            failures_in_a_row: 0,
        }
    }

    fn over(&self) -> bool {
        self.finished.is_some() || self.failed
    }

    /// Tells the coordinator, and checks its answer against the rules.
    fn tell(&mut self, coordinator: &mut Coordinator, event: Event) {
        let over = self.over();
        if let Some(flight) = &mut self.flight {
            match &event {
                Event::Acked { checkpoint, task } if *checkpoint == flight.checkpoint => {
                    flight.acked.insert(*task);
                }
                Event::Stored { checkpoint } if *checkpoint == flight.checkpoint => {
                    flight.stored = true;
                }
                Event::Committed { checkpoint, task } if *checkpoint == flight.checkpoint => {
                    flight.committed.insert(*task);
                    if flight.committed.len() == self.tasks {
                        self.failures_in_a_row = 0;
                    }
                }
                _ => {}
            }
        }
        let actions = coordinator.on(event, self.now);
        assert!(!over || actions.is_empty(), "nothing follows the end: {actions:?}");
        for action in actions {
            self.carry_out(action);
        }
    }

    fn flight(&mut self, checkpoint: CheckpointId) -> &mut Flight {
        let flight = self.flight.as_mut().expect("an action about a checkpoint in flight");
        assert_eq!(flight.checkpoint, checkpoint);
        flight
    }

    fn carry_out(&mut self, action: Action) {
        let tasks = self.tasks;
        match action {
            Action::Trigger { barrier, kind } => {
                let checkpoint = barrier.checkpoint;
                assert!(checkpoint.0 > self.last_id, "ids grow");
                if let Some(before) = &self.flight {
                    assert_eq!(before.committed.len(), tasks, "two in flight");
                }
                assert_eq!(barrier.full, self.last_id == 0 || self.failures_in_a_row > 0);
                assert_eq!(barrier.stop, kind == Stop);
                assert!(kind != Final || self.running.is_empty());
                self.last_id = checkpoint.0;
                self.flight = Some(Flight {
                    checkpoint,
                    kind,
                    acked: BTreeSet::new(),
                    store_asked: false,
                    stored: false,
                    committed: BTreeSet::new(),
                });
                self.pending.extend((0..tasks).map(|task| Event::Acked { checkpoint, task }));
            }
            Action::Store { checkpoint, kind } => {
                let flight = self.flight(checkpoint);
                assert_eq!(flight.acked.len(), tasks, "stored before all tasks acknowledged");
                assert!(!flight.store_asked && flight.kind == kind);
                flight.store_asked = true;
                self.pending.push(Event::Stored { checkpoint });
            }
            Action::Commit { checkpoint } => {
                let flight = self.flight(checkpoint);
                assert!(flight.stored && flight.store_asked, "commit before the manifest stands");
                assert!(flight.committed.is_empty(), "commit was sent twice");
                self.pending.extend((0..tasks).map(|task| Event::Committed { checkpoint, task }));
            }
            Action::Abandon { checkpoint, .. } => {
                assert!(!self.flight(checkpoint).stored, "abandoned after it was complete");
                self.flight = None;
                self.failures_in_a_row += 1;
            }
            Action::Finish { kind } => {
                let flight = self.flight.as_ref().expect("finish follows a checkpoint");
                assert_eq!((flight.committed.len(), flight.kind), (tasks, kind));
                assert!(kind != Periodic);
                self.finished = Some(kind);
            }
            Action::Fail { .. } => {
                assert!(self.failures_in_a_row > 0 && self.flight.is_none());
                self.failed = true;
            }
        }
    }

    /// Lets the answer that `choice` picks happen, turned into a failure if `fails`.
    fn answer(&mut self, coordinator: &mut Coordinator, choice: usize, fails: bool) {
        if self.pending.is_empty() {
            return;
        }
        let index = choice % self.pending.len();
        let event = match self.pending.swap_remove(index) {
            Event::Acked { checkpoint, task } if fails => {
                Event::Declined { checkpoint, task, reason: "declined".into() }
            }
            Event::Stored { checkpoint } if fails => {
                Event::StoreFailed { checkpoint, reason: "failed".into() }
            }
            event => event,
        };
        // An answer about an abandoned checkpoint must not count for the model either.
        self.tell(coordinator, event);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait { seconds: u32 },
    Answer { choice: usize, fails: bool },
    Repeat { choice: usize },
    EndTask { choice: usize },
    Stray { checkpoint: u64, task: usize },
    RequestStop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u32..20).prop_map(|seconds| Step::Wait { seconds }),
        12 => (any::<usize>(), prop::bool::weighted(0.1))
            .prop_map(|(choice, fails)| Step::Answer { choice, fails }),
        1 => any::<usize>().prop_map(|choice| Step::Repeat { choice }),
        1 => any::<usize>().prop_map(|choice| Step::EndTask { choice }),
        1 => (20u64..30, 0usize..9).prop_map(|(checkpoint, task)| Step::Stray { checkpoint, task }),
        1 => Just(Step::RequestStop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever happens in whatever order, the rules hold; and if from then on everything answers,
    /// the job comes to its end once its input has.
    #[test]
    fn the_rules_hold_in_any_order_of_events(
        steps in prop::collection::vec(step(), 0..120),
        tasks in 1usize..5,
        tolerable_failures in 0u32..4,
        min_pause in 0u32..30,
    ) {
        let options = CheckpointOptions {
            interval: at(10),
            min_pause: at(min_pause),
            timeout: at(40),
            tolerable_failures,
            retained: 3,
        };
        let mut coordinator = coordinator(options, tasks);
        let mut world = World::new(tasks);
        for step in steps {
            match step {
                Step::Wait { seconds } => {
                    world.now += at(seconds);
                    world.tell(&mut coordinator, Event::Tick);
                }
                Step::Answer { choice, fails } => world.answer(&mut coordinator, choice, fails),
                Step::Repeat { choice } if !world.pending.is_empty() => {
                    let event = world.pending[choice % world.pending.len()].clone();
                    // The answer comes twice; the second time changes nothing.
                    world.pending.push(event);
                }
                Step::Repeat { .. } => {}
                Step::EndTask { choice } => {
                    let task = choice % tasks;
                    world.running.remove(&task);
                    world.tell(&mut coordinator, Event::TaskEnded { task });
                }
                Step::Stray { checkpoint, task } => {
                    let checkpoint = CheckpointId(checkpoint + 1_000);
                    world.tell(&mut coordinator, Event::Acked { checkpoint, task });
                    world.tell(&mut coordinator, Event::Stored { checkpoint });
                    world.tell(&mut coordinator, Event::Committed { checkpoint, task });
                }
                Step::RequestStop => world.tell(&mut coordinator, Event::StopRequested),
            }
        }
        for task in 0..tasks {
            world.running.remove(&task);
            world.tell(&mut coordinator, Event::TaskEnded { task });
        }
        for _ in 0..10_000 {
            if world.over() {
                break;
            }
            if world.pending.is_empty() {
                let wake = coordinator.next_wake().expect("nothing to wait for, and not over");
                world.now = world.now.max(wake);
                world.tell(&mut coordinator, Event::Tick);
            } else {
                world.answer(&mut coordinator, 0, false);
            }
        }
        prop_assert!(world.over(), "the job does not end: {:?}", coordinator);
        prop_assert_eq!(coordinator.next_wake(), None);
    }
}
