//! The tables and views of a script.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_expr::{LogicalPlan, TableSource};
use millrace_connect::{Connector, TableSpec};
use sqlparser::tokenizer::Span;

use crate::expr::Typed;

/// What the name of a table is followed by in the name of its late rows.
pub(crate) const LATE: &str = "$late";

/// A table of the script.
pub(crate) struct Table {
    pub name: String,
    /// All columns, physical and computed, in their order.
    pub schema: SchemaRef,
    /// What each column is made of.
    pub columns: Vec<TableColumn>,
    pub watermark: Option<Watermark>,
    pub connector: &'static dyn Connector,
    /// What the connector gives: the physical columns, then those of metadata.
    pub readable: SchemaRef,
    /// What the connector sees: the physical columns, those of metadata, and options.
    pub spec: TableSpec,
    /// The table's name where it is declared.
    pub span: Span,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub(crate) enum TableColumn {
    /// The column of this index in [`Table::readable`]: physical or metadata.
    Physical(usize),
    /// An expression over such columns.
    Computed(Typed),
}

/// The event time of a table.
#[derive(Clone, Debug)]
pub(crate) struct Watermark {
    /// The index of the rowtime column in the table's schema.
    pub rowtime: usize,
    /// The candidate watermark of a row, over physical columns and the rowtime.
    pub expr: Typed,
}

impl Table {
    /// For each column that a writer gets, in the order of their declaration: its index in the
    /// connector's [`TableSpec::writable`].
    pub fn written(&self) -> Vec<usize> {
        let writable = self.spec.writable();
        let names = self.schema.fields().iter();
        names.filter_map(|field| writable.index_of(field.name()).ok()).collect()
    }

    /// The rowtime's column as a physical one, if it is one.
    pub fn rowtime_is_physical(&self) -> bool {
        self.watermark.as_ref().is_some_and(|watermark| {
            matches!(self.columns[watermark.rowtime], TableColumn::Physical(_))
        })
    }
}

/// What a name in `FROM` stands for.
#[derive(Clone)]
pub(crate) enum Relation {
    Table(Arc<Table>),
    /// The late rows of a table.
    Late(Arc<Table>),
    View(Arc<LogicalPlan>),
}

/// The tables and views that statements so far have created.
#[derive(Default)]
pub(crate) struct Catalog {
    relations: BTreeMap<String, Relation>,
}

impl Catalog {
    pub fn contains(&self, name: &str) -> bool {
        self.relations.contains_key(name)
    }

    pub fn insert(&mut self, name: &str, relation: Relation) {
        self.relations.insert(name.to_owned(), relation);
    }

    /// The relation of this name; `t$late` is there with `t`.
    pub fn get(&self, name: &str) -> Option<Relation> {
        if let Some(relation) = self.relations.get(name) {
            return Some(relation.clone());
        }
        match self.relations.get(name.strip_suffix(LATE)?)? {
            Relation::Table(table) => Some(Relation::Late(Arc::clone(table))),
            _ => None,
        }
    }

    /// The names that can stand in `FROM`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.relations.keys().map(String::as_str)
    }
}

/// A relation as DataFusion sees it.
pub(crate) struct RelationSource {
    pub relation: Relation,
    schema: SchemaRef,
}

impl RelationSource {
    pub fn new(relation: Relation) -> Self {
        let schema = match &relation {
            Relation::Table(table) | Relation::Late(table) => Arc::clone(&table.schema),
            Relation::View(plan) => Arc::clone(plan.schema().inner()),
        };
        RelationSource { relation, schema }
    }
}

impl TableSource for RelationSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn get_logical_plan(&'_ self) -> Option<Cow<'_, LogicalPlan>> {
        match &self.relation {
            Relation::View(plan) => Some(Cow::Borrowed(plan)),
            _ => None,
        }
    }
}

/// The relation behind a scan.
pub(crate) fn relation_of(source: &dyn TableSource) -> Option<&Relation> {
    let any: &dyn Any = source;
    any.downcast_ref::<RelationSource>().map(|source| &source.relation)
}
