//! The format `csv` (RFC 4180, with Flink's options).

mod decoder;
mod dialect;
mod encoder;
mod tokenizer;

use std::fs::File;

use arrow_schema::Schema;
use millrace_core::Result;

use self::decoder::CsvDecoder;
use self::dialect::Dialect;
use self::encoder::CsvLines;
use super::encoder::{Encoder, LineEncoder};
#[cfg(feature = "kafka")]
use super::message::MessageDecoder;
#[cfg(feature = "kafka")]
use super::message_encoder::{LineMessages, MessageEncoder};
use super::record::{CellErrors, RecordDecoder};
use super::{ReadSchema, cells, check_writable};
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
        self.dialect.cell_errors == CellErrors::Null
    }

    pub fn check_readable(&self, schema: &Schema) -> Result<()> {
        schema.fields().iter().try_for_each(|field| cells::check_type("csv", field))
    }

    pub fn check_writable(&self, schema: &Schema) -> Result<()> {
        check_writable("csv", schema)
    }

    pub fn decoder(&self, read: &ReadSchema) -> Box<dyn RecordDecoder> {
        Box::new(CsvDecoder::new(self.dialect.clone(), read))
    }

    /// # Errors
    /// `FixInput` when messages are said to have a header.
    #[cfg(feature = "kafka")]
    pub fn message_decoder(&self, read: &ReadSchema) -> Result<Box<dyn MessageDecoder>> {
        if self.dialect.header {
            return Err(millrace_core::Error::fix_input(
                "option `csv.header` cannot be `true` for messages",
            ));
        }
        Ok(Box::new(CsvDecoder::new(self.dialect.clone(), read)))
    }

    pub fn encoder(&self, file: File, schema: &Schema) -> Box<dyn Encoder> {
        let names = schema.fields().iter().map(|field| field.name().clone()).collect();
        Box::new(LineEncoder::new(CsvLines::new(self.dialect.clone(), names), file))
    }

    /// Rows as messages: lines without line ends.
    ///
    /// # Errors
    /// `FixInput` when messages are said to have a header.
    #[cfg(feature = "kafka")]
    pub fn message_encoder(&self) -> Result<Box<dyn MessageEncoder>> {
        if self.dialect.header {
            return Err(millrace_core::Error::fix_input(
                "option `csv.header` cannot be `true` for messages",
            ));
        }
        Ok(Box::new(LineMessages::new(CsvLines::new(self.dialect.clone(), Vec::new()))))
    }
}
