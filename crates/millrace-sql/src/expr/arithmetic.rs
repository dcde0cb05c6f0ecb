//! `+`, `-`, `*`, `/`, `%` and the minus sign, with Flink's result types.
//!
//! Whole numbers wrap around and divide towards zero, as in Java; dividing by zero fails the job.
//! Decimals that outgrow their type become null.

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{DataType, Decimal128Type, i256};
use arrow::error::ArrowError;
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, Operator};
use std::sync::Arc;

use super::kernel::Kernel;
use super::{Call, Typed, time};
use crate::error::Result;
use crate::types;

/// A binary arithmetic operator.
pub(super) fn binary(mut call: Call) -> Result<Typed> {
    call.expect(2..=2)?;
    let is_temporal =
        |arg: &Typed| arg.data_type.is_temporal() || matches!(arg.data_type, DataType::Interval(_));
    if call.args.iter().any(is_temporal) {
        return time::shifted(call);
    }
    if !call
        .args
        .iter()
        .all(|arg| types::is_numeric(&arg.data_type) || arg.data_type == DataType::Null)
    {
        return Err(call.mismatch());
    }
    if call.args.iter().all(|arg| arg.data_type == DataType::Null) {
        return Err(call.mismatch());
    }
    let is_decimal = |arg: &Typed| matches!(arg.data_type, DataType::Decimal128(..));
    let is_float = |arg: &Typed| types::is_float(&arg.data_type);
    if call.name == "%" && call.args.iter().any(is_decimal) {
        return Err(call.mismatch().hint("`%` takes whole numbers"));
    }
    if call.args.iter().any(is_decimal) && !call.args.iter().any(is_float) {
        return decimal(call);
    }
    let op = match call.name {
        "+" => Operator::Plus,
        "-" => Operator::Minus,
        "*" => Operator::Multiply,
        "/" => Operator::Divide,
        _ => Operator::Modulo,
    };
    if call.args[0].data_type == DataType::Float32 {
        call.refuse_mixed_floats(0..2)?;
    }
    let common = call.unify(0..2)?;
    if op == Operator::Modulo && types::is_float(&common) {
        return Err(call.mismatch().hint("`%` takes whole numbers"));
    }
    let [left, right] = call.take()?;
    Ok(Typed::binary(left, op, right, common))
}

/// The minus sign.
pub(super) fn negate(mut call: Call) -> Result<Typed> {
    let [arg] = call.take()?;
    if let Some(value) = arg.as_literal()
        && types::is_numeric(&arg.data_type)
        && let Ok(negative) = value.arithmetic_negate()
    {
        return Ok(Typed::literal(negative));
    }
    if !types::is_numeric(&arg.data_type) && !matches!(arg.data_type, DataType::Interval(_)) {
        call.args = vec![arg];
        return Err(call.mismatch());
    }
    if types::is_integer(&arg.data_type) {
        // Zero minus the value wraps around at the smallest number; a negation would fail.
        let zero = Typed::literal(ScalarValue::Int8(Some(0))).widened(&arg.data_type);
        let data_type = arg.data_type.clone();
        return Ok(Typed::binary(zero, Operator::Minus, arg, data_type));
    }
    let Typed { expr, data_type, nullable } = arg;
    Ok(Typed::new(Expr::Negative(Box::new(expr)), data_type, nullable))
}

fn decimal(mut call: Call) -> Result<Typed> {
    for arg in &mut call.args {
        let (precision, scale) = types::decimal_of(&arg.data_type).unwrap_or((1, 0));
        *arg = arg.clone().widened(&DataType::Decimal128(precision, scale));
    }
    let parts = |arg: &Typed| match arg.data_type {
        DataType::Decimal128(precision, scale) => (i32::from(precision), i32::from(scale)),
        _ => (1, 0),
    };
    let ((p1, s1), (p2, s2)) = (parts(&call.args[0]), parts(&call.args[1]));
    let (name, compute, (precision, scale)): (_, super::kernel::Compute, _) = match call.name {
        "+" => ("decimal_add", add, adjusted((p1 - s1).max(p2 - s2) + s1.max(s2) + 1, s1.max(s2))),
        "-" => (
            "decimal_subtract",
            subtract,
            adjusted((p1 - s1).max(p2 - s2) + s1.max(s2) + 1, s1.max(s2)),
        ),
        "*" => ("decimal_multiply", multiply, adjusted(p1 + p2 + 1, s1 + s2)),
        _ => {
            let scale = (s1 + p2 + 1).max(6);
            ("decimal_divide", divide, adjusted(p1 - s1 + s2 + scale, scale))
        }
    };
    let result = DataType::Decimal128(precision, scale);
    // A result that does not fit is null, so it may always be.
    Ok(Kernel::call(name, std::mem::take(&mut call.args), result, true, compute))
}

