//! Rows that a function gives for numbers.

use std::sync::Arc;

use async_trait::async_trait;
use millrace_core::source::ReaderContext;
use millrace_core::{
    Batch, Boundedness, Error, Read, ReadBatch, Records, Result, Source, Split, SplitId,
    SplitReader, Timestamp,
};
use serde_json::Value;

use super::collection::position;

/// A split `i of n` gives the rows of the numbers `i`, `i + n`, `i + 2n`, …, so that all splits
/// come forward in event time together. The split says itself which it is: after a change of
/// parallelism the old ones are read on. A position is how many rows of the split were read.
pub struct GeneratorSource<F> {
    count: Option<u64>,
    function: Arc<F>,
    splits: u64,
}

impl<F> GeneratorSource<F> {
    pub fn new(count: Option<u64>, function: Arc<F>, splits: usize) -> Self {
        GeneratorSource { count, function, splits: splits.max(1) as u64 }
    }
}

#[async_trait]
impl<T, F> Source for GeneratorSource<F>
where
    T: Clone + Send + 'static,
    F: Fn(u64) -> T + Send + Sync + 'static,
{
    fn boundedness(&self) -> Boundedness {
        match self.count {
            Some(_) => Boundedness::Bounded,
            None => Boundedness::Unbounded { discovery_interval: None },
        }
    }

    async fn discover(&self) -> Result<Vec<Split>> {
        let splits = self.splits;
        Ok((0..splits).map(|first| Split::new(format!("{first} of {splits}"))).collect())
    }

    async fn open(&self, split: &Split, context: &ReaderContext) -> Result<Box<dyn SplitReader>> {
        let (first, stride) = numbers(&split.id)?;
        Ok(Box::new(GeneratorReader {
            first,
            stride,
            read: position(split)?,
            count: self.count.unwrap_or(u64::MAX),
            function: Arc::clone(&self.function),
            batch_rows: context.batch_rows.max(1) as u64,
        }))
    }
}

/// Which numbers a split gives.
fn numbers(split: &SplitId) -> Result<(u64, u64)> {
    let parts = split.as_str().split_once(" of ");
    let parts = parts.and_then(|(first, of)| Some((first.parse().ok()?, of.parse().ok()?)));
    parts
        .filter(|&(first, of): &(u64, u64)| first < of)
        .ok_or_else(|| Error::restore(format!("`{split}` is not a split of a generator")))
}

struct GeneratorReader<F> {
    first: u64,
    stride: u64,
    read: u64,
    count: u64,
    function: Arc<F>,
    batch_rows: u64,
}

impl<F> GeneratorReader<F> {
    /// How many rows the split has in all.
    fn rows(&self) -> u64 {
        self.count.saturating_sub(self.first).div_ceil(self.stride)
    }
}

#[async_trait]
impl<T, F> SplitReader for GeneratorReader<F>
where
    T: Clone + Send + 'static,
    F: Fn(u64) -> T + Send + Sync + 'static,
{
    async fn next(&mut self) -> Result<Read> {
        let rows = self.rows().saturating_sub(self.read).min(self.batch_rows);
        if rows == 0 {
            return Ok(Read::End);
        }
        let (first, stride) = (self.first + self.read * self.stride, self.stride);
        let function = &*self.function;
        let values: Vec<T> = (0..rows).map(|row| function(first + row * stride)).collect();
        self.read += rows;
        let bytes = rows * size_of::<T>() as u64;
        let timestamps = vec![Timestamp::MIN; values.len()];
        let rows = Some(Batch::new(Records::new(values, timestamps)));
        Ok(Read::Rows(ReadBatch { rows, bad: Vec::new(), bytes }))
    }

    fn position(&self) -> Value {
        self.read.into()
    }
}
