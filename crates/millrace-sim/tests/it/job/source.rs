//! A source of rows that were made up before, and their event time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_core::seam::Seams;
use millrace_core::source::ReaderContext;
use millrace_core::watermark::cut_at_late_rows;
use millrace_core::{
    Batch, Boundedness, Error, KeyGroups, Partitioner, Read, ReadBatch, Records, Result, Source,
    Split, SplitReader, Timestamp, WatermarkAssigner, WatermarkStrategy,
};
use millrace_state::hash::hash_key;
use serde_json::{Value, json};

/// A row of the simulated input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub key: u8,
    pub value: i64,
    pub rowtime_ms: i64,
}

/// Each split is a list of rows; a reader takes its time over them.
pub struct MadeUp {
    pub splits: Arc<Vec<Vec<Row>>>,
}

#[async_trait]
impl Source for MadeUp {
    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    async fn discover(&self) -> Result<Vec<Split>> {
        Ok((0..self.splits.len()).map(|split| Split::new(split.to_string())).collect())
    }

    async fn open(&self, split: &Split, context: &ReaderContext) -> Result<Box<dyn SplitReader>> {
        let unreadable = || Error::restore(format!("no such position in {split:?}"));
        let number: usize = split.id.as_str().parse().map_err(|_| unreadable())?;
        let position = match &split.position {
            Value::Null => 0,
            position => position["row"].as_u64().ok_or_else(unreadable)? as usize,
        };
        Ok(Box::new(Reader {
            splits: Arc::clone(&self.splits),
            split: number,
            position,
            batch_rows: context.batch_rows,
            seams: context.seams.clone(),
        }))
    }
}

struct Reader {
    splits: Arc<Vec<Vec<Row>>>,
    split: usize,
    position: usize,
    batch_rows: usize,
    seams: Seams,
}

#[async_trait]
impl SplitReader for Reader {
    async fn next(&mut self) -> Result<Read> {
        match self.seams.random.next_u64() % 8 {
            0 => return Ok(Read::Pending),
            1..4 => {
                let wait = Duration::from_millis(self.seams.random.next_u64() % 20);
                self.seams.clock.sleep(wait).await;
            }
            _ => {}
        }
        let rows = &self.splits[self.split][self.position..];
        if rows.is_empty() {
            return Ok(Read::End);
        }
        let most = self.batch_rows.min(rows.len()) as u64;
        let rows = &rows[..1 + (self.seams.random.next_u64() % most) as usize];
        self.position += rows.len();
        let batch = Batch::new(Records::new(rows.to_vec(), vec![Timestamp::MIN; rows.len()]));
        Ok(Read::Rows(ReadBatch { rows: Some(batch), bad: Vec::new(), bytes: 0 }))
    }

    fn position(&self) -> Value {
        json!({"row": self.position})
    }
}

/// Watermarks a fixed time behind the largest rowtime.
pub struct Behind {
    pub delay_ms: i64,
}

struct Assigner {
    delay_ms: i64,
    reached: Timestamp,
}

impl WatermarkStrategy for Behind {
    fn assigner(&self, reached: Timestamp) -> Result<Box<dyn WatermarkAssigner>> {
        Ok(Box::new(Assigner { delay_ms: self.delay_ms, reached }))
    }
}

impl WatermarkAssigner for Assigner {
    fn assign(&mut self, batch: Batch, out: &mut Vec<(Timestamp, Batch)>) -> Result<()> {
        let mut rows: Records<Row> = batch.downcast()?;
        rows.timestamps =
            rows.values.iter().map(|row| Timestamp::from_millis(row.rowtime_ms)).collect();
        let candidates = rows
            .values
            .iter()
            .map(|row| (row.rowtime_ms, row.rowtime_ms - self.delay_ms))
            .map(|(time, mark)| (Timestamp::from_millis(time), Timestamp::from_millis(mark)));
        let pieces = cut_at_late_rows(candidates.collect::<Vec<_>>(), &mut self.reached);
        for (range, bound) in pieces {
            let rest = rows.split_off(range.len());
            let mut piece = std::mem::replace(&mut rows, rest);
            piece.bound = bound;
            out.push((bound, Batch::new(piece)));
        }
        Ok(())
    }

    fn reached(&self) -> Timestamp {
        self.reached
    }
}

/// Spreads rows by their key.
pub struct ByKey(pub KeyGroups);

impl Partitioner for ByKey {
    fn partition(
        &mut self,
        batch: Batch,
        targets: usize,
        out: &mut Vec<(usize, Batch)>,
    ) -> Result<()> {
        let rows: Records<Row> = batch.downcast()?;
        let mut parts: Vec<Records<Row>> =
            (0..targets).map(|_| Records::with_capacity(0, rows.bound)).collect();
        for (row, time) in rows.values.into_iter().zip(rows.timestamps) {
            let group = self.0.group_of(hash_key(&row.key));
            parts[self.0.owner(group, targets)].push(row, time);
        }
        let parts = parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty());
        out.extend(parts.map(|(target, part)| (target, Batch::new(part))));
        Ok(())
    }
}
