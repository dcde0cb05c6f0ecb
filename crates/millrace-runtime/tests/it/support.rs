//! A source, a sink and operators whose every row can be followed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use millrace_checkpoint::CheckpointStore;
use millrace_core::seam::Seams;
use millrace_core::*;
use millrace_runtime::*;
use serde_json::{Value, json};

/// A row: which split it came from, its number there, and its rowtime in milliseconds.
pub type Row = (usize, u64, i64);

/// Splits of rows that never change; a row's rowtime is given by `time`.
#[derive(Clone)]
pub struct ListSource {
    pub splits: Vec<Vec<i64>>,
    pub boundedness: Boundedness,
    /// How many of the splits exist already.
    pub visible: Arc<AtomicUsize>,
    /// Each split pauses (`Pending`) after so many rows, for ever if unbounded.
    pub pause_at: Option<u64>,
}

impl ListSource {
    pub fn bounded(splits: Vec<Vec<i64>>) -> Self {
        let visible = Arc::new(AtomicUsize::new(splits.len()));
        ListSource { splits, boundedness: Boundedness::Bounded, visible, pause_at: None }
    }

    /// `splits` splits of `rows` rows each, with growing rowtimes.
    pub fn even(splits: usize, rows: i64) -> Self {
        Self::bounded(vec![(0..rows).collect(); splits])
    }

    pub fn rows(&self) -> Vec<Row> {
        let splits = self.splits.iter().enumerate();
        let rows = splits.flat_map(|(split, times)| {
            times.iter().enumerate().map(move |(row, &time)| (split, row as u64, time))
        });
        rows.collect()
    }
}

#[async_trait]
impl Source for ListSource {
    fn boundedness(&self) -> Boundedness {
        self.boundedness
    }

    async fn discover(&self) -> Result<Vec<Split>> {
        Ok((0..self.visible.load(SeqCst)).map(|split| Split::new(split.to_string())).collect())
    }

    async fn open(&self, split: &Split, context: &ReaderContext) -> Result<Box<dyn SplitReader>> {
        let index: usize = split.id.as_str().parse().unwrap();
        Ok(Box::new(ListReader {
            split: index,
            times: self.splits[index].clone(),
            next: split.position.as_u64().unwrap_or(0),
            batch_rows: context.batch_rows as u64,
            pause_at: self.pause_at,
        }))
    }
}

struct ListReader {
    split: usize,
    times: Vec<i64>,
    next: u64,
    batch_rows: u64,
    pause_at: Option<u64>,
}

#[async_trait]
impl SplitReader for ListReader {
    async fn next(&mut self) -> Result<Read> {
        let limit = self.pause_at.unwrap_or(u64::MAX).min(self.times.len() as u64);
        let end = (self.next + self.batch_rows).min(limit);
        if self.next == end {
            let paused = limit < self.times.len() as u64;
            return Ok(if paused { Read::Pending } else { Read::End });
        }
        let mut records = Records::with_capacity(0, Timestamp::MIN);
        for row in self.next..end {
            let time = self.times[row as usize];
            records.push((self.split, row, time), Timestamp::from_millis(time));
        }
        self.next = end;
        Ok(Read::Rows(ReadBatch { rows: Some(Batch::new(records)), ..ReadBatch::default() }))
    }

    fn position(&self) -> Value {
        json!(self.next)
    }
}

/// A fixed delay behind the largest rowtime.
pub struct Delay(pub i64);

struct DelayAssigner(i64, Timestamp);

impl WatermarkStrategy for Delay {
    fn assigner(&self, reached: Timestamp) -> Result<Box<dyn WatermarkAssigner>> {
        Ok(Box::new(DelayAssigner(self.0, reached)))
    }
}

impl WatermarkAssigner for DelayAssigner {
    fn assign(&mut self, batch: Batch, out: &mut Vec<(Timestamp, Batch)>) -> Result<()> {
        let mut records: Records<Row> = batch.downcast()?;
        let delay = Duration::from_millis(self.0 as u64);
        let rows = records.timestamps.iter().map(|&time| (time, time.minus(delay)));
        let cuts = watermark::cut_at_late_rows(rows, &mut self.1);
        for (range, bound) in cuts.into_iter().rev() {
            let mut piece = records.split_off(range.start);
            piece.bound = bound;
            out.push((bound, Batch::new(piece)));
        }
        out.reverse();
        Ok(())
    }

