//! Queries over rows that change: where changes come from, and who may get them.
//!
//! A table of upserts is read through a `ChangelogNormalize`, which knows the row that an upsert
//! replaces. Above it all is row by row: a filter lets through of each update what is true of the
//! row as it was and as it is. A sink gets the changes if it can follow them, and if it takes them
//! by a key, only those of rows that it can tell apart by it. Rows as they were before an update
//! are left out where nobody needs them.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion_expr::Expr;
use millrace_connect::ChangelogMode;
use millrace_core::Port;
use sqlparser::tokenizer::Span;

use super::build::Flow;
use super::node::{Input, NodeId, NodeKind, SinkChanges, StreamNode, StreamPlan};
use crate::error::{Fault, Result};
use crate::expr::Typed;
use crate::operators::changelog_normalize::NormalizeSpec;
use crate::operators::{key_hash, row_layout};
use crate::planner::{Table, WindowTable};
use crate::types::type_name;

/// The primary key of a table whose rows change; `None` where all rows are new.
///
/// # Errors
/// For a table that cannot be followed.
pub(super) fn key_of(table: &Table) -> Result<Option<Arc<[String]>>> {
    if table.connector.gives() == ChangelogMode::Append {
        return Ok(None);
    }
    if table.watermark.is_some() {
        return Err(Fault::new(
            table.span,
            format!("`{}` has a watermark, and its rows change", table.name),
        )
        .hint(
            "leave WATERMARK out: nothing takes event time from rows that change yet; to read the \
             messages as they come, declare a table with 'connector' = 'kafka'",
        ));
    }
    for field in table.readable.fields() {
        let (name, data_type) = (field.name(), field.data_type());
        let in_key = table.spec.primary_key.contains(name);
        let fault = |what: &str| {
            let kind = type_name(data_type);
            Fault::new(table.span, format!("column `{name}` of `{}` is {kind}, {what}", table.name))
        };
        if in_key && !key_hash::is_key_type(data_type) {
            return Err(fault("which cannot be a key"));
        }
        if !row_layout::is_supported(data_type) {
            return Err(fault("which cannot be kept in state"));
        }
    }
    Ok(Some(table.spec.primary_key.iter().cloned().collect()))
}

/// The node that makes changes of the upserts of `scan`. Its columns are settled later.
pub(super) fn normalize(table: &Table, scan: NodeId, parallelism: usize) -> StreamNode {
    let schema = Arc::clone(&table.readable);
    let spec =
        NormalizeSpec { schema: Arc::clone(&schema), keys: Vec::new(), update_before: false };
    StreamNode {
        kind: NodeKind::Normalize(spec),
        inputs: vec![Input { node: scan, port: Port::MAIN }],
        schema,
        rowtime: None,
        parallelism,
        identity: format!("changelog normalize of {} {}", table.connector.name(), table.name),
        changes: None,
    }
}

/// The node that reads a scan of upserts.
pub(super) fn normalize_above(plan: &StreamPlan, scan: NodeId) -> Option<NodeId> {
    let mut readers = plan.readers(scan, Port::MAIN);
    readers.find(|&reader| matches!(plan.nodes[reader].kind, NodeKind::Normalize(_)))
}

/// Gives a normalize node the columns of its scan, and the scan nulls: of a row that is gone only
/// its key is known.
pub(super) fn settle_normalize(
    plan: &mut StreamPlan,
    scan: NodeId,
    normalize: NodeId,
    table: &Table,
) {
    let schema = Arc::clone(&plan.nodes[scan].schema);
    let key = &table.spec.primary_key;
    let nullable = schema.fields().iter().map(|field| {
        let metadata = table.spec.schema.index_of(field.name()).is_err();
        let known = metadata || key.contains(field.name());
        field.as_ref().clone().with_nullable(field.is_nullable() || !known)
    });
    plan.nodes[scan].schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let node = &mut plan.nodes[normalize];
    // What is kept is rows of these columns.
    node.identity = format!("{} [{}]", node.identity, columns.join(", "));
    node.schema = Arc::clone(&schema);
    if let NodeKind::Normalize(spec) = &mut node.kind {
        spec.keys = key.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        spec.schema = schema;
    }
}

