use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use millrace_core::{
    Batch, CheckpointId, Columns, Committable, Prepared, Result, Sink, SinkContext, SinkWriter,
};
use serde_json::Value;

use super::{OutputFormat, RowEncoder, Screen};

/// The sink of a bare `SELECT`. It wants a parallelism of 1: rows of several writers would each
/// have their own idea of the columns' widths.
pub(crate) struct SelectSink {
    screen: Screen,
    statement: usize,
    format: OutputFormat,
    schema: SchemaRef,
}

impl SelectSink {
    /// A sink for `SELECT` number `statement` of its script, from 0.
    pub(crate) fn new(
        screen: Screen,
        statement: usize,
        format: OutputFormat,
        schema: SchemaRef,
    ) -> Self {
        SelectSink { screen, statement, format, schema }
    }
}

#[async_trait]
impl Sink for SelectSink {
    async fn open(&self, _context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(SelectWriter {
            screen: self.screen.clone(),
            statement: self.statement,
            encoder: RowEncoder::new(self.format, Arc::clone(&self.schema)),
            header: None,
            rows: 0,
        }))
    }
}

struct SelectWriter {
    screen: Screen,
    statement: usize,
    encoder: RowEncoder,
    header: Option<Arc<str>>,
    /// Rows since the last barrier, for the ledger.
    rows: u64,
}

#[async_trait]
impl SinkWriter for SelectWriter {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        let columns: Columns = batch.downcast()?;
        let mut text = String::new();
        self.encoder.encode(&columns.rows, &mut text)?;
        self.rows += columns.rows.num_rows() as u64;
        if text.is_empty() {
            return Ok(());
        }
        let header = self.header.get_or_insert_with(|| self.encoder.header().into());
        self.screen.print(self.statement, Arc::clone(header), text).await
    }

    /// Rows are out before their checkpoint: a job that resumes behind them may rely on it.
    async fn prepare(&mut self, _checkpoint: CheckpointId) -> Result<Prepared> {
        self.screen.flush().await?;
        let rows = std::mem::take(&mut self.rows);
        let committables = match rows {
            0 => Vec::new(),
            rows => vec![Committable { payload: Value::Null, rows }],
        };
        Ok(Prepared { committables, state: Value::Null })
    }

    async fn commit(&mut self, _checkpoint: CheckpointId, _prepared: &Prepared) -> Result<()> {
        Ok(())
    }
}
