//! Streams by key, and their windows.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use millrace_core::{Batch, KeyGroup, KeyGroups, Operator, Partitioner, Port, Records, Result};
use millrace_runtime::NodeKind;
use millrace_runtime::window::{Aggregate, Key, WindowOperator, WindowResult, WindowSpec};
use millrace_state::hash::hash_key;

use crate::plan::{Route, Settings};
use crate::stream::{AfterWindow, DataStream};

/// A stream whose rows of equal keys go the same way.
pub struct KeyedStream<T, K, F> {
    stream: DataStream<T>,
    key: F,
    keys: PhantomData<fn() -> K>,
}

impl<T, K, F> KeyedStream<T, K, F>
where
    T: Clone + Send + 'static,
    K: Key,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
{
    pub(crate) fn new(stream: DataStream<T>, key: F) -> Self {
        KeyedStream { stream, key, keys: PhantomData }
    }

    /// Cuts event time into windows, for each key: [`Tumbling`] or [`Hopping`].
    pub fn window(self, window: impl Into<WindowSpec>) -> WindowedStream<T, K, F> {
        WindowedStream { keyed: self, window: window.into() }
    }
}

/// Windows one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Tumbling(WindowSpec);

impl Tumbling {
    /// Windows of `size`, from the epoch on.
    ///
    /// # Errors
    /// `FixInput` when the size is zero or not of whole milliseconds.
    pub fn of(size: Duration) -> Result<Self> {
        Self::with_offset(size, Duration::ZERO)
    }

    /// Windows of `size` that begin at `offset` from the epoch.
    ///
    /// # Errors
    /// As for [`Tumbling::of`].
    pub fn with_offset(size: Duration, offset: Duration) -> Result<Self> {
        Ok(Tumbling(WindowSpec::tumbling(size, offset)?))
    }
}

impl From<Tumbling> for WindowSpec {
    fn from(windows: Tumbling) -> Self {
        windows.0
    }
}

/// Windows that begin at fixed distances, and overlap or leave gaps.
#[derive(Clone, Copy, Debug)]
pub struct Hopping(WindowSpec);

impl Hopping {
    /// Windows of `size`, one beginning every `slide`, from the epoch on.
    ///
    /// # Errors
    /// `FixInput` when size or slide is zero or not of whole milliseconds.
    pub fn of(size: Duration, slide: Duration) -> Result<Self> {
        Self::with_offset(size, slide, Duration::ZERO)
    }

    /// As [`Hopping::of`], shifted by `offset`.
    ///
    /// # Errors
    /// As for [`Hopping::of`].
    pub fn with_offset(size: Duration, slide: Duration, offset: Duration) -> Result<Self> {
        Ok(Hopping(WindowSpec::hopping(size, slide, offset)?))
    }
}

impl From<Hopping> for WindowSpec {
    fn from(windows: Hopping) -> Self {
        windows.0
    }
}

/// What windows over rows of type `T` give.
pub type WindowResults<K, V, T> =
    DataStream<WindowResult<K, V>, AfterWindow<WindowResult<K, V>, T>>;

/// A keyed stream cut into windows.
pub struct WindowedStream<T, K, F> {
    keyed: KeyedStream<T, K, F>,
    window: WindowSpec,
}

impl<T, K, F> WindowedStream<T, K, F>
where
    T: Clone + Send + 'static,
    K: Key,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
{
    /// Takes late rows, and gives a window's result again for them, until event time is `lateness`
    /// past the window's end.
    ///
    /// # Errors
    /// `FixInput` when the lateness is not of whole milliseconds.
    pub fn allowed_lateness(mut self, lateness: Duration) -> Result<Self> {
        self.window = self.window.with_allowed_lateness(lateness)?;
        Ok(self)
    }

    /// Computes `aggregate` for each key and window. Results leave when the watermark has passed
    /// the window's end; their event time is its last point. Late rows are counted, and can be read
    /// with [`DataStream::late`].
    pub fn aggregate<A>(self, aggregate: A) -> WindowResults<K, A::Output, T>
    where
        A: Aggregate<Input = T> + Clone + Sync,
    {
        let WindowedStream { keyed: KeyedStream { stream, key, .. }, window } = self;
        let for_partitioner = key.clone();
        let partitioner = move |groups: KeyGroups| {
            let key = for_partitioner.clone();
            let partitioner = KeyPartitioner { groups, key, owners: Vec::new(), targets: 0 };
            Box::new(ByKey(partitioner, PhantomData::<fn(&T) -> K>)) as Box<dyn Partitioner>
        };
        let build = move |_| {
            let (key, aggregate) = (key.clone(), aggregate.clone());
            NodeKind::Operator(Arc::new(move |_| {
                let operator = WindowOperator::new(window, key.clone(), aggregate.clone());
                Ok(Box::new(operator) as Box<dyn Operator>)
            }))
        };
        let route = Route::Hash(Arc::new(partitioner));
        let from = (stream.node, stream.port, route);
        let what = format!("window {window}");
        let node = stream.plan.then(from, what, Settings::default(), Box::new(build));
        DataStream::new(stream.plan, node, Port::MAIN, AfterWindow::new())
    }
}

struct KeyPartitioner<F> {
    groups: KeyGroups,
    key: F,
    /// Which target owns each group: a look instead of a division for each row.
    owners: Vec<u16>,
    /// The number of targets that `owners` is for.
    targets: usize,
}

impl<F> KeyPartitioner<F> {
    fn learn_owners(&mut self, targets: usize) {
        if self.targets != targets {
            let groups = (0..self.groups.max_parallelism()).map(KeyGroup);
            self.owners = groups.map(|group| self.groups.owner(group, targets) as u16).collect();
            self.targets = targets;
        }
    }
}

/// Sends each row to the owner of its key's group.
struct ByKey<T, K, F>(KeyPartitioner<F>, PhantomData<fn(&T) -> K>);

impl<T, K, F> Partitioner for ByKey<T, K, F>
where
    T: Clone + Send + 'static,
    K: Key,
    F: Fn(&T) -> K + Send,
{
    fn partition(
        &mut self,
        batch: Batch,
        targets: usize,
        out: &mut Vec<(usize, Batch)>,
    ) -> Result<()> {
        let records: Records<T> = batch.downcast()?;
        self.0.learn_owners(targets);
        let KeyPartitioner { groups, key, owners, .. } = &self.0;
        // Room for an even spread; uneven ones grow.
        let room = records.len() / targets + records.len() / 8;
        let mut parts: Vec<Records<T>> =
            (0..targets).map(|_| Records::with_capacity(room, records.bound)).collect();
        for (value, timestamp) in records.values.into_iter().zip(records.timestamps) {
            let KeyGroup(group) = groups.group_of(hash_key(&key(&value)));
            parts[usize::from(owners[usize::from(group)])].push(value, timestamp);
        }
        let parts = parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty());
        out.extend(parts.map(|(target, part)| (target, Batch::new(part))));
        Ok(())
    }
}
