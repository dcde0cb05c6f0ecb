//! Functions of numbers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array};
use arrow::compute::unary;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type,
};
use arrow::error::ArrowError;
use datafusion_common::ScalarValue;

use super::kernel::{Compute, Kernel};
use super::{Call, Typed, arithmetic, time};
use crate::error::Result;
use crate::types;

type Kernelled = Result<ArrayRef, ArrowError>;

fn numeric(call: &Call) -> Result<()> {
    if types::is_numeric(&call.args[0].data_type) { Ok(()) } else { Err(call.mismatch()) }
}

fn map<T: ArrowPrimitiveType>(array: &ArrayRef, f: impl Fn(T::Native) -> T::Native) -> Kernelled {
    let values = array.as_primitive::<T>();
    let mapped: arrow::array::PrimitiveArray<T> = unary(values, f);
    Ok(Arc::new(mapped.with_data_type(array.data_type().clone())))
}

/// `ABS(x)`, of the type of `x`.
pub(super) fn abs(mut call: Call) -> Result<Typed> {
    call.expect(1..=1)?;
    numeric(&call)?;
    let (result, nullable) = (call.args[0].data_type.clone(), call.nullable());
    let args = std::mem::take(&mut call.args);
    Ok(Kernel::call("abs", args, result, nullable, |args, result| match result {
        DataType::Int8 => map::<Int8Type>(&args[0], i8::wrapping_abs),
        DataType::Int16 => map::<Int16Type>(&args[0], i16::wrapping_abs),
        DataType::Int32 => map::<Int32Type>(&args[0], i32::wrapping_abs),
        DataType::Int64 => map::<Int64Type>(&args[0], i64::wrapping_abs),
        DataType::Float32 => map::<Float32Type>(&args[0], f32::abs),
        DataType::Float64 => map::<Float64Type>(&args[0], f64::abs),
        _ => map::<Decimal128Type>(&args[0], i128::wrapping_abs),
    }))
}

/// `SIGN(x)`, of the type of `x`; not for decimals, whose type Flink changes.
pub(super) fn sign(mut call: Call) -> Result<Typed> {
    call.expect(1..=1)?;
    numeric(&call)?;
    let (result, nullable) = (call.args[0].data_type.clone(), call.nullable());
    if matches!(result, DataType::Decimal128(..)) {
        return Err(call.mismatch());
    }
    let args = std::mem::take(&mut call.args);
    Ok(Kernel::call("sign", args, result, nullable, |args, result| match result {
        DataType::Int8 => map::<Int8Type>(&args[0], i8::signum),
        DataType::Int16 => map::<Int16Type>(&args[0], i16::signum),
        DataType::Int32 => map::<Int32Type>(&args[0], i32::signum),
        DataType::Int64 => map::<Int64Type>(&args[0], i64::signum),
        DataType::Float32 => {
            map::<Float32Type>(&args[0], |x| if x == 0.0 || x.is_nan() { x } else { x.signum() })
        }
        _ => map::<Float64Type>(&args[0], |x| if x == 0.0 || x.is_nan() { x } else { x.signum() }),
    }))
}

/// `CEIL`, `CEILING` and `FLOOR`, of numbers and, with a unit, of points in time.
pub(super) fn ceil_or_floor(mut call: Call) -> Result<Typed> {
    if call.args.len() == 2 {
        return time::ceil_or_floor(call);
    }
    call.expect(1..=1)?;
    numeric(&call)?;
    let data_type = call.args[0].data_type.clone();
    if types::is_integer(&data_type) {
        let [arg] = call.take()?;
        return Ok(arg);
    }
    let result = match data_type {
        DataType::Decimal128(precision, _) => DataType::Decimal128(precision, 0),
        other => other,
    };
    let nullable = call.nullable();
    let is_floor = call.name == "FLOOR";
    let args = std::mem::take(&mut call.args);
    Ok(if is_floor {
        Kernel::call("floor", args, result, nullable, |args, result| match result {
            DataType::Float32 => map::<Float32Type>(&args[0], f32::floor),
            DataType::Float64 => map::<Float64Type>(&args[0], f64::floor),
            _ => decimal_whole(&args[0], result, |value, unit| value.div_euclid(unit)),
        })
    } else {
        Kernel::call("ceil", args, result, nullable, |args, result| match result {
            DataType::Float32 => map::<Float32Type>(&args[0], f32::ceil),
            DataType::Float64 => map::<Float64Type>(&args[0], f64::ceil),
            _ => decimal_whole(&args[0], result, |value, unit| -(-value).div_euclid(unit)),
        })
    })
}

