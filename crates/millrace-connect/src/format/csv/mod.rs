//! The format `csv` (RFC 4180, with Flink's options).

mod decoder;
mod dialect;
mod tokenizer;

pub(crate) use decoder::CsvDecoder;
pub(crate) use dialect::Dialect;

use millrace_core::Result;

use super::record::RecordDecoder;
use super::{ReadSchema, cells};
use crate::Options;

/// The format with its options.
#[derive(Clone, Debug)]
pub(crate) struct CsvFormat {
    dialect: Dialect,
}

impl CsvFormat {
    pub fn from_options(options: &Options) -> Result<Self> {
        Ok(CsvFormat { dialect: Dialect::from_options(options)? })
    }

    pub fn ignores_parse_errors(&self) -> bool {
        self.dialect.cell_errors == super::record::CellErrors::Null
    }

    pub fn decoder(&self, read: &ReadSchema) -> Result<Box<dyn RecordDecoder>> {
        for field in read.table.fields() {
            cells::check_type("csv", field)?;
        }
        Ok(Box::new(CsvDecoder::new(self.dialect.clone(), read)))
    }
}
