//! Flink's types and the Arrow types that carry them.

use arrow::datatypes::{DataType, TimeUnit};
use millrace_connect::{map_entry, map_type};
use sqlparser::ast::{CharacterLength, DataType as SqlType, ExactNumberInfo, TimezoneInfo};
use sqlparser::tokenizer::Span;

use crate::error::{Fault, Result};

/// The only time zone of a session.
pub(crate) const UTC: &str = "UTC";

/// The rowtime's type: `TIMESTAMP(3)`.
pub(crate) fn timestamp3() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

/// The Arrow type of a column that is declared so. Lengths of strings are not enforced, as in
/// Flink, which only does so in casts and on request.
pub(crate) fn column_type(sql: &SqlType, span: Span) -> Result<DataType> {
    match sql {
        SqlType::Varchar(_) => Ok(DataType::Utf8),
        SqlType::Varbinary(_) => Ok(DataType::Binary),
        SqlType::Map(key, value) => {
            map_of(column_type(key, span)?, column_type(value, span)?, span)
        }
        other => arrow_type(other, span),
    }
}

/// The type of maps with these keys and values.
fn map_of(key: DataType, value: DataType, span: Span) -> Result<DataType> {
    let data_type = map_type(key.clone(), value.clone());
    let unsupported =
        || Fault::new(span, format!("type {} is not supported", type_name(&data_type)));
    if !matches!(key, DataType::Utf8 | DataType::Binary) {
        return Err(unsupported().hint("the keys of a MAP are STRING or BYTES"));
    }
    if map_entry(&value).is_some() {
        return Err(unsupported().hint("the values of a MAP cannot be maps"));
    }
    Ok(data_type)
}

/// The Arrow type that a SQL type names.
pub(crate) fn arrow_type(sql: &SqlType, span: Span) -> Result<DataType> {
    let unsupported = |hint: &str| {
        let fault = Fault::new(span, format!("type {sql} is not supported"));
        Err(if hint.is_empty() { fault } else { fault.hint(hint) })
    };
    Ok(match sql {
        SqlType::Boolean => DataType::Boolean,
        SqlType::TinyInt(None) => DataType::Int8,
        SqlType::SmallInt(None) => DataType::Int16,
        SqlType::Int(None) | SqlType::Integer(None) => DataType::Int32,
        SqlType::BigInt(None) => DataType::Int64,
        SqlType::Float(ExactNumberInfo::None) => DataType::Float32,
        SqlType::Double(ExactNumberInfo::None) | SqlType::DoublePrecision => DataType::Float64,
        SqlType::Decimal(info) | SqlType::Numeric(info) | SqlType::Dec(info) => {
            decimal_type(*info, span)?
        }
        SqlType::String(None) => DataType::Utf8,
        SqlType::Varchar(Some(CharacterLength::IntegerLength {
            length: 2_147_483_647,
            unit: None,
        })) => DataType::Utf8,
        SqlType::Varchar(_) | SqlType::Char(_) => {
            return unsupported("use STRING, and SUBSTRING to cut");
        }
        SqlType::Bytes(None) => DataType::Binary,
        SqlType::Varbinary(_) | SqlType::Binary(_) => return unsupported("use BYTES"),
        SqlType::Date => DataType::Date32,
        SqlType::Time(None | Some(0), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            DataType::Time32(TimeUnit::Second)
        }
        SqlType::Time(Some(3), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            DataType::Time32(TimeUnit::Millisecond)
        }
        SqlType::Timestamp(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            DataType::Timestamp(time_unit(precision.unwrap_or(6), sql, span)?, None)
        }
        SqlType::Custom(name, modifiers) if is_ltz(name) => {
            let precision = match modifiers.as_slice() {
                [] => 6,
                [one] => one.parse().unwrap_or(u64::MAX),
                _ => u64::MAX,
            };
            DataType::Timestamp(time_unit(precision, sql, span)?, Some(UTC.into()))
        }
        SqlType::Map(key, value) => map_of(arrow_type(key, span)?, arrow_type(value, span)?, span)?,
        _ => return unsupported(""),
    })
}

