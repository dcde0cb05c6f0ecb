//! From a resolved query to nodes of the streaming plan.
//!
//! A query is walked from its tables upward. What is projected and filtered on the way is not a
//! node of its own but gathered in a [`Flow`]: conditions and columns as expressions over the
//! columns of the node below. Only where something stands that is not row by row (a window, a
//! sink) does a flow become a `Calc`, or nothing at all if it changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion_expr::{Aggregate, Expr, LogicalPlan};
use millrace_core::Port;
use sqlparser::tokenizer::Span;

use super::node::{
    Calc, Input, NodeId, NodeKind, Scan, SinkChanges, StreamNode, StreamPlan, Target,
};
use super::{aggregate, changelog, text};
use crate::error::{Fault, Result};
use crate::expr::Typed;
use crate::operators::key_hash;
use crate::planner::{self, Relation, Table, TableColumn, WindowTable};

/// Rows on their way up: a node's, filtered and projected.
#[derive(Clone)]
pub(super) struct Flow {
    pub inputs: Vec<Input>,
    pub conditions: Vec<Typed>,
    /// Over the columns of the inputs, which all have the same.
    pub columns: Vec<Typed>,
    /// Which of the columns is the rowtime.
    pub rowtime: Option<usize>,
    /// Set between a window's table function and its GROUP BY.
    pub window: Option<WindowTable>,
    /// The table whose rows these are, unaggregated.
    pub table: Option<Arc<Table>>,
    /// Of rows that change: the columns of the inputs of which no two rows have the same values.
    pub changelog: Option<Arc<[String]>>,
}

/// The columns of a window in a flow: no operator computes them but the aggregation.
pub(super) const WINDOW_QUALIFIER: &str = "$window";

/// Builds the plan of a script, statement by statement.
pub(crate) struct PlanBuilder {
    pub plan: StreamPlan,
    pub parallelism: usize,
    pub hop_gaps: bool,
    /// The tables whose late rows some statement reads.
    pub late_read: BTreeSet<String>,
    scans: BTreeMap<String, NodeId>,
    /// Window aggregations right above a table, by the table's name.
    pub(super) windows_of: BTreeMap<String, Vec<NodeId>>,
}

impl PlanBuilder {
    pub fn new(parallelism: usize, hop_gaps: bool, late_read: BTreeSet<String>) -> Self {
        PlanBuilder {
            plan: StreamPlan::default(),
            parallelism,
            hop_gaps,
            late_read,
            scans: BTreeMap::new(),
            windows_of: BTreeMap::new(),
        }
    }

    /// Adds a query and what takes its rows. `columns` name and type what the target wants.
    pub fn add_query(&mut self, query: &LogicalPlan, shape: &dyn Shape) -> Result<()> {
        let flow = self.flow(query)?;
        if let Some(window) = &flow.window {
            return Err(windows_need_group_by(window));
        }
        let names: Vec<String> =
            query.schema().fields().iter().map(|field| field.name().clone()).collect();
        let spans = output_places(query);
        let (fields, columns, not_null) = shape.shape(&names, flow.columns.clone(), &spans)?;
        let changes = changelog::FlowChanges::of(&flow, &columns);
        let (target, changes) = shape.target(&fields, changes)?;
        let parallelism = match &target {
            Target::Table { sink, .. } if sink.single_writer => 1,
            Target::Table { sink, .. } => sink.parallelism.unwrap_or(self.parallelism),
            Target::Output { .. } => 1,
        };
        let schema = Arc::new(Schema::new(fields));
        let calc = Flow { columns, rowtime: None, ..flow };
        let rows = self.calc(calc, Arc::clone(&schema), not_null, shape.name());
        let node = StreamNode {
            kind: NodeKind::Sink(target),
            inputs: rows,
            schema,
            rowtime: None,
            parallelism,
            // Where rows go is all that a sink's state is about.
            identity: format!("sink {}", shape.name()),
            changes,
        };
        self.plan.add(node);
        Ok(())
    }

    /// The identity of a flow's inputs and conditions.
    pub(super) fn identity_of(&self, flow: &Flow) -> String {
        let inputs: Vec<String> = flow
            .inputs
            .iter()
            .map(|input| format!("{}:{}", input.port.0, self.plan.nodes[input.node].identity))
            .collect();
        let conditions: Vec<String> =
            flow.conditions.iter().map(|condition| text::expression(&condition.expr)).collect();
        format!("of [{}] where [{}]", inputs.join(" + "), conditions.join(" AND "))
    }

