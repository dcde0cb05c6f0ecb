//! Generated rows as splits: split `i` of `n` has the rows `i`, `i + n`, `i + 2n`, …

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use millrace_core::seam::Seams;
use millrace_core::{
    Batch, Boundedness, Columns, Error, Read, ReadBatch, ReaderContext, Result, Source, Split,
    SplitReader,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::generator::{Generator, Numbers};
use super::pace::Pace;

/// The version of the position that this program writes.
const VERSION: u32 = 1;

/// Makes rows.
#[derive(Debug)]
pub(crate) struct DatagenSource {
    pub schema: SchemaRef,
    pub generators: Arc<[Generator]>,
    /// How many rows there are in all; `None` has no end.
    pub rows: Option<u64>,
    pub rows_per_second: u64,
    pub splits: u64,
}

/// How far a split was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    version: u32,
    /// The rows that it gave.
    rows: u64,
    /// Into how many splits the rows were divided.
    splits: u64,
}

#[async_trait]
impl Source for DatagenSource {
    fn boundedness(&self) -> Boundedness {
        match self.rows {
            Some(_) => Boundedness::Bounded,
            None => Boundedness::Unbounded { discovery_interval: None },
        }
    }

    async fn discover(&self) -> Result<Vec<Split>> {
        Ok((0..self.splits).map(|index| Split::new(format!("rows-{index}"))).collect())
    }

    async fn open(&self, split: &Split, context: &ReaderContext) -> Result<Box<dyn SplitReader>> {
        let index = split
            .id
            .as_str()
            .strip_prefix("rows-")
            .and_then(|index| index.parse::<u64>().ok())
            .filter(|&index| index < self.splits)
            .ok_or_else(|| {
                Error::restore(format!(
                    "the checkpoint has the split `{}` of generated rows; there are {} now",
                    split.id, self.splits
                ))
            })?;
        let given = self.position(split)?;
        Ok(Box::new(DatagenReader {
            schema: self.schema.clone(),
            generators: self.generators.clone(),
            index,
            splits: self.splits,
            rows: self.rows.map(|rows| rows.saturating_sub(index).div_ceil(self.splits)),
            given,
            paced_from: given,
            pace: Pace::new(self.rows_per_second, self.splits),
            started: context.seams.clock.elapsed(),
            batch_rows: context.batch_rows.max(1),
            seams: context.seams.clone(),
        }))
    }
}

impl DatagenSource {
    fn position(&self, split: &Split) -> Result<u64> {
        if split.position.is_null() {
            return Ok(0);
        }
        let wrong = |why: String| {
            Error::restore(format!("the position in `{}` cannot be used: {why}", split.id))
        };
        let position: Position = serde_json::from_value(split.position.clone())
            .map_err(|cause| wrong(cause.to_string()))?;
        if position.version != VERSION {
            return Err(wrong(format!("its version is {}", position.version)));
        }
        if position.splits != self.splits {
            return Err(wrong(format!(
                "the option `splits` was {} and is {} now",
                position.splits, self.splits
            )));
        }
        Ok(position.rows)
    }
}

struct DatagenReader {
    schema: SchemaRef,
    generators: Arc<[Generator]>,
    index: u64,
    splits: u64,
    /// How many rows this split has.
    rows: Option<u64>,
    given: u64,
    /// What had been given when the pace began to count.
    paced_from: u64,
    pace: Pace,
    started: Duration,
    batch_rows: usize,
    seams: Seams,
}

impl DatagenReader {
    fn batch(&self, count: usize) -> Result<RecordBatch> {
        let first = self
            .given
            .checked_mul(self.splits)
            .and_then(|first| first.checked_add(self.index))
            .ok_or_else(|| Error::fix_input("the numbers of generated rows are used up"))?;
        let numbers = Numbers { first, step: self.splits, count };
        let now = self.seams.clock.now();
        let columns = self
            .generators
            .iter()
            .map(|generator| generator.column(numbers, now))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|cause| Error::report("generated columns do not fit").caused_by(cause))
    }
}

#[async_trait]
impl SplitReader for DatagenReader {
    async fn next(&mut self) -> Result<Read> {
        let left = self.rows.map_or(u64::MAX, |rows| rows.saturating_sub(self.given));
        if left == 0 {
            return Ok(Read::End);
        }
        let elapsed = self.seams.clock.elapsed().saturating_sub(self.started);
        let due = self.pace.due(elapsed).saturating_sub(self.given - self.paced_from);
        let count = due.min(left).min(self.batch_rows as u64);
        if count == 0 {
            return Ok(Read::Pending);
        }
        let rows = self.batch(count as usize)?;
        self.given += count;
        let rows = Some(Batch::new(Columns::new(rows)));
        Ok(Read::Rows(ReadBatch { rows, bad: Vec::new(), bytes: 0 }))
    }

    fn position(&self) -> Value {
        let position = Position { version: VERSION, rows: self.given, splits: self.splits };
        serde_json::to_value(position).expect("numbers can be written as JSON")
    }

    async fn ready(&mut self) -> Option<()> {
        let at = self.started.saturating_add(self.pace.next(self.given - self.paced_from));
        let wait = at.saturating_sub(self.seams.clock.elapsed());
        self.seams.clock.sleep(wait.max(Duration::from_millis(1))).await;
        Some(())
    }
}
