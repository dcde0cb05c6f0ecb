//! `CREATE TABLE` and `CREATE VIEW`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion_common::DFSchema;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use millrace_connect::{Connector, MetadataColumn, Options, TableSpec, registry};
use sqlparser::ast::{Ident, Query};

use super::catalog::{Catalog, Relation, Table, TableColumn, Watermark};
use super::{context, typing};
use crate::error::{Fault, Result};
use crate::expr::Typed;
use crate::script::{ColumnDefinition, CreateTable, MetadataDefinition, Tokens};
use crate::types;

/// Puts a table into the catalog.
pub(crate) fn declare_table(
    definition: &CreateTable,
    tokens: &Tokens,
    catalog: &mut Catalog,
) -> Result<()> {
    let name = definition.name.clone();
    if !is_free(&name, definition.if_not_exists, catalog)? {
        return Ok(());
    }
    let (connector, spec) = connection(definition, &physical_fields(definition)?)?;
    let readable = spec.readable();
    let own: Vec<Typed> = readable.fields().iter().map(|field| Typed::column(field)).collect();
    let dfschema = schema_of(readable.as_ref().clone())?;
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for column in &definition.columns {
        match column {
            ColumnDefinition::Physical { name, .. }
            | ColumnDefinition::Metadata(MetadataDefinition { name, .. }) => {
                let index = readable
                    .index_of(&name.value)
                    .map_err(|error| Fault::bug(error.to_string()))?;
                fields.push(readable.field(index).clone());
                columns.push(TableColumn::Physical(index));
            }
            ColumnDefinition::Computed { name, expr } => {
                let resolved =
                    context::resolve_expr(expr.as_ref().clone(), &dfschema, tokens, catalog)
                        .map_err(|fault| fault.or_at(name.span))?;
                let typed = typing::type_expr(&resolved, &dfschema, &own)
                    .map_err(|fault| fault.or_at(name.span))?;
                fields.push(Field::new(&name.value, typed.data_type.clone(), typed.nullable));
                columns.push(TableColumn::Computed(typed));
            }
        }
    }
    let watermark = watermark(definition, &fields, tokens, catalog)?;
    check_names(&definition.primary_key, &fields)?;
    check_names(&definition.partitioned_by, &fields)?;
    let table = Table {
        name: name.value.clone(),
        schema: Arc::new(Schema::new(fields)),
        columns,
        watermark,
        connector,
        readable,
        spec,
        span: name.span,
    };
    catalog.insert(&name.value, Relation::Table(Arc::new(table)));
    Ok(())
}

/// Puts a view into the catalog.
pub(crate) fn declare_view(
    name: &Ident,
    names: &[Ident],
    if_not_exists: bool,
    query: Box<Query>,
    tokens: &Tokens,
    catalog: &mut Catalog,
) -> Result<()> {
    if !is_free(name, if_not_exists, catalog)? {
        return Ok(());
    }
    let plan = context::resolve_query(query, tokens, catalog)?;
    let plan = if names.is_empty() { plan } else { renamed(plan, name, names)? };
    catalog.insert(&name.value, Relation::View(Arc::new(plan)));
    Ok(())
}

fn renamed(plan: LogicalPlan, name: &Ident, names: &[Ident]) -> Result<LogicalPlan> {
    let fields = plan.schema().columns();
    if fields.len() != names.len() {
        let message = format!(
            "view `{}` names {} columns, its query has {}",
            name.value,
            names.len(),
            fields.len()
        );
        return Err(Fault::new(name.span, message));
    }
    let exprs =
        fields.into_iter().zip(names).map(|(column, name)| Expr::Column(column).alias(&name.value));
    LogicalPlanBuilder::from(plan)
        .project(exprs)
        .and_then(LogicalPlanBuilder::build)
        .map_err(|error| Fault::new(name.span, error.strip_backtrace()))
}

fn is_free(name: &Ident, if_not_exists: bool, catalog: &Catalog) -> Result<bool> {
    if name.value.contains('$') {
        return Err(Fault::new(name.span, "names with `$` are kept for system tables"));
    }
    match (catalog.contains(&name.value), if_not_exists) {
        (false, _) => Ok(true),
        (true, true) => Ok(false),
        (true, false) => Err(Fault::new(name.span, format!("`{}` exists already", name.value))
            .hint("CREATE … IF NOT EXISTS keeps the first one")),
    }
}

fn physical_fields(definition: &CreateTable) -> Result<Vec<Field>> {
    let mut fields = Vec::new();
    for column in &definition.columns {
        if let ColumnDefinition::Physical { name, data_type, not_null, type_span } = column {
            let data_type = types::column_type(data_type, *type_span)?;
            let in_key = definition.primary_key.iter().any(|key| key.value == name.value);
            fields.push(Field::new(&name.value, data_type, !not_null && !in_key));
        }
    }
    if fields.is_empty() {
        return Err(Fault::new(
            definition.name.span,
            format!("table `{}` has no column of its own", definition.name.value),
        ));
    }
    Ok(fields)
}

fn schema_of(schema: Schema) -> Result<DFSchema> {
    DFSchema::try_from(schema).map_err(|error| Fault::bug(error.strip_backtrace()))
}

