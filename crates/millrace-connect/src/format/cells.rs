//! A column of texts becomes an Arrow array.
//!
//! Formats whose values are texts find the cells of many records first; then each column is parsed
//! in one loop that knows its type. A cell that does not parse becomes NULL here and is reported;
//! the caller decides whether its record is bad.

use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, PrimitiveBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{ArrayRef, BinaryArray, PrimitiveArray, StringArray};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use millrace_core::{Error, Result};

use super::parse::{self, Moment, TimestampStyle};
use super::sql_type::sql_type;

/// The texts of one column.
pub(crate) trait Cells {
    /// How many there are.
    fn len(&self) -> usize;

    /// The text in `row`; `None` is NULL.
    fn get(&self, row: usize) -> Option<&[u8]>;
}

/// Told of each cell that could not become a value: its row and what is wrong.
pub(crate) type OnBadCell<'a> = &'a mut dyn FnMut(usize, String);

/// Refuses columns of types that no text can be parsed as.
///
/// # Errors
/// `FixInput` naming the column and its type.
pub(crate) fn check_type(format: &str, field: &Field) -> Result<()> {
    match field.data_type() {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..) => Ok(()),
        other => Err(Error::fix_input(format!(
            "format `{format}` does not support the type {} of column `{}`",
            sql_type(other),
            field.name()
        ))),
    }
}

/// Parses a column. The array has NULL for NULL and for each cell that was reported.
///
/// # Errors
/// `Report` for a type that [`check_type`] refuses.
pub(crate) fn build(
    field: &Field,
    style: TimestampStyle,
    cells: &impl Cells,
    on_bad: OnBadCell<'_>,
) -> Result<ArrayRef> {
    let mut column = ColumnBuilder { field, cells, on_bad };
    Ok(match field.data_type() {
        DataType::Boolean => column.booleans(),
        DataType::Int8 => column.integers::<Int8Type>(),
        DataType::Int16 => column.integers::<Int16Type>(),
        DataType::Int32 => column.integers::<Int32Type>(),
        DataType::Int64 => column.primitives::<Int64Type>(parse::integer),
        DataType::Float32 => column.primitives::<Float32Type>(parse::float32),
        DataType::Float64 => column.primitives::<Float64Type>(parse::float),
        &DataType::Decimal128(precision, scale) => {
            column.primitives::<Decimal128Type>(|text| parse::decimal(text, precision, scale))
        }
        DataType::Utf8 => column.strings()?,
        DataType::Binary => column.binaries()?,
        DataType::Date32 => column.primitives::<Date32Type>(parse::date),
        DataType::Time32(TimeUnit::Second) => column.times::<Time32SecondType>(1_000_000_000),
        DataType::Time32(_) => column.times::<Time32MillisecondType>(1_000_000),
        DataType::Time64(TimeUnit::Microsecond) => column.times::<Time64MicrosecondType>(1_000),
        DataType::Time64(_) => column.times::<Time64NanosecondType>(1),
        DataType::Timestamp(TimeUnit::Second, zone) => {
            column.timestamps::<TimestampSecondType>(style, zone.is_some(), 0)
        }
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            column.timestamps::<TimestampMillisecondType>(style, zone.is_some(), 3)
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            column.timestamps::<TimestampMicrosecondType>(style, zone.is_some(), 6)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            column.timestamps::<TimestampNanosecondType>(style, zone.is_some(), 9)
        }
        other => {
            return Err(Error::report(format!("no text can be parsed as {}", sql_type(other))));
        }
    })
}

struct ColumnBuilder<'a, 'b, C> {
    field: &'a Field,
    cells: &'a C,
    on_bad: OnBadCell<'b>,
}

impl<C: Cells> ColumnBuilder<'_, '_, C> {
    #[cold]
    fn bad(&mut self, row: usize, text: &[u8]) {
        let shown = shown(text);
        let (name, wanted) = (self.field.name(), sql_type(self.field.data_type()));
        (self.on_bad)(row, format!("`{shown}` in column `{name}` cannot be read as {wanted}"));
    }

    #[cold]
    fn null(&mut self, row: usize) {
        if !self.field.is_nullable() {
            let name = self.field.name();
            (self.on_bad)(row, format!("column `{name}` is NULL, but declared NOT NULL"));
        }
    }

