//! Functions of one row, fused: a chain of `map`, `filter` and `flat_map` is one type, and the
//! compiler makes one loop of it.

use std::marker::PhantomData;

use millrace_core::{Batch, Collector, DropReason, Operator, Port, Records, Result};

/// A step from one row to any number of rows of the same time.
pub trait Stage: Clone + Send + Sync + 'static {
    /// What comes in.
    type In: Clone + Send + 'static;
    /// What goes out.
    type Out: Clone + Send + 'static;
    /// Whether every row leaves as it came, so that no operator is needed.
    const IS_IDENTITY: bool = false;

    /// Hands what `row` becomes to `emit`.
    fn run(&self, row: Self::In, emit: &mut impl FnMut(Self::Out));

    /// What the stage does, such as `map-filter`.
    fn describe(&self) -> String;
}

/// Rows as they come.
pub struct Identity<T>(PhantomData<fn(T)>);

impl<T> Default for Identity<T> {
    fn default() -> Self {
        Identity(PhantomData)
    }
}

impl<T> Clone for Identity<T> {
    fn clone(&self) -> Self {
        Identity(PhantomData)
    }
}

impl<T: Clone + Send + 'static> Stage for Identity<T> {
    type In = T;
    type Out = T;
    const IS_IDENTITY: bool = true;

    #[inline]
    fn run(&self, row: T, emit: &mut impl FnMut(T)) {
        emit(row);
    }

    fn describe(&self) -> String {
        String::new()
    }
}

fn described(before: String, step: &str) -> String {
    if before.is_empty() { step.to_owned() } else { format!("{before}-{step}") }
}

/// `before`, then a function of each row.
#[derive(Clone)]
pub struct Map<S, F> {
    pub(crate) before: S,
    pub(crate) function: F,
}

impl<S: Stage, U: Clone + Send + 'static, F> Stage for Map<S, F>
where
    F: Fn(S::Out) -> U + Clone + Send + Sync + 'static,
{
    type In = S::In;
    type Out = U;

    #[inline]
    fn run(&self, row: S::In, emit: &mut impl FnMut(U)) {
        self.before.run(row, &mut |row| emit((self.function)(row)));
    }

    fn describe(&self) -> String {
        described(self.before.describe(), "map")
    }
}

/// `before`, then only the rows for which a condition is true.
#[derive(Clone)]
pub struct Filter<S, F> {
    pub(crate) before: S,
    pub(crate) condition: F,
}

impl<S: Stage, F> Stage for Filter<S, F>
where
    F: Fn(&S::Out) -> bool + Clone + Send + Sync + 'static,
{
    type In = S::In;
    type Out = S::Out;

    #[inline]
    fn run(&self, row: S::In, emit: &mut impl FnMut(S::Out)) {
        self.before.run(row, &mut |row| {
            if (self.condition)(&row) {
                emit(row);
            }
        });
    }

    fn describe(&self) -> String {
        described(self.before.describe(), "filter")
    }
}

/// `before`, then any number of rows for each.
#[derive(Clone)]
pub struct FlatMap<S, F> {
    pub(crate) before: S,
    pub(crate) function: F,
}

impl<S: Stage, I, F> Stage for FlatMap<S, F>
where
    I: IntoIterator<Item: Clone + Send + 'static>,
    F: Fn(S::Out) -> I + Clone + Send + Sync + 'static,
{
    type In = S::In;
    type Out = I::Item;

    #[inline]
    fn run(&self, row: S::In, emit: &mut impl FnMut(I::Item)) {
        self.before.run(row, &mut |row| (self.function)(row).into_iter().for_each(&mut *emit));
    }

    fn describe(&self) -> String {
        described(self.before.describe(), "flat-map")
    }
}

/// Runs a stage over batches. A row that becomes no row counts as filtered, any other as passed on.
pub struct StageOperator<S>(pub S);

impl<S: Stage> Operator for StageOperator<S> {
    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        let records: Records<S::In> = batch.downcast()?;
        let rows = records.len();
        let mut passed = 0;
        let mut left = Records::with_capacity(rows, records.bound);
        for (row, timestamp) in records.values.into_iter().zip(records.timestamps) {
            let before = left.values.len();
            self.0.run(row, &mut |row| left.push(row, timestamp));
            passed += usize::from(left.values.len() > before);
        }
        out.passed(passed);
        if passed < rows {
            out.dropped(DropReason::Filtered, rows - passed);
        }
        out.emit(Port::MAIN, Batch::new(left))
    }
}
