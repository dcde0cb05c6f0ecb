//! A windowed `GROUP BY` as a calc and an aggregation.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::expr::AggregateFunction as AggregateCall;
use datafusion_expr::{Aggregate, Expr};
use millrace_core::Port;
use millrace_runtime::window::WindowSpec;
use sqlparser::tokenizer::Span;

use super::build::{Flow, PlanBuilder, WINDOW_QUALIFIER, names_window};
use super::node::{Input, NodeKind, StreamNode};
use super::text;
use crate::error::{Fault, Result};
use crate::expr::Typed;
use crate::operators::window_aggregate::{
    AggregateFunction, AggregateSpec, WindowAggregateSpec, WindowColumns,
};
use crate::planner::{self, NamedAggregate, Table, TableColumn, WINDOW_COLUMNS, WindowTable};
use crate::types;

/// An aggregation that has not been added yet.
pub(super) struct Grouped {
    pub spec: WindowAggregateSpec,
    below: Flow,
    /// For each group expression and aggregate: which column of the result it is.
    outputs: Vec<usize>,
    table: Option<Arc<Table>>,
}

/// The columns that the calc below an aggregation puts out, each once.
struct Needed {
    columns: Vec<Typed>,
    names: Vec<String>,
}

impl Needed {
    fn place(&mut self, column: Typed, name: &str) -> usize {
        if let Some(index) = self.columns.iter().position(|known| *known == column) {
            return index;
        }
        let mut unique = name.to_owned();
        let mut n = 0;
        while self.names.contains(&unique) {
            unique = format!("{name}{n}");
            n += 1;
        }
        self.names.push(unique);
        self.columns.push(column);
        self.columns.len() - 1
    }
}

/// Plans a `GROUP BY` over `flow`, whose window is `window`.
pub(super) fn plan(
    builder: &PlanBuilder,
    node: &Aggregate,
    flow: Flow,
    window: &WindowTable,
) -> Result<Grouped> {
    let schema = node.input.schema();
    let mut needed = Needed { columns: Vec::new(), names: Vec::new() };
    let mut keys = Vec::new();
    let mut emit = WindowColumns::default();
    // What each group expression is: a key's place among the keys, or a column of the window.
    let mut groups = Vec::new();
    let mut grouped_by = BTreeSet::new();
    for expr in &node.group_expr {
        let typed = planner::type_expr(expr, schema, &flow.columns)?;
        if let Some(index) = window_column(&typed.expr) {
            grouped_by.insert(index);
            groups.push(Group::Window(index));
            continue;
        }
        if names_window(&typed.expr) {
            return Err(Fault::new(
                planner::place_of(expr),
                "an expression over the window cannot be a key yet",
            )
            .hint("group by window_start and window_end themselves"));
        }
        let key = needed.place(typed, &name_of(expr));
        let place = keys.iter().position(|known| *known == key).unwrap_or_else(|| {
            keys.push(key);
            keys.len() - 1
        });
        groups.push(Group::Key(place));
    }
    if !(grouped_by.contains(&0) && grouped_by.contains(&1)) {
        let place = node.group_expr.first().map_or(window.places.descriptor, planner::place_of);
        return Err(Fault::new(
            place,
            "GROUP BY over a window needs both window_start and window_end",
        )
        .or_at(window.places.descriptor));
    }
    for index in &grouped_by {
        match index {
            0 => emit.start = true,
            1 => emit.end = true,
            _ => emit.time = true,
        }
    }
    let mut aggregates = Vec::new();
    for (index, expr) in node.aggr_expr.iter().enumerate() {
        aggregates.push(aggregate(expr, index, schema, &flow, &mut needed)?);
    }
    let rowtime = needed.place(
        flow.columns[window.rowtime].clone(),
        window.input.schema().field(window.rowtime).name(),
    );
    let late = flow.table.clone().filter(|table| builder.late_read.contains(&table.name));
    if let Some(table) = &late {
        pass_through(table, &mut needed);
    }
    let input = Arc::new(Schema::new(fields(&needed)));
    let spec = WindowAggregateSpec {
        window: window_spec(window)?,
        input,
        rowtime,
        keys,
        aggregates,
        emit,
    };
    let outputs = groups
        .iter()
        .map(|group| match group {
            Group::Key(place) => *place,
            Group::Window(index) => {
                let shown = [spec.emit.start, spec.emit.end, spec.emit.time];
                let before = shown[..*index].iter().filter(|shown| **shown).count();
                spec.keys.len() + spec.aggregates.len() + before
            }
        })
        .chain((0..spec.aggregates.len()).map(|index| spec.keys.len() + index))
        .collect();
    let table = flow.table.clone();
    let below = Flow { columns: needed.columns, rowtime: Some(rowtime), window: None, ..flow };
    Ok(Grouped { spec, below, outputs, table })
}

enum Group {
    Key(usize),
    Window(usize),
}

