//! Functions of dates, times and intervals. The time zone is UTC.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray, StringArray};
use arrow::compute::{cast, unary};
use arrow::datatypes::{
    DataType, Date32Type, Int32Type, Int64Type, IntervalMonthDayNano, IntervalUnit, TimeUnit,
    TimestampMillisecondType,
};
use arrow::error::ArrowError;
use datafusion_common::ScalarValue;

use super::calendar::{self, Civil};
use super::kernel::{Compute, Kernel};
use super::{Call, Typed};
use crate::error::Result;
use crate::types::{self, UTC};

type Kernelled = Result<ArrayRef, ArrowError>;

/// `INTERVAL 'n' unit`: a constant of months or of milliseconds.
pub(super) fn interval(mut call: Call) -> Result<Typed> {
    let span = call.span;
    let [length, unit] = call.take()?;
    let (text, unit) = (length.as_text().unwrap_or(""), unit.as_text().unwrap_or(""));
    let wrong = |what: &str| {
        Err(crate::error::Fault::new(span, format!("`{text}` is not a number of {unit}S"))
            .hint(what))
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) if unit == "SECOND" => (whole, fraction),
        Some(_) => return wrong("only seconds have a fraction"),
        None => (unsigned, "0"),
    };
    if !is_number(whole) || !is_number(fraction) || whole.len() > 9 || fraction.len() > 3 {
        return wrong(
            "write a whole number of at most 9 digits; seconds may have 3 digits behind the point",
        );
    }
    let count: i64 = whole.parse().unwrap_or(0);
    let millis: i64 = format!("{fraction:0<3}").parse().unwrap_or(0);
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (months, millis) = match unit {
        "YEAR" => (count * 12, 0),
        "MONTH" => (count, 0),
        "WEEK" => (0, count * 7 * 86_400_000),
        "DAY" => (0, count * 86_400_000),
        "HOUR" => (0, count * 3_600_000),
        "MINUTE" => (0, count * 60_000),
        "SECOND" => (0, count * 1_000 + millis),
        _ => return wrong("units are YEAR, MONTH, WEEK, DAY, HOUR, MINUTE and SECOND"),
    };
    let Ok(months) = i32::try_from(sign * months) else { return wrong("it is too long") };
    let Some(nanos) = millis.checked_mul(sign * 1_000_000) else { return wrong("it is too long") };
    let value = IntervalMonthDayNano::new(months, 0, nanos);
    Ok(Typed::literal(ScalarValue::IntervalMonthDayNano(Some(value))))
}

/// The milliseconds of a constant interval without months.
pub(crate) fn interval_ms(typed: &Typed) -> Option<i64> {
    match typed.as_literal() {
        Some(ScalarValue::IntervalMonthDayNano(Some(value))) if value.months == 0 => {
            Some(value.nanoseconds / 1_000_000)
        }
        _ => None,
    }
}

/// `time + interval`, `interval + time`, `time - interval`.
pub(super) fn shifted(mut call: Call) -> Result<Typed> {
    let is_interval = |arg: &Typed| arg.data_type == DataType::Interval(IntervalUnit::MonthDayNano);
    if call.name == "+" && is_interval(&call.args[0]) {
        call.args.swap(0, 1);
    }
    let sign = match call.name {
        "+" => 1,
        "-" => -1,
        _ => return Err(call.mismatch()),
    };
    let value = match call.args[1].as_literal() {
        Some(ScalarValue::IntervalMonthDayNano(Some(value))) => *value,
        _ => {
            return Err(call.mismatch().hint("TIMESTAMPDIFF gives the time between two points"));
        }
    };
    let time = call.args.swap_remove(0);
    let (months, millis) = (sign * i64::from(value.months), sign * (value.nanoseconds / 1_000_000));
    match shift(time.clone(), months, millis) {
        Some(typed) => Ok(typed),
        None => {
            call.args.insert(0, time);
            Err(call.mismatch())
        }
    }
}

/// A point in time moved by months and milliseconds, if its type allows.
fn shift(time: Typed, months: i64, millis: i64) -> Option<Typed> {
    let (data_type, nullable) = (time.data_type.clone(), time.nullable);
    let ticks = match &data_type {
        DataType::Date32 if millis % 86_400_000 == 0 => millis / 86_400_000,
        DataType::Timestamp(TimeUnit::Second, _) if millis % 1_000 == 0 => millis / 1_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) => millis,
        DataType::Timestamp(TimeUnit::Microsecond, _) => millis.checked_mul(1_000)?,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => millis.checked_mul(1_000_000)?,
        _ => return None,
    };
    let constant = |number| Typed::literal(ScalarValue::Int64(Some(number)));
    Some(if months == 0 {
        Kernel::call("shift", vec![time, constant(ticks)], data_type, nullable, |args, _| {
            shift_ticks(&args[0], &args[1])
        })
    } else {
        Kernel::call(
            "shift_months",
            vec![time, constant(months)],
            data_type,
            nullable,
            |args, _| shift_months(&args[0], &args[1]),
        )
    })
}

