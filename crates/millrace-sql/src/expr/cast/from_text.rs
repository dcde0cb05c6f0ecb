//! Strings as values of other types.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::compute::cast as arrow_cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32SecondType, TimeUnit, TimestampMillisecondType,
};
use arrow::error::ArrowError;

use super::super::kernel::Kernel;
use super::numbers::decimal_of_text;
use super::{Kernelled, Typed, calendar, time};
use crate::types;

/// From a string. With `lenient`, what is no such value is null; otherwise it fails the job.
pub(super) fn from_text(arg: Typed, to: &DataType, lenient: bool) -> Option<Typed> {
    use DataType::{
        Boolean, Date32, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, Timestamp,
    };
    let supported = matches!(to, Boolean | Int8 | Int16 | Int32 | Int64 | Float32 | Float64)
        || matches!(
            to,
            Decimal128(..) | Date32 | Timestamp(_, None) | DataType::Time32(TimeUnit::Second)
        );
    if !supported {
        return None;
    }
    let nullable = arg.nullable || lenient;
    Some(if lenient {
        Kernel::call("try_parse", vec![arg], to.clone(), nullable, |args, to| {
            parse(&args[0], to, true)
        })
    } else {
        Kernel::call("parse", vec![arg], to.clone(), nullable, |args, to| {
            parse(&args[0], to, false)
        })
    })
}

fn parse(array: &ArrayRef, to: &DataType, lenient: bool) -> Kernelled {
    Ok(match to {
        DataType::Boolean => {
            let values: BooleanArray =
                each(array, to, lenient, parse_boolean)?.into_iter().collect();
            Arc::new(values)
        }
        DataType::Int8 => integers::<Int8Type>(array, to, lenient)?,
        DataType::Int16 => integers::<Int16Type>(array, to, lenient)?,
        DataType::Int32 => integers::<Int32Type>(array, to, lenient)?,
        DataType::Int64 => integers::<Int64Type>(array, to, lenient)?,
        DataType::Float32 => collect::<Float32Type>(each(array, to, lenient, |text| {
            parse_float(text).map(|x| x as f32)
        })?),
        DataType::Float64 => collect::<Float64Type>(each(array, to, lenient, parse_float)?),
        DataType::Decimal128(precision, scale) => {
            let limit = 10_i128.pow(u32::from(*precision));
            let values = each(array, to, lenient, |text| {
                decimal_of_text(text.trim(), *scale).filter(|value| value.abs() < limit)
            })?;
            let values: PrimitiveArray<Decimal128Type> = values.into_iter().collect();
            Arc::new(values.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Date32 => {
            let days = each(array, to, lenient, |text| {
                calendar::parse_timestamp(text.trim()).map(|(days, _)| days)
            })?;
            time::dates(days.into_iter())
        }
        DataType::Time32(_) => collect::<Time32SecondType>(each(array, to, lenient, |text| {
            calendar::parse_time(text.trim()).map(|nanos| (nanos / 1_000_000_000) as i32)
        })?),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            collect::<TimestampMillisecondType>(each(array, to, lenient, |text| {
                timestamp_ticks(text, 1_000)
            })?)
        }
        DataType::Timestamp(unit, _) => {
            let per_second = match unit {
                TimeUnit::Second => 1,
                TimeUnit::Microsecond => 1_000_000,
                _ => 1_000_000_000,
            };
            let ticks = collect::<Int64Type>(each(array, to, lenient, |text| {
                timestamp_ticks(text, per_second)
            })?);
            arrow_cast(&ticks, to)?
        }
        other => return Err(ArrowError::CastError(format!("no text is a {other}"))),
    })
}

fn timestamp_ticks(text: &str, per_second: i64) -> Option<i64> {
    let (days, nanos) = calendar::parse_timestamp(text.trim())?;
    let day_ticks = days.checked_mul(86_400)?.checked_mul(per_second)?;
    day_ticks.checked_add(nanos / (1_000_000_000 / per_second))
}

fn each<T>(
    array: &ArrayRef,
    to: &DataType,
    lenient: bool,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<Option<T>>, ArrowError> {
    let texts = array.as_string::<i32>();
    texts
        .iter()
        .map(|text| match text {
            None => Ok(None),
            Some(text) => match parse(text) {
                None if !lenient => Err(ArrowError::CastError(format!(
                    "`{text}` cannot be cast to {}",
                    types::type_name(to)
                ))),
                value => Ok(value),
            },
        })
        .collect()
}

fn collect<T: ArrowPrimitiveType>(values: Vec<Option<T::Native>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<PrimitiveArray<T>>())
}

fn integers<T: ArrowPrimitiveType<Native: TryFrom<i64>>>(
    array: &ArrayRef,
    to: &DataType,
    lenient: bool,
) -> Kernelled {
    let values = each(array, to, lenient, |text| T::Native::try_from(parse_integer(text)?).ok())?;
    Ok(collect::<T>(values))
}

/// A whole number, with spaces around it; a fraction is cut off.
fn parse_integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(digits) || !plain(fraction) || digits.len() + fraction.len() == 0 {
        return None;
    }
    if digits.is_empty() {
        return Some(0);
    }
    whole.parse().ok()
}

fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        "NaN" | "Infinity" => {}
        // Rust reads more words for infinity than Java does.
        _ if unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {}
        _ => return None,
    }
    // Java takes the suffixes of its literals.
    let number = match unsigned.strip_suffix(['d', 'D', 'f', 'F']) {
        Some(rest) if rest.ends_with(|c: char| c.is_ascii_digit() || c == '.') => {
            &text[..text.len() - 1]
        }
        _ => text,
    };
    number.parse().ok()
}

fn parse_boolean(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    match text.as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}