fn decimal_whole(array: &ArrayRef, result: &DataType, f: impl Fn(i128, i128) -> i128) -> Kernelled {
    let (DataType::Decimal128(_, scale), DataType::Decimal128(precision, to)) =
        (array.data_type(), result)
    else {
        return Err(ArrowError::SchemaError("not a decimal".into()));
    };
    let unit = 10_i128.pow(u32::from(scale.unsigned_abs()));
    let values: Decimal128Array =
        unary(array.as_primitive::<Decimal128Type>(), |value| f(value, unit));
    Ok(Arc::new(values.with_precision_and_scale(*precision, *to)?))
}

/// Functions from `DOUBLE` to `DOUBLE`.
pub(super) fn of_double(mut call: Call) -> Result<Typed> {
    call.expect(1..=1)?;
    numeric(&call)?;
    let nullable = call.nullable();
    let arg = call.args.remove(0).widened(&DataType::Float64);
    let (name, compute): (&'static str, Compute) = match call.name {
        "SQRT" => ("sqrt", |args, _| map::<Float64Type>(&args[0], f64::sqrt)),
        "EXP" => ("exp", |args, _| map::<Float64Type>(&args[0], f64::exp)),
        "LN" => ("ln", |args, _| map::<Float64Type>(&args[0], f64::ln)),
        "LOG10" => ("log10", |args, _| map::<Float64Type>(&args[0], f64::log10)),
        "SIN" => ("sin", |args, _| map::<Float64Type>(&args[0], f64::sin)),
        "COS" => ("cos", |args, _| map::<Float64Type>(&args[0], f64::cos)),
        _ => ("tan", |args, _| map::<Float64Type>(&args[0], f64::tan)),
    };
    Ok(Kernel::call(name, vec![arg], DataType::Float64, nullable, compute))
}

/// `POWER(x, y)`, a `DOUBLE`.
pub(super) fn power(mut call: Call) -> Result<Typed> {
    call.expect(2..=2)?;
    if !call.args.iter().all(|arg| types::is_numeric(&arg.data_type)) {
        return Err(call.mismatch());
    }
    let nullable = call.nullable();
    let args =
        std::mem::take(&mut call.args).into_iter().map(|arg| arg.widened(&DataType::Float64));
    Ok(Kernel::call("power", args.collect(), DataType::Float64, nullable, |args, _| {
        let (bases, exponents) = (args[0].as_primitive::<Float64Type>(), args[1].as_primitive());
        let powers: Float64Array =
            arrow::compute::binary::<_, Float64Type, _, Float64Type>(bases, exponents, f64::powf)?;
        Ok(Arc::new(powers))
    }))
}

/// `MOD(a, b)`, the same as `a % b`.
pub(super) fn modulo(call: Call) -> Result<Typed> {
    arithmetic::binary(Call { name: "%", ..call })
}

/// `ROUND(x [, digits])`, half away from zero, and `TRUNCATE`, for a constant number of digits.
/// Floats keep their type; `DECIMAL(p, s)` keeps the digits asked for.
pub(super) fn round(mut call: Call) -> Result<Typed> {
    call.expect(1..=2)?;
    numeric(&call)?;
    let digits = match call.args.get(1).map(Typed::as_literal) {
        None => 0,
        Some(Some(ScalarValue::Int32(Some(digits)))) if (0..=30).contains(digits) => *digits,
        Some(_) => {
            return Err(call
                .fault(format!("`{}` takes a constant number of digits", call.name))
                .hint("it is from 0 to 30"));
        }
    };
    let arg = call.args.remove(0);
    let truncates = call.name == "TRUNCATE";
    match arg.data_type {
        DataType::Decimal128(precision, scale) => {
            Ok(round_decimal(arg, precision, scale, digits, truncates))
        }
        DataType::Float64 | DataType::Float32 => {
            let (data_type, nullable) = (arg.data_type.clone(), arg.nullable);
            let digits = Typed::literal(ScalarValue::Int32(Some(digits)));
            let (name, compute): (_, Compute) = if truncates {
                ("truncate", |args, _| round_floats(args, true))
            } else {
                ("round", |args, _| round_floats(args, false))
            };
            Ok(Kernel::call(name, vec![arg, digits], data_type, nullable, compute))
        }
        _ => Ok(arg),
    }
}