/// The numbers under a column of points in time.
fn ticks_of(array: &ArrayRef) -> Result<PrimitiveArray<Int64Type>, ArrowError> {
    let plain = match array.data_type() {
        DataType::Date32 | DataType::Time32(_) => cast(array, &DataType::Int32)?,
        _ => Arc::clone(array),
    };
    let plain = cast(&plain, &DataType::Int64)?;
    Ok(plain.as_primitive::<Int64Type>().clone())
}

/// A column of `data_type` from the numbers under it.
fn from_ticks(ticks: Int64Array, data_type: &DataType) -> Kernelled {
    let array: ArrayRef = Arc::new(ticks);
    match data_type {
        DataType::Date32 | DataType::Time32(_) => cast(&cast(&array, &DataType::Int32)?, data_type),
        _ => cast(&array, data_type),
    }
}

/// The value at `row` of an argument that may be a constant.
fn at(array: &PrimitiveArray<Int64Type>, row: usize) -> i64 {
    array.value(if array.len() == 1 { 0 } else { row })
}

fn shift_ticks(times: &ArrayRef, by: &ArrayRef) -> Kernelled {
    let by = by.as_primitive::<Int64Type>();
    if by.null_count() == 0
        && by.values().windows(2).all(|pair| pair[0] == pair[1])
        && let (Some(first), Some(millis)) =
            (by.values().first(), times.as_primitive_opt::<TimestampMillisecondType>())
    {
        let moved: PrimitiveArray<TimestampMillisecondType> =
            unary(millis, |time| time.wrapping_add(*first));
        return Ok(Arc::new(moved.with_data_type(times.data_type().clone())));
    }
    let ticks = ticks_of(times)?;
    let moved = (0..ticks.len()).map(|row| {
        (ticks.is_valid(row) && by.is_valid(row))
            .then(|| ticks.value(row).wrapping_add(at(by, row)))
    });
    from_ticks(moved.collect(), times.data_type())
}

/// How many ticks of the type a day has, and how many nanoseconds a tick.
fn resolution(data_type: &DataType) -> i64 {
    match data_type {
        DataType::Date32 => 1,
        DataType::Timestamp(TimeUnit::Second, _) | DataType::Time32(TimeUnit::Second) => 86_400,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 86_400_000_000,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => 86_400_000_000_000,
        _ => 86_400_000,
    }
}

fn shift_months(times: &ArrayRef, by: &ArrayRef) -> Kernelled {
    let (ticks, by) = (ticks_of(times)?, by.as_primitive::<Int64Type>());
    let day = resolution(times.data_type());
    let moved = (0..ticks.len()).map(|row| {
        (ticks.is_valid(row) && by.is_valid(row)).then(|| {
            let time = ticks.value(row);
            let (year, month, date) = calendar::civil_from_days(time.div_euclid(day));
            let civil = Civil { year, month, day: date, of_day_ms: 0 }.plus_months(at(by, row));
            calendar::days_from_civil(civil.year, civil.month, civil.day) * day
                + time.rem_euclid(day)
        })
    });
    from_ticks(moved.collect(), times.data_type())
}

/// `TIMESTAMPADD(unit, n, time)`.
pub(super) fn timestamp_add(mut call: Call) -> Result<Typed> {
    call.expect(3..=3)?;
    let unit = call.args[0].as_text().unwrap_or("").to_owned();
    if !matches!(call.args[1].data_type, DataType::Int8 | DataType::Int16 | DataType::Int32) {
        return Err(call.mismatch().hint("the second argument is an INT"));
    }
    let data_type = call.args[2].data_type.clone();
    let day = match &data_type {
        DataType::Date32 | DataType::Timestamp(..) => resolution(&data_type),
        _ => return Err(call.mismatch()),
    };
    let nullable = call.nullable();
    let (months, ticks) = match unit.as_str() {
        "YEAR" => (12, 0),
        "QUARTER" => (3, 0),
        "MONTH" => (1, 0),
        "WEEK" => (0, 7 * day),
        "DAY" => (0, day),
        "HOUR" if day >= 24 => (0, day / 24),
        "MINUTE" if day >= 1_440 => (0, day / 1_440),
        "SECOND" if day >= 86_400 => (0, day / 86_400),
        _ => {
            return Err(call.fault(format!(
                "`TIMESTAMPADD({unit}, …)` is not supported for {}",
                types::type_name(&data_type)
            )));
        }
    };
    let time = call.args.remove(2);
    let count = call.args.remove(1).widened(&DataType::Int64);
    let factor = Typed::literal(ScalarValue::Int64(Some(if months == 0 { ticks } else { months })));
    let by = Typed::binary(count, datafusion_expr::Operator::Multiply, factor, DataType::Int64);
    let (name, compute): (_, Compute) = if months == 0 {
        ("shift", |args, _| shift_ticks(&args[0], &args[1]))
    } else {
        ("shift_months", |args, _| shift_months(&args[0], &args[1]))
    };
    Ok(Kernel::call(name, vec![time, by], data_type, nullable, compute))
}

