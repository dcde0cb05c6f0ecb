//! The format `parquet`.
//!
//! Columns are matched by name. A column whose type in the file differs from the declared one is
//! converted where every value can be (whole numbers that are wider, other units of time); a value
//! that does not fit is an error, never NULL. A damaged file is an error too: its rows have no
//! places of their own that a dead letter could name.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use millrace_core::{Batch, Columns, Error, Read, ReadBatch, Result, Split, SplitReader};
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde_json::Value;

use super::encoder::Encoder;
use super::sql_type::sql_type;
use super::{ReadSchema, cells};
use crate::Options;
use crate::filesystem::input::io_error;
use crate::filesystem::position::Position;

/// The format with its options.
#[derive(Clone, Debug)]
pub(crate) struct ParquetFormat {
    compression: Compression,
}

impl ParquetFormat {
    pub fn from_options(options: &Options) -> Result<Self> {
        let compression = match options.text("parquet.compression").unwrap_or("SNAPPY") {
            name if name.eq_ignore_ascii_case("snappy") => Compression::SNAPPY,
            name if name.eq_ignore_ascii_case("zstd") => Compression::ZSTD(Default::default()),
            name if name.eq_ignore_ascii_case("gzip") => Compression::GZIP(Default::default()),
            name if name.eq_ignore_ascii_case("uncompressed") => Compression::UNCOMPRESSED,
            other => {
                return Err(Error::fix_input(format!(
                    "option `parquet.compression` cannot be `{other}`"
                ))
                .hint("use `SNAPPY`, `ZSTD`, `GZIP` or `UNCOMPRESSED`"));
            }
        };
        Ok(ParquetFormat { compression })
    }

    pub fn check(&self, schema: &Schema) -> Result<()> {
        schema.fields().iter().try_for_each(|field| cells::check_type("parquet", field))
    }

    pub fn encoder(&self, file: File, schema: &SchemaRef) -> Result<Box<dyn Encoder>> {
        let properties = WriterProperties::builder()
            .set_compression(self.compression)
            // Bounds what is held in memory until a row group is written.
            .set_max_row_group_row_count(Some(128 << 10))
            .build();
        let writer =
            ArrowWriter::try_new(file, schema.clone(), Some(properties)).map_err(|cause| {
                Error::fix_input("the table's columns cannot be written as parquet")
                    .caused_by(cause)
            })?;
        Ok(Box::new(ParquetEncoder(writer)))
    }
}

struct ParquetEncoder(ArrowWriter<File>);

impl Encoder for ParquetEncoder {
    fn write(&mut self, rows: &RecordBatch) -> io::Result<()> {
        self.0.write(rows).map_err(into_io)
    }

    fn bytes(&self) -> u64 {
        (self.0.bytes_written() + self.0.in_progress_size()) as u64
    }

    fn finish(self: Box<Self>) -> io::Result<File> {
        self.0.into_inner().map_err(into_io)
    }
}

/// The error of the file below, if it was that.
fn into_io(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => *cause,
            Err(cause) => io::Error::other(cause),
        },
        other => io::Error::other(other),
    }
}

/// Reads one file, a batch at a time.
pub(crate) struct ParquetReader {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    schema: SchemaRef,
    /// For each projected column, which of the reader's columns it is.
    order: Vec<usize>,
    file_bytes: u64,
    /// Rows given out.
    rows: u64,
    total_rows: u64,
    reported_bytes: u64,
}

