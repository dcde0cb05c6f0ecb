//! Comparisons, logic, `IN`, `BETWEEN`, `LIKE`.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::expr::{InList, Like};
use datafusion_expr::{Expr, Operator};

use super::{Call, Typed, cast};
use crate::error::Result;
use crate::types;

/// `=`, `<>`, `<`, `<=`, `>`, `>=`, `IS [NOT] DISTINCT FROM`.
pub(super) fn comparison(mut call: Call) -> Result<Typed> {
    let op = match call.name {
        "=" => Operator::Eq,
        "<>" => Operator::NotEq,
        "<" => Operator::Lt,
        "<=" => Operator::LtEq,
        ">" => Operator::Gt,
        ">=" => Operator::GtEq,
        "IS DISTINCT FROM" => Operator::IsDistinctFrom,
        _ => Operator::IsNotDistinctFrom,
    };
    let (left, right) = comparable(&mut call)?;
    let mut result = Typed::binary(left, op, right, DataType::Boolean);
    if matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom) {
        result.nullable = false;
    }
    Ok(result)
}

fn comparable(call: &mut Call) -> Result<(Typed, Typed)> {
    call.expect(2..=2)?;
    texts_to_moments(call)?;
    let common = call.unify(0..2)?;
    if matches!(common, DataType::Interval(_) | DataType::Map(..)) {
        return Err(call.mismatch());
    }
    let [left, right] = call.take()?;
    Ok((left, right))
}

/// Constant texts that are compared with points in time become such: `ts > '2013-01-31 00:00:00'`.
fn texts_to_moments(call: &mut Call) -> Result<()> {
    let Some(moment) = call.args.iter().map(|arg| &arg.data_type).find(|data_type| {
        matches!(data_type, DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(_, None))
    }) else {
        return Ok(());
    };
    let moment = moment.clone();
    for index in 0..call.args.len() {
        if let Some(text) = call.args[index].as_text() {
            let Some(value) = cast::moment_of_text(text, &moment) else {
                let name = types::type_name(&moment);
                return Err(call.fault(format!("`{text}` is not a {name}")));
            };
            call.args[index] = Typed::literal(value);
        }
    }
    Ok(())
}

/// `AND`, `OR`, `NOT` and the tests for truth and null.
pub(super) fn logic(mut call: Call) -> Result<Typed> {
    let name = call.name;
    if !matches!(name, "IS NULL" | "IS NOT NULL") {
        call.each(&DataType::Boolean)?;
    }
    if let "AND" | "OR" = name {
        let op = if name == "AND" { Operator::And } else { Operator::Or };
        let [left, right] = call.take()?;
        return Ok(Typed::binary(left, op, right, DataType::Boolean));
    }
    let [Typed { expr, nullable, .. }] = call.take()?;
    let expr = Box::new(expr);
    let (expr, nullable) = match name {
        "NOT" => (Expr::Not(expr), nullable),
        "IS NULL" => (Expr::IsNull(expr), false),
        "IS NOT NULL" => (Expr::IsNotNull(expr), false),
        "IS TRUE" => (Expr::IsTrue(expr), false),
        "IS NOT TRUE" => (Expr::IsNotTrue(expr), false),
        "IS FALSE" => (Expr::IsFalse(expr), false),
        _ => (Expr::IsNotFalse(expr), false),
    };
    Ok(Typed::new(expr, DataType::Boolean, nullable))
}

/// `x BETWEEN low AND high`.
pub(super) fn between(mut call: Call) -> Result<Typed> {
    let span = call.span;
    let [x, low, high] = call.take()?;
    let side = |name: &'static str, bound: Typed| {
        comparison(Call { name, args: vec![x.clone(), bound], span, cast: None })
    };
    let (above, below) = (side(">=", low)?, side("<=", high)?);
    Ok(Typed::binary(above, Operator::And, below, DataType::Boolean))
}

/// `x IN (a, b, …)`.
pub(super) fn is_in(mut call: Call) -> Result<Typed> {
    call.expect(2..)?;
    texts_to_moments(&mut call)?;
    let common = call.unify(0..call.args.len())?;
    if matches!(common, DataType::Map(..)) {
        return Err(call.mismatch());
    }
    let nullable = call.nullable();
    let mut args = std::mem::take(&mut call.args).into_iter().map(|arg| arg.expr);
    let first = args.next().ok_or_else(|| call.mismatch())?;
    let expr = Expr::InList(InList::new(Box::new(first), args.collect(), false));
    Ok(Typed::new(expr, DataType::Boolean, nullable))
}

/// `x LIKE pattern [ESCAPE c]`. Arrow's kernel takes a backslash for an escape; Flink has none
/// unless `ESCAPE` names it, so the pattern is translated.
pub(super) fn like(mut call: Call) -> Result<Typed> {
    call.expect(2..=3)?;
    call.texts()?;
    let nullable = call.nullable();
    let escape = match call
        .args
        .get(2)
        .map(|arg| arg.as_text().map(|text| text.chars().collect::<Vec<_>>()))
    {
        None => None,
        Some(Some(chars)) if chars.len() == 1 => Some(chars[0]),
        Some(_) => return Err(call.fault("ESCAPE takes one character")),
    };
    let Some(pattern) = call.args[1].as_text() else {
        return Err(call
            .fault("the pattern of LIKE must be a constant")
            .hint("use POSITION to look for a text that is computed"));
    };
    let Some(pattern) = translate(pattern, escape) else {
        return Err(call.fault("the escape character must stand before `%`, `_` or itself"));
    };
    let pattern = Expr::Literal(ScalarValue::Utf8(Some(pattern)), None);
    let text = Box::new(call.args.swap_remove(0).expr);
    let expr = Expr::Like(Like::new(false, text, Box::new(pattern), None, false));
    Ok(Typed::new(expr, DataType::Boolean, nullable))
}

