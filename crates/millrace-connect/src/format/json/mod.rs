//! The format `json`: an object in each line.

mod decoder;
mod encoder;
mod flat;
mod maps;
mod scan;
#[cfg(test)]
mod tests;

use std::fs::File;

use arrow_schema::{DataType, Fields, Schema};
use millrace_core::{Error, Result};

use self::decoder::{JsonDecoder, is_nested};
use self::encoder::JsonLines;
use super::encoder::{Encoder, LineEncoder};
#[cfg(feature = "kafka")]
use super::message::MessageDecoder;
#[cfg(feature = "kafka")]
use super::message_encoder::{LineMessages, MessageEncoder};
use super::parse::TimestampStyle;
use super::record::{CellErrors, RecordDecoder};
use super::{ReadSchema, cells, check_writable};
use crate::Options;

/// The format with its options.
#[derive(Clone, Debug, Default)]
pub(crate) struct JsonFormat {
    style: TimestampStyle,
    fail_on_missing_field: bool,
    skip_nulls: bool,
    cell_errors: CellErrors,
}

impl JsonFormat {
    /// What dead letters are written in.
    pub fn without_nulls() -> Self {
        JsonFormat { skip_nulls: true, ..JsonFormat::default() }
    }

    pub fn from_options(options: &Options) -> Result<Self> {
        let style = match options.text("json.timestamp-format.standard").unwrap_or("SQL") {
            "SQL" => TimestampStyle::Sql,
            "ISO-8601" => TimestampStyle::Iso8601,
            other => {
                return Err(Error::fix_input(format!(
                    "option `json.timestamp-format.standard` cannot be `{other}`"
                ))
                .hint("use `SQL` or `ISO-8601`"));
            }
        };
        let fail_on_missing_field = options.get("json.fail-on-missing-field")?.unwrap_or(false);
        let ignore = options.get("json.ignore-parse-errors")?.unwrap_or(false);
        if fail_on_missing_field && ignore {
            return Err(Error::fix_input(
                "options `json.fail-on-missing-field` and `json.ignore-parse-errors` exclude each \
                 other",
            ));
        }
        Ok(JsonFormat {
            style,
            fail_on_missing_field,
            skip_nulls: options.get("json.encode.ignore-null-fields")?.unwrap_or(false),
            cell_errors: if ignore { CellErrors::Null } else { CellErrors::BadRecord },
        })
    }

    pub fn ignores_parse_errors(&self) -> bool {
        self.cell_errors == CellErrors::Null
    }

    pub fn check_readable(&self, schema: &Schema) -> Result<()> {
        schema.fields().iter().try_for_each(|field| match field.data_type() {
            DataType::Map(..) => maps::check_readable(field),
            other if is_nested(other) => Ok(()),
            _ => cells::check_type("json", field),
        })
    }

    pub fn check_writable(&self, schema: &Schema) -> Result<()> {
        let fields = schema.fields().iter();
        let (maps, others): (Vec<_>, Vec<_>) = fields.partition(|field| maps::is_map(field));
        maps.into_iter().try_for_each(|field| maps::check_writable(field))?;
        check_writable("json", &Schema::new(others.into_iter().cloned().collect::<Fields>()))
    }

    pub fn decoder(&self, read: &ReadSchema) -> Box<dyn RecordDecoder> {
        Box::new(JsonDecoder::new(self.clone(), read))
    }

    /// Reads single messages.
    #[cfg(feature = "kafka")]
    pub fn message_decoder(&self, read: &ReadSchema) -> Box<dyn MessageDecoder> {
        Box::new(JsonDecoder::new(self.clone(), read))
    }

    pub fn encoder(&self, file: File) -> Box<dyn Encoder> {
        Box::new(LineEncoder::new(self.lines(), file))
    }

    /// Rows as messages: lines without line ends.
    #[cfg(feature = "kafka")]
    pub fn message_encoder(&self) -> Box<dyn MessageEncoder> {
        Box::new(LineMessages::new(self.lines()))
    }

    fn lines(&self) -> JsonLines {
        JsonLines { style: self.style, skip_nulls: self.skip_nulls }
    }
}
