//! The window operator of the typed API.

use std::any::type_name;
use std::hash::Hash;

use millrace_core::{
    Batch, Collector, DropReason, Error, Operator, OperatorContext, Port, Progress, Records,
    Restored, Result, Snapshot, SnapshotRequest, Timestamp,
};
use millrace_state::hash::{OwnedKeys, hash_key};
use millrace_state::{EntryRows, EntryTable, PaneKey, PaneTable};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::state::{Placement, RecentStretches, WindowState};
use super::{Aggregate, TimeWindow, WindowSpec};

/// What a window gives for a key. Its timestamp is the window's last point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowResult<K, V> {
    /// The key.
    pub key: K,
    /// The window.
    pub window: TimeWindow,
    /// What was computed.
    pub value: V,
}

/// Groups `Records<T>` by key and window and puts out `Records<WindowResult<K, A::Output>>`.
///
/// Results leave when the watermark reaches the window's last point, window after window, keys in
/// the order in which they came. Late rows leave unchanged at [`Port::SIDE`]. With allowed
/// lateness, a row that comes after its window has fired makes the window give its key's result
/// again, at the end of the row's batch.
///
/// The key's and the accumulator's types and the window are the operator's identity: state of
/// others is refused.
pub struct WindowOperator<T, K, F, A: Aggregate<Input = T>> {
    key: F,
    aggregate: A,
    state: WindowState<EntryTable<K, A::Accumulator>>,
    layout: String,
    context: Option<OperatorContext>,
    /// How many results of the window that is being put out have left.
    put_out: usize,
    /// The window that is being put out, merged from several panes.
    merged: EntryTable<K, A::Accumulator>,
    /// Rows that were added to windows that had fired.
    updated: Vec<(PaneKey, usize, usize)>,
}

/// How many rows are looked up before any is added: lookups alone are short enough for the processor
/// to wait for the memory of several at a time.
const BLOCK_ROWS: usize = 32;

/// What a key must be.
pub trait Key: Hash + Eq + Clone + Serialize + DeserializeOwned + Send + 'static {}
impl<K: Hash + Eq + Clone + Serialize + DeserializeOwned + Send + 'static> Key for K {}

impl<T, K, F, A> WindowOperator<T, K, F, A>
where
    T: Clone + Send + 'static,
    K: Key,
    F: Fn(&T) -> K + Send,
    A: Aggregate<Input = T>,
{
    /// An operator that groups by `key` and `window`. The same row must always have the same key.
    pub fn new(window: WindowSpec, key: F, aggregate: A) -> Self {
        let layout = format!(
            "window {window} key {} accumulator {}",
            type_name::<K>(),
            type_name::<A::Accumulator>()
        );
        WindowOperator {
            key,
            aggregate,
            state: WindowState::new(window, EntryTable::default),
            layout,
            context: None,
            put_out: 0,
            merged: EntryTable::default(),
            updated: Vec::new(),
        }
    }

    /// Adds rows `values` to the pane's table.
    #[inline]
    fn add(&mut self, pane: PaneKey, slot: usize, values: &[T], fires_again: bool) {
        let WindowOperator { key, aggregate, state, updated, .. } = self;
        let table = state.panes_mut().table_mut(slot);
        if !fires_again {
            let mut rows = [None; BLOCK_ROWS];
            for block in values.chunks(BLOCK_ROWS) {
                for (row, value) in rows.iter_mut().zip(block) {
                    *row = table.find_row(&key(value));
                }
                for (row, value) in rows.iter().zip(block) {
                    let accumulator = match *row {
                        Some(row) => table.value_mut(row as usize),
                        None => table.upsert(key(value), || aggregate.create()),
                    };
                    aggregate.add(accumulator, value);
                }
            }
            return;
        }
        for value in values {
            let row = table.upsert_row(key(value), || aggregate.create());
            aggregate.add(table.value_mut(row), value);
            updated.push((pane, slot, row));
        }
    }

    /// Puts out the results of `window` until `results` is full; whether all have left.
    fn put_out(
        &mut self,
        window: i64,
        batch_rows: usize,
        results: &mut Records<WindowResult<K, A::Output>>,
    ) -> bool {
        let WindowOperator { aggregate, state, merged, put_out, .. } = self;
        let mut slots = state.slots_of(window);
        let (first, second) = (slots.next(), slots.next());
        let source = match (first, second) {
            (Some(only), None) => state.panes().table(only),
            _ => {
                if *put_out == 0 {
                    merged.clear();
                    for slot in first.into_iter().chain(second).chain(slots) {
                        merge(aggregate, merged, state.panes().table(slot));
                    }
                }
                &*merged
            }
        };
        let bounds = state.spec().window(window);
        let end = source.len().min(*put_out + batch_rows.saturating_sub(results.len()));
        for (key, accumulator) in &source.entries()[*put_out..end] {
            let value = aggregate.result(accumulator);
            let result = WindowResult { key: key.clone(), window: bounds, value };
            results.push(result, bounds.max_timestamp());
        }
        let done = end == source.len();
        *put_out = if done { 0 } else { end };
        done
    }

    /// The new results of keys whose fired windows have got more rows.
    fn put_out_again(&mut self, out: &mut dyn Collector) -> Result<()> {
        let mut updated = std::mem::take(&mut self.updated);
        updated.sort_unstable();
        updated.dedup();
        let mut by_window: std::collections::BTreeMap<i64, EntryTable<K, A::Accumulator>> =
            std::collections::BTreeMap::new();
        for &(pane, slot, row) in &updated {
            let key = &self.state.panes().table(slot).entries()[row].0;
            for window in self.state.fired_windows_of(pane) {
                let results = by_window.entry(window).or_default();
                if results.get(key).is_none() {
                    results.upsert(key.clone(), || self.merged_value(window, key));
                }
            }
        }
        updated.clear();
        self.updated = updated;
        let mut results = Records::with_capacity(0, Timestamp::MIN);
        for (window, table) in by_window {
            let window = self.state.spec().window(window);
            for (key, accumulator) in table.entries() {
                let value = self.aggregate.result(accumulator);
                results
                    .push(WindowResult { key: key.clone(), window, value }, window.max_timestamp());
            }
        }
        out.emit(Port::MAIN, Batch::new(results))
    }

    /// The accumulator of a key over all panes of a window.
    fn merged_value(&self, window: i64, key: &K) -> A::Accumulator {
        let mut values =
            self.state.slots_of(window).filter_map(|slot| self.state.panes().table(slot).get(key));
        let mut value = values.next().cloned().unwrap_or_else(|| self.aggregate.create());
        values.for_each(|other| self.aggregate.merge(&mut value, other));
        value
    }

    fn batch_rows(&self) -> usize {
        self.context.as_ref().map_or(1, |context| context.batch_rows.max(1))
    }
}

