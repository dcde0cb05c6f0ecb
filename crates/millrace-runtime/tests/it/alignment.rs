//! Splits that run ahead wait for others, and never for ever.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use millrace_core::*;
use millrace_runtime::*;
use serde_json::{Value, json};

use crate::support::*;

/// How far each split has been read, at each reading of one.
type Readings = Arc<Mutex<Vec<Vec<i64>>>>;

/// Split `n` has a row each millisecond, and has nothing to give `pauses[n]` times before each batch.
struct Uneven {
    rows: i64,
    pauses: Vec<u32>,
    readings: Readings,
}

#[async_trait]
impl Source for Uneven {
    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    async fn discover(&self) -> Result<Vec<Split>> {
        Ok((0..self.pauses.len()).map(|split| Split::new(split.to_string())).collect())
    }

    async fn open(&self, split: &Split, context: &ReaderContext) -> Result<Box<dyn SplitReader>> {
        let index: usize = split.id.as_str().parse().unwrap();
        Ok(Box::new(UnevenReader {
            split: index,
            next: split.position.as_i64().unwrap_or(0),
            rows: self.rows,
            batch_rows: context.batch_rows as i64,
            pauses: self.pauses[index],
            paused: 0,
            readings: Arc::clone(&self.readings),
        }))
    }
}

struct UnevenReader {
    split: usize,
    next: i64,
    rows: i64,
    batch_rows: i64,
    pauses: u32,
    paused: u32,
    readings: Readings,
}

#[async_trait]
impl SplitReader for UnevenReader {
    async fn next(&mut self) -> Result<Read> {
        if self.next == self.rows {
            return Ok(Read::End);
        }
        if self.paused < self.pauses {
            self.paused += 1;
            return Ok(Read::Pending);
        }
        self.paused = 0;
        let mut records = Records::with_capacity(0, Timestamp::MIN);
        for time in self.next..(self.next + self.batch_rows).min(self.rows) {
            records.push((self.split, time as u64, time), Timestamp::from_millis(time));
            self.next = time + 1;
        }
        let mut readings = self.readings.lock().unwrap();
        let mut now = readings.last().unwrap().clone();
        now[self.split] = self.next;
        readings.push(now);
        Ok(Read::Rows(ReadBatch { rows: Some(Batch::new(records)), ..ReadBatch::default() }))
    }

    fn position(&self) -> Value {
        json!(self.next)
    }
}

/// The furthest that one split was ahead of another while both had rows left.
async fn drift(parallelism: usize, alignment: Option<WatermarkAlignment>) -> i64 {
    const ROWS: i64 = 500;
    let readings: Readings = Arc::new(Mutex::new(vec![vec![0; 3]]));
    let source = Uneven { rows: ROWS, pauses: vec![0, 3, 1], readings: Arc::clone(&readings) };
    let target = Target::default();
    let mut graph = graph(source, &target, [parallelism, 2, 1], None);
    if let NodeKind::Source(source) = &mut graph.nodes[0].kind {
        source.alignment = alignment;
    }
    let options = JobOptions { poll_interval: Duration::from_millis(1), ..options() };
    let job = Job::new(graph, options, memory(), millrace_core::seam::Seams::system()).unwrap();
    let report = job.run().await.unwrap();
    assert_eq!(report.outcome, Outcome::Finished);
    assert_eq!(target.rows().len(), 3 * ROWS as usize);
    let readings = readings.lock().unwrap();
    let unfinished = readings.iter().filter(|reached| reached.iter().all(|&rows| rows < ROWS));
    let drifts = unfinished.map(|reached| {
        let (least, most) = (reached.iter().min(), reached.iter().max());
        most.unwrap() - least.unwrap()
    });
    drifts.max().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_is_ahead_by_the_drift_and_a_batch_at_most() {
    for parallelism in [1, 2, 3] {
        for max_drift_ms in [0, 20, 200] {
            let alignment = WatermarkAlignment {
                group: "g".to_owned(),
                max_drift: Duration::from_millis(max_drift_ms),
            };
            // Batches have 7 rows; a split is first looked at when it has been read once.
            let most = max_drift_ms as i64 + 2 * 7;
            let found = drift(parallelism, Some(alignment)).await;
            assert!(
                found <= most,
                "{found} ms with a drift of {max_drift_ms} ms, {parallelism} subtasks"
            );
        }
        let found = drift(parallelism, None).await;
        assert!(found > 200, "only {found} ms without alignment: the test shows nothing");
    }
}
