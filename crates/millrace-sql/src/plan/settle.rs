//! Last changes to a plan: which columns each table's scan reads, and which calcs change nothing.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion_expr::Expr;
use millrace_core::Port;

use super::changelog;
use super::node::{Calc, Input, NodeId, NodeKind, StreamPlan};
use crate::error::{Fault, Result};
use crate::operators::evaluate::{column_names, part_of};
use crate::operators::window_aggregate::WindowAggregateSpec;
use crate::planner::{Table, TableColumn};

/// Settles a plan whose statements have all been added.
pub(crate) fn settle(plan: &mut StreamPlan) -> Result<()> {
    for id in 0..plan.nodes.len() {
        if let NodeKind::Scan(scan) = &plan.nodes[id].kind {
            let table = Arc::clone(&scan.table);
            settle_scan(plan, id, &table);
        }
    }
    for id in 0..plan.nodes.len() {
        elide(plan, id)?;
    }
    changelog::settle_updates(plan);
    Ok(())
}

/// A scan reads the columns that some calc, the rowtime or the watermark needs.
fn settle_scan(plan: &mut StreamPlan, id: NodeId, table: &Table) {
    let mut exprs: Vec<&Expr> = Vec::new();
    let normalize = changelog::normalize_above(plan, id);
    for reader in plan.readers(normalize.unwrap_or(id), Port::MAIN) {
        if let NodeKind::Calc(calc) = &plan.nodes[reader].kind {
            exprs.extend(calc.conditions.iter().chain(&calc.columns).map(|typed| &typed.expr));
        }
    }
    let mut rowtime = None;
    if let Some(watermark) = &table.watermark {
        exprs.push(&watermark.expr.expr);
        rowtime = Some(table.schema.field(watermark.rowtime));
        if let TableColumn::Computed(computed) = &table.columns[watermark.rowtime] {
            exprs.push(&computed.expr);
        }
    }
    let mut names = column_names(exprs);
    if normalize.is_some() {
        names.extend(table.spec.primary_key.iter().cloned());
    }
    if let Some(rowtime) = rowtime {
        names.insert(rowtime.name().clone());
    }
    let (mut used, mut schema) = part_of(&table.readable, &names);
    if used.is_empty() {
        // A batch without columns has no rows in some formats; one column says how many there are.
        used = vec![0];
        schema = Arc::new(Schema::new(vec![table.readable.field(0).clone()]));
    }
    let mut fields: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    if let Some(rowtime) = rowtime.filter(|_| !table.rowtime_is_physical()) {
        fields.push(rowtime.clone());
    }
    let index =
        rowtime.and_then(|rowtime| fields.iter().position(|field| field.name() == rowtime.name()));
    let node = &mut plan.nodes[id];
    node.schema = Arc::new(Schema::new(fields));
    node.rowtime = index;
    if let NodeKind::Scan(scan) = &mut node.kind {
        scan.used = used;
    }
    if let Some(normalize) = normalize {
        changelog::settle_normalize(plan, id, normalize, table);
    }
}

/// The columns at a node's port.
pub(super) fn schema_at(plan: &StreamPlan, input: Input) -> SchemaRef {
    let node = &plan.nodes[input.node];
    match &node.kind {
        NodeKind::Window(spec) if input.port == Port::SIDE => Arc::clone(&spec.input),
        _ => Arc::clone(&node.schema),
    }
}

/// Takes a calc out of the way that neither filters nor computes, if all its readers can do with
/// its input: an aggregation finds its columns elsewhere, a sink needs exactly the same ones.
fn elide(plan: &mut StreamPlan, id: NodeId) -> Result<()> {
    let NodeKind::Calc(Calc { conditions, columns, not_null, .. }) = &plan.nodes[id].kind else {
        return Ok(());
    };
    let [input] = plan.nodes[id].inputs.as_slice() else { return Ok(()) };
    let input = *input;
    if !conditions.is_empty() || !not_null.is_empty() {
        return Ok(());
    }
    let names: Option<Vec<String>> = columns
        .iter()
        .map(|column| match &column.expr {
            Expr::Column(column) => Some(column.name.clone()),
            _ => None,
        })
        .collect();
    let Some(names) = names else { return Ok(()) };
    let below = schema_at(plan, input);
    let places: Vec<usize> = names
        .iter()
        .map(|name| below.index_of(name).map_err(|error| Fault::bug(error.to_string())))
        .collect::<Result<_>>()?;
    let same = places.iter().copied().eq(0..below.fields().len())
        && below
            .fields()
            .iter()
            .zip(plan.nodes[id].schema.fields())
            .all(|(a, b)| a.name() == b.name());
    let readers: Vec<NodeId> = plan.readers(id, Port::MAIN).collect();
    let possible = readers.iter().all(|&reader| match &plan.nodes[reader].kind {
        NodeKind::Window(_) => plan.readers(reader, Port::SIDE).next().is_none(),
        NodeKind::Sink(_) => same,
        _ => false,
    });
    if !possible {
        return Ok(());
    }
    for reader in readers {
        let node = &mut plan.nodes[reader];
        for other in &mut node.inputs {
            if other.node == id {
                *other = input;
            }
        }
        if let NodeKind::Window(spec) = &mut node.kind {
            rebase(spec, &below, &places);
        }
    }
    Ok(())
}

/// Points an aggregation at the same columns in another schema.
fn rebase(spec: &mut WindowAggregateSpec, below: &SchemaRef, places: &[usize]) {
    spec.input = Arc::clone(below);
    spec.rowtime = places[spec.rowtime];
    for key in &mut spec.keys {
        *key = places[*key];
    }
    for aggregate in &mut spec.aggregates {
        aggregate.argument = aggregate.argument.map(|argument| places[argument]);
        aggregate.filter = aggregate.filter.map(|filter| places[filter]);
    }
}

/// Which nodes some sink needs.
pub(super) fn reachable(plan: &StreamPlan) -> Vec<bool> {
    let mut needed = vec![false; plan.nodes.len()];
    for (id, node) in plan.nodes.iter().enumerate().rev() {
        if matches!(node.kind, NodeKind::Sink(_)) {
            needed[id] = true;
        }
        if needed[id] {
            node.inputs.iter().for_each(|input| needed[input.node] = true);
        }
    }
    needed
}
