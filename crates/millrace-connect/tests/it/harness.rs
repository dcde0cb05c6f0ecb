//! Opens tables and drives their readers as the runtime does, without one.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use millrace_connect::registry::connector;
use millrace_connect::{Options, SinkTable, SourceTable, TableSpec};
use millrace_core::seam::Seams;
use millrace_core::{
    BadRecord, Batch, Columns, OperatorId, Prepared, Read, ReaderContext, Result, RowKinds, Sink,
    SinkContext, SinkWriter, Source, Split, Subtask,
};

/// A table of these columns and options.
pub fn table<'a>(
    columns: &[(&str, DataType)],
    options: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> TableSpec {
    let fields = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true));
    TableSpec {
        name: "t".into(),
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        options: Options::new(options),
        metadata: Vec::new(),
        projection: None,
    }
}

pub fn open_source(name: &str, table: &TableSpec) -> Result<SourceTable> {
    connector(name).unwrap().source(table)
}

pub fn millis() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

pub fn context(batch_rows: usize) -> ReaderContext {
    ReaderContext {
        subtask: Subtask { index: 0, parallelism: 1 },
        batch_rows,
        seams: Seams::system(),
    }
}

/// All rows as text, and all bad records.
#[derive(Debug, Default, PartialEq)]
pub struct Content {
    pub rows: Vec<String>,
    /// The rows of changelogs with their kinds.
    pub changes: Vec<String>,
    pub bad: Vec<BadRecord>,
}

impl Content {
    /// The bad records as a compiler would show them.
    pub fn complaints(&self) -> Vec<String> {
        self.bad.iter().map(ToString::to_string).collect()
    }
}

/// Reads every split to its end; after each batch for which `restart` says so, drops the reader
/// and opens another at its position.
pub async fn read_all(
    source: &dyn Source,
    batch_rows: usize,
    mut restart: impl FnMut() -> bool,
) -> Result<Content> {
    let mut content = Content::default();
    for mut split in source.discover().await? {
        let context = context(batch_rows);
        let mut reader = source.open(&split, &context).await?;
        loop {
            match reader.next().await? {
                Read::Rows(batch) => {
                    let mut rows = batch.bad.len();
                    content.bad.extend(batch.bad);
                    if let Some(batch) = batch.rows {
                        let columns: Columns = batch.downcast().unwrap();
                        rows += columns.rows.num_rows();
                        let text = rows_as_text(&columns.rows);
                        for (kind, row) in columns.kinds.iter().flat_map(RowKinds::iter).zip(&text)
                        {
                            content.changes.push(format!("{kind} {row}"));
                        }
                        content.rows.extend(text);
                    }
                    assert!(rows > 0 && rows <= batch_rows, "{rows} rows of {batch_rows}");
                }
                Read::Pending => {
                    reader.ready().await;
                    continue;
                }
                Read::End => break,
            }
            if restart() {
                split = Split { id: split.id, position: reader.position() };
                drop(reader);
                reader = source.open(&split, &context).await?;
            }
        }
    }
    Ok(content)
}

/// `a|b|NULL`, a line for each row.
pub fn rows_as_text(batch: &RecordBatch) -> Vec<String> {
    let options = arrow_cast::display::FormatOptions::new().with_null("NULL");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| arrow_cast::display::ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            let cells: Vec<String> = columns.iter().map(|c| c.value(row).to_string()).collect();
            cells.join("|")
        })
        .collect()
}

pub fn open_sink(name: &str, table: &TableSpec) -> Result<SinkTable> {
    connector(name).unwrap().sink(table)
}

/// Opens a writer that takes over `restored`.
pub async fn open_writer(
    sink: &dyn Sink,
    index: usize,
    parallelism: usize,
    restored: &[Prepared],
) -> Result<Box<dyn SinkWriter>> {
    sink.open(sink_context(index, parallelism, restored)).await
}

/// What a writer is told at its opening, without an interval of checkpoints.
pub fn sink_context(index: usize, parallelism: usize, restored: &[Prepared]) -> SinkContext {
    SinkContext {
        id: OperatorId::new("sink"),
        subtask: Subtask { index, parallelism },
        restored: restored.to_vec(),
        attempt: 1,
        checkpoint_interval: None,
        seams: Seams::system(),
    }
}

pub fn batch(rows: &RecordBatch) -> Batch {
    Batch::new(Columns::new(rows.clone()))
}

/// All files below a directory, relative to it, sorted; hidden ones too.
pub fn all_files(directory: &Path) -> Vec<String> {
    fn walk(root: &Path, directory: &Path, files: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, files);
            } else {
                files.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut files = Vec::new();
    walk(directory, directory, &mut files);
    files.sort();
    files
}
