//! Rows on standard output, at least once.

use std::fmt::{Debug, Write as _};
use std::io::{ErrorKind, Write as _};
use std::marker::PhantomData;

use async_trait::async_trait;
use millrace_core::{
    Batch, CheckpointId, Committable, Error, Prepared, Records, Result, Sink, SinkContext,
    SinkWriter,
};
use serde_json::Value;

/// Prints rows of type `T` as `Debug` shows them.
pub struct PrintSink<T>(PhantomData<fn(T)>);

impl<T> Default for PrintSink<T> {
    fn default() -> Self {
        PrintSink(PhantomData)
    }
}

#[async_trait]
impl<T: Debug + Clone + Send + 'static> Sink for PrintSink<T> {
    async fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        let prefix = match context.subtask.parallelism {
            1 => String::new(),
            _ => format!("{}> ", context.subtask.index + 1),
        };
        let rows = PhantomData::<fn(T)>;
        Ok(Box::new(PrintWriter { prefix, printed: 0, rows }))
    }
}

struct PrintWriter<T> {
    prefix: String,
    /// Rows since the last checkpoint.
    printed: u64,
    rows: PhantomData<fn(T)>,
}

#[async_trait]
impl<T: Debug + Clone + Send + 'static> SinkWriter for PrintWriter<T> {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        let records: Records<T> = batch.downcast()?;
        let mut text = String::new();
        for row in &records.values {
            // Writing to a string fails only if `Debug` itself does.
            writeln!(text, "{}{row:?}", self.prefix)
                .map_err(|cause| Error::fix_input("a row cannot be shown").caused_by(cause))?;
        }
        self.printed += records.len() as u64;
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // Whoever was reading has seen enough; the job goes on for its other outputs.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|cause| Error::retry("cannot print").caused_by(cause)),
        }
    }

    async fn prepare(&mut self, _checkpoint: CheckpointId) -> Result<Prepared> {
        let committable =
            Committable { payload: Value::Null, rows: std::mem::take(&mut self.printed) };
        Ok(Prepared { committables: vec![committable], state: Value::Null })
    }

    async fn commit(&mut self, _checkpoint: CheckpointId, _prepared: &Prepared) -> Result<()> {
        Ok(())
    }
}
