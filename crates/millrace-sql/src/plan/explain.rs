//! A plan as a tree for people and as JSON for programs.

use std::fmt::Write;
use std::time::Duration;

use millrace_core::{Port, RowKind};
use serde_json::{Value, json};

use super::graph::{ExchangeKind, delay, exchange_to, name_of};
use super::node::{Calc, Input, NodeId, NodeKind, StreamNode, StreamPlan, Target};
use super::settle::{reachable, schema_at};
use super::text;
use crate::operators::window_aggregate::WindowAggregateSpec;
use crate::types::type_name;

/// A plan in words.
///
/// `text` is a tree that begins at the sinks, for people; `json` lists the nodes, for programs.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// A tree for each sink, with a line end at the end.
    pub text: String,
    /// `{"nodes": [{"id", "name", "parallelism", "details": {…}, "inputs": […]}, …]}`
    pub json: Value,
}

/// Explains a settled plan.
pub(crate) fn explain(plan: &StreamPlan) -> Explanation {
    let needed = reachable(plan);
    let numbers = numbers(&needed);
    let mut text = String::new();
    let mut shown = vec![false; plan.nodes.len()];
    for (id, node) in plan.nodes.iter().enumerate().filter(|(id, _)| needed[*id]) {
        if matches!(node.kind, NodeKind::Sink(_)) {
            tree(plan, &numbers, id, None, 0, &mut shown, &mut text);
        }
    }
    let nodes: Vec<Value> = plan
        .nodes
        .iter()
        .enumerate()
        .filter(|(id, _)| needed[*id])
        .map(|(id, node)| node_json(plan, &numbers, id, node))
        .collect();
    Explanation { text, json: json!({ "nodes": nodes }) }
}

/// Numbers from 1 for the nodes that are needed.
fn numbers(needed: &[bool]) -> Vec<usize> {
    let mut count = 0;
    needed
        .iter()
        .map(|needed| {
            count += usize::from(*needed);
            count
        })
        .collect()
}

fn tree(
    plan: &StreamPlan,
    numbers: &[usize],
    id: NodeId,
    from: Option<(Port, ExchangeKind)>,
    depth: usize,
    shown: &mut [bool],
    out: &mut String,
) {
    let node = &plan.nodes[id];
    let indent = "   ".repeat(depth);
    let exchange = match from {
        None => String::new(),
        Some((port, exchange)) => {
            let late = if port == Port::SIDE { "late rows, " } else { "" };
            format!("└─ [{late}{}] ", exchange_name(exchange))
        }
    };
    // Writing to a string does not fail.
    let _ = write!(out, "{indent}{exchange}#{} {}", numbers[id], name_of(node));
    if shown[id] {
        out.push_str(" (see above)\n");
        return;
    }
    shown[id] = true;
    let _ = writeln!(out, "  parallelism {}", node.parallelism);
    for (name, detail) in details(plan, node) {
        let _ = writeln!(out, "{indent}      {name}: {detail}");
    }
    for input in &node.inputs {
        let from = (input.port, exchange_to(plan, node, *input));
        tree(plan, numbers, input.node, Some(from), depth + 1, shown, out);
    }
}

fn exchange_name(exchange: ExchangeKind) -> &'static str {
    match exchange {
        ExchangeKind::Forward => "forward",
        ExchangeKind::Hash => "hash",
        ExchangeKind::Rebalance => "rebalance",
    }
}

fn details(plan: &StreamPlan, node: &StreamNode) -> Vec<(&'static str, String)> {
    match &node.kind {
        NodeKind::Scan(scan) => {
            let table = &scan.table;
            let mut details = vec![
                ("connector", table.connector.name().to_owned()),
                ("columns", columns_of(node)),
            ];
            if let Some(watermark) = &table.watermark {
                let name = table.schema.field(watermark.rowtime).name();
                let behind = match delay(&watermark.expr.expr, name) {
                    Some(0) => name.clone(),
                    Some(millis @ 1..) => {
                        format!(
                            "{name} - {}",
                            text::duration(Duration::from_millis(millis.unsigned_abs()))
                        )
                    }
                    _ => text::expression(&watermark.expr.expr),
                };
                details.push(("watermark", behind));
                if let crate::planner::TableColumn::Computed(rowtime) =
                    &table.columns[watermark.rowtime]
                {
                    details
                        .push(("rowtime", format!("{name} = {}", text::expression(&rowtime.expr))));
                }
            }
            details
        }
        NodeKind::Calc(calc) => calc_details(node, calc),
        NodeKind::Normalize(spec) => {
            vec![("columns", columns_of(node)), ("changes", changes_text(spec.update_before))]
        }
        NodeKind::Window(spec) => window_details(plan, node, spec),
        NodeKind::Sink(Target::Table { connector, .. }) => {
            let mut details = vec![("connector", (*connector).to_owned())];
            if let Some(changes) = &node.changes {
                details.push(("changes", changes_text(changes.update_before)));
            }
            details
        }
        NodeKind::Sink(Target::Output { .. }) => {
            let mut details = vec![("columns", columns_of(node))];
            if let Some(changes) = &node.changes {
                details.push(("changes", changes_text(changes.update_before)));
            }
            details
        }
    }
}

