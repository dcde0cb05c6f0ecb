//! Which functions there are.

use datafusion_common::ScalarValue;
use sqlparser::tokenizer::Span;

use super::{Call, Typed, arithmetic, cast, compare, map, number, text, time};
use crate::error::{Fault, Result};
use crate::spelling;

/// What makes an expression of a call.
pub(crate) type Builder = fn(Call) -> Result<Typed>;

/// The operators and special forms, by the names that desugaring gives them.
const FORMS: &[(&str, Builder)] = &[
    ("+", arithmetic::binary),
    ("-", arithmetic::binary),
    ("*", arithmetic::binary),
    ("/", arithmetic::binary),
    ("%", arithmetic::binary),
    ("NEGATE", arithmetic::negate),
    ("||", text::concat_operator),
    ("=", compare::comparison),
    ("<>", compare::comparison),
    ("<", compare::comparison),
    ("<=", compare::comparison),
    (">", compare::comparison),
    (">=", compare::comparison),
    ("IS DISTINCT FROM", compare::comparison),
    ("IS NOT DISTINCT FROM", compare::comparison),
    ("AND", compare::logic),
    ("OR", compare::logic),
    ("NOT", compare::logic),
    ("IS NULL", compare::logic),
    ("IS NOT NULL", compare::logic),
    ("IS TRUE", compare::logic),
    ("IS NOT TRUE", compare::logic),
    ("IS FALSE", compare::logic),
    ("IS NOT FALSE", compare::logic),
    ("BETWEEN", compare::between),
    ("IN", compare::is_in),
    ("LIKE", compare::like),
    ("CASE", compare::case),
    ("MAP", map::constructor),
    ("ITEM", map::item),
    ("CAST", cast::cast),
    ("TRY_CAST", cast::try_cast),
    ("LITERAL", cast::literal),
    ("INTERVAL", time::interval),
    ("EXTRACT", time::extract),
    ("CEIL", number::ceil_or_floor),
    ("FLOOR", number::ceil_or_floor),
    ("POSITION", text::position),
    ("SUBSTRING", text::substring),
    ("TRIM", text::trim),
];

/// The functions that a query calls by name.
const FUNCTIONS: &[(&str, Builder)] = &[
    ("COALESCE", compare::conditional),
    ("GREATEST", compare::extreme),
    ("IF", compare::conditional),
    ("IFNULL", compare::conditional),
    ("LEAST", compare::extreme),
    ("NULLIF", compare::conditional),
    ("ABS", number::abs),
    ("CEILING", number::ceil_or_floor),
    ("COS", number::of_double),
    ("EXP", number::of_double),
    ("LN", number::of_double),
    ("LOG10", number::of_double),
    ("MOD", number::modulo),
    ("POWER", number::power),
    ("ROUND", number::round),
    ("SIGN", number::sign),
    ("SIN", number::of_double),
    ("SQRT", number::of_double),
    ("TAN", number::of_double),
    ("TRUNCATE", number::round),
    ("CHAR_LENGTH", text::length),
    ("CHARACTER_LENGTH", text::length),
    ("CONCAT", text::concat),
    ("LEFT", text::left_or_right),
    ("LOWER", text::change_case),
    ("REPLACE", text::replace),
    ("REVERSE", text::reverse),
    ("RIGHT", text::left_or_right),
    ("SUBSTR", text::substring),
    ("UPPER", text::change_case),
    ("DATE_FORMAT", time::date_format),
    ("DAYOFMONTH", time::field),
    ("DAYOFYEAR", time::field),
    ("HOUR", time::field),
    ("MINUTE", time::field),
    ("MONTH", time::field),
    ("QUARTER", time::field),
    ("SECOND", time::field),
    ("TIMESTAMPADD", time::timestamp_add),
    ("TIMESTAMPDIFF", time::timestamp_diff),
    ("TO_TIMESTAMP", time::to_timestamp),
    ("TO_TIMESTAMP_LTZ", time::to_timestamp_ltz),
    ("YEAR", time::field),
];

const AGGREGATES: &[&str] = &["COUNT", "SUM", "AVG", "MIN", "MAX"];

/// Functions of Flink that give another answer at each call, or at each run.
const VOLATILE: &[&str] = &[
    "CURRENT_DATE",
    "CURRENT_ROW_TIMESTAMP",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_WATERMARK",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "NOW",
    "PROCTIME",
    "RAND",
    "RAND_INTEGER",
    "UNIX_TIMESTAMP",
    "UUID",
];

/// Whether a function of this name (in capitals) aggregates.
pub(crate) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.contains(&name)
}

/// Whether a query may call a scalar function of this name (in capitals).
pub(crate) fn is_scalar(name: &str) -> bool {
    FUNCTIONS.iter().any(|(known, _)| *known == name)
}

/// Why there is no function of this name.
pub(crate) fn refusal(name: &str, span: Span) -> Fault {
    if VOLATILE.contains(&name) {
        return Fault::new(span, format!("`{name}` is not supported yet")).hint(
            "what it gives depends on when a row is processed, so a restart would change it",
        );
    }
    if super::is_group_window(name) {
        return Fault::new(span, format!("`{name}` is not supported here"))
            .hint("windows are table functions: FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(c), INTERVAL '1' HOUR))");
    }
    let known = FUNCTIONS.iter().map(|(known, _)| *known).chain(AGGREGATES.iter().copied());
    let fault = Fault::new(span, format!("function `{name}` is not supported"));
    match spelling::nearest(name, known) {
        Some(known) => fault.hint(format!("did you mean `{known}`?")),
        None => fault,
    }
}

/// Makes an expression of a call.
pub(super) fn build(call: Call) -> Result<Typed> {
    match FORMS.iter().chain(FUNCTIONS).find(|(known, _)| *known == call.name) {
        Some((_, builder)) => builder(call),
        None => Err(refusal(call.name, call.span)),
    }
}

/// A constant as it stands in a query, with Flink's type.
pub(super) fn constant(value: &ScalarValue) -> Option<Typed> {
    let value = match value {
        ScalarValue::Int64(Some(number)) => match i32::try_from(*number) {
            Ok(small) => ScalarValue::Int32(Some(small)),
            Err(_) => value.clone(),
        },
        ScalarValue::Utf8(_) | ScalarValue::Boolean(_) | ScalarValue::Null => value.clone(),
        // Without digits behind the point it is a whole number that is too large.
        ScalarValue::Decimal128(_, _, scale) if *scale > 0 => value.clone(),
        _ => return None,
    };
    Some(Typed::literal(value))
}
