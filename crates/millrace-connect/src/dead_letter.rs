//! Where records go that could not be decoded: lines of JSON, written exactly once.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::builder::{StringBuilder, UInt64Builder};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use millrace_core::{
    BadRecord, BadRecordPolicy, Batch, CheckpointId, Error, Prepared, Records, Result, Sink,
    SinkContext, SinkWriter,
};

use crate::Options;
use crate::filesystem::{FileSink, FileSinkWriter, Partitioning, RollingPolicy};
use crate::format::Format;
use crate::format::json::JsonFormat;

/// Writes `Records<BadRecord>` below a directory.
///
/// A line has the fields `source_table`, `split`, `line`, `column`, `offset`, `cause`, and `raw`
/// or, where the record is not UTF-8, `raw_base64`. What is not known is left out.
#[derive(Debug)]
pub(crate) struct DeadLetterSink {
    table: String,
    files: FileSink,
}

impl DeadLetterSink {
    /// Dead letters of the table called `table`.
    pub fn new(table: &str, directory: PathBuf, rolling: RollingPolicy) -> Result<Self> {
        let schema = schema();
        let partitioning = Partitioning::new(&schema, &[], String::new())?;
        let format = Format::Json(JsonFormat::without_nulls());
        let files = FileSink { directory, format, file_schema: schema, partitioning, rolling };
        Ok(DeadLetterSink { table: table.to_owned(), files })
    }
}

#[async_trait]
impl Sink for DeadLetterSink {
    async fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        let files = self.files.open_writer(context).await?;
        Ok(Box::new(DeadLetterWriter { table: self.table.clone(), files }))
    }
}

struct DeadLetterWriter {
    table: String,
    files: FileSinkWriter,
}

#[async_trait]
impl SinkWriter for DeadLetterWriter {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        let records: Records<BadRecord> = batch.downcast()?;
        self.files.append(&to_rows(&self.table, &records.values)?)
    }

    async fn flush(&mut self) -> Result<()> {
        self.files.flush().await
    }

    async fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Prepared> {
        self.files.prepare(checkpoint).await
    }

    async fn commit(&mut self, checkpoint: CheckpointId, prepared: &Prepared) -> Result<()> {
        self.files.commit(checkpoint, prepared).await
    }
}

/// What the option `bad-records` says; the format's `ignore-parse-errors` is another way to say
/// `skip`.
///
/// # Errors
/// `FixInput` when it is no policy, or the two contradict each other.
pub(crate) fn bad_record_policy(
    options: &Options,
    ignores_parse_errors: bool,
) -> Result<BadRecordPolicy> {
    let given = options.text("bad-records").map(str::parse).transpose()?;
    match (given, ignores_parse_errors) {
        (None, true) => Ok(BadRecordPolicy::Skip),
        (Some(BadRecordPolicy::Fail), true) => Err(Error::fix_input(
            "options `bad-records` = `fail` and `ignore-parse-errors` = `true` exclude each other",
        )),
        (given, _) => Ok(given.unwrap_or_default()),
    }
}

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![
        text("source_table"),
        text("split"),
        number("line"),
        number("column"),
        number("offset"),
        text("cause"),
        text("raw"),
        text("raw_base64"),
    ]))
}

fn to_rows(table: &str, records: &[BadRecord]) -> Result<RecordBatch> {
    let mut texts: [StringBuilder; 5] = Default::default();
    let mut numbers: [UInt64Builder; 3] = Default::default();
    for record in records {
        let [source_table, split, cause, raw, raw_base64] = &mut texts;
        source_table.append_value(table);
        split.append_value(record.split.as_str());
        cause.append_value(&record.cause);
        match std::str::from_utf8(&record.raw) {
            Ok(text) => {
                raw.append_value(text);
                raw_base64.append_null();
            }
            Err(_) => {
                raw.append_null();
                raw_base64.append_value(BASE64.encode(&record.raw));
            }
        }
        let [line, column, offset] = &mut numbers;
        line.append_option(record.line);
        column.append_option(record.column);
        offset.append_value(record.offset);
    }
    let [source_table, split, cause, raw, raw_base64] = texts.map(|mut text| text.finish());
    let [line, column, offset] = numbers.map(|mut number| signed(&number.finish()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(source_table),
        Arc::new(split),
        Arc::new(line),
        Arc::new(column),
        Arc::new(offset),
        Arc::new(cause),
        Arc::new(raw),
        Arc::new(raw_base64),
    ];
    RecordBatch::try_new(schema(), columns)
        .map_err(|cause| Error::report("dead letters do not fit their schema").caused_by(cause))
}

/// No file is longer than 2^63 bytes.
fn signed(numbers: &UInt64Array) -> Int64Array {
    numbers.unary(|number| i64::try_from(number).unwrap_or(i64::MAX))
}
