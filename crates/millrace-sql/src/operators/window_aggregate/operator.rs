//! The columnar window operator.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, PrimitiveArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use arrow::error::ArrowError;
use millrace_core::{
    Batch, Collector, Columns, DropReason, Error, Operator, OperatorContext, Port, Progress,
    Restored, Result, Snapshot, SnapshotRequest, Timestamp,
};
use millrace_runtime::window::state::{Placement, RecentStretches, WindowState};
use millrace_state::PaneTable;
use millrace_state::hash::OwnedKeys;

use super::group_keys::BatchKeys;
use super::group_table::{GroupTable, Scratch, key_types};
use super::{AggregateSpec, WindowAggregateSpec};

/// A windowed `GROUP BY`, as its [`WindowAggregateSpec`] says.
///
/// Results leave when the watermark reaches the window's last point, window after window, groups in
/// the order in which they came. Late rows leave unchanged at [`Port::SIDE`].
pub struct WindowAggregate {
    pub(super) spec: Arc<WindowAggregateSpec>,
    output: SchemaRef,
    layout: String,
    state: WindowState<GroupTable>,
    context: Option<OperatorContext>,
    keys: BatchKeys,
    scratch: Scratch,
    /// The rows of a batch by pane; the vectors are kept for their memory.
    by_pane: Vec<(usize, Vec<u32>)>,
    /// How many results of the window that is being put out have left.
    put_out: usize,
    /// The window that is being put out, merged from several panes.
    merged: Option<GroupTable>,
}

impl WindowAggregate {
    /// An operator for this query.
    ///
    /// # Errors
    /// `Report` for what the planner should have refused: an aggregate of types that it does not
    /// take, or allowed lateness, which needs results that can be taken back.
    pub fn new(spec: Arc<WindowAggregateSpec>) -> Result<Self> {
        if !spec.window.allowed_lateness().is_zero() {
            return Err(Error::report("a window of SQL has an allowed lateness"));
        }
        // Whatever can fail about the spec fails here, so that panes can be made at any time.
        GroupTable::new(&spec)?;
        let for_panes = Arc::clone(&spec);
        let table = move || GroupTable::new(&for_panes).expect("it could be made before");
        Ok(WindowAggregate {
            output: spec.output(),
            layout: layout(&spec),
            state: WindowState::new(spec.window, table),
            context: None,
            keys: BatchKeys::new(&key_types(&spec)),
            scratch: Scratch::default(),
            by_pane: Vec::new(),
            put_out: 0,
            merged: None,
            spec,
        })
    }

    /// Notes for each row which pane it goes to; gives back the late rows and how many fall into
    /// gaps. The first `panes` entries of `by_pane` are this batch's.
    fn sort_by_pane(&mut self, columns: &Columns) -> Result<Sorted> {
        let rowtimes = columns.rowtimes()?;
        if rowtimes.null_count() > 0 {
            return Err(Error::report("a row without rowtime reached a window aggregation"));
        }
        let rowtimes = &rowtimes.values()[..];
        let mut sorted = Sorted::default();
        let mut recent = RecentStretches::default();
        let mut row = 0;
        while row < rowtimes.len() {
            let rowtime = Timestamp::from_millis(rowtimes[row]);
            let (stretch, slot) = recent.locate(&mut self.state, rowtime, columns.bound)?;
            let begin = row;
            row += 1;
            while row < rowtimes.len() && stretch.holds(Timestamp::from_millis(rowtimes[row])) {
                row += 1;
            }
            let run = begin as u32..row as u32;
            match stretch.placement {
                Placement::Pane { .. } => {
                    sorted.rows_of(&mut self.by_pane, slot).extend(run);
                }
                Placement::Late => sorted.late.extend(run),
                Placement::Gap => sorted.gap += row - begin,
            }
        }
        Ok(sorted)
    }

