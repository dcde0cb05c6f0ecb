//! `TUMBLE` and `HOP` in `FROM TABLE(…)`.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Field;
use datafusion_common::{DFSchema, DFSchemaRef, DataFusionError, Result as PlanResult};
use datafusion_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use sqlparser::ast::{
    Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName,
    Spanned, TableFactor,
};
use sqlparser::tokenizer::Span;

use super::typing;
use crate::error::{Fault, Result};
use crate::expr;
use crate::script::TABLE_ARGUMENT;
use crate::types;

/// The columns that a window's table function adds, in this order.
pub(crate) const WINDOW_COLUMNS: [&str; 3] = ["window_start", "window_end", "window_time"];

/// A table whose rows have been given the windows that they belong to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WindowTable {
    pub input: LogicalPlan,
    schema: DFSchemaRef,
    /// The index of the column in `DESCRIPTOR`.
    pub rowtime: usize,
    pub size: Duration,
    pub slide: Duration,
    pub offset: Duration,
    /// Whether it was written as `HOP`.
    pub is_hop: bool,
    /// Where `DESCRIPTOR(…)`, the slide and the size stand.
    pub places: Places,
}

/// Places within the call, for errors that are found later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Places {
    pub descriptor: Span,
    pub size: Span,
}

impl PartialOrd for WindowTable {
    fn partial_cmp(&self, _other: &Self) -> Option<Ordering> {
        None
    }
}

impl UserDefinedLogicalNodeCore for WindowTable {
    fn name(&self) -> &str {
        "WindowTable"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "WindowTable")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> PlanResult<Self> {
        let input = inputs.into_iter().next().unwrap_or_else(|| self.input.clone());
        Ok(WindowTable { input, ..self.clone() })
    }
}

/// Plans the window table functions.
#[derive(Debug)]
pub(super) struct WindowTables;

impl RelationPlanner for WindowTables {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> PlanResult<RelationPlanning> {
        match relation {
            TableFactor::TableFunction { expr, alias } => {
                let plan = plan_window(&expr, context).map_err(|error| match error {
                    Failed::Fault(fault) => {
                        DataFusionError::External(Box::new(fault.or_at(expr.span())))
                    }
                    Failed::Planner(error) => error,
                })?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
            }
            other => Ok(RelationPlanning::Original(Box::new(other))),
        }
    }
}

enum Failed {
    Fault(Fault),
    Planner(DataFusionError),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Failed::Fault(fault)
    }
}

