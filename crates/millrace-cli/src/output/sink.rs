use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use millrace_core::{
    Batch, CheckpointId, Columns, Committable, Error, Prepared, Result, Sink, SinkContext,
    SinkWriter,
};
use millrace_sql::SelectOutput;
use serde_json::Value;

use super::{OutputFormat, RowEncoder, Screen};

/// The sink of a bare `SELECT`. It wants a parallelism of 1: rows of several writers would each
/// have their own idea of the columns' widths.
pub(crate) struct SelectSink {
    screen: Screen,
    statement: usize,
    format: OutputFormat,
    /// The columns that are shown.
    schema: SchemaRef,
    /// The first of them says what a row does to those before it.
    is_changelog: bool,
}

impl SelectSink {
    /// A sink for `SELECT` number `statement` of those of its script, from 0.
    pub(crate) fn new(
        screen: Screen,
        statement: usize,
        format: OutputFormat,
        output: SelectOutput<'_>,
    ) -> Self {
        let is_changelog = output.is_changelog;
        let schema = match is_changelog {
            true => with_kinds(output.schema),
            false => Arc::clone(output.schema),
        };
        SelectSink { screen, statement, format, schema, is_changelog }
    }
}

/// The columns behind one for the kinds of rows: `op`, unless there is a column of this name.
fn with_kinds(schema: &SchemaRef) -> SchemaRef {
    let mut name = "op".to_owned();
    while schema.index_of(&name).is_ok() {
        name.insert(0, '_');
    }
    let mut fields = vec![Arc::new(Field::new(name, DataType::Utf8, false))];
    fields.extend(schema.fields().iter().cloned());
    Arc::new(Schema::new(fields))
}

#[async_trait]
impl Sink for SelectSink {
    async fn open(&self, _context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(SelectWriter {
            screen: self.screen.clone(),
            statement: self.statement,
            encoder: RowEncoder::new(self.format, Arc::clone(&self.schema)),
            schema: self.is_changelog.then(|| Arc::clone(&self.schema)),
            header: None,
            rows: 0,
        }))
    }
}

struct SelectWriter {
    screen: Screen,
    statement: usize,
    encoder: RowEncoder,
    /// Of a changelog: the columns with that of the kinds.
    schema: Option<SchemaRef>,
    header: Option<Arc<str>>,
    /// Rows since the last barrier, for the ledger.
    rows: u64,
}

#[async_trait]
impl SinkWriter for SelectWriter {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        let columns: Columns = batch.downcast()?;
        let mut text = String::new();
        match &self.schema {
            None => self.encoder.encode(&columns.rows, &mut text)?,
            Some(schema) => self.encoder.encode(&beside_kinds(&columns, schema)?, &mut text)?,
        }
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

fn beside_kinds(changes: &Columns, schema: &SchemaRef) -> Result<RecordBatch> {
    let kinds = (0..changes.rows.num_rows()).map(|row| changes.kind(row).sign());
    let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(kinds))];
    columns.extend(changes.rows.columns().iter().cloned());
    RecordBatch::try_new(Arc::clone(schema), columns)
        .map_err(|cause| Error::report("rows cannot be shown with their kinds").caused_by(cause))
}