/// Precision and scale within 38 digits: digits behind the point give way, but not below 6.
fn adjusted(precision: i32, scale: i32) -> (u8, i8) {
    let (precision, scale) = if precision <= 38 {
        (precision, scale)
    } else {
        let whole = precision - scale;
        (38, (38 - whole).max(scale.min(6)))
    };
    (u8::try_from(precision).unwrap_or(38), i8::try_from(scale).unwrap_or(0))
}

fn add(args: &[ArrayRef], result: &DataType) -> Result<ArrayRef, ArrowError> {
    aligned(args, result, |a, b| Ok(a.checked_add(b)))
}

fn subtract(args: &[ArrayRef], result: &DataType) -> Result<ArrayRef, ArrowError> {
    aligned(args, result, |a, b| Ok(a.checked_sub(b)))
}

/// Computes on both numbers at the larger of their scales.
fn aligned(
    args: &[ArrayRef],
    result: &DataType,
    op: impl Fn(i256, i256) -> Result<Option<i256>, ArrowError>,
) -> Result<ArrayRef, ArrowError> {
    let (s1, s2) = (scale_of(&args[0]), scale_of(&args[1]));
    let scale = s1.max(s2);
    let (up1, up2) = (power_of_ten(scale - s1), power_of_ten(scale - s2));
    each(args, result, scale, |a, b| {
        let (Some(a), Some(b)) = (a.checked_mul(up1), b.checked_mul(up2)) else { return Ok(None) };
        op(a, b)
    })
}

fn multiply(args: &[ArrayRef], result: &DataType) -> Result<ArrayRef, ArrowError> {
    let scale = scale_of(&args[0]) + scale_of(&args[1]);
    each(args, result, scale, |a, b| Ok(a.checked_mul(b)))
}

/// Divides at the result's scale, rounding half away from zero.
fn divide(args: &[ArrayRef], result: &DataType) -> Result<ArrayRef, ArrowError> {
    let DataType::Decimal128(_, scale) = result else { return Err(not_decimal()) };
    let scale = i32::from(*scale);
    let shift = scale - scale_of(&args[0]) + scale_of(&args[1]);
    each(args, result, scale, |a, b| {
        if b == i256::ZERO {
            return Err(ArrowError::DivideByZero);
        }
        if shift >= 0 {
            return Ok(a.checked_mul(power_of_ten(shift)).and_then(|a| rounded_quotient(a, b)));
        }
        Ok(b.checked_mul(power_of_ten(-shift)).and_then(|b| rounded_quotient(a, b)))
    })
}

/// `a / b`, rounded half away from zero.
fn rounded_quotient(a: i256, b: i256) -> Option<i256> {
    let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    let twice = rest.wrapping_abs().checked_add(rest.wrapping_abs())?;
    if twice < b.wrapping_abs() {
        return Some(quotient);
    }
    let away = if a.is_negative() == b.is_negative() { i256::ONE } else { i256::MINUS_ONE };
    quotient.checked_add(away)
}

/// Applies `op` to each pair and brings its result, which has `scale`, to the result's type.
fn each(
    args: &[ArrayRef],
    result: &DataType,
    scale: i32,
    op: impl Fn(i256, i256) -> Result<Option<i256>, ArrowError>,
) -> Result<ArrayRef, ArrowError> {
    let DataType::Decimal128(precision, result_scale) = result else { return Err(not_decimal()) };
    let (left, right) =
        (args[0].as_primitive::<Decimal128Type>(), args[1].as_primitive::<Decimal128Type>());
    let down = power_of_ten(scale - i32::from(*result_scale));
    let limit = power_of_ten(i32::from(*precision));
    let mut values = Vec::with_capacity(left.len());
    for row in 0..left.len() {
        if left.is_null(row) || right.is_null(row) {
            values.push(None);
            continue;
        }
        let exact = op(i256::from_i128(left.value(row)), i256::from_i128(right.value(row)))?;
        let fitting = exact
            .and_then(
                |value| if down == i256::ONE { Some(value) } else { rounded_quotient(value, down) },
            )
            .filter(|value| value.wrapping_abs() < limit)
            .and_then(i256::to_i128);
        values.push(fitting);
    }
    let array =
        Decimal128Array::from(values).with_precision_and_scale(*precision, *result_scale)?;
    Ok(Arc::new(array))
}

fn scale_of(array: &ArrayRef) -> i32 {
    match array.data_type() {
        DataType::Decimal128(_, scale) => i32::from(*scale),
        _ => 0,
    }
}

/// Ten to the power of `exponent`, which is at most 76; 1 for negative ones.
fn power_of_ten(exponent: i32) -> i256 {
    (0..exponent.min(76)).fold(i256::ONE, |power, _| power.wrapping_mul(i256::from_i128(10)))
}

fn not_decimal() -> ArrowError {
    ArrowError::SchemaError("a decimal operation has no decimal result".into())
}
