//! What DataFusion's `SqlToRel` asks while it resolves names.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{
    DFSchema, DataFusionError, Result as PlanResult, TableReference, plan_err,
};
use datafusion_expr::planner::{ContextProvider, RelationPlanner};
use datafusion_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use sqlparser::ast::{Expr as SqlExpr, Query, Statement as SqlStatement};
use sqlparser::tokenizer::Span;

use super::catalog::{Catalog, RelationSource};
use super::desugar::{self, Notes};
use super::named::{NamedAggregate, NamedFunction};
use super::window_table::WindowTables;
use crate::error::{Fault, Result};
use crate::expr;
use crate::script::Tokens;

/// Resolves the names of a query: scopes, columns, tables, views, aggregates.
pub(super) fn resolve_query(
    mut query: Box<Query>,
    tokens: &Tokens,
    catalog: &Catalog,
) -> Result<LogicalPlan> {
    let notes = desugar::desugar_query(&mut query, tokens)?;
    let names = Names::new(catalog, notes);
    let planner = SqlToRel::new_with_options(&names, options());
    planner
        .sql_statement_to_plan(SqlStatement::Query(query))
        .map_err(|error| in_words(fault_of(error, catalog), tokens).or_at(tokens.span()))
}

/// DataFusion's own words for what is wrong with the shape of a query, as ours.
fn in_words(fault: Fault, tokens: &Tokens) -> Fault {
    let text = fault.to_string();
    let between = |before: &str, after: &str| {
        let rest = text.split_once(before)?.1;
        Some(rest.split_once(after)?.0.replace('"', ""))
    };
    if text.contains("must appear in the GROUP BY clause") || text.contains("must be in GROUP BY") {
        let Some(column) = between("column \"", " must appear in the GROUP BY") else {
            return fault;
        };
        let name = column.rsplit('.').next().unwrap_or(&column).to_owned();
        return Fault::new(
            tokens.place_of_name(&name),
            format!("column `{name}` is not grouped by"),
        )
        .hint("put it into GROUP BY, or into an aggregate such as MAX");
    }
    if text.contains("non-boolean predicate") {
        return Fault::new(tokens.place_of(&["WHERE"]), "a condition is a BOOLEAN");
    }
    if text.contains("not allowed in the WHERE clause") {
        return Fault::new(tokens.place_of(&["WHERE"]), "an aggregate cannot stand in WHERE")
            .hint("write it in HAVING");
    }
    fault
}

/// Resolves the names of an expression over the columns of one table.
pub(super) fn resolve_expr(
    mut expr: SqlExpr,
    schema: &DFSchema,
    tokens: &Tokens,
    catalog: &Catalog,
) -> Result<Expr> {
    let notes = desugar::desugar_expr(&mut expr, tokens)?;
    let names = Names::new(catalog, notes);
    let planner = SqlToRel::new_with_options(&names, options());
    planner
        .sql_to_expr(expr, schema, &mut PlannerContext::new())
        .map_err(|error| fault_of(error, catalog).or_at(tokens.span()))
}

fn options() -> ParserOptions {
    ParserOptions::new()
        .with_enable_ident_normalization(false)
        .with_parse_float_as_decimal(true)
        .with_map_string_types_to_utf8view(false)
        .with_collect_spans(true)
}

struct Names<'a> {
    catalog: &'a Catalog,
    notes: Notes,
    config: ConfigOptions,
    relations: Vec<Arc<dyn RelationPlanner>>,
}

impl<'a> Names<'a> {
    fn new(catalog: &'a Catalog, notes: Notes) -> Self {
        let mut config = ConfigOptions::new();
        config.sql_parser.enable_ident_normalization = false;
        let relations: Vec<Arc<dyn RelationPlanner>> = vec![Arc::new(WindowTables)];
        Names { catalog, notes, config, relations }
    }
}