fn merge<K: Key, A: Aggregate>(
    aggregate: &A,
    merged: &mut EntryTable<K, A::Accumulator>,
    pane: &EntryTable<K, A::Accumulator>,
) {
    for (key, accumulator) in pane.entries() {
        let value = merged.upsert(key.clone(), || aggregate.create());
        aggregate.merge(value, accumulator);
    }
}

impl<T, K, F, A> Operator for WindowOperator<T, K, F, A>
where
    T: Clone + Send + 'static,
    K: Key,
    F: Fn(&T) -> K + Send,
    A: Aggregate<Input = T>,
{
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.context = Some(context.clone());
        Ok(())
    }

    fn restore(&mut self, state: Restored) -> Result<()> {
        let context = self.context.as_ref().ok_or_else(|| Error::report("restore before open"))?;
        let subtask = context.subtask;
        let owned = OwnedKeys::new(context.key_groups, subtask.index, subtask.parallelism);
        let keep = |table: &mut EntryTable<K, A::Accumulator>, rows: EntryRows<K, _>| {
            for (key, accumulator) in rows.into_entries() {
                if owned.owns(hash_key(&key)) {
                    let mut known = true;
                    table.upsert(key, || {
                        known = false;
                        accumulator
                    });
                    if known {
                        return Err(Error::restore("stored state holds a key twice"));
                    }
                }
            }
            Ok(())
        };
        self.state.restore(&state.chains, &self.layout, EntryRows::default, keep)
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        let records: Records<T> = batch.downcast()?;
        let rowtimes = &records.timestamps;
        let mut late: Vec<usize> = Vec::new();
        let mut gap = 0;
        let mut recent = RecentStretches::default();
        let mut row = 0;
        while row < rowtimes.len() {
            let (stretch, slot) = recent.locate(&mut self.state, rowtimes[row], records.bound)?;
            let begin = row;
            row += 1;
            while row < rowtimes.len() && stretch.holds(rowtimes[row]) {
                row += 1;
            }
            match stretch.placement {
                Placement::Pane { key, fires_again } => {
                    self.add(key, slot, &records.values[begin..row], fires_again);
                }
                Placement::Late => late.extend(begin..row),
                Placement::Gap => gap += row - begin,
            }
        }
        out.absorbed(rowtimes.len() - late.len() - gap);
        if gap > 0 {
            out.dropped(DropReason::OutsideWindows, gap);
        }
        if !late.is_empty() {
            out.dropped(DropReason::Late, late.len());
            out.emit(Port::SIDE, Batch::new(pick(records, &late)))?;
        }
        if !self.updated.is_empty() {
            self.put_out_again(out)?;
        }
        Ok(())
    }

    fn watermark(&mut self, watermark: Timestamp, out: &mut dyn Collector) -> Result<Progress> {
        let batch_rows = self.batch_rows();
        self.state.advance(watermark);
        let mut results = Records::with_capacity(0, Timestamp::MIN);
        while let Some(window) = self.state.due() {
            if !self.put_out(window, batch_rows, &mut results) {
                out.emit(Port::MAIN, Batch::new(results))?;
                return Ok(Progress::More);
            }
            self.state.fired(window);
        }
        if self.merged.spare() || self.state.panes().is_empty() {
            self.merged = EntryTable::default();
        }
        if !results.is_empty() {
            out.emit(Port::MAIN, Batch::new(results))?;
        }
        Ok(Progress::Done)
    }

    fn snapshot(&mut self, request: SnapshotRequest) -> Result<Snapshot> {
        Ok(self.state.snapshot(request, &self.layout))
    }

    fn state_bytes(&self) -> usize {
        self.state.bytes() + self.merged.bytes()
    }
}

/// The rows of these numbers, ascending.
fn pick<T>(records: Records<T>, rows: &[usize]) -> Records<T> {
    let mut picked = Records::with_capacity(rows.len(), records.bound);
    let mut wanted = rows.iter().copied().peekable();
    for (row, (value, rowtime)) in records.values.into_iter().zip(records.timestamps).enumerate() {
        if wanted.next_if_eq(&row).is_some() {
            picked.push(value, rowtime);
        }
    }
    picked
}
