//! The job that is measured, twice: through Millrace, and as a loop written by hand.
//!
//! Rows come from a function of their number: 100,000 keys in random order, 1,000 rows a
//! millisecond of event time, each up to 50 ms out of order. Rows are counted by key and second;
//! event time follows 50 ms behind the latest row, so nothing is late. Results are added up, so
//! that neither side can leave them out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use millrace::{
    Batch, CheckpointId, CheckpointOptions, JobOptions, JobReport, Records, Result, Sink,
    SinkWriter, StreamExecutionEnvironment, Timestamp, Tumbling, WindowResult, count,
};
use millrace_core::{Committable, Prepared, SinkContext};

const KEYS: u64 = 100_000;
const ROWS_PER_MS: u64 = 1_000;
const DISORDER_MS: u64 = 50;
const WINDOW_MS: i64 = 1_000;

#[derive(Clone, Copy)]
pub struct Row {
    key: u64,
    at_ms: i64,
}

/// Row number `n` (splitmix64).
#[inline]
pub fn row(n: u64) -> Row {
    let mut bits = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    let key = ((u128::from(bits) * u128::from(KEYS)) >> 64) as u64;
    let back = bits % DISORDER_MS;
    Row { key, at_ms: (n / ROWS_PER_MS) as i64 - back as i64 }
}

/// What the results add up to: how many there are, and the rows that they count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    pub results: u64,
    pub rows: u64,
}

/// A single thread, a hash map for each open window, no engine.
pub fn by_hand(rows: u64) -> Total {
    let hasher = FixedState::with_seed(1);
    let mut windows: Vec<(i64, HashMap<u64, u64, FixedState>)> = Vec::new();
    let mut spare: Vec<HashMap<u64, u64, FixedState>> = Vec::new();
    let mut total = Total::default();
    let mut fire = |window: (i64, HashMap<u64, u64, FixedState>), spare: &mut Vec<_>| {
        let (start, mut counts) = window;
        let results: Vec<(u64, i64, u64)> =
            counts.drain().map(|(key, count)| (key, start * WINDOW_MS, count)).collect();
        total.results += results.len() as u64;
        total.rows += std::hint::black_box(&results).iter().map(|result| result.2).sum::<u64>();
        spare.push(counts);
    };
    let mut latest = i64::MIN;
    for n in 0..rows {
        let Row { key, at_ms } = row(n);
        let window = at_ms.div_euclid(WINDOW_MS);
        let open = match windows.iter().position(|(open, _)| *open == window) {
            Some(open) => open,
            None => {
                let counts = spare.pop().unwrap_or_else(|| HashMap::with_hasher(hasher.clone()));
                windows.push((window, counts));
                windows.len() - 1
            }
        };
        *windows[open].1.entry(key).or_insert(0) += 1;
        if at_ms > latest {
            latest = at_ms;
            let closed = (latest - DISORDER_MS as i64).div_euclid(WINDOW_MS);
            while let Some(done) = windows.iter().position(|(open, _)| *open < closed) {
                fire(windows.swap_remove(done), &mut spare);
            }
        }
    }
    windows.into_iter().for_each(|window| fire(window, &mut spare));
    total
}

/// The same through Millrace, with a checkpoint every second.
pub fn by_millrace(rows: u64, parallelism: usize, checkpoints: &str) -> Result<(Total, JobReport)> {
    let env = StreamExecutionEnvironment::new();
    let mut options = JobOptions::default();
    options.checkpoints =
        CheckpointOptions { interval: Duration::from_secs(1), ..options.checkpoints };
    env.set_parallelism(parallelism).set_options(options).set_checkpoint_storage(checkpoints);
    let total = Arc::new(Totals::default());
    let sink = Arc::new(SharedTotals(Arc::clone(&total)));
    env.generate(Some(rows), row)
        .assign_timestamps(Duration::from_millis(DISORDER_MS), |row: &Row| {
            Timestamp::from_millis(row.at_ms)
        })
        .key_by(|row| row.key)
        .window(Tumbling::of(Duration::from_millis(WINDOW_MS as u64))?)
        .aggregate(count())
        .sink_to("total", sink);
    let report = env.execute("keyed count")?;
    Ok((Total { results: total.results.load(Relaxed), rows: total.rows.load(Relaxed) }, report))
}

/// Adds results up; good for jobs that do not fail on the way.
#[derive(Default)]
struct Totals {
    results: AtomicU64,
    rows: AtomicU64,
}

struct SharedTotals(Arc<Totals>);

struct TotalsWriter(Arc<Totals>, u64);

#[async_trait]
impl Sink for SharedTotals {
    async fn open(&self, _context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(TotalsWriter(Arc::clone(&self.0), 0)))
    }
}

#[async_trait]
impl SinkWriter for TotalsWriter {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        let results: Records<WindowResult<u64, u64>> = batch.downcast()?;
        self.1 += results.len() as u64;
        self.0.results.fetch_add(results.len() as u64, Relaxed);
        let rows = results.values.iter().map(|result| result.value).sum();
        self.0.rows.fetch_add(rows, Relaxed);
        Ok(())
    }

    async fn prepare(&mut self, _checkpoint: CheckpointId) -> Result<Prepared> {
        let rows = std::mem::take(&mut self.1);
        let committable = Committable { payload: serde_json::Value::Null, rows };
        Ok(Prepared { committables: vec![committable], ..Prepared::default() })
    }

    async fn commit(&mut self, _checkpoint: CheckpointId, _prepared: &Prepared) -> Result<()> {
        Ok(())
    }
}