    /// Adds results of `window` to `pieces` until they have `room` rows; whether all have left.
    fn put_out(&mut self, window: i64, room: usize, pieces: &mut Vec<RecordBatch>) -> Result<bool> {
        let WindowAggregate { spec, state, merged, put_out, .. } = self;
        let mut slots = state.slots_of(window);
        let source = match (slots.next(), slots.next()) {
            (Some(only), None) => state.panes().table(only),
            _ => {
                let merged = match merged {
                    Some(merged) => merged,
                    None => merged.insert(merge(spec, state, window)?),
                };
                &*merged
            }
        };
        let end = source.len().min(*put_out + room);
        if end > *put_out {
            let mut columns = source.finish(*put_out..end)?;
            columns.extend(window_columns(spec, window, end - *put_out));
            let piece = RecordBatch::try_new(Arc::clone(&self.output), columns);
            pieces.push(piece.map_err(arrow_error)?);
        }
        let done = end == source.len();
        *put_out = if done { 0 } else { end };
        if done {
            self.merged = None;
        }
        Ok(done)
    }

    fn emit(&self, pieces: &[RecordBatch], out: &mut dyn Collector) -> Result<()> {
        let rows = match pieces {
            [] => return Ok(()),
            [one] => one.clone(),
            many => concat_batches(&self.output, many).map_err(arrow_error)?,
        };
        let columns = Columns { rowtime: self.spec.output_rowtime(), ..Columns::new(rows) };
        out.emit(Port::MAIN, Batch::new(columns))
    }
}

/// Where the rows of a batch go.
#[derive(Default)]
struct Sorted {
    panes: usize,
    late: Vec<u32>,
    gap: usize,
}

impl Sorted {
    /// The list of rows for the pane at `slot`.
    fn rows_of<'a>(
        &mut self,
        by_pane: &'a mut Vec<(usize, Vec<u32>)>,
        slot: usize,
    ) -> &'a mut Vec<u32> {
        let known = by_pane[..self.panes].iter().rposition(|(pane, _)| *pane == slot);
        let at = known.unwrap_or_else(|| {
            if by_pane.len() == self.panes {
                by_pane.push((slot, Vec::new()));
            }
            by_pane[self.panes].0 = slot;
            by_pane[self.panes].1.clear();
            self.panes += 1;
            self.panes - 1
        });
        &mut by_pane[at].1
    }
}

/// All panes of a window in one table.
fn merge(
    spec: &WindowAggregateSpec,
    state: &WindowState<GroupTable>,
    window: i64,
) -> Result<GroupTable> {
    let mut merged = GroupTable::new(spec)?;
    let mut all: Vec<u32> = Vec::new();
    for slot in state.slots_of(window) {
        let pane = state.panes().table(slot);
        all.clear();
        all.extend(0..pane.len() as u32);
        merged.merge(pane, &all)?;
    }
    Ok(merged)
}

/// The window's columns that the query puts out, with `rows` rows.
fn window_columns(spec: &WindowAggregateSpec, window: i64, rows: usize) -> Vec<ArrayRef> {
    let bounds = spec.window.window(window);
    let column = |at: Timestamp| {
        PrimitiveArray::<TimestampMillisecondType>::from_value(at.as_millis(), rows)
    };
    let mut columns: Vec<ArrayRef> = Vec::new();
    if spec.emit.start {
        columns.push(Arc::new(column(bounds.start)));
    }
    if spec.emit.end {
        columns.push(Arc::new(column(bounds.end)));
    }
    if spec.emit.time {
        let rowtime = spec.input.field(spec.rowtime).data_type().clone();
        columns.push(Arc::new(column(bounds.max_timestamp()).with_data_type(rowtime)));
    }
    columns
}