fn plan_window(
    expr: &SqlExpr,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan, Failed> {
    let SqlExpr::Function(function) = expr else {
        return Err(Fault::new(expr.span(), "TABLE( ) takes a table function").into());
    };
    let name = function.name.to_string().to_uppercase();
    let parameters: &[&str] = match name.as_str() {
        "TUMBLE" => &["DATA", "TIMECOL", "SIZE", "OFFSET"],
        "HOP" => &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"],
        "CUMULATE" | "SESSION" => {
            return Err(Fault::new(
                function.name.span(),
                format!("{name} windows are not supported yet"),
            )
            .hint("TUMBLE and HOP are")
            .into());
        }
        _ => {
            return Err(Fault::new(
                function.name.span(),
                format!("table function `{name}` is not supported"),
            )
            .hint("TUMBLE and HOP are")
            .into());
        }
    };
    let args = arguments(function, &name, parameters)?;
    let arg = |parameter: &str| {
        parameters
            .iter()
            .position(|known| *known == parameter)
            .and_then(|index| args[index].as_ref())
    };
    let required = |parameter: &str| {
        arg(parameter).ok_or_else(|| {
            Fault::new(function.name.span(), format!("{name} needs the argument {parameter}"))
        })
    };
    let table = table_name(required("DATA")?)?;
    let input = context.plan(table).map_err(Failed::Planner)?;
    let (rowtime, descriptor) = descriptor(required("TIMECOL")?, input.schema())?;
    let mut length = |parameter: &str| match arg(parameter) {
        Some(expr) => duration(expr, context).map(Some),
        None => Ok(None),
    };
    let missing = || Fault::new(function.name.span(), format!("{name} needs a size"));
    let size = length("SIZE")?.ok_or_else(missing)?;
    let slide = length("SLIDE")?.unwrap_or(size);
    let offset = length("OFFSET")?.unwrap_or(0);
    let is_hop = name == "HOP";
    let places = Places { descriptor, size: required("SIZE")?.span() };
    let positive = |parameter: &str, millis: i64| match u64::try_from(millis) {
        Ok(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => Err(Fault::new(
            arg(parameter).map_or_else(Span::empty, Spanned::span),
            format!("the {} of a window must be longer than zero", parameter.to_lowercase()),
        )),
    };
    let (size, slide) = (positive("SIZE", size)?, positive("SLIDE", slide)?);
    // A window's beginning is known up to whole slides, so a negative offset is a positive one.
    let slide_ms = i64::try_from(slide.as_millis()).unwrap_or(i64::MAX);
    let offset = Duration::from_millis(offset.rem_euclid(slide_ms).unsigned_abs());
    let schema = with_window_columns(input.schema(), rowtime).map_err(Failed::Planner)?;
    let node = WindowTable { input, schema, rowtime, size, slide, offset, is_hop, places };
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// The arguments in the order of the parameters, whether they were named or not.
fn arguments(function: &Function, name: &str, parameters: &[&str]) -> Result<Vec<Option<SqlExpr>>> {
    let at = function.name.span();
    let FunctionArguments::List(list) = &function.args else {
        return Err(Fault::new(at, format!("{name} takes arguments")));
    };
    let mut args: Vec<Option<SqlExpr>> = vec![None; parameters.len()];
    for (index, arg) in list.args.iter().enumerate() {
        let (place, value) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (Some(index), value),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                let wanted = name.value.to_uppercase();
                (parameters.iter().position(|known| *known == wanted), value)
            }
            other => {
                return Err(
                    Fault::new(other.span(), format!("{name} takes no such argument")).or_at(at)
                );
            }
        };
        match place.and_then(|place| args.get_mut(place)) {
            Some(free @ None) => *free = Some(value.clone()),
            _ => {
                return Err(Fault::new(arg.span(), format!("{name} does not take this argument"))
                    .or_at(at)
                    .hint(format!("its arguments are {}", parameters.join(", "))));
            }
        }
    }
    Ok(args)
}

/// `TABLE t`.
fn table_name(expr: &SqlExpr) -> Result<TableFactor> {
    let wrong = || {
        Fault::new(expr.span(), "the first argument of a window is a table")
            .hint("write TABLE t; for a query, create a view first")
    };
    let SqlExpr::Function(Function { name, args: FunctionArguments::List(list), .. }) = expr else {
        return Err(wrong());
    };
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::CompoundIdentifier(parts)))) =
        list.args.first().filter(|_| plain(name) == TABLE_ARGUMENT)
    else {
        return Err(wrong());
    };
    Ok(TableFactor::Table {
        name: ObjectName::from(parts.clone()),
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    })
}

fn plain(name: &ObjectName) -> String {
    match name.0.as_slice() {
        [part] => part.as_ident().map(|ident| ident.value.clone()).unwrap_or_default(),
        _ => String::new(),
    }
}

/// `DESCRIPTOR(column)`.
fn descriptor(expr: &SqlExpr, schema: &DFSchema) -> Result<(usize, Span)> {
    let wrong = || Fault::new(expr.span(), "the second argument of a window is DESCRIPTOR(column)");
    let SqlExpr::Function(Function { name, args: FunctionArguments::List(list), .. }) = expr else {
        return Err(wrong());
    };
    if !plain(name).eq_ignore_ascii_case("DESCRIPTOR") {
        return Err(wrong());
    }
    let [
        FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Identifier(Ident {
            value, span, ..
        }))),
    ] = list.args.as_slice()
    else {
        return Err(wrong());
    };
    let index = schema.fields().iter().position(|field| field.name() == value);
    index.map(|index| (index, *span)).ok_or_else(|| {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        Fault::new(*span, format!("column `{value}` does not exist"))
            .hint(format!("columns here: {}", names.join(", ")))
    })
}

/// The milliseconds of a constant interval.
fn duration(expr: &SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<i64, Failed> {
    let resolved =
        context.sql_to_expr(expr.clone(), &DFSchema::empty()).map_err(Failed::Planner)?;
    let typed = typing::type_expr(&resolved, &DFSchema::empty(), &[])?;
    expr::interval_ms(&typed).ok_or_else(|| {
        Fault::new(expr.span(), "a window's length is an interval of days or less")
            .hint("write INTERVAL '1' HOUR")
            .into()
    })
}

/// The input's columns without their table's name, and those of the window.
fn with_window_columns(input: &DFSchema, rowtime: usize) -> PlanResult<DFSchemaRef> {
    let mut fields: Vec<_> = input.fields().iter().map(|field| (None, Arc::clone(field))).collect();
    let timestamp = types::timestamp3();
    for name in &WINDOW_COLUMNS[..2] {
        fields.push((None, Arc::new(Field::new(*name, timestamp.clone(), false))));
    }
    let time = input.field(rowtime).data_type().clone();
    fields.push((None, Arc::new(Field::new(WINDOW_COLUMNS[2], time, false))));
    Ok(Arc::new(DFSchema::new_with_metadata(fields, Default::default())?))
}