/// `TIMESTAMPDIFF(unit, from, to)`: whole units, towards zero.
pub(super) fn timestamp_diff(mut call: Call) -> Result<Typed> {
    call.expect(3..=3)?;
    let nullable = call.nullable();
    let per_unit = match call.args[0].as_text() {
        Some("DAY") => 86_400_000,
        Some("HOUR") => 3_600_000,
        Some("MINUTE") => 60_000,
        Some("SECOND") => 1_000,
        Some(unit) => {
            return Err(call
                .fault(format!("`TIMESTAMPDIFF({unit}, …)` is not supported"))
                .hint("units are DAY, HOUR, MINUTE and SECOND"));
        }
        None => return Err(call.mismatch()),
    };
    let mut args = std::mem::take(&mut call.args);
    args.remove(0);
    let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
    for arg in &args {
        if !matches!(arg.data_type, DataType::Timestamp(_, None) | DataType::Date32) {
            call.args = args;
            return Err(call.mismatch());
        }
    }
    let mut args: Vec<Typed> = args.into_iter().map(|arg| arg.widened(&millis)).collect();
    args.push(Typed::literal(ScalarValue::Int64(Some(per_unit))));
    Ok(Kernel::call("timestamp_diff", args, DataType::Int32, nullable, |args, _| {
        let (from, to) = (ticks_of(&args[0])?, ticks_of(&args[1])?);
        let per_unit = args[2].as_primitive::<Int64Type>();
        let differences = (0..from.len()).map(|row| {
            let valid = from.is_valid(row) && to.is_valid(row);
            valid.then(|| (to.value(row).wrapping_sub(from.value(row)) / at(per_unit, row)) as i32)
        });
        Ok(Arc::new(differences.collect::<PrimitiveArray<Int32Type>>()))
    }))
}

/// `EXTRACT(unit FROM time)`, a `BIGINT`.
pub(super) fn extract(mut call: Call) -> Result<Typed> {
    call.expect(2..=2)?;
    let unit = call.args.remove(0);
    let unit = unit.as_text().unwrap_or("").to_owned();
    field_of(call, &unit)
}

/// `YEAR(time)`, `HOUR(time)` and their kin.
pub(super) fn field(mut call: Call) -> Result<Typed> {
    call.expect(1..=1)?;
    let unit = match call.name {
        "DAYOFMONTH" => "DAY",
        "DAYOFYEAR" => "DOY",
        other => other,
    };
    field_of(Call { args: std::mem::take(&mut call.args), ..call }, unit)
}

fn field_of(mut call: Call, unit: &str) -> Result<Typed> {
    let (has_date, has_time) = match call.args[0].data_type {
        DataType::Date32 => (true, false),
        DataType::Timestamp(..) => (true, true),
        DataType::Time32(_) => (false, true),
        _ => return Err(call.mismatch()),
    };
    let (name, compute): (&'static str, Compute) = match unit {
        "YEAR" if has_date => ("year", |args, _| fields(args, |civil| civil.year)),
        "QUARTER" if has_date => ("quarter", |args, _| fields(args, |civil| (civil.month + 2) / 3)),
        "MONTH" if has_date => ("month", |args, _| fields(args, |civil| civil.month)),
        "DAY" if has_date => ("day", |args, _| fields(args, |civil| civil.day)),
        "DOY" if has_date => ("day_of_year", |args, _| fields(args, Civil::day_of_year)),
        "HOUR" if has_time => ("hour", |args, _| fields(args, |civil| civil.of_day_ms / 3_600_000)),
        "MINUTE" if has_time => {
            ("minute", |args, _| fields(args, |civil| civil.of_day_ms / 60_000 % 60))
        }
        "SECOND" if has_time => {
            ("second", |args, _| fields(args, |civil| civil.of_day_ms / 1_000 % 60))
        }
        _ => {
            let name = call.args[0].type_name();
            return Err(call
                .fault(format!("`{unit}` cannot be taken from {name}"))
                .hint("units are YEAR, QUARTER, MONTH, DAY, DOY, HOUR, MINUTE and SECOND"));
        }
    };
    let nullable = call.nullable();
    Ok(Kernel::call(name, std::mem::take(&mut call.args), DataType::Int64, nullable, compute))
}

