//! The connector `blackhole`: takes rows and keeps none, for measuring what comes before it.

use std::sync::Arc;

use async_trait::async_trait;
use millrace_core::{
    Batch, CheckpointId, Committable, Error, Prepared, Result, Sink, SinkContext, SinkWriter,
};
use serde_json::Value;

use crate::{ChangelogMode, Connector, SinkTable, SourceTable, TableSpec};

/// Takes rows and drops them. The ledger counts them as committed.
#[derive(Debug)]
pub struct Blackhole;

impl Connector for Blackhole {
    fn name(&self) -> &'static str {
        "blackhole"
    }

    fn takes(&self) -> ChangelogMode {
        ChangelogMode::All
    }

    fn source(&self, table: &TableSpec) -> Result<SourceTable> {
        Err(Error::fix_input(format!(
            "table `{}` cannot be read: connector `blackhole` is for writing",
            table.name
        )))
    }

    fn sink(&self, table: &TableSpec) -> Result<SinkTable> {
        table.options.finish(&table.name)?;
        Ok(SinkTable { sink: Arc::new(BlackholeSink), single_writer: false, parallelism: None })
    }
}

#[derive(Debug)]
struct BlackholeSink;

#[async_trait]
impl Sink for BlackholeSink {
    async fn open(&self, _context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(BlackholeWriter { rows: 0 }))
    }
}

struct BlackholeWriter {
    rows: u64,
}

#[async_trait]
impl SinkWriter for BlackholeWriter {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.rows += batch.rows() as u64;
        Ok(())
    }

    async fn prepare(&mut self, _checkpoint: CheckpointId) -> Result<Prepared> {
        let committables = match std::mem::take(&mut self.rows) {
            0 => Vec::new(),
            rows => vec![Committable { payload: Value::Null, rows }],
        };
        Ok(Prepared { committables, state: Value::Null })
    }

    async fn commit(&mut self, _checkpoint: CheckpointId, _prepared: &Prepared) -> Result<()> {
        Ok(())
    }
}
