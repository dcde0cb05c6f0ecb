//! Names, scopes and types: from parsed statements to resolved queries.

mod catalog;
mod clauses;
mod context;
mod declare;
mod desugar;
mod named;
mod typing;
mod window_table;

pub(crate) use catalog::{Catalog, LATE, Relation, Table, TableColumn, relation_of};
pub(crate) use declare::{declare_table, declare_view};
pub(crate) use named::NamedAggregate;
pub(crate) use typing::{place_of, type_expr};
pub(crate) use window_table::{WINDOW_COLUMNS, WindowTable};

use datafusion_expr::LogicalPlan;
use sqlparser::ast::Query;

use crate::error::Result;
use crate::script::Tokens;

/// Resolves the names of a query.
pub(crate) fn resolve_query(
    query: Box<Query>,
    tokens: &Tokens,
    catalog: &Catalog,
) -> Result<LogicalPlan> {
    context::resolve_query(query, tokens, catalog)
}
