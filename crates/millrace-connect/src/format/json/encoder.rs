//! Rows to lines of JSON.

use std::io;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;

use crate::format::display::{TextStyle, ValueWriter, value_writer};
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
            let mut name = serde_json::to_vec(field.name())?;
            name.push(b':');
            columns.push((name, Values::of(array, style)?));
        }
        let mut text = Vec::new();
        for row in 0..rows.num_rows() {
            out.push(b'{');
            let mut first = true;
            for (name, values) in &columns {
                if self.skip_nulls && values.array().is_null(row) {
                    continue;
                }
                if !first {
                    out.push(b',');
                }
                first = false;
                out.extend_from_slice(name);
                values.write(row, out, &mut text)?;
            }
            out.extend_from_slice(b"}\n");
            on_line(out.len());
        }
        Ok(())
    }
}

/// The values of a column.
enum Values {
    Simple {
        array: ArrayRef,
        shape: Shape,
        writer: Box<dyn ValueWriter>,
    },
    /// Objects.
    Map {
        array: ArrayRef,
        values: Box<Values>,
    },
}

impl Values {
    fn of(array: &ArrayRef, style: TextStyle) -> io::Result<Self> {
        if let Some(map) = array.as_map_opt() {
            let values = Box::new(Values::of(map.values(), style)?);
            return Ok(Values::Map { array: Arc::clone(array), values });
        }
        let writer = value_writer(array, style).map_err(io::Error::other)?;
        let shape = Shape::of(array.data_type());
        Ok(Values::Simple { array: Arc::clone(array), shape, writer })
    }

    fn array(&self) -> &ArrayRef {
        match self {
            Values::Simple { array, .. } | Values::Map { array, .. } => array,
        }
    }

    /// Appends the value in `row`; `text` is room to work in.
    fn write(&self, row: usize, out: &mut Vec<u8>, text: &mut Vec<u8>) -> io::Result<()> {
        match self {
            _ if self.array().is_null(row) => out.extend_from_slice(b"null"),
            Values::Simple { shape, writer, .. } => shape.write(&**writer, row, out, text)?,
            Values::Map { array, values } => {
                let map = array.as_map();
                let keys = map.keys().as_string::<i32>();
                let (start, end) = (map.value_offsets()[row], map.value_offsets()[row + 1]);
                out.push(b'{');
                for entry in start as usize..end as usize {
                    if entry > start as usize {
                        out.push(b',');
                    }
                    serde_json::to_writer(&mut *out, keys.value(entry))?;
                    out.push(b':');
                    values.write(entry, out, text)?;
                }
                out.push(b'}');
            }
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
    fn write(
        self,
        writer: &dyn ValueWriter,
        row: usize,
        out: &mut Vec<u8>,
        text: &mut Vec<u8>,
    ) -> io::Result<()> {
        match self {
            Shape::Bare => writer.write(row, out),
            Shape::Plain => {
                out.push(b'"');
                writer.write(row, out);
                out.push(b'"');
            }
            Shape::Number => {
                text.clear();
                writer.write(row, text);
                // JSON has no word for these.
                let quote = text.ends_with(b"NaN") || text.ends_with(b"Infinity");
                out.extend(quote.then_some(b'"'));
                out.extend_from_slice(text);
                out.extend(quote.then_some(b'"'));
            }
            Shape::Text => {
                text.clear();
                writer.write(row, text);
                let text = std::str::from_utf8(text).map_err(io::Error::other)?;
                serde_json::to_writer(&mut *out, text)?;
            }
        }
        Ok(())
    }

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