/// Which column of the window an expression is.
fn window_column(expr: &Expr) -> Option<usize> {
    let Expr::Column(column) = expr else { return None };
    let is_window = column.relation.as_ref().is_some_and(|table| table.table() == WINDOW_QUALIFIER);
    is_window.then(|| WINDOW_COLUMNS.iter().position(|name| *name == column.name)).flatten()
}

fn name_of(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Alias(alias) => alias.name.clone(),
        _ => "key".into(),
    }
}

fn fields(needed: &Needed) -> Vec<Field> {
    let columns = needed.columns.iter().zip(&needed.names);
    columns
        .map(|(column, name)| Field::new(name, column.data_type.clone(), column.nullable))
        .collect()
}

fn window_spec(window: &WindowTable) -> Result<WindowSpec> {
    let spec = WindowSpec::hopping(window.size, window.slide, window.offset);
    spec.map_err(|error| Fault::of(&error, window.places.size))
}

fn aggregate(
    expr: &Expr,
    index: usize,
    schema: &datafusion_common::DFSchema,
    flow: &Flow,
    needed: &mut Needed,
) -> Result<AggregateSpec> {
    let expr = match expr {
        Expr::Alias(alias) => alias.expr.as_ref(),
        other => other,
    };
    let place = planner::place_of(expr);
    let Expr::AggregateFunction(AggregateCall { func, params }) = expr else {
        return Err(Fault::new(place, format!("`{expr}` is no aggregate")));
    };
    let Some(named) = func.inner().downcast_ref::<NamedAggregate>() else {
        return Err(Fault::bug(format!("aggregate `{}` has no name of ours", func.name())));
    };
    let typed = |expr: &Expr| -> Result<Typed> {
        let typed =
            planner::type_expr(expr, schema, &flow.columns).map_err(|fault| fault.or_at(place))?;
        if names_window(&typed.expr) {
            return Err(Fault::new(
                place,
                "an aggregate over the window's columns is not supported yet",
            ));
        }
        Ok(typed)
    };
    let filter = match &params.filter {
        None => None,
        Some(filter) => {
            let condition = typed(filter)?;
            if condition.data_type != DataType::Boolean {
                return Err(Fault::new(place, "a FILTER is a BOOLEAN"));
            }
            Some(needed.place(condition, &format!("filter{index}")))
        }
    };
    let [argument] = params.args.as_slice() else {
        return Err(Fault::new(place, format!("`{}` takes one argument", named.name)));
    };
    let is_star = named.name == "COUNT"
        && matches!(argument, Expr::Literal(value, _) if value.to_string() == "*");
    if is_star && params.distinct {
        return Err(Fault::new(place, "COUNT(DISTINCT *) is not supported"));
    }
    let argument = if is_star { None } else { Some(typed(argument)?) };
    let (function, data_type) = signature(&named.name, argument.as_ref(), place)?;
    let is_count = matches!(function, AggregateFunction::CountStar | AggregateFunction::Count);
    // An aggregate over a group is null when there is nothing to aggregate: not in a group of at
    // least one row, unless the row's value may be null or be filtered out.
    let nullable = !is_count
        && (filter.is_some()
            || argument.as_ref().is_none_or(|argument| argument.nullable)
            || data_type_overflows(&data_type, function));
    // MIN and MAX don't change by leaving out duplicates.
    let distinct =
        params.distinct && !matches!(function, AggregateFunction::Min | AggregateFunction::Max);
    let name = match &argument {
        Some(argument) => match &argument.expr {
            Expr::Column(column) => column.name.clone(),
            _ => format!("argument{index}"),
        },
        None => String::new(),
    };
    Ok(AggregateSpec {
        function,
        argument: argument.map(|argument| needed.place(argument, &name)),
        distinct,
        filter,
        output: Field::new(format!("aggregate{index}"), data_type, nullable),
    })
}

fn data_type_overflows(data_type: &DataType, function: AggregateFunction) -> bool {
    matches!(data_type, DataType::Decimal128(..))
        && matches!(function, AggregateFunction::Sum | AggregateFunction::Avg)
}

/// The function and the type of its result.
fn signature(
    name: &str,
    argument: Option<&Typed>,
    place: Span,
) -> Result<(AggregateFunction, DataType)> {
    let Some(argument) = argument else {
        return Ok((AggregateFunction::CountStar, DataType::Int64));
    };
    let data_type = argument.data_type.clone();
    let mismatch =
        || Fault::new(place, format!("`{name}` does not take {}", types::type_name(&data_type)));
    let comparable = matches!(
        data_type,
        DataType::Boolean
            | DataType::Utf8
            | DataType::Date32
            | DataType::Time32(_)
            | DataType::Timestamp(..)
    );
    let numeric = types::is_numeric(&data_type);
    Ok(match name {
        "COUNT" if numeric || comparable || data_type == DataType::Binary => {
            (AggregateFunction::Count, DataType::Int64)
        }
        "MIN" if numeric || comparable => (AggregateFunction::Min, data_type),
        "MAX" if numeric || comparable => (AggregateFunction::Max, data_type),
        "SUM" => match data_type {
            DataType::Decimal128(_, scale) => {
                (AggregateFunction::Sum, DataType::Decimal128(38, scale))
            }
            _ if numeric => (AggregateFunction::Sum, data_type),
            _ => return Err(mismatch()),
        },
        "AVG" => match data_type {
            DataType::Decimal128(_, scale) => {
                (AggregateFunction::Avg, DataType::Decimal128(38, scale.max(6)))
            }
            _ if numeric => (AggregateFunction::Avg, data_type),
            _ => return Err(mismatch()),
        },
        _ => return Err(mismatch()),
    })
}

