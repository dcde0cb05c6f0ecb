//! A two-phase sink on a simulated disk, which outlives a crash.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use millrace_core::seam::Seams;
use millrace_core::{
    Batch, CheckpointId, Committable, Error, Prepared, Records, Result, Sink, SinkContext,
    SinkWriter,
};
use serde_json::{Value, json};

/// Files of rows: hidden until they are committed.
#[derive(Debug)]
pub struct Disk<R> {
    hidden: BTreeMap<String, Vec<R>>,
    visible: BTreeMap<String, Vec<R>>,
}

impl<R> Default for Disk<R> {
    fn default() -> Self {
        Disk { hidden: BTreeMap::new(), visible: BTreeMap::new() }
    }
}

/// A disk that runs of a job share.
pub type SharedDisk<R> = Arc<Mutex<Disk<R>>>;

/// All visible rows, file by file.
pub fn visible<R: Clone>(disk: &SharedDisk<R>) -> Vec<R> {
    disk.lock().unwrap().visible.values().flatten().cloned().collect()
}

/// The files that are still hidden: after the end of a job there are none.
pub fn hidden<R>(disk: &SharedDisk<R>) -> Vec<String> {
    disk.lock().unwrap().hidden.keys().cloned().collect()
}

/// Writes `Records<T>`, each row as the `R` that `convert` makes of it.
pub struct TwoPhase<T, R> {
    disk: SharedDisk<R>,
    convert: fn(T) -> R,
}

impl<T, R> TwoPhase<T, R> {
    pub fn new(disk: SharedDisk<R>, convert: fn(T) -> R) -> Self {
        TwoPhase { disk, convert }
    }
}

#[async_trait]
impl<T, R> Sink for TwoPhase<T, R>
where
    T: Clone + Send + 'static,
    R: Send + Sync + 'static,
{
    async fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        let mut writer = Writer {
            disk: Arc::clone(&self.disk),
            convert: self.convert,
            seams: context.seams.clone(),
            prefix: format!("{:02}-{:016x}", context.subtask.index, context.attempt),
            files: 0,
            rows: Vec::new(),
        };
        for prepared in context.mine() {
            writer.commit(CheckpointId(0), prepared).await?;
        }
        // What the manifest does not name was written in vain. Each file has one subtask that
        // sweeps it: the one that takes over from the subtask that wrote it.
        let named: Vec<&Value> = context
            .restored
            .iter()
            .flat_map(|prepared| &prepared.committables)
            .map(|committable| &committable.payload["file"])
            .collect();
        let mine = |file: &str| {
            let former: usize = file[..2].parse().expect("file names begin with the subtask");
            former % context.subtask.parallelism == context.subtask.index
        };
        let this_attempt = format!("{:016x}", context.attempt);
        self.disk.lock().unwrap().hidden.retain(|file, _| {
            !mine(file) || file.contains(&this_attempt) || named.iter().any(|&name| name == file)
        });
        Ok(Box::new(writer))
    }
}

struct Writer<T, R> {
    disk: SharedDisk<R>,
    convert: fn(T) -> R,
    seams: Seams,
    prefix: String,
    files: u64,
    rows: Vec<R>,
}

impl<T, R> Writer<T, R> {
    async fn take_time(&self) {
        if let wait @ 1.. = self.seams.random.next_u64() % 4 {
            self.seams.clock.sleep(Duration::from_millis(wait)).await;
        }
    }
}

#[async_trait]
impl<T, R> SinkWriter for Writer<T, R>
where
    T: Clone + Send + 'static,
    R: Send + Sync + 'static,
{
    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.take_time().await;
        let records: Records<T> = batch.downcast()?;
        self.rows.extend(records.values.into_iter().map(self.convert));
        Ok(())
    }

    async fn prepare(&mut self, _checkpoint: CheckpointId) -> Result<Prepared> {
        self.take_time().await;
        if self.rows.is_empty() {
            return Ok(Prepared::default());
        }
        self.files += 1;
        let file = format!("{}-{:04}", self.prefix, self.files);
        let rows = std::mem::take(&mut self.rows);
        let committable = Committable { payload: json!({"file": &file}), rows: rows.len() as u64 };
        self.disk.lock().unwrap().hidden.insert(file, rows);
        Ok(Prepared { committables: vec![committable], state: Value::Null })
    }

    async fn commit(&mut self, _checkpoint: CheckpointId, prepared: &Prepared) -> Result<()> {
        for committable in &prepared.committables {
            self.take_time().await;
            let file = committable.payload["file"].as_str().unwrap_or_default();
            let mut disk = self.disk.lock().unwrap();
            let rows = match disk.hidden.remove(file) {
                Some(rows) => rows,
                None if disk.visible.contains_key(file) => continue,
                None => return Err(Error::restore(format!("prepared file `{file}` is gone"))),
            };
            assert_eq!(rows.len() as u64, committable.rows);
            disk.visible.insert(file.to_owned(), rows);
        }
        Ok(())
    }
}
