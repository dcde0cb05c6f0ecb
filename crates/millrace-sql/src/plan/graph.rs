//! From the streaming plan to the job graph that the runtime executes.

use std::sync::Arc;
use std::time::Duration;

use datafusion_common::ScalarValue;
use datafusion_expr::Expr;
use millrace_connect::TableSpec;
use millrace_core::{KeyGroups, Operator, Port, Result as CoreResult};
use millrace_runtime::graph::{
    Exchange, JobGraph, Node, NodeIndex, NodeKind as GraphKind, SourceNode,
};

use super::identity::Ids;
use super::node::{Calc, Input, NodeKind, Scan, StreamNode, StreamPlan, Target};
use super::settle::{reachable, schema_at};
use super::text;
use super::watermark_options::WatermarkOptions;
use crate::error::{Fault, Result};
use crate::operators::calc::{CalcOperator, CalcProgram};
use crate::operators::changelog_normalize::ChangelogNormalize;
use crate::operators::evaluate::Evaluator;
use crate::operators::event_time::{Candidate, EventTime};
use crate::operators::exchange::KeyPartitioner;
use crate::operators::window_aggregate::WindowAggregate;
use crate::planner::{Table, TableColumn};

/// What a graph is made with.
pub(crate) struct GraphOptions {
    pub name: String,
    pub key_groups: KeyGroups,
    pub idle_timeout: Option<Duration>,
}

/// How rows get from one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExchangeKind {
    Forward,
    Hash,
    Rebalance,
}

/// The exchange on the way to `node`.
pub(super) fn exchange_to(plan: &StreamPlan, node: &StreamNode, input: Input) -> ExchangeKind {
    let from = plan.nodes[input.node].parallelism;
    match &node.kind {
        NodeKind::Window(spec) if !spec.keys.is_empty() && node.parallelism > 1 => {
            ExchangeKind::Hash
        }
        NodeKind::Normalize(_) if node.parallelism > 1 => ExchangeKind::Hash,
        // The changes of a key stay in their order only if one writer gets them all.
        NodeKind::Sink(_) if from != node.parallelism && sink_key(node).is_some() => {
            ExchangeKind::Hash
        }
        _ if from == node.parallelism => ExchangeKind::Forward,
        _ => ExchangeKind::Rebalance,
    }
}

/// The key that changes of rows go by on their way to a sink.
fn sink_key(node: &StreamNode) -> Option<&Vec<usize>> {
    node.changes.as_ref().and_then(|changes| changes.key.as_ref())
}

/// A node's name for people.
pub(super) fn name_of(node: &StreamNode) -> String {
    match &node.kind {
        NodeKind::Scan(scan) => format!("source {}", scan.table.name),
        NodeKind::Calc(_) => "calc".into(),
        NodeKind::Normalize(spec) => format!("changelog normalize by {}", spec.key_names()),
        NodeKind::Window(spec) => {
            let keys: Vec<&str> =
                spec.keys.iter().map(|&key| spec.input.field(key).name().as_str()).collect();
            let by =
                if keys.is_empty() { String::new() } else { format!(" by {}", keys.join(", ")) };
            format!("window {}{by}", text::window(spec))
        }
        NodeKind::Sink(Target::Table { name, .. }) => format!("sink {name}"),
        NodeKind::Sink(Target::Output { statement, .. }) => format!("output {}", statement + 1),
    }
}

/// Compiles a settled plan.
pub(crate) fn graph(plan: &StreamPlan, options: &GraphOptions) -> Result<JobGraph> {
    let mut graph = JobGraph::new(options.name.clone(), options.key_groups);
    let mut ids = Ids::default();
    let needed = reachable(plan);
    let mut places: Vec<Option<NodeIndex>> = vec![None; plan.nodes.len()];
    for (id, node) in plan.nodes.iter().enumerate().filter(|(id, _)| needed[*id]) {
        let (kind, dead_letters) = compile(plan, node, options)?;
        let name = name_of(node);
        let word = match &node.kind {
            NodeKind::Window(_) => "window",
            NodeKind::Normalize(_) => "changelog-normalize",
            _ => name.as_str(),
        };
        let place = graph.add(Node {
            id: ids.id(word, &node.identity),
            name: name.clone(),
            parallelism: node.parallelism,
            kind,
        });
        places[id] = Some(place);
        for input in &node.inputs {
            let Some(from) = places[input.node] else {
                return Err(Fault::bug("a node is read before it is there"));
            };
            graph.connect(from, input.port, place, exchange(plan, node, *input));
        }
        if let (Some(sink), NodeKind::Scan(scan)) = (dead_letters, &node.kind) {
            let dead = graph.add(Node {
                id: ids.id(&format!("dead-letters-{}", scan.table.name), &node.identity),
                name: format!("dead letters of {}", scan.table.name),
                parallelism: 1,
                kind: GraphKind::Sink(sink),
            });
            let exchange =
                if node.parallelism == 1 { Exchange::Forward } else { Exchange::Rebalance };
            graph.connect(place, Port::SIDE, dead, exchange);
        }
    }
    Ok(graph)
}