/// Adds calc and aggregation to the plan; the flow is that of the results.
pub(super) fn finish(builder: &mut PlanBuilder, grouped: Grouped) -> Flow {
    let Grouped { spec, below, outputs, table } = grouped;
    let identity = identity(builder, &spec, &below);
    let inputs = builder.calc(below, Arc::clone(&spec.input), Vec::new(), String::new());
    let schema = unique_names(&spec);
    let columns = outputs.iter().map(|&index| Typed::column(schema.field(index))).collect();
    let rowtime =
        spec.output_rowtime().and_then(|time| outputs.iter().position(|&index| index == time));
    let parallelism = if spec.keys.is_empty() { 1 } else { builder.parallelism };
    let node = StreamNode {
        rowtime: spec.output_rowtime(),
        kind: NodeKind::Window(spec),
        inputs,
        schema,
        parallelism,
        identity,
        changes: None,
    };
    let id = builder.plan.add(node);
    if let Some(table) = table {
        builder.windows_of.entry(table.name.clone()).or_default().push(id);
    }
    Flow {
        inputs: vec![Input { node: id, port: Port::MAIN }],
        conditions: Vec::new(),
        columns,
        rowtime,
        window: None,
        table: None,
        changelog: None,
    }
}

/// What the aggregation's state is about: its window, keys and aggregates, not what else its rows
/// carry along.
fn identity(builder: &PlanBuilder, spec: &WindowAggregateSpec, below: &Flow) -> String {
    let column = |index: usize| text::expression(&below.columns[index].expr);
    let keys: Vec<String> = spec.keys.iter().map(|&key| column(key)).collect();
    let aggregates: Vec<String> =
        spec.aggregates.iter().map(|aggregate| text::aggregate(aggregate, &column)).collect();
    format!(
        "window {} on {} by [{}] of [{}] {}",
        text::window(spec),
        column(spec.rowtime),
        keys.join(", "),
        aggregates.join(", "),
        builder.identity_of(below)
    )
}

/// The aggregation's output, with names that the calc above can tell apart.
fn unique_names(spec: &WindowAggregateSpec) -> SchemaRef {
    let output = spec.output();
    let named = output.fields().iter().enumerate().map(|(index, field)| {
        let earlier = output.fields()[..index].iter().any(|other| other.name() == field.name());
        if earlier {
            field.as_ref().clone().with_name(format!("{}${index}", field.name()))
        } else {
            field.as_ref().clone()
        }
    });
    Arc::new(Schema::new(named.collect::<Vec<_>>()))
}

/// What a physical column is called while it is only carried along for the late rows.
fn late_name(name: &str) -> String {
    format!("late${name}")
}

/// Carries the table's physical columns along, for the rows that come out late.
fn pass_through(table: &Table, needed: &mut Needed) {
    for field in table.readable.fields() {
        needed.names.push(late_name(field.name()));
        needed.columns.push(Typed::column(field));
    }
}

/// The physical columns of a table's late rows.
pub(super) fn late_schema(table: &Table) -> SchemaRef {
    let fields = table.readable.fields().iter();
    Arc::new(Schema::new(
        fields
            .map(|field| field.as_ref().clone().with_name(late_name(field.name())))
            .collect::<Vec<_>>(),
    ))
}

/// All columns of a table's late rows, over [`late_schema`].
pub(super) fn columns_of_late(table: &Table) -> Vec<Typed> {
    let rename = |typed: &Typed| -> Typed {
        use datafusion_common::tree_node::{Transformed, TreeNode};
        let renamed = typed.expr.clone().transform(|expr| {
            Ok(match expr {
                Expr::Column(mut column) => {
                    column.name = late_name(&column.name);
                    Transformed::yes(Expr::Column(column))
                }
                other => Transformed::no(other),
            })
        });
        let expr = renamed.map_or_else(|_| typed.expr.clone(), |renamed| renamed.data);
        Typed { expr, ..typed.clone() }
    };
    table
        .columns
        .iter()
        .map(|column| match column {
            TableColumn::Physical(index) => rename(&Typed::column(table.readable.field(*index))),
            TableColumn::Computed(expr) => rename(expr),
        })
        .collect()
}
