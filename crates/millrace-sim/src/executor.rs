//! Runs tasks one at a time, in an order that the seed chooses.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::future::BoxFuture;
use millrace_core::seam::{Clock as _, JoinError, Seams, Spawner, Task};

use crate::clock::SimClock;
use crate::random::SimRandom;
use crate::trace::{Step, Trace};

/// The simulation's own future.
const MAIN: usize = 0;

/// More steps than any test should need: past them, something goes round in circles.
const STEP_LIMIT: u64 = 20_000_000;

/// Runs `main` in the world of `seed` to its end.
///
/// ```
/// use std::time::Duration;
///
/// let (hours, trace) = millrace_sim::run(7, |seams| async move {
///     seams.clock.sleep(Duration::from_secs(7_200)).await;
///     seams.clock.elapsed().as_secs() / 3_600
/// });
/// assert_eq!(hours, 2);
/// assert_eq!(trace.steps.len(), 2);
/// ```
///
/// # Panics
/// As [`Simulation::run`].
pub fn run<F: Future>(seed: u64, main: impl FnOnce(Seams) -> F) -> (F::Output, Trace) {
    let simulated = Simulation::new(seed).run(main);
    match simulated.output {
        Some(output) => (output, simulated.trace),
        None => unreachable!("only a crash leaves no output, and none was asked for"),
    }
}

/// A world to run a future in.
#[derive(Clone, Copy, Debug)]
pub struct Simulation {
    seed: u64,
    crash_after: Option<u64>,
}

/// What came of a simulation.
#[derive(Debug)]
pub struct Simulated<T> {
    /// What the future returned; `None` if the simulation crashed before.
    pub output: Option<T>,
    /// What ran.
    pub trace: Trace,
}

impl Simulation {
    /// A world in which everything left to chance follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Simulation { seed, crash_after: None }
    }

    /// Ends after so many steps, should it last so long: all tasks are dropped where they are.
    #[must_use]
    pub fn crash_after(mut self, steps: u64) -> Self {
        self.crash_after = Some(steps);
        self
    }

    /// Runs the future that `main` makes, and all tasks that it spawns on the seams, until it
    /// returns or the crash comes. Tasks that are left then are dropped.
    ///
    /// # Panics
    /// When `main` does; when nothing can run and no timer is set, with the names of the tasks
    /// that wait; after 20 million steps; and within a tokio runtime, since tasks could escape to
    /// its threads.
    pub fn run<F: Future>(self, main: impl FnOnce(Seams) -> F) -> Simulated<F::Output> {
        assert!(
            tokio::runtime::Handle::try_current().is_err(),
            "a simulation runs outside of tokio, or its tasks would escape to tokio's threads"
        );
        let world = Arc::new(World::default());
        let clock = SimClock::default();
        let seams = Seams {
            clock: Arc::new(clock.clone()),
            random: Arc::new(SimRandom::new(self.seed, "job")),
            spawner: Arc::new(SimSpawner(Arc::clone(&world))),
        };
        let id = world.add_task("main", None);
        debug_assert_eq!(id, MAIN);
        let mut main = pin!(main(seams));
        let order = SimRandom::new(self.seed, "order");
        let mut steps = Vec::new();
        let output = loop {
            if self.crash_after.is_some_and(|crash| steps.len() as u64 >= crash) {
                break None;
            }
            let Some(task) = world.take_ready(&order) else {
                if clock.advance() {
                    continue;
                }
                let (seed, waiting) = (self.seed, world.unfinished().join("`, `"));
                panic!("seed {seed}: nothing can run, and no timer is set; waiting: `{waiting}`");
            };
            assert!((steps.len() as u64) < STEP_LIMIT, "seed {}: no end in sight", self.seed);
            steps.push(Step { elapsed: clock.elapsed(), task });
            if task != MAIN {
                world.step(task);
                continue;
            }
            let waker = world.waker(MAIN);
            if let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                break Some(output);
            }
        };
        world.end();
        clock.clear();
        Simulated { output, trace: Trace { task_names: world.names(), steps } }
    }
}

/// All tasks. Locked only for moments, never while a task runs or is dropped.
#[derive(Default)]
struct World(Mutex<Tasks>);

#[derive(Default)]
struct Tasks {
    names: Vec<String>,
    futures: BTreeMap<usize, BoxFuture<'static, ()>>,
    handles: BTreeMap<usize, Arc<Mutex<Handle>>>,
    /// Woken tasks, each once, in no order that matters.
    ready: Vec<usize>,
    ended: bool,
}

#[derive(Default)]
struct Handle {
    aborted: bool,
    end: Option<Result<(), JoinError>>,
    joiner: Option<Waker>,
}

