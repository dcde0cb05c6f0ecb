//! Rows to lines of JSON.

use std::io;

use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

use crate::format::display::{TextStyle, value_writer};
use crate::format::encoder::Lines;
use crate::format::parse::TimestampStyle;

/// Writes an object for each row, its fields in the order of the columns.
pub(crate) struct JsonLines {
    pub style: TimestampStyle,
    /// Leave out fields that are NULL.
    pub skip_nulls: bool,
}

impl Lines for JsonLines {
    fn append(
        &mut self,
        rows: &RecordBatch,
        out: &mut Vec<u8>,
        on_line: &mut dyn FnMut(usize),
    ) -> io::Result<()> {
        let style = match self.style {
            TimestampStyle::Sql => TextStyle::Sql,
            TimestampStyle::Iso8601 => TextStyle::Iso8601,
        };
        let schema = rows.schema();
        let mut columns = Vec::with_capacity(rows.num_columns());
        for (field, array) in schema.fields().iter().zip(rows.columns()) {
            let writer = value_writer(array, style).map_err(io::Error::other)?;
            let mut name = serde_json::to_vec(field.name())?;
            name.push(b':');
            columns.push((name, Shape::of(field.data_type()), array, writer));
        }
        let mut text = Vec::new();
        for row in 0..rows.num_rows() {
            out.push(b'{');
            let mut first = true;
            for (name, shape, array, writer) in &columns {
                let null = array.is_null(row);
                if null && self.skip_nulls {
                    continue;
                }
                if !first {
                    out.push(b',');
                }
                first = false;
                out.extend_from_slice(name);
                if null {
                    out.extend_from_slice(b"null");
                    continue;
                }
                match shape {
                    Shape::Bare => writer.write(row, out),
                    Shape::Plain => {
                        out.push(b'"');
                        writer.write(row, out);
                        out.push(b'"');
                    }
                    Shape::Number => {
                        text.clear();
                        writer.write(row, &mut text);
                        // JSON has no word for these.
                        let quote = text.ends_with(b"NaN") || text.ends_with(b"Infinity");
                        out.extend(quote.then_some(b'"'));
                        out.extend_from_slice(&text);
                        out.extend(quote.then_some(b'"'));
                    }
                    Shape::Text => {
                        text.clear();
                        writer.write(row, &mut text);
                        let text = std::str::from_utf8(&text).map_err(io::Error::other)?;
                        serde_json::to_writer(&mut *out, text)?;
                    }
                }
            }
            out.extend_from_slice(b"}\n");
            on_line(out.len());
        }
        Ok(())
    }
}

/// How a value stands in JSON.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// As it is: whole numbers, decimals, booleans.
    Bare,
    /// As it is, unless it is not finite.
    Number,
    /// In quotes, with nothing to escape.
    Plain,
    /// In quotes, escaped.
    Text,
}

impl Shape {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Decimal128(..) => Shape::Bare,
            DataType::Float32 | DataType::Float64 => Shape::Number,
            DataType::Utf8 => Shape::Text,
            _ => Shape::Plain,
        }
    }
}