impl ParquetReader {
    /// Opens `path` at the split's position.
    ///
    /// # Errors
    /// As for [`millrace_core::Source::open`].
    pub fn open(
        path: PathBuf,
        split: &Split,
        read: &ReadSchema,
        batch_rows: usize,
    ) -> Result<Self> {
        let file = File::open(&path).map_err(|cause| io_error("open", &path, cause))?;
        let length = file.metadata().map_err(|cause| io_error("open", &path, cause))?.len();
        let position = Position::of(split)?;
        if let Some(position) = position {
            position.check_file(&path, length)?;
        }
        let rows = position.map_or(0, |position| position.line - 1);
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|cause| damaged(&path, cause))?;
        let total_rows = u64::try_from(builder.metadata().file_metadata().num_rows())
            .map_err(|_| damaged(&path, "it has a negative number of rows"))?;
        if rows > total_rows {
            return Err(Error::restore(format!(
                "`{}` has {total_rows} rows; reading was to go on after {rows}",
                path.display()
            )));
        }
        let roots = find_columns(&path, builder.schema(), read)?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
        let reader = builder
            .with_projection(mask)
            .with_batch_size(batch_rows.max(1))
            .with_offset(rows as usize)
            .build()
            .map_err(|cause| damaged(&path, cause))?;
        // The reader gives the columns in the file's order.
        let order = roots.iter().map(|root| roots.iter().filter(|&r| r < root).count()).collect();
        Ok(ParquetReader {
            path,
            reader,
            schema: read.projected.clone(),
            order,
            file_bytes: length,
            rows,
            total_rows,
            reported_bytes: share(length, rows, total_rows),
        })
    }

    fn convert(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let mut columns = Vec::with_capacity(self.order.len());
        for (field, &index) in self.schema.fields().iter().zip(&self.order) {
            let array = batch.column(index);
            let array = cast_with_options(array, field.data_type(), &strict).map_err(|cause| {
                self.column_error(field.name(), field.data_type()).caused_by(cause)
            })?;
            if !field.is_nullable() && array.null_count() > 0 {
                return Err(Error::fix_input(format!(
                    "column `{}` of `{}` has NULLs, but is declared NOT NULL",
                    field.name(),
                    self.path.display()
                )));
            }
            columns.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|cause| damaged(&self.path, cause))
    }

    fn column_error(&self, name: &str, data_type: &DataType) -> Error {
        Error::fix_input(format!(
            "column `{name}` of `{}` has a value that is no {}",
            self.path.display(),
            sql_type(data_type)
        ))
    }
}

#[async_trait]
impl SplitReader for ParquetReader {
    async fn next(&mut self) -> Result<Read> {
        match self.reader.next() {
            None if self.rows < self.total_rows => {
                Err(damaged(&self.path, "it has fewer rows than it says"))
            }
            None => Ok(Read::End),
            Some(batch) => {
                let batch = batch.map_err(|cause| damaged(&self.path, cause))?;
                let rows = self.convert(&batch)?;
                self.rows += rows.num_rows() as u64;
                let read = share(self.file_bytes, self.rows, self.total_rows);
                let bytes = read - self.reported_bytes;
                self.reported_bytes = read;
                let rows = Some(Batch::new(Columns::new(rows)));
                Ok(Read::Rows(ReadBatch { rows, bad: Vec::new(), bytes }))
            }
        }
    }

    fn position(&self) -> Value {
        Position::new(self.file_bytes, 0, self.rows + 1).to_json()
    }
}

/// How many of the file's bytes so many of its rows are, on average.
fn share(bytes: u64, rows: u64, of: u64) -> u64 {
    let share = u128::from(bytes) * u128::from(rows) / u128::from(of.max(1));
    u64::try_from(share).unwrap_or(bytes)
}

/// The file's top-level columns for the projected ones.
fn find_columns(path: &Path, file: &SchemaRef, read: &ReadSchema) -> Result<Vec<usize>> {
    let mut roots = Vec::with_capacity(read.projected.fields().len());
    for field in read.projected.fields() {
        let root = file.index_of(field.name()).map_err(|_| {
            let names: Vec<&str> =
                file.fields().iter().map(|field| field.name().as_str()).collect();
            Error::fix_input(format!(
                "`{}` has no column `{}`, which table `{}` reads",
                path.display(),
                field.name(),
                read.table_name
            ))
            .hint(format!("its columns: {}", names.join(", ")))
        })?;
        let found = file.field(root).data_type();
        if !is_convertible(found, field.data_type()) {
            return Err(Error::fix_input(format!(
                "column `{}` of `{}` is {}; table `{}` declares it as {}",
                field.name(),
                path.display(),
                sql_type(found),
                read.table_name,
                sql_type(field.data_type())
            )));
        }
        roots.push(root);
    }
    Ok(roots)
}

/// Whether values keep their meaning from one type to the other (those that fit).
fn is_convertible(from: &DataType, to: &DataType) -> bool {
    let whole = |kind: &DataType| kind.is_integer();
    let time = |kind: &DataType| matches!(kind, DataType::Time32(_) | DataType::Time64(_));
    match (from, to) {
        (from, to) if from == to => true,
        (DataType::Timestamp(..), DataType::Timestamp(..)) => true,
        (DataType::Float16 | DataType::Float32, DataType::Float64) => true,
        (DataType::Decimal128(..), DataType::Decimal128(..)) => true,
        (DataType::LargeUtf8 | DataType::Utf8View, DataType::Utf8) => true,
        (DataType::LargeBinary | DataType::BinaryView, DataType::Binary) => true,
        (DataType::Dictionary(_, values), to) => is_convertible(values, to),
        (from, to) => (whole(from) && whole(to)) || (time(from) && time(to)),
    }
}

fn damaged(path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::fix_input(format!("cannot read `{}` as parquet", path.display())).caused_by(cause)
}
