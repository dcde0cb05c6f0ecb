//! Expressions: from calls that know only names to expressions with Flink's types and meaning.

mod arithmetic;
mod calendar;
mod call;
mod cast;
mod compare;
mod functions;
mod kernel;
mod map;
mod number;
mod text;
mod time;
mod typed;

pub(crate) use call::Call;
pub(crate) use functions::{is_aggregate, is_scalar, refusal};
pub(crate) use time::interval_ms;
pub(crate) use typed::Typed;

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;

use crate::error::Result;

/// Makes an expression of a call whose arguments are typed.
pub(crate) fn build(call: Call) -> Result<Typed> {
    functions::build(call)
}

/// A constant as it stands in a query, with Flink's type; `None` for what no query can hold.
pub(crate) fn constant(value: &ScalarValue) -> Option<Typed> {
    functions::constant(value)
}

/// A value as the type of the column that takes it, where Flink casts without being asked: to a
/// wider number, to a decimal, between timestamps.
pub(crate) fn assigned(value: Typed, to: &DataType) -> Option<Typed> {
    let from = value.data_type.clone();
    let numbers = crate::types::is_numeric(&from) && crate::types::is_numeric(to);
    let timestamps = matches!((&from, to), (DataType::Timestamp(..), DataType::Timestamp(..)));
    (from == *to || from == DataType::Null || numbers || timestamps)
        .then(|| cast::convert(value, to))
        .flatten()
}

/// Whether a name is that of Flink's old group windows, or of a window's table function.
fn is_group_window(name: &str) -> bool {
    let name = name.trim_end_matches("_START").trim_end_matches("_END");
    let name = name.trim_end_matches("_ROWTIME").trim_end_matches("_PROCTIME");
    matches!(name, "TUMBLE" | "HOP" | "SESSION" | "CUMULATE")
}

/// A value as a string, as `CAST` gives it.
#[cfg(test)]
pub(crate) fn text_of(value: Typed) -> Option<Typed> {
    cast::convert(value, &DataType::Utf8)
}