fn round_decimal(arg: Typed, precision: u8, scale: i8, digits: i32, truncates: bool) -> Typed {
    let to = i8::try_from(digits).unwrap_or(i8::MAX);
    if to >= scale {
        return arg;
    }
    // One digit more in front, for 9.99 to become 10.0.
    let whole = precision - scale.unsigned_abs();
    let digits = (whole + to.unsigned_abs() + 1).clamp(1, 38);
    let result = DataType::Decimal128(digits, to);
    let nullable = arg.nullable;
    let (name, compute): (_, Compute) = if truncates {
        ("truncate", |args, result| rescale(&args[0], result, true))
    } else {
        ("round", |args, result| rescale(&args[0], result, false))
    };
    Kernel::call(name, vec![arg], result, nullable, compute)
}

fn rescale(array: &ArrayRef, result: &DataType, truncates: bool) -> Kernelled {
    let DataType::Decimal128(_, to) = result else {
        return Err(ArrowError::SchemaError("not a decimal".into()));
    };
    let DataType::Decimal128(_, scale) = array.data_type() else {
        return Err(ArrowError::SchemaError("not a decimal".into()));
    };
    let down = 10_i128.pow(u32::from((scale - to).unsigned_abs()));
    decimal_whole(array, result, |value, _| {
        let half = if truncates { 0 } else { down / 2 };
        if value < 0 { (value - half) / down } else { (value + half) / down }
    })
}

/// Java goes through the shortest decimal text of a float, and so does this: 1.005 with two digits
/// is 1.01, although the nearest binary number lies below.
fn round_floats(args: &[ArrayRef], truncates: bool) -> Kernelled {
    let digits = args[1].as_primitive::<Int32Type>();
    let of =
        |row: usize| if digits.is_empty() { 0 } else { digits.value(row.min(digits.len() - 1)) };
    if let Some(values) = args[0].as_primitive_opt::<Float32Type>() {
        let rounded = values.iter().enumerate().map(|(row, value)| {
            value.map(|value| {
                round_float(&format!("{value}"), f64::from(value), of(row), truncates) as f32
            })
        });
        return Ok(Arc::new(rounded.collect::<arrow::array::Float32Array>()));
    }
    let values = args[0].as_primitive::<Float64Type>();
    let rounded = values.iter().enumerate().map(|(row, value)| {
        value.map(|value| round_float(&format!("{value}"), value, of(row), truncates))
    });
    Ok(Arc::new(rounded.collect::<Float64Array>()))
}

fn round_float(shortest: &str, value: f64, digits: i32, truncates: bool) -> f64 {
    let Some(point) = shortest.find('.') else { return value };
    let kept = point + 1 + usize::try_from(digits).unwrap_or(0);
    let Some(next) = shortest.as_bytes().get(kept) else { return value };
    let Ok(cut) = shortest[..kept].parse::<f64>() else { return value };
    if truncates || *next < b'5' {
        return cut;
    }
    // One up in the last digit that is kept, as text: no binary fraction comes in between.
    let mut text: Vec<u8> = shortest.as_bytes()[..kept].to_vec();
    for byte in text.iter_mut().rev() {
        match byte {
            b'9' => *byte = b'0',
            b'0'..=b'8' => {
                *byte += 1;
                return std::str::from_utf8(&text)
                    .ok()
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(value);
            }
            _ => {}
        }
    }
    let at = usize::from(text.first() == Some(&b'-'));
    text.insert(at, b'1');
    std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_rounded_by_the_digits_that_print() {
        let round = |value: f64, digits| round_float(&format!("{value}"), value, digits, false);
        assert_eq!(round(1.005, 2), 1.01);
        assert_eq!(round(-2.5, 0), -3.0);
        assert_eq!(round(9.96, 1), 10.0);
        assert_eq!(round(-99.99, 1), -100.0);
        assert_eq!(round(1e300, 2), 1e300);
        assert!(round(f64::NAN, 1).is_nan());
        assert_eq!(round_float("2.79", 2.79, 1, true), 2.7);
    }
}
