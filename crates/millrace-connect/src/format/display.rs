//! Single values to text, in the two ways that Flink has: as the `csv` format writes them, and as
//! `print` shows them (Java's `toString`).

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, MapArray, PrimitiveArray,
    StringArray,
};
use arrow_schema::{DataType, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use millrace_core::{Error, Result, Timestamp};

use super::sql_type::sql_type;

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextStyle {
    /// `2013-01-01 05:15:00`, BYTES in base64: what [`super::parse`] reads.
    Sql,
    /// The same, with `T` between date and time.
    Iso8601,
    /// `2013-01-01T05:15`, BYTES as `[1, 2]`.
    Java,
}

/// Writes the values of one column.
pub(crate) trait ValueWriter {
    /// Appends the value in `row`, which is not NULL.
    fn write(&self, row: usize, out: &mut Vec<u8>);
}

/// A writer for the values of `array`.
///
/// # Errors
/// `FixInput` for types that have no such text.
pub(crate) fn value_writer(array: &ArrayRef, style: TextStyle) -> Result<Box<dyn ValueWriter>> {
    macro_rules! integers {
        ($arrow:ty) => {
            Box::new(Integers(array.as_primitive::<$arrow>().clone()))
        };
    }
    macro_rules! times {
        ($arrow:ty, $unit_ns:expr) => {
            Box::new(Times {
                array: array.as_primitive::<$arrow>().clone(),
                unit_ns: $unit_ns,
                style,
            })
        };
    }
    macro_rules! timestamps {
        ($arrow:ty, $zone:expr, $per_second:expr) => {
            Box::new(Timestamps {
                array: array.as_primitive::<$arrow>().clone(),
                per_second: $per_second,
                zoned: $zone.is_some(),
                style,
            })
        };
    }
    Ok(match array.data_type() {
        DataType::Boolean => Box::new(Booleans(array.as_boolean().clone())),
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::Float32 => Box::new(Floats(array.as_primitive::<Float32Type>().clone())),
        DataType::Float64 => Box::new(Floats(array.as_primitive::<Float64Type>().clone())),
        DataType::Decimal128(..) => {
            Box::new(Decimals(array.as_primitive::<Decimal128Type>().clone()))
        }
        DataType::Utf8 => Box::new(Strings(array.as_string::<i32>().clone())),
        DataType::Binary => Box::new(Binaries(array.as_binary::<i32>().clone(), style)),
        DataType::Date32 => Box::new(Dates(array.as_primitive::<Date32Type>().clone())),
        DataType::Time32(TimeUnit::Second) => times!(Time32SecondType, 1_000_000_000),
        DataType::Time32(_) => times!(Time32MillisecondType, 1_000_000),
        DataType::Time64(TimeUnit::Microsecond) => times!(Time64MicrosecondType, 1_000),
        DataType::Time64(_) => times!(Time64NanosecondType, 1),
        DataType::Timestamp(TimeUnit::Second, zone) => timestamps!(TimestampSecondType, zone, 1),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            timestamps!(TimestampMillisecondType, zone, 1_000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            timestamps!(TimestampMicrosecondType, zone, 1_000_000)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            timestamps!(TimestampNanosecondType, zone, 1_000_000_000)
        }
        DataType::Map(..) if style == TextStyle::Java => {
            let map = array.as_map();
            Box::new(Maps {
                keys: value_writer(map.keys(), style)?,
                values: value_writer(map.values(), style)?,
                map: map.clone(),
            })
        }
        other => {
            return Err(Error::fix_input(format!(
                "values of the type {} cannot be written as text",
                sql_type(other)
            )));
        }
    })
}

/// Whether [`value_writer`] knows the type.
pub(crate) fn is_supported(data_type: &DataType, style: TextStyle) -> bool {
    let empty = arrow_array::new_empty_array(data_type);
    value_writer(&empty, style).is_ok()
}

/// Writing into a `Vec` cannot fail.
macro_rules! put {
    ($out:expr, $($format:tt)*) => {
        write!($out, $($format)*).expect("memory takes all")
    };
}

struct Booleans(BooleanArray);

impl ValueWriter for Booleans {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.0.value(row) { b"true" } else { b"false" });
    }
}

