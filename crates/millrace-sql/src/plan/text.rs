//! Expressions and windows as people read them; operator ids are made of the same text.

use std::time::Duration;

use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, Operator};

use crate::operators::window_aggregate::{AggregateFunction, AggregateSpec, WindowAggregateSpec};
use crate::types::type_name;

/// An expression as it could be written.
pub(super) fn expression(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Literal(value, _) => literal(value),
        Expr::BinaryExpr(binary) => {
            let side = |side: &Expr| match side {
                Expr::BinaryExpr(_) => format!("({})", expression(side)),
                other => expression(other),
            };
            format!("{} {} {}", side(&binary.left), operator(binary.op), side(&binary.right))
        }
        Expr::ScalarFunction(call) => {
            let args: Vec<String> = call.args.iter().map(expression).collect();
            // The type tells a cast to INT from one to BIGINT.
            let result = call.func.return_type(&[]).map(|result| type_name(&result));
            match (call.name(), result) {
                (
                    name @ ("parse" | "try_parse" | "to_integer" | "to_decimal" | "cut_time"),
                    Ok(result),
                ) => {
                    let cast = if name == "try_parse" { "TRY_CAST" } else { "CAST" };
                    format!("{cast}({} AS {result})", args.join(", "))
                }
                // A decimal is rounded to the digits of the result's type.
                (name @ ("round" | "truncate"), Ok(result)) if args.len() == 1 => {
                    format!("{}({} AS {result})", name.to_uppercase(), args.join(", "))
                }
                (name, _) => format!("{}({})", name.to_uppercase(), args.join(", ")),
            }
        }
        Expr::Cast(cast) => {
            format!("CAST({} AS {})", expression(&cast.expr), type_name(cast.field.data_type()))
        }
        Expr::Not(inner) => format!("NOT ({})", expression(inner)),
        Expr::Negative(inner) => format!("-({})", expression(inner)),
        Expr::IsNull(inner) => format!("{} IS NULL", expression(inner)),
        Expr::IsNotNull(inner) => format!("{} IS NOT NULL", expression(inner)),
        Expr::IsTrue(inner) => format!("({}) IS TRUE", expression(inner)),
        Expr::IsNotTrue(inner) => format!("({}) IS NOT TRUE", expression(inner)),
        Expr::IsFalse(inner) => format!("({}) IS FALSE", expression(inner)),
        Expr::IsNotFalse(inner) => format!("({}) IS NOT FALSE", expression(inner)),
        Expr::InList(list) => {
            let items: Vec<String> = list.list.iter().map(expression).collect();
            format!("{} IN ({})", expression(&list.expr), items.join(", "))
        }
        Expr::Like(like) => {
            format!("{} LIKE {}", expression(&like.expr), expression(&like.pattern))
        }
        Expr::Case(case) => {
            let branches: Vec<String> = case
                .when_then_expr
                .iter()
                .map(|(when, then)| format!("WHEN {} THEN {} ", expression(when), expression(then)))
                .collect();
            let default =
                case.else_expr.as_ref().map(|default| format!("ELSE {} ", expression(default)));
            format!("CASE {}{}END", branches.concat(), default.unwrap_or_default())
        }
        other => other.to_string(),
    }
}

fn literal(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Utf8(Some(text)) => format!("'{}'", text.replace('\'', "''")),
        value if value.is_null() => "NULL".into(),
        value => value.to_string().to_uppercase(),
    }
}

fn operator(op: Operator) -> &'static str {
    match op {
        Operator::Plus => "+",
        Operator::Minus => "-",
        Operator::Multiply => "*",
        Operator::Divide => "/",
        Operator::Modulo => "%",
        Operator::Eq => "=",
        Operator::NotEq => "<>",
        Operator::Lt => "<",
        Operator::LtEq => "<=",
        Operator::Gt => ">",
        Operator::GtEq => ">=",
        Operator::And => "AND",
        Operator::Or => "OR",
        Operator::IsDistinctFrom => "IS DISTINCT FROM",
        Operator::IsNotDistinctFrom => "IS NOT DISTINCT FROM",
        _ => "?",
    }
}

/// `TUMBLE(1 h)`, `HOP(slide 10 min, size 1 h, offset 5 min)`.
pub(super) fn window(spec: &WindowAggregateSpec) -> String {
    let window = &spec.window;
    let offset = if window.offset().is_zero() {
        String::new()
    } else {
        format!(", offset {}", duration(window.offset()))
    };
    if window.is_tumbling() {
        return format!("TUMBLE({}{offset})", duration(window.size()));
    }
    format!("HOP(slide {}, size {}{offset})", duration(window.slide()), duration(window.size()))
}

/// An aggregate call, where `column` gives the text of an input column.
pub(super) fn aggregate(spec: &AggregateSpec, column: &dyn Fn(usize) -> String) -> String {
    let name = match spec.function {
        AggregateFunction::CountStar | AggregateFunction::Count => "COUNT",
        AggregateFunction::Sum => "SUM",
        AggregateFunction::Avg => "AVG",
        AggregateFunction::Min => "MIN",
        AggregateFunction::Max => "MAX",
    };
    let argument = spec.argument.map_or_else(|| "*".to_owned(), column);
    let distinct = if spec.distinct { "DISTINCT " } else { "" };
    let filter =
        spec.filter.map(|filter| format!(" FILTER (WHERE {})", column(filter))).unwrap_or_default();
    format!("{name}({distinct}{argument}){filter}")
}

/// A duration in its largest whole unit.
pub(super) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)] {
        if millis >= size && millis.is_multiple_of(size) {
            return format!("{} {unit}", millis / size);
        }
    }
    format!("{millis} ms")
}