    fn reached(&self) -> Timestamp {
        self.1
    }
}

/// What a transactional target holds: rows become visible by commit alone.
#[derive(Clone, Default)]
pub struct Target {
    state: Arc<Mutex<TargetState>>,
}

#[derive(Default)]
struct TargetState {
    /// Prepared transactions by name.
    prepared: BTreeMap<String, Vec<Row>>,
    visible: Vec<Row>,
    next: u64,
}

impl Target {
    /// The committed rows, sorted.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = self.state.lock().unwrap().visible.clone();
        rows.sort_unstable();
        rows
    }

    fn commit(&self, prepared: &Prepared) {
        let mut state = self.state.lock().unwrap();
        for committable in &prepared.committables {
            // A transaction that is no longer there was committed before.
            if let Some(rows) = state.prepared.remove(committable.payload.as_str().unwrap()) {
                state.visible.extend(rows);
            }
        }
    }
}

#[async_trait]
impl Sink for Target {
    async fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        context.mine().for_each(|prepared| self.commit(prepared));
        Ok(Box::new(TargetWriter { target: self.clone(), rows: Vec::new() }))
    }
}

struct TargetWriter {
    target: Target,
    rows: Vec<Row>,
}

#[async_trait]
impl SinkWriter for TargetWriter {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.rows.extend(batch.downcast::<Records<Row>>()?.values);
        Ok(())
    }

    async fn prepare(&mut self, _: CheckpointId) -> Result<Prepared> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(Prepared::default());
        }
        let mut state = self.target.state.lock().unwrap();
        state.next += 1;
        let name = format!("t{}", state.next);
        let committable = Committable { payload: json!(name), rows: rows.len() as u64 };
        state.prepared.insert(name, rows);
        Ok(Prepared { committables: vec![committable], state: Value::Null })
    }

    async fn commit(&mut self, _: CheckpointId, prepared: &Prepared) -> Result<()> {
        self.target.commit(prepared);
        Ok(())
    }
}

/// Keeps every row until event time has passed it, then lets it go: a stand-in for a window, whose
/// loss of a row, or of a row's state, shows in the output.
#[derive(Default)]
pub struct HoldUntilWatermark {
    held: Vec<Row>,
    groups: Option<(KeyGroups, Subtask)>,
    /// Fails once after so many batches; shared by all instances.
    pub fuse: Option<Arc<Fuse>>,
}

/// Blows at a given number of calls, once unless it is told otherwise.
pub struct Fuse {
    left: AtomicUsize,
    panic: bool,
    /// It blows at each call from then on.
    again: bool,
}

impl Fuse {
    pub fn after(calls: usize, panic: bool) -> Arc<Self> {
        Arc::new(Fuse { left: AtomicUsize::new(calls), panic, again: false })
    }

    pub fn always(panic: bool) -> Arc<Self> {
        Arc::new(Fuse { left: AtomicUsize::new(1), panic, again: true })
    }

    fn burn(&self) -> Result<()> {
        if self.again {
            self.left.store(1, SeqCst);
        }
        let before = self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        match before {
            Ok(1) if self.panic => panic!("the fuse blew"),
            Ok(1) => Err(Error::retry("the fuse blew")),
            _ => Ok(()),
        }
    }
}