fn fields(args: &[ArrayRef], field: impl Fn(Civil) -> i64) -> Kernelled {
    let day = resolution(args[0].data_type());
    let ticks = ticks_of(&args[0])?;
    let values: Int64Array = unary(&ticks, |ticks| {
        let (year, month, date) = calendar::civil_from_days(ticks.div_euclid(day));
        let of_day = i128::from(ticks.rem_euclid(day)) * 86_400_000 / i128::from(day);
        field(Civil { year, month, day: date, of_day_ms: of_day as i64 })
    });
    Ok(Arc::new(values))
}

/// `FLOOR(time TO unit)` and `CEIL(time TO unit)`, for timestamps of milliseconds.
pub(super) fn ceil_or_floor(mut call: Call) -> Result<Typed> {
    let unit = call.args.remove(1);
    let data_type = call.args[0].data_type.clone();
    let unit = unit.as_text().unwrap_or("").to_owned();
    if !matches!(data_type, DataType::Timestamp(TimeUnit::Millisecond, _)) {
        return Err(call.mismatch().hint("cast it to TIMESTAMP(3)"));
    }
    let nullable = call.nullable();
    let unit_ms = match unit.as_str() {
        "SECOND" => 1_000,
        "MINUTE" => 60_000,
        "HOUR" => 3_600_000,
        "DAY" => 86_400_000,
        "MONTH" | "YEAR" if call.name == "FLOOR" => 0,
        _ => return Err(call.fault(format!("`{}(… TO {unit})` is not supported", call.name))),
    };
    let is_floor = call.name == "FLOOR";
    let mut args = std::mem::take(&mut call.args);
    args.push(Typed::literal(ScalarValue::Int64(Some(unit_ms))));
    let (name, compute): (&'static str, Compute) = match (is_floor, unit.as_str()) {
        (true, "MONTH") => ("floor_to_month", |args, result| {
            rounded(args, result, |time, _| {
                Civil { day: 1, of_day_ms: 0, ..Civil::of_millis(time) }.to_millis()
            })
        }),
        (true, "YEAR") => ("floor_to_year", |args, result| {
            rounded(args, result, |time, _| {
                Civil { month: 1, day: 1, of_day_ms: 0, ..Civil::of_millis(time) }.to_millis()
            })
        }),
        (true, _) => ("floor_to", |args, result| {
            rounded(args, result, |time, unit| time - time.rem_euclid(unit))
        }),
        (false, _) => ("ceil_to", |args, result| {
            rounded(args, result, |time, unit| time + (-time).rem_euclid(unit))
        }),
    };
    Ok(Kernel::call(name, args, data_type, nullable, compute))
}

fn rounded(args: &[ArrayRef], result: &DataType, round: impl Fn(i64, i64) -> i64) -> Kernelled {
    let unit = args[1].as_primitive::<Int64Type>();
    let unit = unit.values().first().copied().unwrap_or(1);
    let times = args[0].as_primitive::<TimestampMillisecondType>();
    let values: PrimitiveArray<TimestampMillisecondType> = unary(times, |time| round(time, unit));
    Ok(Arc::new(values.with_data_type(result.clone())))
}

/// `TO_TIMESTAMP(text [, pattern])`, a `TIMESTAMP(3)`; null for a text that is none.
pub(super) fn to_timestamp(mut call: Call) -> Result<Typed> {
    call.expect(1..=2)?;
    call.texts()?;
    check_pattern(&call, 1)?;
    let args = std::mem::take(&mut call.args);
    Ok(Kernel::call("to_timestamp", args, types::timestamp3(), true, |args, _| {
        let texts = args[0].as_string::<i32>();
        let Some(patterns) = args.get(1).map(|arg| arg.as_string::<i32>()) else {
            let times = texts.iter().map(|text| {
                calendar::parse_timestamp_leniently(text?)
                    .map(|(days, nanos)| days * 86_400_000 + nanos / 1_000_000)
            });
            return Ok(Arc::new(times.collect::<PrimitiveArray<TimestampMillisecondType>>()));
        };
        let pieces = pieces_of(patterns)?;
        let times = texts.iter().map(|text| calendar::parse_by_pattern(&pieces, text?));
        Ok(Arc::new(times.collect::<PrimitiveArray<TimestampMillisecondType>>()))
    }))
}