struct TaskWaker {
    task: usize,
    world: Arc<World>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.world.make_ready(self.task);
    }
}

impl World {
    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waker(self: &Arc<Self>, task: usize) -> Waker {
        Arc::new(TaskWaker { task, world: Arc::clone(self) }).into()
    }

    fn add_task(&self, name: &str, future: Option<BoxFuture<'static, ()>>) -> usize {
        let mut tasks = self.tasks();
        let task = tasks.names.len();
        tasks.names.push(name.to_owned());
        tasks.handles.insert(task, Arc::default());
        if tasks.ended {
            return task;
        }
        if let Some(future) = future {
            tasks.futures.insert(task, future);
        }
        tasks.ready.push(task);
        task
    }

    fn make_ready(&self, task: usize) {
        let mut tasks = self.tasks();
        let alive = task == MAIN || tasks.futures.contains_key(&task);
        let running = tasks.handles.contains_key(&task);
        if (alive || running) && !tasks.ended && !tasks.ready.contains(&task) {
            tasks.ready.push(task);
        }
    }

    fn take_ready(&self, order: &SimRandom) -> Option<usize> {
        let mut tasks = self.tasks();
        let choices = tasks.ready.len() as u64;
        (choices > 0).then(|| {
            let chosen = order.below(choices) as usize;
            tasks.ready.swap_remove(chosen)
        })
    }

    /// Polls a task once, or drops it if it was aborted.
    fn step(self: &Arc<Self>, task: usize) {
        let (future, handle) = {
            let mut tasks = self.tasks();
            let Some(future) = tasks.futures.remove(&task) else { return };
            (future, tasks.handles.get(&task).cloned().unwrap_or_default())
        };
        let mut future = future;
        let aborted = |handle: &Mutex<Handle>| lock(handle).aborted;
        let end = if aborted(&handle) {
            Some(Err(JoinError::Aborted))
        } else {
            let waker = self.waker(task);
            let poll = || future.as_mut().poll(&mut Context::from_waker(&waker));
            match catch_unwind(AssertUnwindSafe(poll)) {
                Ok(Poll::Pending) => None,
                Ok(Poll::Ready(())) => Some(Ok(())),
                Err(payload) => Some(Err(JoinError::from_panic(&*payload))),
            }
        };
        match end {
            None => {
                self.tasks().futures.insert(task, future);
                if aborted(&handle) {
                    self.make_ready(task);
                }
            }
            Some(end) => {
                drop(future);
                self.tasks().handles.remove(&task);
                let joiner = {
                    let mut handle = lock(&handle);
                    handle.end = Some(end);
                    handle.joiner.take()
                };
                joiner.into_iter().for_each(Waker::wake);
            }
        }
    }

    /// The world stops where it is.
    fn end(&self) {
        let futures = {
            let mut tasks = self.tasks();
            tasks.ended = true;
            tasks.ready.clear();
            std::mem::take(&mut tasks.futures)
        };
        drop(futures);
    }

    fn unfinished(&self) -> Vec<String> {
        let tasks = self.tasks();
        tasks.handles.keys().map(|&task| tasks.names[task].clone()).collect()
    }

    fn names(&self) -> Vec<String> {
        std::mem::take(&mut self.tasks().names)
    }
}

fn lock(handle: &Mutex<Handle>) -> MutexGuard<'_, Handle> {
    handle.lock().unwrap_or_else(PoisonError::into_inner)
}

struct SimSpawner(Arc<World>);

impl SimSpawner {
    fn start(&self, name: &str, future: BoxFuture<'static, ()>) -> SimTask {
        let task = self.0.add_task(name, Some(future));
        let handle = self.0.tasks().handles.get(&task).cloned().unwrap_or_default();
        SimTask { task, handle, world: Arc::clone(&self.0) }
    }
}

impl Spawner for SimSpawner {
    fn spawn(&self, name: &str, future: BoxFuture<'static, ()>) -> Box<dyn Task> {
        Box::new(self.start(name, future))
    }

    /// The work is a step of its own, some time later.
    fn spawn_blocking(
        &self,
        work: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'static, Result<(), JoinError>> {
        Box::pin(self.start("blocking", Box::pin(async move { work() })))
    }
}

struct SimTask {
    task: usize,
    handle: Arc<Mutex<Handle>>,
    world: Arc<World>,
}

impl Future for SimTask {
    type Output = Result<(), JoinError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut handle = lock(&self.handle);
        if let Some(end) = handle.end.take() {
            return Poll::Ready(end);
        }
        handle.joiner = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Task for SimTask {
    fn abort(&self) {
        lock(&self.handle).aborted = true;
        self.world.make_ready(self.task);
    }
}