impl Operator for HoldUntilWatermark {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.groups = Some((context.key_groups, context.subtask));
        Ok(())
    }

    fn restore(&mut self, state: Restored) -> Result<()> {
        let (groups, subtask) = self.groups.unwrap();
        for part in state.chains.into_iter().flatten() {
            let rows: Vec<Row> = serde_json::from_slice(&part).unwrap();
            let owned = |row: &Row| {
                groups.owner(groups.group_of(hash(row)), subtask.parallelism) == subtask.index
            };
            self.held.extend(rows.into_iter().filter(owned));
        }
        Ok(())
    }

    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        if let Some(fuse) = &self.fuse {
            fuse.burn()?;
        }
        let records: Records<Row> = batch.downcast()?;
        out.absorbed(records.len());
        self.held.extend(records.values);
        Ok(())
    }

    fn watermark(&mut self, watermark: Timestamp, out: &mut dyn Collector) -> Result<Progress> {
        let mut due = Records::with_capacity(0, Timestamp::MIN);
        self.held.retain(|row| {
            let time = Timestamp::from_millis(row.2);
            if time <= watermark && due.len() < 3 {
                due.push(*row, time);
                return false;
            }
            true
        });
        // Three rows a call, to see that a watermark is repeated until all is out.
        let progress = if due.len() == 3 { Progress::More } else { Progress::Done };
        out.emit(Port::MAIN, Batch::new(due))?;
        Ok(progress)
    }

    fn snapshot(&mut self, _: SnapshotRequest) -> Result<Snapshot> {
        let held = self.held.clone();
        Ok(Snapshot::Full(Box::new(move || Ok(serde_json::to_vec(&held).unwrap()))))
    }
}

/// Spreads rows by their content.
pub struct ByRow(pub KeyGroups);

fn hash(row: &Row) -> u64 {
    (row.0 as u64 * 31 + row.1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Partitioner for ByRow {
    fn partition(
        &mut self,
        batch: Batch,
        targets: usize,
        out: &mut Vec<(usize, Batch)>,
    ) -> Result<()> {
        let records: Records<Row> = batch.downcast()?;
        let mut parts: Vec<_> =
            (0..targets).map(|_| Records::with_capacity(0, records.bound)).collect();
        for (row, time) in records.values.into_iter().zip(records.timestamps) {
            parts[self.0.owner(self.0.group_of(hash(&row)), targets)].push(row, time);
        }
        let full = parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty());
        out.extend(full.map(|(target, part)| (target, Batch::new(part))));
        Ok(())
    }
}

/// source → hash → hold → sink.
pub fn graph(
    source: impl Source + 'static,
    target: &Target,
    parallelism: [usize; 3],
    fuse: Option<Arc<Fuse>>,
) -> JobGraph {
    let mut graph = JobGraph::new("test", KeyGroups::default());
    let node = |id: &str, parallelism, kind| Node {
        id: OperatorId::new(id),
        name: id.to_owned(),
        parallelism,
        kind,
    };
    let source = graph.add(node(
        "rows",
        parallelism[0],
        NodeKind::Source(SourceNode {
            source: Arc::new(source),
            watermarks: Some(Arc::new(Delay(5))),
            bad_records: BadRecordPolicy::Fail,
            idle_timeout: None,
            alignment: None,
        }),
    ));
    let hold = graph.add(node(
        "hold",
        parallelism[1],
        NodeKind::Operator(Arc::new(move |_| {
            Ok(Box::new(HoldUntilWatermark { fuse: fuse.clone(), ..Default::default() }))
        })),
    ));
    let sink = graph.add(node("target", parallelism[2], NodeKind::Sink(Arc::new(target.clone()))));
    let by_row = Exchange::Hash(Arc::new(|groups| Box::new(ByRow(groups))));
    graph.connect(source, Port::MAIN, hold, by_row);
    let exchange =
        if parallelism[1] == parallelism[2] { Exchange::Forward } else { Exchange::Rebalance };
    graph.connect(hold, Port::MAIN, sink, exchange);
    graph
}

/// Quick checkpoints and restarts, small batches.
pub fn options() -> JobOptions {
    let mut options = JobOptions { batch_rows: 7, channel_elements: 2, ..JobOptions::default() };
    options.checkpoints.interval = Duration::from_millis(2);
    options.restart = RestartStrategy::FixedDelay { attempts: 3, delay: Duration::from_millis(1) };
    options
}

pub fn memory() -> CheckpointStore {
    CheckpointStore::open("memory:").unwrap()
}

pub fn job(graph: JobGraph, store: &CheckpointStore) -> Job {
    Job::new(graph, options(), store.clone(), Seams::system()).unwrap()
}