fn watermark(
    definition: &CreateTable,
    fields: &[Field],
    tokens: &Tokens,
    catalog: &Catalog,
) -> Result<Option<Watermark>> {
    let Some(watermark) = &definition.watermark else { return Ok(None) };
    let name = &watermark.rowtime;
    let Some(rowtime) = fields.iter().position(|field| *field.name() == name.value) else {
        return Err(Fault::new(name.span, format!("column `{}` does not exist", name.value)));
    };
    let data_type = fields[rowtime].data_type().clone();
    if !matches!(data_type, DataType::Timestamp(TimeUnit::Millisecond, _)) {
        return Err(Fault::new(
            name.span,
            format!("the rowtime `{}` is a {}, not a TIMESTAMP(3)", name.value, types::type_name(&data_type)),
        )
        .hint("add a computed column: event_time AS CAST(… AS TIMESTAMP(3)), and the watermark for that"));
    }
    // The expression sees the table with all its columns; of computed ones only the rowtime is
    // there when it is evaluated.
    let physical: Vec<&Ident> = definition
        .columns
        .iter()
        .filter(|column| !matches!(column, ColumnDefinition::Computed { .. }))
        .map(ColumnDefinition::name)
        .collect();
    let visible: Vec<Field> = fields
        .iter()
        .enumerate()
        .filter(|(index, field)| {
            *index == rowtime || physical.iter().any(|name| name.value == *field.name())
        })
        .map(|(_, field)| field.clone())
        .collect();
    let schema = schema_of(Schema::new(visible.clone()))?;
    let columns: Vec<Typed> = visible.iter().map(Typed::column).collect();
    let resolved = context::resolve_expr(watermark.expr.clone(), &schema, tokens, catalog)
        .map_err(|fault| fault.or_at(watermark.span))?;
    let expr = typing::type_expr(&resolved, &schema, &columns)
        .map_err(|fault| fault.or_at(watermark.span))?;
    if expr.data_type != data_type {
        let message = format!(
            "the watermark is a {}, its rowtime a {}",
            expr.type_name(),
            types::type_name(&data_type)
        );
        return Err(Fault::new(watermark.span, message));
    }
    Ok(Some(Watermark { rowtime, expr }))
}

fn check_names(names: &[Ident], fields: &[Field]) -> Result<()> {
    match names.iter().find(|name| !fields.iter().any(|field| *field.name() == name.value)) {
        Some(name) => Err(Fault::new(name.span, format!("column `{}` does not exist", name.value))),
        None => Ok(()),
    }
}

fn connection(
    definition: &CreateTable,
    physical: &[Field],
) -> Result<(&'static dyn Connector, TableSpec)> {
    let table = &definition.name;
    for (index, option) in definition.options.iter().enumerate() {
        if definition.options[..index].iter().any(|other| other.key == option.key) {
            return Err(Fault::new(option.span, format!("option `{}` is given twice", option.key)));
        }
    }
    let Some(chosen) = definition.options.iter().find(|option| option.key == "connector") else {
        return Err(Fault::new(table.span, format!("table `{}` has no connector", table.value))
            .hint("name one: WITH ('connector' = 'filesystem', …)"));
    };
    let connector =
        registry::connector(&chosen.value).map_err(|error| Fault::of(&error, chosen.span))?;
    let others = definition.options.iter().filter(|option| option.key != "connector");
    let spec = TableSpec {
        name: table.value.clone(),
        schema: Arc::new(Schema::new(physical.to_vec())),
        primary_key: definition.primary_key.iter().map(|name| name.value.clone()).collect(),
        partitioned_by: definition.partitioned_by.iter().map(|name| name.value.clone()).collect(),
        options: Options::new(others.map(|option| (option.key.clone(), option.value.clone()))),
        metadata: metadata_columns(definition, connector)?,
        projection: None,
    };
    Ok((connector, spec))
}

/// The columns of `METADATA`, if the connector has what they stand for.
fn metadata_columns(
    definition: &CreateTable,
    connector: &dyn Connector,
) -> Result<Vec<MetadataColumn>> {
    let keys = connector.metadata();
    let mut columns = Vec::new();
    for column in &definition.columns {
        let ColumnDefinition::Metadata(column) = column else { continue };
        let name = column.key.as_ref().unwrap_or(&column.name.value);
        let Some(key) = keys.iter().find(|key| key.name == name) else {
            let fault = Fault::new(
                column.span,
                format!("connector `{}` has no metadata `{name}`", connector.name()),
            );
            let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
            return Err(match (connector.missing_metadata(name), known.is_empty()) {
                (Some(why), _) => fault.hint(why),
                (None, true) => fault.hint("it has no metadata at all"),
                (None, false) => fault.hint(format!("it has: {}", known.join(", "))),
            });
        };
        let data_type = types::column_type(&column.data_type, column.type_span)?;
        if data_type != key.data_type && !key.also.contains(&data_type) {
            return Err(Fault::new(
                column.type_span,
                format!(
                    "metadata `{name}` is a {}, and cannot be read as {}",
                    types::type_name(&key.data_type),
                    types::type_name(&data_type)
                ),
            ));
        }
        if column.not_null && key.nullable {
            return Err(Fault::new(
                column.type_span,
                format!("metadata `{name}` may be missing: it cannot be NOT NULL"),
            ));
        }
        columns.push(MetadataColumn {
            field: Field::new(&column.name.value, data_type, !column.not_null),
            key: name.clone(),
            is_virtual: column.is_virtual,
        });
    }
    Ok(columns)
}
