//! Formats: bytes to rows and back.
//!
//! `csv` and `json` are read record by record from any stream of bytes ([`record`]) or message by
//! message ([`message`]); `raw` is about messages alone, and `parquet` needs the whole file.

pub(crate) mod cells;
pub(crate) mod csv;
pub(crate) mod display;
pub(crate) mod encoder;
pub(crate) mod json;
#[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "only topics have messages"))]
pub(crate) mod message;
#[cfg(feature = "kafka")]
pub(crate) mod message_encoder;
pub(crate) mod parquet;
pub(crate) mod parse;
#[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "only topics have messages"))]
pub(crate) mod raw;
pub(crate) mod record;
pub(crate) mod sql_type;

use std::fs::File;
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use millrace_core::{Error, Result};

use self::display::TextStyle;
use self::encoder::Encoder;
use self::sql_type::sql_type;
use crate::{Options, TableSpec};

/// What a reader is to give.
#[derive(Clone, Debug)]
pub(crate) struct ReadSchema {
    /// The table's name, for messages.
    pub table_name: String,
    /// All physical columns.
    pub table: SchemaRef,
    /// Indices of the columns that are read, ascending.
    pub projection: Vec<usize>,
    /// Those columns.
    pub projected: SchemaRef,
}

impl ReadSchema {
    /// # Errors
    /// `Report` when the projection names columns that are not there.
    pub fn new(table: &TableSpec) -> Result<Self> {
        let all = || (0..table.schema.fields().len()).collect();
        let projection = table.projection.clone().unwrap_or_else(all);
        let projected = table.schema.project(&projection).map_err(|cause| {
            Error::report(format!("the projection of table `{}` is wrong", table.name))
                .caused_by(cause)
        })?;
        Ok(ReadSchema {
            table_name: table.name.clone(),
            table: table.schema.clone(),
            projection,
            projected: Arc::new(projected),
        })
    }
}

/// The format of a table, chosen by the option `format`.
#[derive(Clone, Debug)]
pub(crate) enum Format {
    Csv(csv::CsvFormat),
    Json(json::JsonFormat),
    Parquet(parquet::ParquetFormat),
    Raw(raw::RawFormat),
}

impl Format {
    /// Takes the option `format` and the format's own options.
    ///
    /// # Errors
    /// `FixInput` when it is missing or not known, or one of its options is wrong.
    pub fn from_options(options: &Options) -> Result<Self> {
        let name: String = options.required("format")?;
        Self::named(&name, options)
    }

    /// The format called `name`, with its own options out of `options`.
    ///
    /// # Errors
    /// `FixInput` when it is not known, or one of its options is wrong.
    pub fn named(name: &str, options: &Options) -> Result<Self> {
        match name {
            "csv" => Ok(Format::Csv(csv::CsvFormat::from_options(options)?)),
            "json" => Ok(Format::Json(json::JsonFormat::from_options(options)?)),
            "parquet" => Ok(Format::Parquet(parquet::ParquetFormat::from_options(options)?)),
            "raw" => Ok(Format::Raw(raw::RawFormat::from_options(options)?)),
            other => Err(Error::fix_input(format!("format `{other}` is not known"))
                .hint("known here: csv, json, parquet, raw")),
        }
    }

    /// The extension of file names.
    pub fn extension(&self) -> &'static str {
        match self {
            Format::Csv(_) => "csv",
            Format::Json(_) => "json",
            Format::Parquet(_) => "parquet",
            Format::Raw(_) => "raw",
        }
    }

    /// Whether the format's `ignore-parse-errors` is set.
    pub fn ignores_parse_errors(&self) -> bool {
        match self {
            Format::Csv(csv) => csv.ignores_parse_errors(),
            Format::Json(json) => json.ignores_parse_errors(),
            Format::Parquet(_) | Format::Raw(_) => false,
        }
    }

    /// # Errors
    /// `FixInput` naming a column whose type cannot be read.
    pub fn check_readable(&self, schema: &Schema) -> Result<()> {
        match self {
            Format::Csv(csv) => csv.check_readable(schema),
            Format::Json(json) => json.check_readable(schema),
            Format::Parquet(parquet) => parquet.check(schema),
            Format::Raw(raw) => raw.check(schema),
        }
    }

    /// # Errors
    /// `FixInput` naming a column whose type cannot be written.
    pub fn check_writable(&self, schema: &Schema) -> Result<()> {
        match self {
            Format::Csv(csv) => csv.check_writable(schema),
            Format::Json(json) => json.check_writable(schema),
            Format::Parquet(parquet) => parquet.check(schema),
            Format::Raw(raw) => raw.check(schema),
        }
    }

    /// Writes rows of `schema` to `file`.
    ///
    /// # Errors
    /// `FixInput` when the format cannot have these columns.
    pub fn encoder(&self, file: File, schema: &SchemaRef) -> Result<Box<dyn Encoder>> {
        match self {
            Format::Csv(csv) => Ok(csv.encoder(file, schema)),
            Format::Json(json) => Ok(json.encoder(file)),
            Format::Parquet(parquet) => parquet.encoder(file, schema),
            Format::Raw(_) => Err(raw_in_a_file()),
        }
    }

    /// Reads single messages.
    ///
    /// # Errors
    /// `FixInput` for a format of whole files.
    #[cfg(feature = "kafka")]
    pub fn message_decoder(&self, read: &ReadSchema) -> Result<Box<dyn message::MessageDecoder>> {
        match self {
            Format::Csv(csv) => Ok(csv.message_decoder(read)?),
            Format::Json(json) => Ok(json.message_decoder(read)),
            Format::Raw(raw) => Ok(raw.decoder(read)),
            Format::Parquet(_) => Err(Error::fix_input("format `parquet` is not for messages")),
        }
    }
}

/// What is said where the format `raw` is given for files.
pub(crate) fn raw_in_a_file() -> Error {
    Error::fix_input("format `raw` is for messages: a file has no end of one")
        .hint("use `csv` or `json`")
}

#[cfg(feature = "kafka")]
impl Format {
    /// Turns rows of `schema` into messages.
    ///
    /// # Errors
    /// `FixInput` when the format is not for messages, or cannot write one of the columns.
    pub fn message_encoder(
        &self,
        schema: &Schema,
    ) -> Result<Box<dyn message_encoder::MessageEncoder>> {
        self.check_writable(schema)?;
        match self {
            Format::Csv(csv) => csv.message_encoder(),
            Format::Json(json) => Ok(json.message_encoder()),
            Format::Raw(raw) => Ok(raw.message_encoder()),
            Format::Parquet(_) => Err(Error::fix_input("format `parquet` is not for messages")),
        }
    }
}

/// Refuses columns of types that have no text.
fn check_writable(format: &str, schema: &Schema) -> Result<()> {
    let is_text = |data_type| display::is_supported(data_type, TextStyle::Sql);
    match schema.fields().iter().find(|field| !is_text(field.data_type())) {
        None => Ok(()),
        Some(field) => Err(cannot_write(format, field)),
    }
}

fn cannot_write(format: &str, field: &Field) -> Error {
    Error::fix_input(format!(
        "format `{format}` cannot write the type {} of column `{}`",
        sql_type(field.data_type()),
        field.name()
    ))
}