struct Integers<T: arrow_array::ArrowPrimitiveType>(PrimitiveArray<T>);

impl<T: arrow_array::ArrowPrimitiveType<Native: itoa::Integer>> ValueWriter for Integers<T> {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        let mut buffer = itoa::Buffer::new();
        out.extend_from_slice(buffer.format(self.0.value(row)).as_bytes());
    }
}

struct Floats<T: arrow_array::ArrowPrimitiveType>(PrimitiveArray<T>);

impl<T: arrow_array::ArrowPrimitiveType<Native: JavaFloat>> ValueWriter for Floats<T> {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        self.0.value(row).write_as_java(out);
    }
}

/// Floating point numbers as Java shows them: the shortest digits that read back as the same
/// number, with an exponent below 0.001 and from 10,000,000 on.
trait JavaFloat: Copy {
    fn write_as_java(self, out: &mut Vec<u8>);
}

macro_rules! java_float {
    ($float:ty) => {
        impl JavaFloat for $float {
            fn write_as_java(self, out: &mut Vec<u8>) {
                if self.is_nan() {
                    out.extend_from_slice(b"NaN");
                } else if self.is_infinite() {
                    let text: &[u8] = if self > 0.0 { b"Infinity" } else { b"-Infinity" };
                    out.extend_from_slice(text);
                } else if self == 0.0 || (1e-3..1e7).contains(&self.abs()) {
                    put!(out, "{self:?}");
                } else {
                    // Rust writes `1e10` and `1.5e10`, Java `1.0E10` and `1.5E10`.
                    let text = format!("{self:e}");
                    let (mantissa, exponent) =
                        text.split_once('e').expect("`{:e}` writes an exponent");
                    let point = if mantissa.contains('.') { "" } else { ".0" };
                    put!(out, "{mantissa}{point}E{exponent}");
                }
            }
        }
    };
}
java_float!(f32);
java_float!(f64);

struct Decimals(Decimal128Array);

impl ValueWriter for Decimals {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.value_as_string(row).as_bytes());
    }
}

struct Strings(StringArray);

impl ValueWriter for Strings {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.value(row).as_bytes());
    }
}

struct Binaries(BinaryArray, TextStyle);

impl ValueWriter for Binaries {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        let bytes = self.0.value(row);
        match self.1 {
            TextStyle::Sql | TextStyle::Iso8601 => {
                out.extend_from_slice(BASE64.encode(bytes).as_bytes());
            }
            TextStyle::Java => {
                // Java's bytes are signed.
                let shown: Vec<String> = bytes.iter().map(|&b| (b as i8).to_string()).collect();
                put!(out, "[{}]", shown.join(", "));
            }
        }
    }
}

/// Maps, only as Java shows them: `{a=1, b=null}`.
struct Maps {
    map: MapArray,
    keys: Box<dyn ValueWriter>,
    values: Box<dyn ValueWriter>,
}

impl ValueWriter for Maps {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        let offsets = self.map.value_offsets();
        let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
        out.push(b'{');
        for entry in start..end {
            if entry > start {
                out.extend_from_slice(b", ");
            }
            self.keys.write(entry, out);
            out.push(b'=');
            match self.map.values().is_null(entry) {
                true => out.extend_from_slice(b"null"),
                false => self.values.write(entry, out),
            }
        }
        out.push(b'}');
    }
}

struct Dates(PrimitiveArray<Date32Type>);

impl ValueWriter for Dates {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        put_date(i64::from(self.0.value(row)), out);
    }
}

struct Times<T: arrow_array::ArrowPrimitiveType> {
    array: PrimitiveArray<T>,
    unit_ns: i64,
    style: TextStyle,
}