fn exchange(plan: &StreamPlan, node: &StreamNode, input: Input) -> Exchange {
    let keys = match &node.kind {
        NodeKind::Window(spec) => Some(&spec.keys),
        NodeKind::Normalize(spec) => Some(&spec.keys),
        _ => sink_key(node),
    };
    match (exchange_to(plan, node, input), keys) {
        (ExchangeKind::Hash, Some(keys)) => {
            let keys: Arc<[usize]> = keys.clone().into();
            Exchange::Hash(Arc::new(move |key_groups| {
                Box::new(KeyPartitioner::new(Arc::clone(&keys), key_groups))
            }))
        }
        (ExchangeKind::Forward, _) => Exchange::Forward,
        _ => Exchange::Rebalance,
    }
}

type Compiled = (GraphKind, Option<Arc<dyn millrace_core::Sink>>);

fn compile(plan: &StreamPlan, node: &StreamNode, options: &GraphOptions) -> Result<Compiled> {
    match &node.kind {
        NodeKind::Scan(scan) => source(scan, node, options),
        NodeKind::Calc(calc) => Ok((calc_kind(plan, node, calc)?, None)),
        NodeKind::Normalize(spec) => {
            let spec = Arc::new(spec.clone());
            let factory = move |_| -> CoreResult<Box<dyn Operator>> {
                Ok(Box::new(ChangelogNormalize::new(Arc::clone(&spec))))
            };
            Ok((GraphKind::Operator(Arc::new(factory)), None))
        }
        NodeKind::Window(spec) => {
            let spec = Arc::new(spec.clone());
            let factory = move |_| -> CoreResult<Box<dyn Operator>> {
                Ok(Box::new(WindowAggregate::new(Arc::clone(&spec))?))
            };
            Ok((GraphKind::Operator(Arc::new(factory)), None))
        }
        NodeKind::Sink(Target::Table { sink, .. }) => {
            Ok((GraphKind::Sink(Arc::clone(&sink.sink)), None))
        }
        NodeKind::Sink(Target::Output { sink, .. }) => {
            Ok((GraphKind::Sink(Arc::clone(sink)), None))
        }
    }
}

fn calc_kind(plan: &StreamPlan, node: &StreamNode, calc: &Calc) -> Result<GraphKind> {
    let Some(input) = node.inputs.first() else { return Err(Fault::bug("a calc without input")) };
    let schema = schema_at(plan, *input);
    let columns: Vec<_> =
        calc.columns.iter().map(|column| (column.expr.clone(), column.data_type.clone())).collect();
    let conditions = calc.conditions.iter().map(|condition| condition.expr.clone());
    let program =
        CalcProgram::new(&schema, conditions, &columns, Arc::clone(&node.schema), node.rowtime)
            .map_err(|error| Fault::of(&error, sqlparser::tokenizer::Span::empty()))?;
    let program = Arc::new(program.refusing_nulls(calc.not_null.clone(), calc.target.clone()));
    Ok(GraphKind::Operator(Arc::new(move |_| {
        Ok(Box::new(CalcOperator::new(Arc::clone(&program))))
    })))
}

fn source(scan: &Scan, node: &StreamNode, options: &GraphOptions) -> Result<Compiled> {
    let table = &scan.table;
    let all = scan.used.len() == table.readable.fields().len();
    let spec = TableSpec { projection: (!all).then(|| scan.used.clone()), ..table.spec.clone() };
    // Asked for before the connector looks for options that nobody knows.
    let asked = WatermarkOptions::of(table).map_err(|error| Fault::of(&error, table.span))?;
    let opened = table.connector.source(&spec).map_err(|error| Fault::of(&error, table.span))?;
    let watermarks = event_time(table, node)
        .map_err(|error| Fault::of(&error, table.span))?
        .map(|event_time| Arc::new(event_time) as Arc<dyn millrace_core::WatermarkStrategy>);
    let source = SourceNode {
        source: opened.source,
        watermarks,
        bad_records: opened.bad_records,
        // Zero means never, as in Flink.
        idle_timeout: match asked.idle_timeout {
            Some(timeout) => Some(timeout).filter(|timeout| !timeout.is_zero()),
            None => options.idle_timeout,
        },
        alignment: asked.alignment,
    };
    Ok((GraphKind::Source(source), opened.dead_letters))
}

fn event_time(table: &Table, node: &StreamNode) -> CoreResult<Option<EventTime>> {
    let (Some(watermark), Some(rowtime)) = (&table.watermark, node.rowtime) else {
        return Ok(None);
    };
    let computed = match &table.columns[watermark.rowtime] {
        TableColumn::Computed(expr) => {
            Some(Evaluator::new(&expr.expr, &expr.data_type, &node.schema)?)
        }
        TableColumn::Physical(_) => None,
    };
    let name = table.schema.field(watermark.rowtime).name();
    let candidate = match delay(&watermark.expr.expr, name) {
        Some(delay) => Candidate::Delay(delay),
        None => {
            let expr = &watermark.expr;
            Candidate::Expression(Evaluator::new(&expr.expr, &expr.data_type, &node.schema)?)
        }
    };
    let output = Arc::clone(&node.schema);
    Ok(Some(EventTime { table: table.name.clone(), computed, rowtime, output, candidate }))
}

/// The milliseconds that a watermark stays behind its rowtime, if that is all it says.
pub(super) fn delay(expr: &Expr, rowtime: &str) -> Option<i64> {
    match expr {
        Expr::Column(column) => (column.name == rowtime).then_some(0),
        Expr::ScalarFunction(call) if call.name() == "shift" => match call.args.as_slice() {
            [Expr::Column(column), Expr::Literal(ScalarValue::Int64(Some(millis)), _)]
                if column.name == rowtime =>
            {
                millis.checked_neg()
            }
            _ => None,
        },
        _ => None,
    }
}
