//! Casts between numbers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::{cast as arrow_cast, unary};
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use arrow::error::ArrowError;

use super::super::kernel::{Compute, Kernel};
use super::{Kernelled, Typed};
use crate::types;

/// Numbers to numbers.
pub(super) fn number(arg: Typed, to: &DataType) -> Option<Typed> {
    let (from, nullable) = (arg.data_type.clone(), arg.nullable);
    if types::common_type(&from, to).as_ref() == Some(to) && !matches!(to, DataType::Float32) {
        return Some(arg.widened(to));
    }
    if let DataType::Decimal128(..) = to {
        let (name, compute): (_, Compute) = ("to_decimal", |args, to| to_decimal(&args[0], to));
        return Some(Kernel::call(name, vec![arg], to.clone(), true, compute));
    }
    if matches!(to, DataType::Float64 | DataType::Float32) {
        return Some(arg.widened(to));
    }
    Some(Kernel::call("to_integer", vec![arg], to.clone(), nullable, |args, to| {
        to_integer(&args[0], to)
    }))
}

fn to_integer(array: &ArrayRef, to: &DataType) -> Kernelled {
    match array.data_type() {
        DataType::Float32 | DataType::Float64 => {
            let values = arrow_cast(array, &DataType::Float64)?;
            let values = values.as_primitive::<Float64Type>();
            // Java goes by way of INT to the smaller ones.
            if to == &DataType::Int64 {
                let whole: PrimitiveArray<Int64Type> = unary(values, |value| value as i64);
                return Ok(Arc::new(whole));
            }
            let whole: PrimitiveArray<Int64Type> = unary(values, |value| i64::from(value as i32));
            narrow(&whole, to)
        }
        DataType::Decimal128(_, scale) => {
            let unit = 10_i128.pow(u32::from(scale.unsigned_abs()));
            let whole: PrimitiveArray<Int64Type> =
                unary(array.as_primitive::<Decimal128Type>(), |value| (value / unit) as i64);
            narrow(&whole, to)
        }
        _ => {
            let whole = arrow_cast(array, &DataType::Int64)?;
            narrow(whole.as_primitive::<Int64Type>(), to)
        }
    }
}

fn narrow(whole: &PrimitiveArray<Int64Type>, to: &DataType) -> Kernelled {
    Ok(match to {
        DataType::Int8 => Arc::new(unary::<_, _, Int8Type>(whole, |value| value as i8)),
        DataType::Int16 => Arc::new(unary::<_, _, Int16Type>(whole, |value| value as i16)),
        DataType::Int32 => Arc::new(unary::<_, _, Int32Type>(whole, |value| value as i32)),
        _ => Arc::new(whole.clone()),
    })
}

/// To a decimal, rounding half away from zero; null where it does not fit.
fn to_decimal(array: &ArrayRef, to: &DataType) -> Kernelled {
    let DataType::Decimal128(precision, scale) = to else {
        return Err(ArrowError::SchemaError("not a decimal".into()));
    };
    let limit = 10_i128.pow(u32::from(*precision));
    let exact: Box<dyn Fn(usize) -> Option<i128>> = match array.data_type() {
        DataType::Float32 | DataType::Float64 => {
            let values = arrow_cast(array, &DataType::Float64)?;
            let values = values.as_primitive::<Float64Type>().clone();
            // By the digits that print, as `BigDecimal.valueOf`.
            Box::new(move |row| decimal_of_text(&format!("{}", values.value(row)), *scale))
        }
        DataType::Decimal128(_, from) => {
            let (values, from) = (array.as_primitive::<Decimal128Type>().clone(), *from);
            Box::new(move |row| rescale(values.value(row), from, *scale))
        }
        _ => {
            let values = arrow_cast(array, &DataType::Int64)?;
            let values = values.as_primitive::<Int64Type>().clone();
            Box::new(move |row| rescale(i128::from(values.value(row)), 0, *scale))
        }
    };
    let values: PrimitiveArray<Decimal128Type> = (0..array.len())
        .map(|row| {
            let value = if array.is_valid(row) { exact(row) } else { None };
            value.filter(|value| value.abs() < limit)
        })
        .collect();
    Ok(Arc::new(values.with_precision_and_scale(*precision, *scale)?))
}

fn rescale(value: i128, from: i8, to: i8) -> Option<i128> {
    let power = 10_i128.checked_pow(u32::from((to - from).unsigned_abs()))?;
    if to >= from {
        return value.checked_mul(power);
    }
    let half = power / 2;
    Some(if value < 0 { (value - half) / power } else { (value + half) / power })
}

/// A decimal text such as `-12.345e2` at a scale.
pub(super) fn decimal_of_text(text: &str, scale: i8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let negative = mantissa.starts_with('-');
    let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    if whole.len() + fraction.len() == 0 {
        return None;
    }
    let mut value: i128 = 0;
    let shift =
        i32::from(scale).checked_add(exponent)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let digits = format!("{whole}{fraction}");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = usize::try_from(i32::try_from(digits.len()).ok()?.checked_add(shift.min(0))?);
    let kept = match kept {
        Ok(kept) => kept,
        Err(_) => return Some(0),
    };
    for byte in digits[..kept].bytes() {
        value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
    }
    if digits.as_bytes().get(kept).is_some_and(|next| *next >= b'5') {
        value = value.checked_add(1)?;
    }
    let value = value.checked_mul(10_i128.checked_pow(u32::try_from(shift.max(0)).ok()?)?)?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly_and_rounded_half_away_from_zero() {
        assert_eq!(decimal_of_text("12.345", 2), Some(1235));
        assert_eq!(decimal_of_text("-12.345", 2), Some(-1235));
        assert_eq!(decimal_of_text("1.5e2", 1), Some(1500));
        assert_eq!(decimal_of_text("1e-9", 2), Some(0));
        assert_eq!(decimal_of_text("1e400", 2), None);
        assert_eq!(decimal_of_text(".", 2), None);
    }
}
