//! What takes a query's rows: a table of the script, or the output of a bare SELECT.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::ScalarValue;
use millrace_connect::map_entry;
use millrace_core::Sink;
use sqlparser::ast::Ident;
use sqlparser::tokenizer::Span;

use super::build::Shape;
use super::changelog::FlowChanges;
use super::node::{SinkChanges, Target};
use crate::environment::SelectOutput;
use crate::error::{Fault, Result};
use crate::expr::{self, Typed};
use crate::planner::Table;
use crate::types::type_name;

/// `INSERT INTO table [(columns)]`.
pub(crate) struct TableShape<'a> {
    pub table: &'a Arc<Table>,
    /// The columns that the statement names; none means all, in their order.
    pub columns: &'a [Ident],
    /// Where the table's name stands in the statement.
    pub span: Span,
}

impl TableShape<'_> {
    /// For each column of the table: which column of the query goes there.
    fn sources(&self, count: usize) -> Result<Vec<Option<usize>>> {
        let schema = self.table.spec.writable();
        let wanted =
            if self.columns.is_empty() { schema.fields().len() } else { self.columns.len() };
        if count != wanted {
            return Err(Fault::new(
                self.span,
                format!(
                    "`{}` takes {wanted} columns here, the query gives {count}",
                    self.table.name
                ),
            )
            .hint("columns go by position; name them: INSERT INTO t (a, b) SELECT …"));
        }
        if self.columns.is_empty() {
            let mut sources = vec![None; count];
            let places = self.table.written().into_iter().enumerate();
            places.for_each(|(source, place)| sources[place] = Some(source));
            return Ok(sources);
        }
        let mut sources = vec![None; schema.fields().len()];
        for (source, name) in self.columns.iter().enumerate() {
            let Ok(place) = schema.index_of(&name.value) else {
                return Err(Fault::new(
                    name.span,
                    format!("`{}` has no column `{}` to write", self.table.name, name.value),
                ));
            };
            if sources[place].replace(source).is_some() {
                return Err(Fault::new(
                    name.span,
                    format!("column `{}` is named twice", name.value),
                ));
            }
        }
        Ok(sources)
    }
}

impl TableShape<'_> {
    /// Refuses to write what the connector only reads.
    fn check_metadata(&self) -> Result<()> {
        let keys = self.table.connector.metadata();
        let only_read = |key: &str| keys.iter().any(|known| known.name == key && !known.writable);
        let columns = &self.table.spec.metadata;
        match columns.iter().find(|column| !column.is_virtual && only_read(&column.key)) {
            None => Ok(()),
            Some(column) => Err(Fault::new(
                self.span,
                format!(
                    "column `{}` of `{}` stands for metadata `{}`, which cannot be written",
                    column.field.name(),
                    self.table.name,
                    column.key
                ),
            )
            .hint("declare it METADATA … VIRTUAL")),
        }
    }
}

impl Shape for TableShape<'_> {
    fn shape(
        &self,
        names: &[String],
        columns: Vec<Typed>,
        places: &[Span],
    ) -> Result<(Vec<Field>, Vec<Typed>, Vec<usize>)> {
        let sources = self.sources(columns.len())?;
        let (mut fields, mut shaped, mut not_null) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (field, source)) in
            self.table.spec.writable().fields().iter().zip(sources).enumerate()
        {
            let place =
                source.and_then(|source| places.get(source).copied()).unwrap_or_else(Span::empty);
            let value = match source {
                Some(source) => columns[source].clone(),
                None => Typed::literal(ScalarValue::Null),
            };
            let (name, from) = (field.name(), value.type_name());
            let Some(value) = expr::assigned(value, field.data_type()) else {
                let to = type_name(field.data_type());
                let given = source.map_or("", |source| names[source].as_str());
                let fault = Fault::new(
                    place,
                    format!(
                        "column `{name}` of `{}` is {to}, the query's `{given}` is {from}",
                        self.table.name
                    ),
                )
                .or_at(self.span);
                // Maps are not cast.
                return Err(match map_entry(field.data_type()) {
                    Some(_) => fault,
                    None => fault.hint(format!("write CAST(… AS {to})")),
                });
            };
            if !field.is_nullable() && value.nullable {
                if source.is_none() {
                    return Err(Fault::new(
                        self.span,
                        format!(
                            "column `{name}` of `{}` is NOT NULL and gets no value",
                            self.table.name
                        ),
                    ));
                }
                not_null.push(index);
            }
            fields.push(field.as_ref().clone());
            shaped.push(value);
        }
        Ok((fields, shaped, not_null))
    }

    fn target(
        &self,
        fields: &[Field],
        changes: Option<FlowChanges>,
    ) -> Result<(Target, Option<SinkChanges>)> {
        self.check_metadata()?;
        let changes = changes.map(|changes| changes.into_table(self.table, fields, self.span));
        let changes = changes.transpose()?;
        let sink = self
            .table
            .connector
            .sink(&self.table.spec)
            .map_err(|error| Fault::of(&error, self.table.span))?;
        let target = Target::Table {
            name: self.table.name.clone(),
            connector: self.table.connector.name(),
            sink,
        };
        Ok((target, changes))
    }

    fn name(&self) -> String {
        self.table.name.clone()
    }
}

/// A bare SELECT.
pub(crate) struct OutputShape<'a> {
    /// The statement's number among the script's statements, from 0.
    pub statement: usize,
    pub sink: &'a (dyn Fn(SelectOutput<'_>) -> Arc<dyn Sink> + Send + Sync),
}

impl Shape for OutputShape<'_> {
    fn shape(
        &self,
        names: &[String],
        columns: Vec<Typed>,
        places: &[Span],
    ) -> Result<(Vec<Field>, Vec<Typed>, Vec<usize>)> {
        let mut fields = Vec::new();
        for (index, (name, column)) in names.iter().zip(&columns).enumerate() {
            if matches!(column.data_type, DataType::Interval(_) | DataType::Null) {
                let place = places.get(index).copied().unwrap_or_else(Span::empty);
                return Err(Fault::new(
                    place,
                    format!("column `{name}` has the type {}", column.type_name()),
                )
                .hint("cast it to another one"));
            }
            if map_entry(&column.data_type).is_some_and(|(key, _)| *key != DataType::Utf8) {
                let place = places.get(index).copied().unwrap_or_else(Span::empty);
                return Err(Fault::new(
                    place,
                    format!(
                        "column `{name}` has the type {}, which cannot be shown",
                        column.type_name()
                    ),
                )
                .hint("maps with keys of STRING can be shown"));
            }
            fields.push(Field::new(name, column.data_type.clone(), true));
        }
        Ok((fields, columns, Vec::new()))
    }

    fn target(
        &self,
        fields: &[Field],
        changes: Option<FlowChanges>,
    ) -> Result<(Target, Option<SinkChanges>)> {
        let schema: SchemaRef = Arc::new(Schema::new(fields.to_vec()));
        let output = SelectOutput {
            schema: &schema,
            statement: self.statement,
            is_changelog: changes.is_some(),
        };
        let target = Target::Output { statement: self.statement, sink: (self.sink)(output) };
        Ok((target, changes.map(FlowChanges::into_output)))
    }

    fn name(&self) -> String {
        format!("output {}", self.statement + 1)
    }
}