impl<T: arrow_array::ArrowPrimitiveType<Native: Into<i64>>> ValueWriter for Times<T> {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        let value: i64 = self.array.value(row).into();
        let nanos = value * self.unit_ns;
        put_time(nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000), self.style, out);
    }
}

struct Timestamps<T: arrow_array::ArrowPrimitiveType> {
    array: PrimitiveArray<T>,
    per_second: i64,
    zoned: bool,
    style: TextStyle,
}

impl<T: arrow_array::ArrowPrimitiveType<Native = i64>> ValueWriter for Timestamps<T> {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        let value = self.array.value(row);
        let seconds = value.div_euclid(self.per_second);
        let nanos = value.rem_euclid(self.per_second) * (1_000_000_000 / self.per_second);
        put_date(seconds.div_euclid(86_400), out);
        out.push(match self.style {
            TextStyle::Sql => b' ',
            TextStyle::Iso8601 | TextStyle::Java => b'T',
        });
        put_time(seconds.rem_euclid(86_400), nanos, self.style, out);
        if self.zoned {
            out.push(b'Z');
        }
    }
}

fn put_date(days: i64, out: &mut Vec<u8>) {
    let millis = days.saturating_mul(86_400_000).clamp(i64::MIN + 1, i64::MAX - 1);
    let shown = Timestamp::from_millis(millis).to_string();
    let date = shown.split(' ').next().unwrap_or_default();
    out.extend_from_slice(date.as_bytes());
}

/// Java leaves out seconds that are zero, and shows decimals in groups of three.
fn put_time(second_of_day: i64, nanos: i64, style: TextStyle, out: &mut Vec<u8>) {
    put!(out, "{:02}:{:02}", second_of_day / 3_600, second_of_day / 60 % 60);
    let second = second_of_day % 60;
    if style == TextStyle::Java && second == 0 && nanos == 0 {
        return;
    }
    put!(out, ":{second:02}");
    if nanos == 0 {
        return;
    }
    if nanos % 1_000_000 == 0 {
        put!(out, ".{:03}", nanos / 1_000_000);
    } else if nanos % 1_000 == 0 {
        put!(out, ".{:06}", nanos / 1_000);
    } else {
        put!(out, ".{nanos:09}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, Int64Array, TimestampMicrosecondArray};

    use super::*;

    fn shown(array: ArrayRef, style: TextStyle) -> Vec<String> {
        let writer = value_writer(&array, style).unwrap();
        (0..array.len())
            .map(|row| {
                let mut out = Vec::new();
                writer.write(row, &mut out);
                String::from_utf8(out).unwrap()
            })
            .collect()
    }

    #[test]
    fn floats_look_as_in_java() {
        let values = [0.0, -0.0, 1.0, 0.001, 0.0009, 9_999_999.0, 1e7, 1.5e300, f64::NAN];
        assert_eq!(
            shown(Arc::new(Float64Array::from(values.to_vec())), TextStyle::Java),
            ["0.0", "-0.0", "1.0", "0.001", "9.0E-4", "9999999.0", "1.0E7", "1.5E300", "NaN"]
        );
    }

    #[test]
    fn timestamps_have_a_form_for_each_style() {
        let micros = vec![1_357_017_300_000_000, 1_357_017_301_250_000, -1];
        let array: ArrayRef = Arc::new(TimestampMicrosecondArray::from(micros));
        assert_eq!(
            shown(array.clone(), TextStyle::Java),
            ["2013-01-01T05:15", "2013-01-01T05:15:01.250", "1969-12-31T23:59:59.999999"]
        );
        assert_eq!(
            shown(array, TextStyle::Sql),
            ["2013-01-01 05:15:00", "2013-01-01 05:15:01.250", "1969-12-31 23:59:59.999999"]
        );
    }

    #[test]
    fn whole_numbers_reach_their_limits() {
        let array = Arc::new(Int64Array::from(vec![i64::MIN, 0, i64::MAX]));
        let expected = ["-9223372036854775808", "0", "9223372036854775807"];
        assert_eq!(shown(array, TextStyle::Sql), expected);
    }
}