    fn primitives<T: ArrowPrimitiveType>(
        &mut self,
        parse: impl Fn(&[u8]) -> Option<T::Native>,
    ) -> ArrayRef {
        let rows = self.cells.len();
        let mut builder = PrimitiveBuilder::<T>::with_capacity(rows);
        for row in 0..rows {
            match self.cells.get(row) {
                Some(text) => match parse(text) {
                    Some(value) => builder.append_value(value),
                    None => {
                        self.bad(row, text);
                        builder.append_null();
                    }
                },
                None => {
                    self.null(row);
                    builder.append_null();
                }
            }
        }
        let array: PrimitiveArray<T> = builder.finish();
        Arc::new(array.with_data_type(self.field.data_type().clone()))
    }

    fn integers<T: ArrowPrimitiveType<Native: TryFrom<i64>>>(&mut self) -> ArrayRef {
        self.primitives::<T>(|text| T::Native::try_from(parse::integer(text)?).ok())
    }

    fn times<T: ArrowPrimitiveType<Native: TryFrom<i64>>>(&mut self, unit_ns: i64) -> ArrayRef {
        self.primitives::<T>(|text| T::Native::try_from(parse::time(text)? / unit_ns).ok())
    }

    fn timestamps<T: ArrowPrimitiveType<Native = i64>>(
        &mut self,
        style: TimestampStyle,
        zoned: bool,
        decimals: u32,
    ) -> ArrayRef {
        let (per_second, unit_ns) = (10i64.pow(decimals), 10u32.pow(9 - decimals));
        self.primitives::<T>(|text| {
            let Moment { seconds, nanos } = parse::timestamp(text, style, zoned)?;
            seconds.checked_mul(per_second)?.checked_add(i64::from(nanos / unit_ns))
        })
    }

    fn booleans(&mut self) -> ArrayRef {
        let rows = self.cells.len();
        let mut builder = BooleanBuilder::with_capacity(rows);
        for row in 0..rows {
            let text = self.cells.get(row);
            let value = text.and_then(parse::boolean);
            match (text, value) {
                (Some(text), None) => self.bad(row, text),
                (None, _) => self.null(row),
                _ => {}
            }
            builder.append_option(value);
        }
        Arc::new(builder.finish())
    }

    fn strings(&mut self) -> Result<ArrayRef> {
        let (offsets, values, nulls) = self.gather(|_, text, values| {
            values.extend_from_slice(text);
            true
        });
        // One check of all bytes at once; only where that fails does each cell get its own.
        match StringArray::try_new(offsets, values, nulls) {
            Ok(array) => Ok(Arc::new(array)),
            Err(_) => {
                let (offsets, values, nulls) = self.gather(|_, text, values| {
                    let valid = std::str::from_utf8(text).is_ok();
                    if valid {
                        values.extend_from_slice(text);
                    }
                    valid
                });
                let array = StringArray::try_new(offsets, values, nulls);
                Ok(Arc::new(array.map_err(|cause| too_much_text(self.field, cause))?))
            }
        }
    }

    fn binaries(&mut self) -> Result<ArrayRef> {
        let (offsets, values, nulls) = self.gather(|_, text, values| {
            let before = values.len();
            let decoded = BASE64.decode_vec(text.trim_ascii(), values).is_ok();
            if !decoded {
                values.truncate(before);
            }
            decoded
        });
        let array = BinaryArray::try_new(offsets, values, nulls);
        Ok(Arc::new(array.map_err(|cause| too_much_text(self.field, cause))?))
    }

    /// Lays cells of varying length end to end; `append` says whether a cell was fine.
    fn gather(
        &mut self,
        append: impl Fn(usize, &[u8], &mut Vec<u8>) -> bool,
    ) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        let rows = self.cells.len();
        let mut values = Vec::with_capacity(rows * 8);
        let mut offsets = Vec::with_capacity(rows + 1);
        let mut valid = BooleanBufferBuilder::new(rows);
        offsets.push(0i32);
        for row in 0..rows {
            let fine = match self.cells.get(row) {
                Some(text) => {
                    let fine = append(row, text, &mut values);
                    if !fine {
                        self.bad(row, text);
                    }
                    fine
                }
                None => {
                    self.null(row);
                    false
                }
            };
            valid.append(fine);
            // A batch is cut from a buffer of at most 1 GiB, so offsets fit.
            offsets.push(values.len() as i32);
        }
        let nulls = NullBuffer::new(valid.finish());
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(values), nulls)
    }
}

fn too_much_text(field: &Field, cause: arrow_schema::ArrowError) -> Error {
    Error::report(format!("column `{}` could not be built", field.name())).caused_by(cause)
}

/// The beginning of a cell, for a message.
pub(crate) fn shown(text: &[u8]) -> String {
    const LONGEST: usize = 64;
    let whole = String::from_utf8_lossy(&text[..text.len().min(4 * LONGEST)]);
    match whole.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole.into_owned(),
    }
}