    /// Makes a flow's filter and projection a node, and returns what to read. The columns are
    /// those of `schema`; the rowtime is not kept.
    pub(super) fn calc(
        &mut self,
        flow: Flow,
        schema: Arc<Schema>,
        not_null: Vec<usize>,
        target: String,
    ) -> Vec<Input> {
        let columns: Vec<String> =
            flow.columns.iter().map(|column| text::expression(&column.expr)).collect();
        let identity = format!("calc [{}] {}", columns.join(", "), self.identity_of(&flow));
        let parallelism = self.plan.nodes[flow.inputs[0].node].parallelism;
        let rowtime = flow.rowtime;
        let calc = Calc { conditions: flow.conditions, columns: flow.columns, not_null, target };
        let node = StreamNode {
            kind: NodeKind::Calc(calc),
            inputs: flow.inputs,
            schema,
            rowtime,
            parallelism,
            identity,
            changes: None,
        };
        let id = self.plan.add(node);
        vec![Input { node: id, port: Port::MAIN }]
    }

    fn flow(&mut self, plan: &LogicalPlan) -> Result<Flow> {
        match plan {
            LogicalPlan::TableScan(scan) => match planner::relation_of(scan.source.as_ref()) {
                Some(Relation::Table(table)) => self.scan(table),
                Some(Relation::Late(table)) => self.late(table),
                _ => Err(Fault::bug(format!("`{}` is no relation of the script", scan.table_name))),
            },
            LogicalPlan::SubqueryAlias(alias) => self.flow(&alias.input),
            LogicalPlan::Projection(projection) => {
                let mut flow = self.flow(&projection.input)?;
                let schema = projection.input.schema();
                let columns: Vec<Typed> = projection
                    .expr
                    .iter()
                    .map(|expr| planner::type_expr(expr, schema, &flow.columns))
                    .collect::<Result<_>>()?;
                let rowtime = flow.rowtime.map(|index| flow.columns[index].clone());
                flow.rowtime = rowtime.and_then(|old| columns.iter().position(|new| *new == old));
                flow.columns = columns;
                Ok(flow)
            }
            LogicalPlan::Filter(filter) => {
                let mut flow = self.flow(&filter.input)?;
                let place = planner::place_of(&filter.predicate);
                let condition =
                    planner::type_expr(&filter.predicate, filter.input.schema(), &flow.columns)?;
                if condition.data_type != arrow::datatypes::DataType::Boolean {
                    let name = condition.type_name();
                    return Err(Fault::new(place, format!("a condition is a BOOLEAN, not {name}")));
                }
                if names_window(&condition.expr) {
                    return Err(Fault::new(
                        place,
                        "a condition on the window cannot stand in WHERE yet",
                    )
                    .hint("write it in HAVING"));
                }
                flow.conditions.push(condition);
                Ok(flow)
            }
            LogicalPlan::Extension(extension) => {
                match extension.node.as_any().downcast_ref::<WindowTable>() {
                    Some(window) => self.window(window),
                    None => Err(Fault::bug(format!("node {} is unknown", extension.node.name()))),
                }
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            other => Err(Fault::new(Span::empty(), "this query is not supported yet")
                .hint(format!("the planner found {}", other.display()))),
        }
    }

    /// Reads a table: one scan for the whole job.
    fn scan(&mut self, table: &Arc<Table>) -> Result<Flow> {
        let changelog = changelog::key_of(table)?;
        let parallelism = self.parallelism;
        let id = match self.scans.get(&table.name) {
            Some(id) => *id,
            None => {
                let scan = self.plan.add(StreamNode {
                    kind: NodeKind::Scan(Scan { table: Arc::clone(table), used: Vec::new() }),
                    inputs: Vec::new(),
                    schema: Arc::clone(&table.schema),
                    rowtime: None,
                    parallelism,
                    identity: format!("source {} {}", table.connector.name(), table.name),
                    changes: None,
                });
                let id = match changelog {
                    Some(_) => self.plan.add(changelog::normalize(table, scan, parallelism)),
                    None => scan,
                };
                self.scans.insert(table.name.clone(), id);
                id
            }
        };
        let rowtime = table.watermark.as_ref().map(|watermark| watermark.rowtime);
        let columns = table.columns.iter().enumerate().map(|(index, column)| {
            let field = table.schema.field(index);
            match column {
                // The rowtime is computed where rows get their event time, and never null after.
                _ if Some(index) == rowtime => Typed { nullable: false, ..Typed::column(field) },
                TableColumn::Physical(_) => Typed::column(field),
                TableColumn::Computed(expr) => expr.clone(),
            }
        });
        Ok(Flow {
            inputs: vec![Input { node: id, port: Port::MAIN }],
            conditions: Vec::new(),
            columns: columns.collect(),
            rowtime,
            window: None,
            table: Some(Arc::clone(table)),
            changelog,
        })
    }

    /// The late rows of a table, from all windows above it.
    fn late(&mut self, table: &Arc<Table>) -> Result<Flow> {
        let Some(windows) = self.windows_of.get(&table.name).cloned() else {
            return Err(Fault::new(Span::empty(), format!("nothing of `{}` is ever late here", table.name))
                .hint("rows are late for a window; no statement of this script aggregates the table's rows in windows"));
        };
        let mut inputs = Vec::new();
        let schema = aggregate::late_schema(table);
        for window in windows {
            let columns = schema.fields().iter().map(|field| Typed::column(field)).collect();
            let flow = Flow {
                inputs: vec![Input { node: window, port: Port::SIDE }],
                conditions: Vec::new(),
                columns,
                rowtime: None,
                window: None,
                table: None,
                changelog: None,
            };
            inputs.extend(self.calc(flow, Arc::clone(&schema), Vec::new(), String::new()));
        }
        let columns = aggregate::columns_of_late(table);
        Ok(Flow {
            inputs,
            conditions: Vec::new(),
            columns,
            rowtime: None,
            window: None,
            table: None,
            changelog: None,
        })
    }

    fn window(&mut self, window: &WindowTable) -> Result<Flow> {
        let mut flow = self.flow(&window.input)?;
        if flow.window.is_some() {
            return Err(windows_need_group_by(window));
        }
        if flow.changelog.is_some() {
            return Err(changelog::no_windows(window));
        }
        if flow.rowtime != Some(window.rowtime) {
            let name = window.input.schema().field(window.rowtime).name().clone();
            return Err(Fault::new(
                window.places.descriptor,
                format!("column `{name}` has no watermark"),
            )
            .hint(format!(
                "declare WATERMARK FOR {name} AS {name} - INTERVAL '5' SECOND in CREATE TABLE; \
                     a window's result has one in window_time"
            )));
        }
        if window.slide > window.size && !self.hop_gaps {
            return Err(gaps_refused(window));
        }
        let divides = window.size.as_millis().is_multiple_of(window.slide.as_millis());
        if !divides && window.slide <= window.size {
            return Err(Fault::new(
                window.places.size,
                "the size of HOP must be an integral multiple of its slide",
            )
            .hint("choose a slide that divides the size"));
        }
        let rowtime_type = flow.columns[window.rowtime].data_type.clone();
        for (index, name) in planner::WINDOW_COLUMNS.iter().enumerate() {
            let column = datafusion_common::Column::new(Some(WINDOW_QUALIFIER), *name);
            let data_type =
                if index < 2 { crate::types::timestamp3() } else { rowtime_type.clone() };
            flow.columns.push(Typed::new(Expr::Column(column), data_type, false));
        }
        flow.window = Some(window.clone());
        Ok(flow)
    }

    fn aggregate(&mut self, node: &Aggregate) -> Result<Flow> {
        let place = node
            .group_expr
            .first()
            .or(node.aggr_expr.first())
            .map_or_else(Span::empty, planner::place_of);
        let flow = self.flow(&node.input)?;
        let Some(window) = flow.window.clone() else {
            return Err(Fault::new(place, "GROUP BY without a window is not supported yet")
                .hint("group rows of TABLE(TUMBLE(TABLE t, DESCRIPTOR(c), INTERVAL '1' HOUR)) by window_start and window_end"));
        };
        let grouped = aggregate::plan(self, node, flow, &window)?;
        for &key in &grouped.spec.keys {
            let field = grouped.spec.input.field(key);
            if !key_hash::is_key_type(field.data_type()) {
                let name = crate::types::type_name(field.data_type());
                return Err(Fault::new(place, format!("{name} cannot be grouped by")));
            }
        }
        Ok(aggregate::finish(self, grouped))
    }
}

/// What a query's rows must look like for their target.
pub(crate) trait Shape {
    /// The target's columns, how they are made of the query's, and which of them must be checked
    /// for nulls.
    fn shape(
        &self,
        names: &[String],
        columns: Vec<Typed>,
        places: &[Span],
    ) -> Result<(Vec<Field>, Vec<Typed>, Vec<usize>)>;

