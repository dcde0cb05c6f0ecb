//! The items of an iterator.

use std::marker::PhantomData;

use async_trait::async_trait;
use millrace_core::source::ReaderContext;
use millrace_core::{
    Batch, Boundedness, Error, Read, ReadBatch, Records, Result, Source, Split, SplitReader,
    Timestamp,
};
use serde_json::Value;

/// One split; its position is how many items were read.
pub struct CollectionSource<I>(I);

impl<I> CollectionSource<I> {
    pub fn new(items: I) -> Self {
        CollectionSource(items)
    }
}

#[async_trait]
impl<I> Source for CollectionSource<I>
where
    I: IntoIterator<Item: Clone + Send + 'static> + Clone + Send + Sync + 'static,
    I::IntoIter: Send + 'static,
{
    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    async fn discover(&self) -> Result<Vec<Split>> {
        Ok(vec![Split::new("items")])
    }

    async fn open(&self, split: &Split, context: &ReaderContext) -> Result<Box<dyn SplitReader>> {
        let read = position(split)?;
        let mut items = self.0.clone().into_iter();
        let skip = usize::try_from(read).unwrap_or(usize::MAX);
        if skip > 0 && items.nth(skip - 1).is_none() {
            return Err(Error::restore(format!(
                "the collection has fewer than the {read} items that were read before"
            )));
        }
        let batch_rows = context.batch_rows.max(1);
        Ok(Box::new(CollectionReader { items, read, batch_rows, rows: PhantomData }))
    }
}

/// How many rows of a split were read.
pub fn position(split: &Split) -> Result<u64> {
    match &split.position {
        Value::Null => Ok(0),
        position => position.as_u64().ok_or_else(|| {
            Error::restore(format!("split `{}` cannot go on at `{position}`", split.id))
        }),
    }
}

struct CollectionReader<T, I> {
    items: I,
    read: u64,
    batch_rows: usize,
    rows: PhantomData<fn() -> T>,
}

#[async_trait]
impl<T, I> SplitReader for CollectionReader<T, I>
where
    T: Clone + Send + 'static,
    I: Iterator<Item = T> + Send,
{
    async fn next(&mut self) -> Result<Read> {
        let values: Vec<T> = self.items.by_ref().take(self.batch_rows).collect();
        if values.is_empty() {
            return Ok(Read::End);
        }
        self.read += values.len() as u64;
        let bytes = (values.len() * size_of::<T>()) as u64;
        let timestamps = vec![Timestamp::MIN; values.len()];
        let rows = Some(Batch::new(Records::new(values, timestamps)));
        Ok(Read::Rows(ReadBatch { rows, bad: Vec::new(), bytes }))
    }

    fn position(&self) -> Value {
        self.read.into()
    }
}