fn is_ltz(name: &sqlparser::ast::ObjectName) -> bool {
    name.to_string().eq_ignore_ascii_case("TIMESTAMP_LTZ")
}

fn time_unit(precision: u64, sql: &SqlType, span: Span) -> Result<TimeUnit> {
    match precision {
        0 => Ok(TimeUnit::Second),
        3 => Ok(TimeUnit::Millisecond),
        6 => Ok(TimeUnit::Microsecond),
        9 => Ok(TimeUnit::Nanosecond),
        _ => Err(Fault::new(span, format!("type {sql} is not supported"))
            .hint("timestamps have a precision of 0, 3, 6 or 9")),
    }
}

fn decimal_type(info: ExactNumberInfo, span: Span) -> Result<DataType> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => (10, 0),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(p @ 1..=38), Ok(s)) if s >= 0 && i64::from(p) >= scale => {
            Ok(DataType::Decimal128(p, s))
        }
        _ => Err(Fault::new(span, format!("DECIMAL({precision}, {scale}) does not exist"))
            .hint("the precision is 1 to 38, the scale 0 to the precision")),
    }
}

/// The type's name in Flink.
pub(crate) fn type_name(data_type: &DataType) -> String {
    let digits = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 => "STRING".into(),
        DataType::Binary => "BYTES".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Time32(unit) => format!("TIME({})", digits(unit)),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", digits(unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", digits(unit)),
        DataType::Interval(_) => "INTERVAL".into(),
        DataType::Null => "NULL".into(),
        DataType::Map(..) => match map_entry(data_type) {
            Some((key, value)) => format!("MAP<{}, {}>", type_name(key), type_name(value)),
            None => "MAP".into(),
        },
        other => other.to_string(),
    }
}

/// Whether the type is one of the whole numbers.
pub(crate) fn is_integer(data_type: &DataType) -> bool {
    use DataType::{Int8, Int16, Int32, Int64};
    matches!(data_type, Int8 | Int16 | Int32 | Int64)
}

/// Whether the type is `FLOAT` or `DOUBLE`.
pub(crate) fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// Whether the type is a number.
pub(crate) fn is_numeric(data_type: &DataType) -> bool {
    is_integer(data_type) || is_float(data_type) || matches!(data_type, DataType::Decimal128(..))
}

/// Precision and scale of a whole number or decimal.
pub(crate) fn decimal_of(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// The type to which both can be brought without a cast being written, if there is one.
pub(crate) fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Float32, Float64, Null, Timestamp};
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (Null, other) | (other, Null) => Some(other.clone()),
        _ if is_integer(left) && is_integer(right) => Some(
            if left.primitive_width() >= right.primitive_width() { left } else { right }.clone(),
        ),
        _ if is_float(left) || is_float(right) => {
            if !is_numeric(left) || !is_numeric(right) {
                return None;
            }
            let exact = [left, right].into_iter().find(|side| !is_float(side));
            match exact {
                Some(side) if is_integer(side) && (left == &Float32 || right == &Float32) => {
                    Some(Float32)
                }
                _ => Some(Float64),
            }
        }
        _ if is_numeric(left) && is_numeric(right) => {
            let ((p1, s1), (p2, s2)) = (decimal_of(left)?, decimal_of(right)?);
            let scale = s1.max(s2);
            let whole = (i16::from(p1) - i16::from(s1)).max(i16::from(p2) - i16::from(s2));
            let precision = (whole + i16::from(scale)).min(38);
            Some(DataType::Decimal128(u8::try_from(precision).ok()?, scale))
        }
        (Timestamp(a, zone), Timestamp(b, other)) if zone == other => {
            Some(Timestamp(*a.max(b), zone.clone()))
        }
        _ => None,
    }
}
