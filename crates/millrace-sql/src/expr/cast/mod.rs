//! `CAST`, `TRY_CAST`, and literals of date and time.
//!
//! Numbers are cut as in Java: whole numbers wrap around, fractions go towards zero and stop at
//! the ends. A decimal that does not fit becomes null. A text that is no such value fails the job,
//! or is null with `TRY_CAST`.

mod from_text;
mod numbers;
mod to_text;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, PrimitiveArray, StringArray};
use arrow::compute::{cast as arrow_cast, unary};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use datafusion_common::ScalarValue;

use super::kernel::Kernel;
use super::{Call, Typed, calendar, time};
use crate::error::Result;
use crate::types;
use from_text::from_text;
use numbers::number;
use to_text::to_text;

type Kernelled = Result<ArrayRef, ArrowError>;

/// `CAST(x AS type)`.
pub(super) fn cast(mut call: Call) -> Result<Typed> {
    let target = target(&call)?;
    let [arg] = call.take()?;
    let from = arg.type_name();
    convert(arg, &target).ok_or_else(|| {
        call.fault(format!("{from} cannot be cast to {}", types::type_name(&target)))
    })
}

/// `TRY_CAST(x AS type)`.
pub(super) fn try_cast(mut call: Call) -> Result<Typed> {
    let target = target(&call)?;
    let [arg] = call.take()?;
    let from = arg.type_name();
    let parsed = !matches!(target, DataType::Utf8 | DataType::Binary);
    let converted = if arg.data_type == DataType::Utf8 && parsed {
        from_text(arg, &target, true)
    } else {
        convert(arg, &target)
    };
    converted.ok_or_else(|| {
        call.fault(format!("{from} cannot be cast to {}", types::type_name(&target)))
    })
}

/// `DATE '…'`, `TIME '…'`, `TIMESTAMP '…'`.
pub(super) fn literal(mut call: Call) -> Result<Typed> {
    let target = target(&call)?;
    let [arg] = call.take()?;
    let text = arg.as_text().unwrap_or("");
    // A timestamp has the precision of its digits.
    let digits = text.rsplit_once('.').map_or(0, |(_, digits)| digits.len());
    let precise = match (&target, digits) {
        (DataType::Timestamp(_, None), 0) => DataType::Timestamp(TimeUnit::Second, None),
        (DataType::Timestamp(_, None), 1..=3) => types::timestamp3(),
        (DataType::Timestamp(_, None), 4..=6) => DataType::Timestamp(TimeUnit::Microsecond, None),
        (DataType::Timestamp(_, None), _) => DataType::Timestamp(TimeUnit::Nanosecond, None),
        _ => target.clone(),
    };
    let complete = !matches!(target, DataType::Timestamp(..)) || text.contains(':');
    let value = moment_of_text(text, &precise).filter(|_| complete);
    let name = types::type_name(&target);
    value.map(Typed::literal).ok_or_else(|| {
        call.fault(format!("`{text}` is not a {}", name.split('(').next().unwrap_or(&name)))
            .hint("write DATE '2013-01-31', TIME '05:17:00' or TIMESTAMP '2013-01-31 05:17:00'")
    })
}

/// The date, time or timestamp that a text says; finer digits than the type's are cut off.
pub(super) fn moment_of_text(text: &str, to: &DataType) -> Option<ScalarValue> {
    match to {
        DataType::Date32 => {
            let days = i32::try_from(calendar::parse_date(text)?).ok()?;
            Some(ScalarValue::Date32(Some(days)))
        }
        DataType::Time32(TimeUnit::Second) => {
            let seconds = i32::try_from(calendar::parse_time(text)? / 1_000_000_000).ok()?;
            Some(ScalarValue::Time32Second(Some(seconds)))
        }
        DataType::Timestamp(unit, None) => {
            let per_second = match unit {
                TimeUnit::Second => 1,
                TimeUnit::Millisecond => 1_000,
                TimeUnit::Microsecond => 1_000_000,
                TimeUnit::Nanosecond => 1_000_000_000,
            };
            let (days, nanos) = calendar::parse_timestamp(text)?;
            let ticks = days.checked_mul(86_400)?.checked_mul(per_second)?;
            let ticks = ticks.checked_add(nanos / (1_000_000_000 / per_second))?;
            ScalarValue::Int64(Some(ticks)).cast_to(to).ok()
        }
        _ => None,
    }
}