impl ContextProvider for Names<'_> {
    fn get_table_source(&self, name: TableReference) -> PlanResult<Arc<dyn TableSource>> {
        let relation = match &name {
            TableReference::Bare { table } => self.catalog.get(table),
            _ => None,
        };
        match relation {
            Some(relation) => Ok(Arc::new(RelationSource::new(relation))),
            None => plan_err!("table '{name}' not found"),
        }
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relations
    }

    fn get_function_meta(&self, numbered: &str) -> Option<Arc<ScalarUDF>> {
        let (name, note) = self.notes.resolve(numbered)?;
        if expr::is_aggregate(name) {
            return None;
        }
        Some(Arc::new(ScalarUDF::new_from_impl(NamedFunction::new(numbered, name, note))))
    }

    fn get_aggregate_meta(&self, numbered: &str) -> Option<Arc<AggregateUDF>> {
        let (name, note) = self.notes.resolve(numbered)?;
        expr::is_aggregate(name)
            .then(|| Arc::new(AggregateUDF::new_from_impl(NamedAggregate::new(name, note))))
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.config
    }

    fn udf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// DataFusion's error as ours, with its place if it has one.
fn fault_of(error: DataFusionError, catalog: &Catalog) -> Fault {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Fault>() {
            Ok(fault) => *fault,
            Err(other) => Fault::new(Span::empty(), other.to_string()),
        },
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let span = diagnostic.span.map_or_else(Span::empty, |span| {
                let at = |place: datafusion_common::Location| sqlparser::tokenizer::Location {
                    line: place.line,
                    column: place.column,
                };
                Span::new(at(span.start), at(span.end))
            });
            let fault = message_of(*inner, catalog);
            if fault.has_place() { fault } else { fault.or_at(span) }
        }
        DataFusionError::Context(_, inner) => fault_of(*inner, catalog),
        DataFusionError::Collection(mut all) if !all.is_empty() => {
            fault_of(all.swap_remove(0), catalog)
        }
        other => message_of(other, catalog),
    }
}

fn message_of(error: DataFusionError, catalog: &Catalog) -> Fault {
    use datafusion_common::SchemaError;
    let fault = |message: String| Fault::new(Span::empty(), message);
    match error {
        DataFusionError::SchemaError(schema_error, _) => match *schema_error {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let mut names: Vec<String> =
                    valid_fields.iter().map(|column| column.name.clone()).collect();
                names.dedup();
                let fault = fault(format!(
                    "column `{}` does not exist",
                    field.flat_name().replace('"', "")
                ));
                if names.is_empty() {
                    fault
                } else {
                    fault.hint(format!("columns here: {}", names.join(", ")))
                }
            }
            SchemaError::AmbiguousReference { field } => {
                fault(format!("column `{}` is ambiguous", field.name))
            }
            other => fault(other.to_string()),
        },
        DataFusionError::Diagnostic(..)
        | DataFusionError::Context(..)
        | DataFusionError::External(_) => fault_of(error, catalog),
        DataFusionError::Plan(text) => {
            let quoted =
                text.strip_prefix("table '").and_then(|rest| rest.strip_suffix("' not found"));
            match quoted {
                Some(name) => {
                    let names: Vec<&str> = catalog.names().collect();
                    let fault = fault(format!("table `{}` does not exist", name.replace('"', "")));
                    if names.is_empty() {
                        fault.hint("CREATE TABLE declares it")
                    } else {
                        fault.hint(format!("tables and views here: {}", names.join(", ")))
                    }
                }
                None => fault(tidy(&text)),
            }
        }
        other => fault(tidy(&other.strip_backtrace())),
    }
}

/// Without the numbers that desugaring has put into names, and without a capital at the beginning.
fn tidy(text: &str) -> String {
    let mut tidied = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '@' && chars.peek().is_some_and(char::is_ascii_digit) {
            while chars.peek().is_some_and(char::is_ascii_digit) {
                chars.next();
            }
        } else {
            tidied.push(c);
        }
    }
    let mut rest = tidied.chars();
    match rest.next() {
        Some(first) => first.to_lowercase().chain(rest).collect(),
        None => tidied,
    }
}