fn translate(pattern: &str, escape: Option<char>) -> Option<String> {
    let mut result = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            let next =
                chars.next().filter(|next| matches!(next, '%' | '_') || Some(*next) == escape)?;
            if matches!(next, '%' | '_' | '\\') {
                result.push('\\');
            }
            result.push(next);
        } else if c == '\\' {
            result.push_str("\\\\");
        } else {
            result.push(c);
        }
    }
    Some(result)
}

/// `CASE`, with its branches one after the other: condition, result, …, default.
pub(super) fn case(mut call: Call) -> Result<Typed> {
    let count = call.args.len();
    let has_default = count % 2 == 1;
    for condition in (0..count - 1).step_by(2) {
        if !matches!(call.args[condition].data_type, DataType::Boolean | DataType::Null) {
            return Err(call.fault("a condition of CASE is not a BOOLEAN"));
        }
        let arg = call.args[condition].clone();
        call.args[condition] = arg.widened(&DataType::Boolean);
    }
    let results: Vec<usize> =
        (1..count).step_by(2).chain(has_default.then_some(count - 1)).collect();
    call.refuse_mixed_floats(results.iter().copied())?;
    let common = call.unify(results.iter().copied())?;
    let nullable = !has_default || results.iter().any(|&place| call.args[place].nullable);
    let mut args = std::mem::take(&mut call.args).into_iter().map(|arg| Box::new(arg.expr));
    let mut branches = Vec::new();
    for _ in 0..count / 2 {
        if let (Some(condition), Some(result)) = (args.next(), args.next()) {
            branches.push((condition, result));
        }
    }
    let case = datafusion_expr::expr::Case::new(None, branches, args.next());
    Ok(Typed::new(Expr::Case(case), common, nullable))
}

/// `COALESCE`, `IFNULL`, `NULLIF` and `IF`, which are short for `CASE`.
pub(super) fn conditional(mut call: Call) -> Result<Typed> {
    let span = call.span;
    let again = |name: &'static str, args: Vec<Typed>| Call { name, args, span, cast: None };
    match call.name {
        "IF" => {
            let [condition, yes, no] = call.take()?;
            case(again("IF", vec![condition, yes, no]))
        }
        "NULLIF" => {
            let [left, right] = call.take()?;
            let data_type = left.data_type.clone();
            let equal = comparison(again("=", vec![left.clone(), right]))?;
            let null = Typed::literal(ScalarValue::Null).widened(&data_type);
            case(again("NULLIF", vec![equal, null, left]))
        }
        _ => {
            call.expect(if call.name == "IFNULL" { 2..=2 } else { 1..=usize::MAX })?;
            call.unify(0..call.args.len())?;
            // What stands behind a value that is never null is never looked at.
            let certain = call.args.iter().position(|arg| !arg.nullable);
            call.args.truncate(certain.map_or(usize::MAX, |place| place + 1));
            let mut args = std::mem::take(&mut call.args);
            let Some(last) = args.pop() else { return Err(call.mismatch()) };
            let (data_type, nullable) = (last.data_type.clone(), last.nullable);
            if args.is_empty() {
                return Ok(last);
            }
            let branches = args.into_iter().map(|arg| {
                (Box::new(Expr::IsNotNull(Box::new(arg.expr.clone()))), Box::new(arg.expr))
            });
            let case = datafusion_expr::expr::Case::new(
                None,
                branches.collect(),
                Some(Box::new(last.expr)),
            );
            Ok(Typed::new(Expr::Case(case), data_type, nullable))
        }
    }
}

/// `GREATEST` and `LEAST`: null if any argument is.
pub(super) fn extreme(mut call: Call) -> Result<Typed> {
    call.expect(1..)?;
    let common = call.unify(0..call.args.len())?;
    if !types::is_numeric(&common) && common != DataType::Utf8 {
        return Err(call.mismatch());
    }
    let op = if call.name == "GREATEST" { Operator::GtEq } else { Operator::LtEq };
    let mut args = std::mem::take(&mut call.args).into_iter();
    let Some(first) = args.next() else { return Err(call.mismatch()) };
    Ok(args.fold(first, |best, next| {
        let nullable = best.nullable || next.nullable;
        let better = Typed::binary(best.clone(), op, next.clone(), DataType::Boolean).expr;
        // Where one is null, `better` is null and so neither branch is taken.
        let branches = vec![
            (Box::new(better.clone()), Box::new(best.expr)),
            (Box::new(Expr::IsFalse(Box::new(better))), Box::new(next.expr)),
        ];
        let case = datafusion_expr::expr::Case::new(None, branches, None);
        Typed::new(Expr::Case(case), common.clone(), nullable)
    }))
}
