//! From resolved names to typed expressions over the columns of a node.

use datafusion_common::DFSchema;
use datafusion_expr::Expr;
use sqlparser::tokenizer::{Location, Span};

use super::named::NamedFunction;
use crate::error::{Fault, Result};
use crate::expr::{self, Call, Typed};

/// Gives an expression Flink's types and meaning. `columns` are what the columns of `schema` are
/// made of.
pub(crate) fn type_expr(resolved: &Expr, schema: &DFSchema, columns: &[Typed]) -> Result<Typed> {
    match resolved {
        Expr::Alias(alias) => type_expr(&alias.expr, schema, columns),
        Expr::Column(column) => {
            let index = schema.index_of_column(column).map_err(|_| {
                Fault::new(place_of(resolved), format!("column `{}` is not there", column.name))
            })?;
            columns.get(index).cloned().ok_or_else(|| Fault::bug("a column beyond the last"))
        }
        Expr::Literal(value, _) => expr::constant(value)
            .ok_or_else(|| Fault::new(Span::empty(), format!("literal {value} is not supported"))),
        Expr::ScalarFunction(call) => {
            let Some(function) = call.func.inner().downcast_ref::<NamedFunction>() else {
                return Err(Fault::bug(format!(
                    "function `{}` has no name of ours",
                    call.func.name()
                )));
            };
            let args =
                call.args.iter().map(|arg| type_expr(arg, schema, columns)).collect::<Result<_>>();
            let args = args.map_err(|fault| fault.or_at(function.span))?;
            let call = Call {
                name: &function.function,
                args,
                span: function.span,
                cast: function.cast.as_ref(),
            };
            expr::build(call).map_err(|fault| fault.or_at(function.span))
        }
        other => {
            Err(Fault::new(place_of(other), format!("expression `{other}` is not supported here")))
        }
    }
}

/// The place of the first column or call in an expression.
pub(crate) fn place_of(resolved: &Expr) -> Span {
    match resolved {
        Expr::Alias(alias) => place_of(&alias.expr),
        Expr::Column(column) => column.spans.first().map_or_else(Span::empty, |span| {
            Span::new(
                Location { line: span.start.line, column: span.start.column },
                Location { line: span.end.line, column: span.end.column },
            )
        }),
        Expr::ScalarFunction(call) => call
            .func
            .inner()
            .downcast_ref::<NamedFunction>()
            .map_or_else(Span::empty, |function| function.span),
        Expr::AggregateFunction(call) => call
            .func
            .inner()
            .downcast_ref::<super::named::NamedAggregate>()
            .map_or_else(Span::empty, |function| function.span),
        _ => Span::empty(),
    }
}