/// Lets those normalize nodes put out rows as they were before whose sinks need them.
pub(super) fn settle_updates(plan: &mut StreamPlan) {
    let needs = |node: &StreamNode| node.changes.as_ref().is_some_and(|sink| sink.update_before);
    let mut open: Vec<NodeId> =
        (0..plan.nodes.len()).filter(|&id| needs(&plan.nodes[id])).collect();
    while let Some(id) = open.pop() {
        let node = &mut plan.nodes[id];
        if let NodeKind::Normalize(spec) = &mut node.kind {
            spec.update_before = true;
        } else {
            open.extend(node.inputs.iter().map(|input| input.node));
        }
    }
}

/// The changes in a flow, as its target sees them.
pub(crate) struct FlowChanges {
    /// The columns of the target that tell rows apart, if all of them are there.
    key: Option<Vec<usize>>,
    key_names: Arc<[String]>,
    /// Whether of an update's two rows one may have been left out.
    filtered: bool,
}

impl FlowChanges {
    /// Those of `flow` when `columns` go out of it; `None` if all its rows are new.
    pub(super) fn of(flow: &Flow, columns: &[Typed]) -> Option<Self> {
        let key_names = Arc::clone(flow.changelog.as_ref()?);
        let place = |name: &String| {
            let is_it = |column: &Typed| matches!(&column.expr, Expr::Column(c) if c.name == *name);
            columns.iter().position(is_it)
        };
        let key = key_names.iter().map(place).collect();
        Some(FlowChanges { key, key_names, filtered: !flow.conditions.is_empty() })
    }

    /// What the output of a SELECT has to know: it shows all.
    pub fn into_output(self) -> SinkChanges {
        SinkChanges { key: self.key, update_before: true }
    }

    /// What a table has to know.
    ///
    /// # Errors
    /// When it cannot follow the changes.
    pub fn into_table(self, table: &Table, fields: &[Field], span: Span) -> Result<SinkChanges> {
        match table.connector.takes() {
            ChangelogMode::All => Ok(SinkChanges { key: self.key, update_before: true }),
            ChangelogMode::Append => Err(Fault::new(
                span,
                format!(
                    "`{}` takes new rows only, and the query's rows change: connector `{}` cannot \
                     update or delete",
                    table.name,
                    table.connector.name()
                ),
            )
            .hint("write to a table with 'connector' = 'upsert-kafka', or 'print'")),
            ChangelogMode::Upsert => self.into_upserts(table, fields, span),
        }
    }

    fn into_upserts(self, table: &Table, fields: &[Field], span: Span) -> Result<SinkChanges> {
        let primary_key = &table.spec.primary_key;
        let in_primary_key = |&column: &usize| primary_key.contains(fields[column].name());
        let Some(key) = self.key.filter(|key| key.iter().all(in_primary_key)) else {
            let from = self.key_names.join("`, `");
            return Err(Fault::new(
                span,
                format!(
                    "the primary key of `{}` does not hold `{from}`, by which the query's rows \
                     are told apart",
                    table.name
                ),
            )
            .hint(
                "several rows could take one another's place: put the key's columns, as they are, \
                 into columns of the primary key",
            ));
        };
        // A row that leaves the filter, or moves to another key, has to go where it was.
        let update_before = self.filtered || key.len() < primary_key.len();
        Ok(SinkChanges { key: Some(key), update_before })
    }
}

/// The refusal of a window over rows that change.
pub(super) fn no_windows(window: &WindowTable) -> Fault {
    Fault::new(window.places.descriptor, "a window takes new rows only, and these rows change")
        .hint(
            "to put the messages of a topic into windows as they come, declare a table with \
         'connector' = 'kafka'",
        )
}