/// `DATE_FORMAT(time, pattern)`.
pub(super) fn date_format(mut call: Call) -> Result<Typed> {
    call.expect(2..=2)?;
    if !matches!(call.args[0].data_type, DataType::Timestamp(_, _)) {
        return Err(call.mismatch().hint("cast the first argument to TIMESTAMP(3)"));
    }
    check_pattern(&call, 1)?;
    if call.args[1].as_text().is_some_and(|pattern| pattern.contains("SSSS")) {
        return Err(call.fault("`DATE_FORMAT` writes milliseconds at the finest").hint("use SSS"));
    }
    let nullable = call.nullable();
    let zone = match &call.args[0].data_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let mut args = std::mem::take(&mut call.args);
    let time = args.remove(0);
    let Some(time) = super::cast::convert(time, &DataType::Timestamp(TimeUnit::Millisecond, zone))
    else {
        return Err(call.fault("`DATE_FORMAT` takes a timestamp"));
    };
    args.insert(0, time);
    Ok(Kernel::call("date_format", args, DataType::Utf8, nullable, |args, _| {
        let pieces = pieces_of(args[1].as_string::<i32>())?;
        let times = args[0].as_primitive::<TimestampMillisecondType>();
        let mut text = String::new();
        let mut texts = arrow::array::StringBuilder::new();
        for time in times {
            match time {
                None => texts.append_null(),
                Some(time) => {
                    text.clear();
                    calendar::format_pattern(&pieces, time, &mut text);
                    texts.append_value(&text);
                }
            }
        }
        Ok(Arc::new(texts.finish()))
    }))
}

/// Checks a pattern, which must be a constant for that.
fn check_pattern(call: &Call, index: usize) -> Result<()> {
    let Some(pattern) = call.args.get(index) else { return Ok(()) };
    let Some(pattern) = pattern.as_text() else {
        return Err(call.fault(format!("the pattern of `{}` must be a constant string", call.name)));
    };
    match calendar::parse_pattern(pattern) {
        Ok(_) => Ok(()),
        Err(letters) => Err(call
            .fault(format!("`{letters}` in the pattern `{pattern}` is not supported"))
            .hint(
                "supported are yyyy, MM, dd, HH, mm, ss and S, single or double, and quoted text",
            )),
    }
}

fn pieces_of(patterns: &StringArray) -> Result<Vec<calendar::Piece>, ArrowError> {
    let pattern = if patterns.is_empty() { "" } else { patterns.value(0) };
    calendar::parse_pattern(pattern).map_err(ArrowError::ParseError)
}

/// `TO_TIMESTAMP_LTZ(number, 0 | 3)`: seconds or milliseconds since the epoch.
pub(super) fn to_timestamp_ltz(mut call: Call) -> Result<Typed> {
    call.expect(2..=2)?;
    if !types::is_integer(&call.args[0].data_type) {
        return Err(call.mismatch().hint("the first argument is a whole number"));
    }
    let factor = match call.args[1].as_literal() {
        Some(ScalarValue::Int32(Some(0))) => 1_000,
        Some(ScalarValue::Int32(Some(3))) => 1,
        _ => {
            return Err(call.fault(
                "the precision of `TO_TIMESTAMP_LTZ` is 0 or 3, for seconds or milliseconds",
            ));
        }
    };
    let nullable = call.nullable();
    let number = call.args.remove(0).widened(&DataType::Int64);
    let result = DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into()));
    let args = vec![number, Typed::literal(ScalarValue::Int64(Some(factor)))];
    Ok(Kernel::call("to_timestamp_ltz", args, result, nullable, |args, result| {
        let factor = args[1].as_primitive::<Int64Type>().values().first().copied().unwrap_or(1);
        let millis: PrimitiveArray<TimestampMillisecondType> =
            unary(args[0].as_primitive::<Int64Type>(), |number| number.wrapping_mul(factor));
        Ok(Arc::new(millis.with_data_type(result.clone())))
    }))
}

/// A date as the days since the epoch that it is made of.
pub(super) fn dates(days: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let days = days.map(|days| days.and_then(|days| i32::try_from(days).ok()));
    Arc::new(days.collect::<PrimitiveArray<Date32Type>>())
}