fn target(call: &Call) -> Result<DataType> {
    call.cast.cloned().ok_or_else(|| crate::error::Fault::bug("a cast without a type"))
}

/// The value as another type by the rules of `CAST`; `None` where there is no such cast.
pub(super) fn convert(arg: Typed, to: &DataType) -> Option<Typed> {
    use DataType::{Binary, Boolean, Date32, Decimal128, Null, Timestamp, Utf8};
    let from = arg.data_type.clone();
    if from == *to {
        return Some(arg);
    }
    match (&from, to) {
        (Null, _) => Some(arg.widened(to)),
        (Utf8, Binary) => Some(bytes(arg, to)),
        (Binary, Utf8) => Some(bytes(arg, to)),
        (Utf8, _) => from_text(arg, to, false),
        (_, Utf8) => to_text(arg),
        (Boolean, _) if types::is_integer(to) || types::is_float(to) => {
            let one = arg.nullable;
            let expr = datafusion_expr::Expr::Cast(datafusion_expr::Cast::new(
                Box::new(arg.expr),
                to.clone(),
            ));
            Some(Typed::new(expr, to.clone(), one))
        }
        (_, Boolean) if types::is_integer(&from) => {
            let zero = Typed::literal(ScalarValue::Int32(Some(0))).widened(&from);
            Some(Typed::binary(arg, datafusion_expr::Operator::NotEq, zero, Boolean))
        }
        _ if types::is_numeric(&from) && types::is_numeric(to) => number(arg, to),
        (Date32, Timestamp(_, None)) => Some(arg.widened(to)),
        (Timestamp(..), Date32) => moment(arg, to),
        (Timestamp(a, _), Timestamp(b, _)) => {
            // With UTC for the session's zone, both kinds of timestamp have the same numbers.
            if a <= b { Some(arg.widened(to)) } else { moment(arg, to) }
        }
        (Decimal128(..), _) | (_, Decimal128(..)) => None,
        _ => None,
    }
}

/// A string as its UTF-8, and back; what is no UTF-8 is replaced, as in Java.
fn bytes(arg: Typed, to: &DataType) -> Typed {
    let nullable = arg.nullable;
    Kernel::call("utf8", vec![arg], to.clone(), nullable, |args, to| match to {
        DataType::Binary => arrow_cast(&args[0], to),
        _ => {
            let texts = args[0].as_binary::<i32>().iter();
            let texts = texts.map(|bytes| bytes.map(String::from_utf8_lossy));
            Ok(Arc::new(texts.collect::<StringArray>()))
        }
    })
}

/// Timestamps to coarser ones and to dates.
fn moment(arg: Typed, to: &DataType) -> Option<Typed> {
    let nullable = arg.nullable;
    Some(Kernel::call("cut_time", vec![arg], to.clone(), nullable, |args, to| {
        let micros_or_less = |unit: &TimeUnit| match unit {
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Nanosecond => 1,
        };
        let DataType::Timestamp(from, _) = args[0].data_type() else {
            return Err(ArrowError::SchemaError("not a timestamp".into()));
        };
        let tick = micros_or_less(from);
        let ticks = arrow_cast(&args[0], &DataType::Int64)?;
        let ticks = ticks.as_primitive::<Int64Type>();
        let day = 86_400_000_000_000 / tick;
        match to {
            DataType::Timestamp(unit, _) => {
                let down = micros_or_less(unit) / tick;
                let cut: PrimitiveArray<Int64Type> = unary(ticks, |value| value.div_euclid(down));
                arrow_cast(&cut, to)
            }
            DataType::Date32 => {
                Ok(time::dates(ticks.iter().map(|value| value.map(|value| value.div_euclid(day)))))
            }
            other => Err(ArrowError::CastError(format!("no part of a timestamp is a {other}"))),
        }
    }))
}