    /// Opens the target for rows of these columns; gives back what it has to know of `changes`, if
    /// the rows are of a changelog.
    fn target(
        &self,
        fields: &[Field],
        changes: Option<changelog::FlowChanges>,
    ) -> Result<(Target, Option<SinkChanges>)>;

    /// The target's name.
    fn name(&self) -> String;
}

/// Where the columns of a query are written, as far as is known.
fn output_places(query: &LogicalPlan) -> Vec<Span> {
    match query {
        LogicalPlan::Projection(projection) => {
            projection.expr.iter().map(planner::place_of).collect()
        }
        _ => vec![Span::empty(); query.schema().fields().len()],
    }
}

/// Whether an expression needs a column of the window.
pub(super) fn names_window(expr: &Expr) -> bool {
    expr.column_refs().iter().any(|column| {
        column.relation.as_ref().is_some_and(|table| table.table() == WINDOW_QUALIFIER)
    })
}

fn windows_need_group_by(window: &WindowTable) -> Fault {
    Fault::new(
        window.places.descriptor,
        "a window without GROUP BY window_start, window_end is not supported yet",
    )
    .hint("aggregate its rows")
}

fn gaps_refused(window: &WindowTable) -> Fault {
    Fault::new(window.places.size, "the size of HOP must be an integral multiple of its slide").hint(format!(
        "a slide longer than the size leaves gaps, which Flink refuses; SET '{}' = 'true' admits them",
        crate::settings::HOP_GAPS
    ))
}
