//! Arrow's types by their SQL names, for messages.

use arrow_schema::{DataType, TimeUnit};

use crate::map_entry;

/// The name under which a user declared a column of this type.
pub(crate) fn sql_type(data_type: &DataType) -> String {
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
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Timestamp(unit, zone) => {
            let name = if zone.is_some() { "TIMESTAMP_LTZ" } else { "TIMESTAMP" };
            format!("{name}({})", decimals(*unit))
        }
        DataType::Struct(_) => "ROW".into(),
        DataType::List(_) => "ARRAY".into(),
        DataType::Map(..) => match map_entry(data_type) {
            Some((key, value)) => format!("MAP<{}, {}>", sql_type(key), sql_type(value)),
            None => "MAP".into(),
        },
        other => format!("{other}"),
    }
}

/// How many decimals of a second a unit has.
pub(crate) fn decimals(unit: TimeUnit) -> usize {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}
