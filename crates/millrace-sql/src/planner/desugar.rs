//! Turns every operator, cast and special form of a query into a call of a function that knows
//! where it stands.
//!
//! DataFusion's `SqlToRel` resolves names and scopes, but its expressions have no places, and it
//! types them by its own rules. So it is only given names, literals and calls of functions that it
//! knows nothing about: `a + 1` becomes `+@7(a, 1)`, where 7 says in [`Notes`] where the expression
//! stands. [`super::typing`] then gives the calls Flink's types and meaning.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, CeilFloorKind, DateTimeField, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    Query, Spanned, Subscript, TableFactor, TrimWhereField, TypedString, UnaryOperator, Value,
    ValueWithSpan, Visit, VisitMut, VisitorMut,
};
use sqlparser::tokenizer::Span;

use super::clauses;
use crate::error::{Fault, Result};
use crate::expr as functions;
use crate::script::{TABLE_ARGUMENT, Tokens};
use crate::types;

/// What is known about the calls in a query, by the number in their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Vec<Note>);

/// What is known about a call.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub span: Span,
    /// The target of a cast.
    pub cast: Option<DataType>,
}

impl Notes {
    /// Splits a name into function and note.
    pub fn resolve<'n, 's>(&'s self, name: &'n str) -> Option<(&'n str, &'s Note)> {
        let (function, number) = name.rsplit_once('@')?;
        Some((function, self.0.get(number.parse::<usize>().ok()?)?))
    }
}

/// Checks a query and desugars it.
pub(super) fn desugar_query(query: &mut Query, tokens: &Tokens) -> Result<Notes> {
    desugar(query, tokens, true)
}

/// Checks an expression outside of a query, of a computed column or a watermark, and desugars it.
pub(super) fn desugar_expr(expr: &mut Expr, tokens: &Tokens) -> Result<Notes> {
    desugar(expr, tokens, false)
}

fn desugar<T: VisitMut + Visit>(node: &mut T, tokens: &Tokens, in_query: bool) -> Result<Notes> {
    let mut visitor = Desugar { notes: Notes::default(), tokens, in_query, table_functions: 0 };
    match node.visit(&mut visitor) {
        ControlFlow::Continue(()) => Ok(visitor.notes),
        ControlFlow::Break(fault) => Err(fault),
    }
}

struct Desugar<'a> {
    notes: Notes,
    tokens: &'a Tokens,
    /// Whether aggregates and subqueries may stand here.
    in_query: bool,
    /// How many table functions we are inside of.
    table_functions: usize,
}

fn flow(result: Result<()>) -> ControlFlow<Fault> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(fault) => ControlFlow::Break(fault),
    }
}

