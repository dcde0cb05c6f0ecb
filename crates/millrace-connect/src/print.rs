//! The connector `print`: shows rows on standard output or standard error, as Flink's does.
//!
//! Each row is a line `+I[a, b]`, a row of a changelog with its kind before it. Rows are shown as they come, so after a crash those since the
//! last checkpoint are shown again: at least once.

use std::io::{self, Write};
use std::sync::Arc;

use async_trait::async_trait;
use millrace_core::{
    Batch, CheckpointId, Columns, Committable, Error, Prepared, Result, Sink, SinkContext,
    SinkWriter,
};
use serde_json::Value;

use crate::format::display::{self, TextStyle, value_writer};
use crate::{ChangelogMode, Connector, SinkTable, SourceTable, TableSpec};

/// How many bytes are held back before they are written.
const BUFFER_BYTES: usize = 64 << 10;

/// Shows rows.
#[derive(Debug)]
pub struct Print;

impl Connector for Print {
    fn name(&self) -> &'static str {
        "print"
    }

    fn takes(&self) -> ChangelogMode {
        ChangelogMode::All
    }

    fn source(&self, table: &TableSpec) -> Result<SourceTable> {
        Err(Error::fix_input(format!(
            "table `{}` cannot be read: connector `print` is for writing",
            table.name
        )))
    }

    fn sink(&self, table: &TableSpec) -> Result<SinkTable> {
        if !table.partitioned_by.is_empty() {
            return Err(Error::fix_input(format!(
                "table `{}` cannot be partitioned: connector `print` has no partitions",
                table.name
            )));
        }
        let identifier = table.options.text("print-identifier").unwrap_or("").to_owned();
        let target = match table.options.get("standard-error")?.unwrap_or(false) {
            true => Target::StandardError,
            false => Target::StandardOutput,
        };
        table.options.finish(&table.name)?;
        for field in table.schema.fields() {
            if !display::is_supported(field.data_type(), TextStyle::Java) {
                return Err(Error::fix_input(format!(
                    "connector `print` cannot show column `{}` of table `{}`",
                    field.name(),
                    table.name
                )));
            }
        }
        Ok(SinkTable {
            sink: Arc::new(PrintSink { identifier, target }),
            single_writer: true,
            parallelism: None,
        })
    }
}

/// Where lines go.
#[derive(Clone, Copy, Debug)]
enum Target {
    StandardOutput,
    StandardError,
}

#[derive(Debug)]
struct PrintSink {
    identifier: String,
    target: Target,
}

#[async_trait]
impl Sink for PrintSink {
    async fn open(&self, _context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        let out: Box<dyn Write + Send> = match self.target {
            Target::StandardOutput => Box::new(io::stdout()),
            Target::StandardError => Box::new(io::stderr()),
        };
        Ok(Box::new(PrintWriter::new(&self.identifier, out)))
    }
}

struct PrintWriter {
    prefix: String,
    out: Box<dyn Write + Send>,
    lines: Vec<u8>,
    rows: u64,
}

impl PrintWriter {
    fn new(identifier: &str, out: Box<dyn Write + Send>) -> Self {
        let prefix = if identifier.is_empty() { String::new() } else { format!("{identifier}> ") };
        PrintWriter { prefix, out, lines: Vec::new(), rows: 0 }
    }

    fn append(&mut self, columns: &Columns) -> Result<()> {
        let rows = &columns.rows;
        let writers = rows
            .columns()
            .iter()
            .map(|column| value_writer(column, TextStyle::Java))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..rows.num_rows() {
            self.lines.extend_from_slice(self.prefix.as_bytes());
            self.lines.extend_from_slice(columns.kind(row).sign().as_bytes());
            self.lines.push(b'[');
            for (index, (column, writer)) in rows.columns().iter().zip(&writers).enumerate() {
                if index > 0 {
                    self.lines.extend_from_slice(b", ");
                }
                if column.is_null(row) {
                    self.lines.extend_from_slice(b"null");
                } else {
                    writer.write(row, &mut self.lines);
                }
            }
            self.lines.extend_from_slice(b"]\n");
        }
        self.rows += rows.num_rows() as u64;
        Ok(())
    }

    fn write_out(&mut self) -> Result<()> {
        let result = self.out.write_all(&self.lines).and_then(|()| self.out.flush());
        self.lines.clear();
        result.map_err(|cause| match cause.kind() {
            // Whoever read it has gone: nobody is left to retry for. See `Error::is_broken_pipe`.
            io::ErrorKind::BrokenPipe => {
                Error::fix_input("the reader of the printed rows has gone").caused_by(cause)
            }
            // Printed again after a restart, rows would stand there twice.
            _ => Error::fix_input("rows cannot be printed").caused_by(cause),
        })
    }
}

#[async_trait]
impl SinkWriter for PrintWriter {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        let columns: Columns = batch.downcast()?;
        self.append(&columns)?;
        if self.lines.len() >= BUFFER_BYTES {
            self.write_out()?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        if self.lines.is_empty() { Ok(()) } else { self.write_out() }
    }

    async fn prepare(&mut self, _checkpoint: CheckpointId) -> Result<Prepared> {
        self.flush().await?;
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};
    use millrace_core::RowKind;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn rows() -> Columns {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("JFK"), None]));
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let rows = RecordBatch::try_from_iter_with_nullable(vec![
            ("name", names, true),
            ("n", numbers, true),
        ]);
        Columns::new(rows.unwrap())
    }

    #[tokio::test]
    async fn rows_are_lines_with_their_kind_and_counted() {
        let out = Captured::default();
        let mut writer = PrintWriter::new("x", Box::new(out.clone()));
        writer.write(Batch::new(rows())).await.unwrap();
        let prepared = writer.prepare(CheckpointId(1)).await.unwrap();
        assert_eq!(prepared.committables[0].rows, 2);
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "x> +I[JFK, 1]\nx> +I[null, 2]\n");
        assert!(writer.prepare(CheckpointId(2)).await.unwrap().committables.is_empty());
    }

    #[tokio::test]
    async fn changes_are_shown_with_their_kinds() {
        let out = Captured::default();
        let mut writer = PrintWriter::new("", Box::new(out.clone()));
        let kinds = [RowKind::UpdateBefore, RowKind::UpdateAfter].into_iter().collect();
        let changes = Columns::changes(rows().rows, kinds).unwrap();
        writer.write(Batch::new(changes)).await.unwrap();
        writer.flush().await.unwrap();
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "-U[JFK, 1]\n+U[null, 2]\n");
    }

    #[tokio::test]
    async fn a_reader_that_has_gone_is_a_broken_pipe_and_no_reason_to_retry() {
        let mut writer = PrintWriter::new("", Box::new(Closed));
        writer.write(Batch::new(rows())).await.unwrap();
        let error = writer.flush().await.unwrap_err();
        assert!(error.is_broken_pipe());
        assert_eq!(error.kind(), millrace_core::ErrorKind::FixInput);
    }
}
