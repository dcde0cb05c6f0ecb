//! Formats: bytes to rows and back.
//!
//! `csv` and `json` are read record by record from any stream of bytes ([`record`]); `parquet`
//! needs the whole file.

mod cells;
pub(crate) mod csv;
pub(crate) mod display;
pub(crate) mod parse;
pub(crate) mod record;
pub(crate) mod sql_type;

use std::sync::Arc;

use arrow_schema::SchemaRef;
use millrace_core::{Error, Result};

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
}

impl Format {
    /// Takes the option `format` and the format's own options.
    ///
    /// # Errors
    /// `FixInput` when it is missing or not known, or one of its options is wrong.
    pub fn from_options(options: &Options) -> Result<Self> {
        let name: String = options.required("format")?;
        match name.as_str() {
            "csv" => Ok(Format::Csv(csv::CsvFormat::from_options(options)?)),
            other => Err(Error::fix_input(format!("format `{other}` is not known"))
                .hint("known here: csv, json, parquet")),
        }
    }

    /// Whether the format's `ignore-parse-errors` is set.
    pub fn ignores_parse_errors(&self) -> bool {
        match self {
            Format::Csv(csv) => csv.ignores_parse_errors(),
        }
    }
}
