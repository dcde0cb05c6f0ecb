//! Values as strings, as Flink prints them.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, StringBuilder};
use arrow::compute::cast as arrow_cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimeUnit,
};
use arrow::error::ArrowError;

use super::super::kernel::Kernel;
use super::{Typed, calendar};

/// To a string, as Flink prints values.
pub(super) fn to_text(arg: Typed) -> Option<Typed> {
    let nullable = arg.nullable;
    if matches!(arg.data_type, DataType::Binary | DataType::Interval(_) | DataType::Map(..)) {
        return None;
    }
    Some(Kernel::call("to_string", vec![arg], DataType::Utf8, nullable, |args, _| {
        let array = &args[0];
        let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 8);
        let mut text = String::new();
        let mut write = writer(array)?;
        for row in 0..array.len() {
            if array.is_null(row) {
                texts.append_null();
                continue;
            }
            text.clear();
            // Writing to a string does not fail.
            let _ = write(row, &mut text);
            texts.append_value(&text);
        }
        Ok(Arc::new(texts.finish()))
    }))
}

type WriteRow<'a> = Box<dyn FnMut(usize, &mut String) -> std::fmt::Result + 'a>;

fn writer(array: &ArrayRef) -> Result<WriteRow<'_>, ArrowError> {
    Ok(match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(|row, out| write!(out, "{}", if values.value(row) { "TRUE" } else { "FALSE" }))
        }
        DataType::Int8 => shown::<Int8Type>(array),
        DataType::Int16 => shown::<Int16Type>(array),
        DataType::Int32 => shown::<Int32Type>(array),
        DataType::Int64 => shown::<Int64Type>(array),
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            Box::new(|row, out| {
                let value = values.value(row);
                out.write_str(&java_float(&format!("{value:e}"), f64::from(value)))
            })
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            Box::new(|row, out| {
                let value = values.value(row);
                out.write_str(&java_float(&format!("{value:e}"), value))
            })
        }
        DataType::Decimal128(_, _) => {
            let values = array.as_primitive::<Decimal128Type>();
            Box::new(|row, out| out.write_str(&values.value_as_string(row)))
        }
        DataType::Date32 => {
            let pieces = calendar::parse_pattern("yyyy-MM-dd").map_err(ArrowError::ParseError)?;
            let values = array.as_primitive::<arrow::datatypes::Date32Type>();
            Box::new(move |row, out| {
                calendar::format_pattern(&pieces, i64::from(values.value(row)) * 86_400_000, out);
                Ok(())
            })
        }
        DataType::Time32(unit) => {
            let pieces = calendar::parse_pattern(match unit {
                TimeUnit::Second => "HH:mm:ss",
                _ => "HH:mm:ss.SSS",
            })
            .map_err(ArrowError::ParseError)?;
            let millis = arrow_cast(array, &DataType::Time32(TimeUnit::Millisecond))?;
            let values = millis.as_primitive::<Time32MillisecondType>().clone();
            Box::new(move |row, out| {
                calendar::format_pattern(&pieces, i64::from(values.value(row)), out);
                Ok(())
            })
        }
        DataType::Timestamp(unit, _) => timestamp_writer(array, *unit)?,
        other => return Err(ArrowError::CastError(format!("{other} has no text"))),
    })
}

fn shown<T: ArrowPrimitiveType<Native: std::fmt::Display>>(array: &ArrayRef) -> WriteRow<'_> {
    let values = array.as_primitive::<T>();
    Box::new(|row, out| write!(out, "{}", values.value(row)))
}

/// With all the digits of its precision.
fn timestamp_writer(array: &ArrayRef, unit: TimeUnit) -> Result<WriteRow<'_>, ArrowError> {
    let pieces = calendar::parse_pattern("yyyy-MM-dd HH:mm:ss").map_err(ArrowError::ParseError)?;
    let (per_second, width) = match unit {
        TimeUnit::Second => (1, 0),
        TimeUnit::Millisecond => (1_000, 3),
        TimeUnit::Microsecond => (1_000_000, 6),
        TimeUnit::Nanosecond => (1_000_000_000, 9),
    };
    let ticks = arrow_cast(array, &DataType::Int64)?;
    let ticks = ticks.as_primitive::<Int64Type>().clone();
    Ok(Box::new(move |row, out| {
        let value = ticks.value(row);
        calendar::format_pattern(&pieces, value.div_euclid(per_second).saturating_mul(1_000), out);
        if width == 0 {
            return Ok(());
        }
        write!(out, ".{:0width$}", value.rem_euclid(per_second))
    }))
}

/// `Double.toString`, from the shortest digits in scientific form: plain from 0.001 to 10⁷,
/// otherwise with an exponent.
fn java_float(scientific: &str, value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    if value == 0.0 {
        return format!("{sign}0.0");
    }
    if !(-3..7).contains(&exponent) {
        let fraction = if digits.len() > 1 { &digits[1..] } else { "0" };
        return format!("{sign}{}.{fraction}E{exponent}", &digits[..1]);
    }
    if exponent < 0 {
        return format!(
            "{sign}0.{}{digits}",
            "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0))
        );
    }
    let whole = usize::try_from(exponent).unwrap_or(0) + 1;
    let padded = format!("{digits:0<whole$}");
    let fraction = if padded.len() > whole { &padded[whole..] } else { "0" };
    format!("{sign}{}.{fraction}", &padded[..whole])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_in_java() {
        let shown = |value: f64| java_float(&format!("{value:e}"), value);
        let cases = [
            (1.0, "1.0"),
            (-2.75, "-2.75"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (1_234_567.5, "1234567.5"),
            (1e7, "1.0E7"),
            (1.25e10, "1.25E10"),
            (100.0, "100.0"),
            (-0.0, "-0.0"),
            (f64::INFINITY, "Infinity"),
        ];
        for (value, text) in cases {
            assert_eq!(shown(value), text);
        }
    }
}