/// What the tables of panes hold: the types and functions, not the places of columns, which an
/// optimizer may change.
fn layout(spec: &WindowAggregateSpec) -> String {
    let aggregate = |aggregate: &AggregateSpec| {
        let argument = aggregate.argument.map(|column| spec.input.field(column).data_type());
        let distinct = if aggregate.distinct { "distinct " } else { "" };
        let argument = argument.map_or_else(String::new, ToString::to_string);
        let filter = if aggregate.filter.is_some() { " filtered" } else { "" };
        format!("{:?}({distinct}{argument}){filter}", aggregate.function)
    };
    let keys: Vec<String> = key_types(spec).iter().map(ToString::to_string).collect();
    let aggregates: Vec<String> = spec.aggregates.iter().map(aggregate).collect();
    format!("columns {} keys {} compute {}", spec.window, keys.join(", "), aggregates.join(", "))
}

fn arrow_error(cause: ArrowError) -> Error {
    Error::report("the results of a window do not fit its plan").caused_by(cause)
}

impl Operator for WindowAggregate {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.context = Some(context.clone());
        Ok(())
    }

    fn restore(&mut self, state: Restored) -> Result<()> {
        let context = self.context.as_ref().ok_or_else(|| Error::report("restore before open"))?;
        let subtask = context.subtask;
        let owned = OwnedKeys::new(context.key_groups, subtask.index, subtask.parallelism);
        let spec = &self.spec;
        let empty = || GroupTable::new(spec).expect("it could be made before");
        let keep = |table: &mut GroupTable, rows: GroupTable| {
            let mine: Vec<u32> = (0..rows.len())
                .filter(|&row| owned.owns(rows.hash(row)))
                .map(|row| row as u32)
                .collect();
            let before = table.len();
            table.merge(&rows, &mine)?;
            match table.len() == before + mine.len() {
                true => Ok(()),
                false => Err(Error::restore("stored state holds a key twice")),
            }
        };
        self.state.restore(&state.chains, &self.layout, empty, keep)
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        let columns: Columns = batch.downcast()?;
        columns.check_append_only("a window aggregation")?;
        let sorted = self.sort_by_pane(&columns)?;
        if sorted.panes > 0 {
            self.keys.set(&columns.rows, &self.spec.keys)?;
        }
        for (slot, rows) in &self.by_pane[..sorted.panes] {
            let table = self.state.panes_mut().table_mut(*slot);
            table.add(&self.spec, &columns.rows, &self.keys, rows, &mut self.scratch)?;
        }
        out.absorbed(columns.rows.num_rows() - sorted.late.len() - sorted.gap);
        if sorted.gap > 0 {
            out.dropped(DropReason::OutsideWindows, sorted.gap);
        }
        if !sorted.late.is_empty() {
            out.dropped(DropReason::Late, sorted.late.len());
            let late = UInt32Array::from(sorted.late);
            let rows = take_record_batch(&columns.rows, &late).map_err(arrow_error)?;
            out.emit(Port::SIDE, Batch::new(Columns { rows, ..columns }))?;
        }
        Ok(())
    }

    fn watermark(&mut self, watermark: Timestamp, out: &mut dyn Collector) -> Result<Progress> {
        let batch_rows = self.context.as_ref().map_or(1, |context| context.batch_rows.max(1));
        self.state.advance(watermark);
        let mut pieces = Vec::new();
        let mut rows = 0;
        while let Some(window) = self.state.due() {
            let before = pieces.len();
            let done = self.put_out(window, batch_rows - rows, &mut pieces)?;
            rows += pieces[before..].iter().map(RecordBatch::num_rows).sum::<usize>();
            if !done {
                self.emit(&pieces, out)?;
                return Ok(Progress::More);
            }
            self.state.fired(window);
        }
        self.emit(&pieces, out)?;
        Ok(Progress::Done)
    }

    fn snapshot(&mut self, request: SnapshotRequest) -> Result<Snapshot> {
        Ok(self.state.snapshot(request, &self.layout))
    }

    fn state_bytes(&self) -> usize {
        self.state.bytes() + self.merged.as_ref().map_or(0, PaneTable::bytes)
    }
}
