//! Rows in memory, exactly once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use millrace_core::{
    Batch, CheckpointId, Committable, Error, Prepared, Records, Result, Sink, SinkContext,
    SinkWriter,
};
use serde_json::Value;

/// The rows that a job has collected: those of completed checkpoints.
///
/// They live in this process. A job that goes on from a checkpoint of an earlier process collects
/// what comes after it.
pub struct Collected<T>(Arc<Mutex<Shelves<T>>>);

struct Shelves<T> {
    /// Rows that wait for their checkpoint, by the name in their committable.
    prepared: BTreeMap<String, Vec<T>>,
    committed: Vec<T>,
}

impl<T> Default for Collected<T> {
    fn default() -> Self {
        Collected(Arc::new(Mutex::new(Shelves {
            prepared: BTreeMap::new(),
            committed: Vec::new(),
        })))
    }
}

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Self {
        Collected(Arc::clone(&self.0))
    }
}

impl<T> Collected<T> {
    /// Takes the rows out, in the order in which they were committed; among subtasks in any order.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.lock().committed)
    }

    /// Takes the rows out, sorted.
    pub fn sorted(&self) -> Vec<T>
    where
        T: Ord,
    {
        let mut rows = self.take();
        rows.sort();
        rows
    }

    fn lock(&self) -> MutexGuard<'_, Shelves<T>> {
        self.0.lock().expect("no holder panics")
    }

    fn commit(&self, prepared: &Prepared) -> Result<()> {
        let mut shelves = self.lock();
        for committable in &prepared.committables {
            let name = committable.payload.as_str().ok_or_else(|| {
                Error::restore(format!("`{}` names no collected rows", committable.payload))
            })?;
            // Absent when they were committed before, or collected by an earlier process.
            let rows = shelves.prepared.remove(name).unwrap_or_default();
            shelves.committed.extend(rows);
        }
        Ok(())
    }
}

/// Collects rows of type `T`.
pub struct CollectSink<T>(Collected<T>);

impl<T> CollectSink<T> {
    pub fn new(collected: &Collected<T>) -> Self {
        CollectSink(collected.clone())
    }
}

#[async_trait]
impl<T: Clone + Send + 'static> Sink for CollectSink<T> {
    async fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        for prepared in context.mine() {
            self.0.commit(prepared)?;
        }
        Ok(Box::new(CollectWriter {
            collected: self.0.clone(),
            name: format!("{}-{}", context.attempt, context.subtask.index),
            rows: Vec::new(),
        }))
    }
}

struct CollectWriter<T> {
    collected: Collected<T>,
    /// Unlike that of any other writer of this or an earlier start.
    name: String,
    rows: Vec<T>,
}

#[async_trait]
impl<T: Clone + Send + 'static> SinkWriter for CollectWriter<T> {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        let records: Records<T> = batch.downcast()?;
        self.rows.extend(records.values);
        Ok(())
    }

    async fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Prepared> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(Prepared::default());
        }
        let name = format!("{}-{checkpoint}", self.name);
        let committable =
            Committable { payload: Value::String(name.clone()), rows: rows.len() as u64 };
        self.collected.lock().prepared.insert(name, rows);
        Ok(Prepared { committables: vec![committable], state: Value::Null })
    }

    async fn commit(&mut self, _checkpoint: CheckpointId, prepared: &Prepared) -> Result<()> {
        self.collected.commit(prepared)
    }
}
