//! Streams of rows.

use std::marker::PhantomData;
use std::sync::Arc;

use millrace_core::{Operator, Port, Result, Sink, Subtask};
use millrace_runtime::window::WindowResult;
use millrace_runtime::{NodeIndex, NodeKind};

use crate::keyed::KeyedStream;
use crate::plan::{Plan, Route, Settings};
use crate::sink::{CollectSink, Collected, PrintSink};
use crate::stage::{Filter, FlatMap, Identity, Map, Stage, StageOperator};

/// A stream of rows of type `T`, each with its event time.
///
/// A stream is a description; rows flow when the environment executes it. Using it twice (clone it)
/// reads it twice. `S` is the chain of functions that the rows still have to pass; it is of no
/// concern to users.
///
/// Rows of one key keep their order from one operator to the next, as do all rows where the
/// parallelism is 1.
pub struct DataStream<T, S = Identity<T>> {
    pub(crate) plan: Plan,
    pub(crate) node: NodeIndex,
    pub(crate) port: Port,
    pub(crate) route: Route,
    pub(crate) stage: S,
    /// For the operator that the stage will become.
    pub(crate) settings: Settings,
    pub(crate) rows: PhantomData<fn() -> T>,
}

impl<T, S: Clone> Clone for DataStream<T, S> {
    fn clone(&self) -> Self {
        DataStream {
            plan: self.plan.clone(),
            node: self.node,
            port: self.port,
            route: self.route.clone(),
            stage: self.stage.clone(),
            settings: self.settings.clone(),
            rows: PhantomData,
        }
    }
}

impl<T: Clone + Send + 'static, S: Stage<Out = T>> DataStream<T, S> {
    pub(crate) fn new(plan: Plan, node: NodeIndex, port: Port, stage: S) -> Self {
        DataStream {
            plan,
            node,
            port,
            route: Route::Forward,
            stage,
            settings: Settings::default(),
            rows: PhantomData,
        }
    }

    /// The same place in the plan, with other functions to pass.
    fn with_stage<U, R>(self, stage: impl FnOnce(S) -> R) -> DataStream<U, R> {
        DataStream {
            plan: self.plan,
            node: self.node,
            port: self.port,
            route: self.route,
            stage: stage(self.stage),
            settings: self.settings,
            rows: PhantomData,
        }
    }

    /// Turns each row into another, of the same event time.
    pub fn map<U, F>(self, function: F) -> DataStream<U, impl Stage<In = S::In, Out = U>>
    where
        U: Clone + Send + 'static,
        F: Fn(T) -> U + Clone + Send + Sync + 'static,
    {
        self.with_stage(|before| Map { before, function })
    }

    /// Keeps the rows for which `condition` is true; the ledger counts the others as filtered.
    pub fn filter<F>(self, condition: F) -> DataStream<T, impl Stage<In = S::In, Out = T>>
    where
        F: Fn(&T) -> bool + Clone + Send + Sync + 'static,
    {
        self.with_stage(|before| Filter { before, condition })
    }

    /// Turns each row into any number of rows of the same event time.
    pub fn flat_map<U, I, F>(self, function: F) -> DataStream<U, impl Stage<In = S::In, Out = U>>
    where
        U: Clone + Send + 'static,
        I: IntoIterator<Item = U>,
        F: Fn(T) -> I + Clone + Send + Sync + 'static,
    {
        self.with_stage(|before| FlatMap { before, function })
    }

    /// Names the operator before this point in checkpoints, so that its state is found again after
    /// the job has changed. Unique within the job.
    #[must_use]
    pub fn uid(self, uid: impl Into<String>) -> Self {
        self.change(|settings| settings.uid = Some(uid.into()))
    }

    /// Names the operator before this point for people: in messages, metrics and the ledger.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        self.change(|settings| settings.name = Some(name.into()))
    }

    /// How many subtasks the operator before this point has, at least 1 and at most the number of
    /// key groups. The default is the environment's.
    #[must_use]
    pub fn set_parallelism(self, parallelism: usize) -> Self {
        self.change(|settings| settings.parallelism = Some(parallelism))
    }

    fn change(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        if S::IS_IDENTITY {
            self.plan.change(self.node, change);
        } else {
            change(&mut self.settings);
        }
        self
    }

    /// Spreads batches evenly over the next operator's subtasks. Rows of one key lose their order.
    pub fn rebalance(self) -> DataStream<T> {
        DataStream { route: Route::Rebalance, ..self.settled() }
    }

    /// Gives every row to every subtask of the next operator.
    pub fn broadcast(self) -> DataStream<T> {
        DataStream { route: Route::Broadcast, ..self.settled() }
    }

    /// Puts rows of equal keys together. `key` must give the same key for the same row, always.
    pub fn key_by<K, F>(self, key: F) -> KeyedStream<T, K, F>
    where
        K: millrace_runtime::window::Key,
        F: Fn(&T) -> K + Clone + Send + Sync + 'static,
    {
        KeyedStream::new(self.settled(), key)
    }

    /// Hands the rows to an operator of your own, which takes `Records<T>` and puts out
    /// `Records<U>` at [`Port::MAIN`]. `make` is called for each subtask; `what` names the kind of
    /// operator.
    pub fn process<U, O, M>(self, what: &str, make: M) -> DataStream<U>
    where
        U: Clone + Send + 'static,
        O: Operator + 'static,
        M: Fn(Subtask) -> Result<O> + Clone + Send + Sync + 'static,
    {
        let stream = self.settled();
        let build = move |_| {
            let make = make.clone();
            NodeKind::Operator(Arc::new(move |subtask| {
                Ok(Box::new(make(subtask)?) as Box<dyn Operator>)
            }))
        };
        let from = (stream.node, stream.port, stream.route);
        let node = stream.plan.then(from, what, Settings::default(), Box::new(build));
        DataStream::new(stream.plan, node, Port::MAIN, Identity::default())
    }

    /// Hands the rows to a sink, as `Records<T>`.
    pub fn sink_to(self, what: &str, sink: Arc<dyn Sink>) -> SinkHandle {
        let stream = self.settled();
        let build = move |_| NodeKind::Sink(Arc::clone(&sink));
        let from = (stream.node, stream.port, stream.route);
        let node = stream.plan.then(from, what, Settings::default(), Box::new(build));
        SinkHandle { plan: stream.plan, node }
    }

    /// Prints each row on standard output as it comes: at least once. With several subtasks, a
    /// line begins with the number of the one that prints.
    pub fn print(self) -> SinkHandle
    where
        T: std::fmt::Debug,
    {
        self.sink_to("print", Arc::new(PrintSink::<T>::default()))
    }

    /// Collects the rows in memory, exactly once: those of completed checkpoints, all of them when
    /// the job has finished.
    pub fn collect(self) -> Collected<T> {
        let collected = Collected::default();
        self.sink_to("collect", Arc::new(CollectSink::new(&collected)));
        collected
    }

    /// The stream with its pending functions made into an operator.
    pub(crate) fn settled(self) -> DataStream<T> {
        let DataStream { plan, node, port, route, stage, settings, .. } = self;
        if S::IS_IDENTITY {
            let stream = DataStream::new(plan, node, port, Identity::default());
            return DataStream { route, ..stream };
        }
        let what = stage.describe();
        let build = move |_| {
            let stage = stage.clone();
            NodeKind::Operator(Arc::new(move |_| {
                Ok(Box::new(StageOperator(stage.clone())) as Box<dyn Operator>)
            }))
        };
        let node = plan.then((node, port, route), what, settings, Box::new(build));
        DataStream::new(plan, node, Port::MAIN, Identity::default())
    }
}