/// The kinds of rows in a changelog.
fn changes_text(update_before: bool) -> String {
    let kinds: &[RowKind] = match update_before {
        true => &[RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete],
        false => &[RowKind::Insert, RowKind::UpdateAfter, RowKind::Delete],
    };
    kinds.iter().map(|kind| kind.sign()).collect::<Vec<_>>().join(", ")
}

fn columns_of(node: &StreamNode) -> String {
    let columns: Vec<String> = node
        .schema
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), type_name(field.data_type())))
        .collect();
    columns.join(", ")
}

fn calc_details(node: &StreamNode, calc: &Calc) -> Vec<(&'static str, String)> {
    let mut details = Vec::new();
    if !calc.conditions.is_empty() {
        let conditions: Vec<String> =
            calc.conditions.iter().map(|condition| text::expression(&condition.expr)).collect();
        details.push(("where", conditions.join(" AND ")));
    }
    let columns = calc.columns.iter().zip(node.schema.fields()).map(|(column, field)| {
        let expression = text::expression(&column.expr);
        if expression == *field.name() {
            expression
        } else {
            format!("{} = {expression}", field.name())
        }
    });
    details.push(("columns", columns.collect::<Vec<_>>().join(", ")));
    if !calc.not_null.is_empty() {
        let names: Vec<&str> =
            calc.not_null.iter().map(|&index| node.schema.field(index).name().as_str()).collect();
        details.push(("not null", names.join(", ")));
    }
    details
}

fn window_details(
    plan: &StreamPlan,
    node: &StreamNode,
    spec: &WindowAggregateSpec,
) -> Vec<(&'static str, String)> {
    // The columns' own expressions say more than the names that the planner gave them.
    let column = |index: usize| -> String {
        let name = spec.input.field(index).name().clone();
        let Some(Input { node: below, .. }) = node.inputs.first() else { return name };
        match &plan.nodes[*below].kind {
            NodeKind::Calc(calc) => text::expression(&calc.columns[index].expr),
            _ => name,
        }
    };
    let aggregates: Vec<String> =
        spec.aggregates.iter().map(|aggregate| text::aggregate(aggregate, &column)).collect();
    let mut details = vec![("rowtime", spec.input.field(spec.rowtime).name().clone())];
    if !spec.keys.is_empty() {
        details.push((
            "keys",
            spec.keys.iter().map(|&key| column(key)).collect::<Vec<_>>().join(", "),
        ));
    }
    if !aggregates.is_empty() {
        details.push(("aggregates", aggregates.join(", ")));
    }
    details
}

fn node_json(plan: &StreamPlan, numbers: &[usize], id: NodeId, node: &StreamNode) -> Value {
    let inputs: Vec<Value> = node
        .inputs
        .iter()
        .map(|input| {
            json!({
                "id": numbers[input.node],
                "port": if input.port == Port::SIDE { "late" } else { "main" },
                "exchange": exchange_name(exchange_to(plan, node, *input)),
            })
        })
        .collect();
    let kind = match &node.kind {
        NodeKind::Scan(_) => "source",
        NodeKind::Calc(_) => "calc",
        NodeKind::Normalize(_) => "changelog-normalize",
        NodeKind::Window(_) => "window",
        NodeKind::Sink(_) => "sink",
    };
    let details: serde_json::Map<String, Value> = details(plan, node)
        .into_iter()
        .map(|(name, detail)| (name.to_owned(), Value::String(detail)))
        .collect();
    let output = schema_at(plan, Input { node: id, port: Port::MAIN });
    let columns: Vec<Value> = output
        .fields()
        .iter()
        .map(|field| json!({ "name": field.name(), "type": type_name(field.data_type()), "nullable": field.is_nullable() }))
        .collect();
    json!({
        "id": numbers[id],
        "name": name_of(node),
        "kind": kind,
        "parallelism": node.parallelism,
        "columns": columns,
        "details": details,
        "inputs": inputs,
    })
}