impl VisitorMut for Desugar<'_> {
    type Break = Fault;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Fault> {
        flow(clauses::check_query(query, self.tokens))
    }

    fn pre_visit_select(&mut self, select: &mut sqlparser::ast::Select) -> ControlFlow<Fault> {
        flow(
            clauses::check_select(select, self.tokens).and_then(|()| clauses::name_columns(select)),
        )
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Fault> {
        if matches!(factor, TableFactor::TableFunction { .. }) {
            self.table_functions += 1;
        }
        flow(clauses::check_table_factor(factor, self.tokens))
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Fault> {
        if matches!(factor, TableFactor::TableFunction { .. }) {
            self.table_functions -= 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Fault> {
        if let Expr::Function(function) = expr {
            return flow(self.check_function(function));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Fault> {
        let span = expr.span();
        match self.rewrite(expr.clone(), span) {
            Ok(new) => {
                *expr = new;
                ControlFlow::Continue(())
            }
            Err(fault) => ControlFlow::Break(fault.or_at(span)),
        }
    }
}

/// The functions that only stand in `FROM TABLE(…)`.
const TABLE_FUNCTIONS: [&str; 6] =
    ["TUMBLE", "HOP", "CUMULATE", "SESSION", "DESCRIPTOR", TABLE_ARGUMENT];

impl Desugar<'_> {
    /// A call of `name` at `span`.
    fn call(&mut self, name: &str, args: Vec<Expr>, span: Span) -> Expr {
        self.call_with(name, args, Note { span, cast: None })
    }

    fn call_with(&mut self, name: &str, args: Vec<Expr>, note: Note) -> Expr {
        let span = note.span;
        self.notes.0.push(note);
        let name = format!("{name}@{}", self.notes.0.len() - 1);
        let args = args.into_iter().map(FunctionArgExpr::Expr).map(FunctionArg::Unnamed).collect();
        Expr::Function(Function {
            name: ObjectName::from(vec![Ident::with_quote_and_span('`', span, name)]),
            uses_odbc_syntax: false,
            parameters: FunctionArguments::None,
            args: FunctionArguments::List(FunctionArgumentList {
                duplicate_treatment: None,
                args,
                clauses: Vec::new(),
            }),
            filter: None,
            null_treatment: None,
            over: None,
            within_group: Vec::new(),
        })
    }

    fn check_function(&self, function: &mut Function) -> Result<()> {
        let name = function.name.to_string().to_uppercase();
        let at = function.name.span();
        if self.table_functions > 0 && TABLE_FUNCTIONS.contains(&name.trim_matches('`')) {
            return Ok(());
        }
        if function.over.is_some() {
            return Err(Fault::new(at, "OVER is not supported yet"));
        }
        if function.null_treatment.is_some() || !function.within_group.is_empty() {
            return Err(Fault::new(at, format!("a clause behind `{name}` is not supported")));
        }
        let FunctionArguments::List(list) = &mut function.args else {
            return Err(functions::refusal(&name, at));
        };
        if !list.clauses.is_empty() {
            return Err(Fault::new(at, format!("a clause within `{name}(…)` is not supported")));
        }
        let aggregate = functions::is_aggregate(&name);
        if !aggregate && !functions::is_scalar(&name) {
            return Err(functions::refusal(&name, at));
        }
        if aggregate && !self.in_query {
            return Err(Fault::new(at, "an aggregate cannot stand here"));
        }
        if !aggregate && (function.filter.is_some() || list.duplicate_treatment.is_some()) {
            return Err(Fault::new(at, format!("`{name}` is not an aggregate function")));
        }
        // The unit of TIMESTAMPADD and TIMESTAMPDIFF looks like a column.
        if let ("TIMESTAMPADD" | "TIMESTAMPDIFF", Some(FunctionArg::Unnamed(first))) =
            (name.as_str(), list.args.first_mut())
            && let FunctionArgExpr::Expr(Expr::Identifier(unit)) = first
        {
            let text = string(unit.value.to_uppercase(), unit.span);
            *first = FunctionArgExpr::Expr(text);
        }
        Ok(())
    }

    fn rewrite(&mut self, expr: Expr, span: Span) -> Result<Expr> {
        let unsupported = |what: &str| Err(Fault::new(span, format!("{what} is not supported")));
        Ok(match expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => expr,
            Expr::Nested(inner) => *inner,
            Expr::Value(value) => self.rewrite_value(value)?,
            Expr::TypedString(TypedString { data_type, value, .. }) => {
                let target = types::arrow_type(&data_type, span)?;
                let text = Expr::Value(value);
                self.call_with("LITERAL", vec![text], Note { span, cast: Some(target) })
            }
            Expr::Interval(interval) => self.rewrite_interval(interval, span)?,
            Expr::Function(function) => self.rewrite_function(function, span)?,
            Expr::Cast { kind, expr, data_type, array: false, format: None } => {
                let name = match kind {
                    CastKind::Cast => "CAST",
                    CastKind::TryCast => "TRY_CAST",
                    CastKind::SafeCast | CastKind::DoubleColon => {
                        return Err(Fault::new(span, "this cast is not part of Flink SQL")
                            .hint("write CAST(x AS type)"));
                    }
                };
                let target = types::arrow_type(&data_type, span)?;
                self.call_with(name, vec![*expr], Note { span, cast: Some(target) })
            }
            Expr::IsNull(x) => self.call("IS NULL", vec![*x], span),
            Expr::IsNotNull(x) => self.call("IS NOT NULL", vec![*x], span),
            Expr::IsTrue(x) => self.call("IS TRUE", vec![*x], span),
            Expr::IsNotTrue(x) => self.call("IS NOT TRUE", vec![*x], span),
            Expr::IsFalse(x) => self.call("IS FALSE", vec![*x], span),
            Expr::IsNotFalse(x) => self.call("IS NOT FALSE", vec![*x], span),
            Expr::IsUnknown(x) => self.call("IS NULL", vec![*x], span),
            Expr::IsNotUnknown(x) => self.call("IS NOT NULL", vec![*x], span),
            Expr::IsDistinctFrom(a, b) => self.call("IS DISTINCT FROM", vec![*a, *b], span),
            Expr::IsNotDistinctFrom(a, b) => self.call("IS NOT DISTINCT FROM", vec![*a, *b], span),
            Expr::BinaryOp { left, op, right } => {
                let name = operator_name(&op)
                    .ok_or_else(|| Fault::new(span, format!("operator `{op}` is not supported")))?;
                self.call(name, vec![*left, *right], span)
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => self.call("NOT", vec![*expr], span),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
                self.call("NEGATE", vec![*expr], span)
            }
            Expr::UnaryOp { op: UnaryOperator::Plus, expr } => *expr,
            Expr::Between { expr, negated, low, high } => {
                let between = self.call("BETWEEN", vec![*expr, *low, *high], span);
                self.negate(between, negated, span)
            }
            Expr::InList { expr, list, negated } => {
                let args = std::iter::once(*expr).chain(list).collect();
                let is_in = self.call("IN", args, span);
                self.negate(is_in, negated, span)
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                let mut args = vec![*expr, *pattern];
                args.extend(escape_char.map(Expr::Value));
                let like = self.call("LIKE", args, span);
                self.negate(like, negated, span)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                let mut args = Vec::new();
                for when in conditions {
                    args.push(match &operand {
                        None => when.condition,
                        Some(operand) => {
                            let at = when.condition.span();
                            self.call("=", vec![*operand.clone(), when.condition], at)
                        }
                    });
                    args.push(when.result);
                }
                args.extend(else_result.map(|result| *result));
                self.call("CASE", args, span)
            }
            Expr::Extract { field, expr, .. } => {
                self.call("EXTRACT", vec![unit(&field, span), *expr], span)
            }
            Expr::Ceil { expr, field } => self.rounded("CEIL", *expr, field, span)?,
            Expr::Floor { expr, field } => self.rounded("FLOOR", *expr, field, span)?,
            Expr::Position { expr, r#in } => self.call("POSITION", vec![*expr, *r#in], span),
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut args = vec![*expr];
                match (substring_from, substring_for) {
                    (Some(from), length) => {
                        args.push(*from);
                        args.extend(length.map(|length| *length));
                    }
                    (None, _) => return unsupported("SUBSTRING without FROM"),
                }
                self.call("SUBSTRING", args, span)
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters: None } => {
                let place = match trim_where {
                    None | Some(TrimWhereField::Both) => "BOTH",
                    Some(TrimWhereField::Leading) => "LEADING",
                    Some(TrimWhereField::Trailing) => "TRAILING",
                };
                let what = trim_what.map_or_else(|| string(" ", span), |what| *what);
                self.call("TRIM", vec![*expr, string(place, span), what], span)
            }
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                return Err(Fault::new(span, "a subquery in an expression is not supported yet"));
            }
            Expr::SimilarTo { .. } => return unsupported("SIMILAR TO"),
            Expr::ILike { .. } => return unsupported("ILIKE"),
            Expr::Overlay { .. } => return unsupported("OVERLAY"),
            Expr::AtTimeZone { .. } => return unsupported("AT TIME ZONE"),
            Expr::Array(_) => return unsupported("ARRAY"),
            Expr::Map(map) => {
                let span = map.entries.first().map_or(span, |entry| entry.key.span());
                let entries = map.entries.into_iter().flat_map(|entry| [*entry.key, *entry.value]);
                self.call("MAP", entries.collect(), span)
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                let mut whole = *root;
                for access in access_chain {
                    whole = match (access, whole) {
                        // The column's name goes on: `table.column['key']`.
                        (AccessExpr::Dot(Expr::Identifier(part)), Expr::Identifier(first)) => {
                            Expr::CompoundIdentifier(vec![first, part])
                        }
                        (AccessExpr::Subscript(Subscript::Index { index }), whole) => {
                            self.call("ITEM", vec![whole, index], span)
                        }
                        _ => return unsupported("this access"),
                    };
                }
                whole
            }
            Expr::Tuple(_) | Expr::Struct { .. } => return unsupported("ROW"),
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => expr,
            _ => return unsupported("this expression"),
        })
    }

    fn negate(&mut self, expr: Expr, negated: bool, span: Span) -> Expr {
        if negated { self.call("NOT", vec![expr], span) } else { expr }
    }

    fn rounded(
        &mut self,
        name: &str,
        expr: Expr,
        field: CeilFloorKind,
        span: Span,
    ) -> Result<Expr> {
        let args = match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => vec![expr],
            CeilFloorKind::DateTimeField(field) => vec![expr, unit(&field, span)],
            CeilFloorKind::Scale(scale) => {
                return Err(Fault::new(scale.span, format!("{name} takes one argument"))
                    .hint("use ROUND or TRUNCATE for a number of digits"));
            }
        };
        Ok(self.call(name, args, span))
    }

    fn rewrite_value(&mut self, value: ValueWithSpan) -> Result<Expr> {
        let span = value.span;
        match &value.value {
            Value::Number(text, false) if text.contains(['e', 'E']) => {
                let text = string(text.clone(), span);
                let note = Note { span, cast: Some(DataType::Float64) };
                Ok(self.call_with("CAST", vec![text], note))
            }
            Value::Number(_, false)
            | Value::SingleQuotedString(_)
            | Value::Boolean(_)
            | Value::Null => Ok(Expr::Value(value)),
            other => Err(Fault::new(span, format!("literal {other} is not supported"))),
        }
    }

    fn rewrite_interval(&mut self, interval: sqlparser::ast::Interval, span: Span) -> Result<Expr> {
        let (Some(field), None, None, None) = (
            &interval.leading_field,
            &interval.leading_precision,
            &interval.last_field,
            &interval.fractional_seconds_precision,
        ) else {
            return Err(Fault::new(span, "this form of INTERVAL is not supported")
                .hint("write one number and one unit, such as INTERVAL '90' MINUTE"));
        };
        match interval.value.as_ref() {
            Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), .. }) => {
                Ok(self.call("INTERVAL", vec![*interval.value.clone(), unit(field, span)], span))
            }
            other => Err(Fault::new(other.span(), "an interval's length is a string")
                .hint("write INTERVAL '1' HOUR, or TIMESTAMPADD for a length that is computed")),
        }
    }

    fn rewrite_function(&mut self, mut function: Function, span: Span) -> Result<Expr> {
        let name = function.name.to_string().to_uppercase();
        if self.table_functions > 0 && TABLE_FUNCTIONS.contains(&name.trim_matches('`')) {
            return Ok(Expr::Function(function));
        }
        if name.contains('@') {
            return Ok(Expr::Function(function));
        }
        if let FunctionArguments::List(list) = &function.args {
            for arg in &list.args {
                match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(_)) => {}
                    FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if name == "COUNT" => {}
                    other => {
                        return Err(Fault::new(
                            other.span(),
                            format!("`{name}` takes no such argument"),
                        )
                        .or_at(span));
                    }
                }
            }
        }
        self.notes.0.push(Note { span, cast: None });
        let numbered = format!("{name}@{}", self.notes.0.len() - 1);
        if let FunctionArguments::List(list) = &mut function.args {
            for arg in &mut list.args {
                if matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Wildcard)) {
                    // `COUNT(*)` alone has no argument; a constant tells it from `COUNT(x)`.
                    *arg = FunctionArg::Unnamed(FunctionArgExpr::Expr(string("*", span)));
                }
            }
        }
        function.name = ObjectName::from(vec![Ident::with_quote_and_span('`', span, numbered)]);
        Ok(Expr::Function(function))
    }
}

fn string(text: impl Into<String>, span: Span) -> Expr {
    Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text.into()), span })
}

fn unit(field: &DateTimeField, span: Span) -> Expr {
    string(field.to_string().to_uppercase(), span)
}

fn operator_name(op: &BinaryOperator) -> Option<&'static str> {
    Some(match op {
        BinaryOperator::Plus => "+",
        BinaryOperator::Minus => "-",
        BinaryOperator::Multiply => "*",
        BinaryOperator::Divide => "/",
        BinaryOperator::Modulo => "%",
        BinaryOperator::StringConcat => "||",
        BinaryOperator::Eq => "=",
        BinaryOperator::NotEq => "<>",
        BinaryOperator::Lt => "<",
        BinaryOperator::LtEq => "<=",
        BinaryOperator::Gt => ">",
        BinaryOperator::GtEq => ">=",
        BinaryOperator::And => "AND",
        BinaryOperator::Or => "OR",
        _ => return None,
    })
}