/// A sink in the plan, to be named.
pub struct SinkHandle {
    plan: Plan,
    node: NodeIndex,
}

impl SinkHandle {
    /// As [`DataStream::uid`].
    pub fn uid(self, uid: impl Into<String>) -> Self {
        self.plan.change(self.node, |settings| settings.uid = Some(uid.into()));
        self
    }

    /// As [`DataStream::name`].
    pub fn name(self, name: impl Into<String>) -> Self {
        self.plan.change(self.node, |settings| settings.name = Some(name.into()));
        self
    }

    /// As [`DataStream::set_parallelism`].
    pub fn set_parallelism(self, parallelism: usize) -> Self {
        self.plan.change(self.node, |settings| settings.parallelism = Some(parallelism));
        self
    }
}

/// Marks a stream that comes straight out of a window over rows of type `T`.
pub struct AfterWindow<R, T>(PhantomData<fn(R, T)>);

impl<R, T> AfterWindow<R, T> {
    pub(crate) fn new() -> Self {
        AfterWindow(PhantomData)
    }
}

impl<R, T> Clone for AfterWindow<R, T> {
    fn clone(&self) -> Self {
        AfterWindow(PhantomData)
    }
}

impl<R: Clone + Send + 'static, T: 'static> Stage for AfterWindow<R, T> {
    type In = R;
    type Out = R;
    const IS_IDENTITY: bool = true;

    #[inline]
    fn run(&self, row: R, emit: &mut impl FnMut(R)) {
        emit(row);
    }

    fn describe(&self) -> String {
        String::new()
    }
}

impl<K, V, T> DataStream<WindowResult<K, V>, AfterWindow<WindowResult<K, V>, T>>
where
    T: Clone + Send + 'static,
{
    /// The rows that came when all their windows were closed, as they came.
    pub fn late(&self) -> DataStream<T> {
        DataStream::new(self.plan.clone(), self.node, Port::SIDE, Identity::default())
    }
}
