//! The options of a Kafka table that reading and writing share.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use millrace_core::{Error, Result};
use regex::Regex;

use super::properties::ClientProperties;
use crate::format::Format;
use crate::{Options, TableSpec};

/// What a table is about, read and checked.
#[derive(Clone, Debug)]
pub(crate) struct TableOptions {
    pub topics: Topics,
    pub client: ClientProperties,
    pub value: Part,
    /// The message's key, where the table has columns of it.
    pub key: Option<Part>,
}

/// The topics of a table.
#[derive(Clone, Debug)]
pub(crate) enum Topics {
    List(Vec<String>),
    /// All whose whole name matches.
    Pattern(Regex),
}

/// The columns that stand in the key or in the value of a message, and how.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub format: Format,
    /// Which of the table's physical columns these are, in the order in which the format has them.
    pub columns: Vec<usize>,
    /// Those columns, in the names that the format has for them.
    pub schema: SchemaRef,
}

impl TableOptions {
    /// Takes all options that a table has whether it is read or written.
    ///
    /// # Errors
    /// `FixInput` naming an option that is missing or wrong.
    pub fn of(table: &TableSpec) -> Result<Self> {
        Self::with_key(table, key_part(table)?)
    }

    /// The same for a table whose messages have its primary key as their key: `key.format` and
    /// `value.format` are required, and there is no `key.fields`.
    ///
    /// # Errors
    /// As for [`TableOptions::of`].
    pub fn of_upserts(table: &TableSpec) -> Result<Self> {
        let options = &table.options;
        let name: String = options.required("key.format")?;
        options.required::<String>("value.format")?;
        let prefix = options.text("key.fields-prefix").unwrap_or_default();
        let fields = table.primary_key.iter().map(String::as_str);
        let key = key_of(table, &name, fields, prefix, "the primary key")?;
        Self::with_key(table, Some(key))
    }

    fn with_key(table: &TableSpec, key: Option<Part>) -> Result<Self> {
        let options = &table.options;
        if !table.partitioned_by.is_empty() {
            return Err(Error::fix_input(format!(
                "table `{}` cannot be partitioned: partitions of a topic are no columns",
                table.name
            )));
        }
        let value = value_part(table, key.as_ref())?;
        Ok(TableOptions {
            topics: Topics::from_options(options)?,
            client: ClientProperties::from_options(options)?,
            value,
            key,
        })
    }
}

impl Topics {
    fn from_options(options: &Options) -> Result<Self> {
        match (options.text("topic"), options.text("topic-pattern")) {
            (Some(_), Some(_)) => {
                Err(Error::fix_input("options `topic` and `topic-pattern` exclude each other"))
            }
            (None, None) => Err(Error::fix_input("option `topic` is missing")),
            (Some(list), None) => Topics::list(list.split(';').map(str::trim)),
            (None, Some(pattern)) => Topics::pattern(pattern),
        }
    }

    /// The topics with these names.
    ///
    /// # Errors
    /// `FixInput` when there is none, an empty one, or one twice.
    pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let distinct: BTreeSet<&String> = names.iter().collect();
        if names.is_empty() || names.iter().any(String::is_empty) || distinct.len() < names.len() {
            return Err(Error::fix_input(format!(
                "option `topic` cannot be `{}`: each topic has to be named once",
                names.join(";")
            )));
        }
        Ok(Topics::List(names))
    }

    /// The topics whose whole name matches `pattern`.
    ///
    /// # Errors
    /// `FixInput` when it is no regular expression, or one that only Java has.
    pub fn pattern(pattern: &str) -> Result<Self> {
        let whole = Regex::new(&format!("^(?:{pattern})$"));
        let regex = whole.map_err(|cause| {
            Error::fix_input(format!("option `topic-pattern` cannot be `{pattern}`"))
                .caused_by(cause)
                .hint("look-around and back references of Java's patterns are not supported")
        })?;
        Ok(Topics::Pattern(regex))
    }
}

/// The key's columns, named by `key.fields`, in that order.
fn key_part(table: &TableSpec) -> Result<Option<Part>> {
    let options = &table.options;
    let prefix = options.text("key.fields-prefix").unwrap_or_default();
    let fields = options.text("key.fields");
    let Some(name) = options.text("key.format") else {
        let needless =
            fields.map(|_| "key.fields").or((!prefix.is_empty()).then_some("key.fields-prefix"));
        return match needless {
            Some(option) => {
                Err(Error::fix_input(format!("option `{option}` needs the option `key.format`")))
            }
            None => Ok(None),
        };
    };
    let fields = fields.ok_or_else(|| {
        Error::fix_input("option `key.fields` is missing: `key.format` says that there is a key")
    })?;
    let fields = fields.split(';').map(str::trim);
    key_of(table, name, fields, prefix, "option `key.fields`").map(Some)
}

/// A key of the columns `fields`, which `named_by` names.
fn key_of<'a>(
    table: &TableSpec,
    format: &str,
    fields: impl Iterator<Item = &'a str>,
    prefix: &str,
    named_by: &str,
) -> Result<Part> {
    let format = Format::named(format, &table.options.scoped("key."))?;
    let columns = fields.map(|field| key_column(table, field, prefix, named_by));
    let columns = columns.collect::<Result<Vec<usize>>>()?;
    let distinct: BTreeSet<usize> = columns.iter().copied().collect();
    if distinct.len() < columns.len() {
        return Err(Error::fix_input(format!("{named_by} names a column twice")));
    }
    let fields = columns.iter().map(|&column| {
        let field = table.schema.field(column).clone();
        let inner = field.name()[prefix.len()..].to_owned();
        field.with_name(inner)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    check_message_format(&format, &schema)?;
    Ok(Part { format, columns, schema })
}

fn key_column(table: &TableSpec, field: &str, prefix: &str, named_by: &str) -> Result<usize> {
    if !field.starts_with(prefix) {
        return Err(Error::fix_input(format!(
            "{named_by} names `{field}`, which does not begin with `key.fields-prefix` (`{prefix}`)"
        )));
    }
    table.schema.index_of(field).map_err(|_| {
        let known: Vec<&str> =
            table.schema.fields().iter().map(|field| field.name().as_str()).collect();
        Error::fix_input(format!(
            "{named_by} names `{field}`, which is no physical column of table `{}`",
            table.name
        ))
        .hint(format!("its columns are: {}", known.join(", ")))
    })
}

fn value_part(table: &TableSpec, key: Option<&Part>) -> Result<Part> {
    let options = &table.options;
    let format = match (options.text("format"), options.text("value.format")) {
        (Some(_), Some(_)) => {
            return Err(Error::fix_input("options `format` and `value.format` exclude each other"));
        }
        (Some(name), None) => Format::named(name, options)?,
        (None, Some(name)) => Format::named(name, &options.scoped("value."))?,
        (None, None) => return Err(Error::fix_input("option `format` is missing")),
    };
    let without_key = match options.text("value.fields-include").unwrap_or("ALL") {
        "ALL" => false,
        "EXCEPT_KEY" => true,
        other => {
            return Err(Error::fix_input(format!(
                "option `value.fields-include` cannot be `{other}`"
            ))
            .hint("use `ALL` or `EXCEPT_KEY`"));
        }
    };
    if !without_key && options.text("key.fields-prefix").is_some_and(|prefix| !prefix.is_empty()) {
        return Err(Error::fix_input(
            "option `key.fields-prefix` needs `value.fields-include` = `EXCEPT_KEY`",
        )
        .hint("a prefixed name would stand in the value too"));
    }
    let in_key = |column: usize| key.is_some_and(|key| key.columns.contains(&column));
    let columns: Vec<usize> = (0..table.schema.fields().len())
        .filter(|&column| !(without_key && in_key(column)))
        .collect();
    let fields = columns.iter().map(|&column| table.schema.field(column).clone());
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    check_message_format(&format, &schema)?;
    Ok(Part { format, columns, schema })
}

/// Refuses formats that are about whole files.
fn check_message_format(format: &Format, schema: &Schema) -> Result<()> {
    match format {
        Format::Parquet(_) => Err(Error::fix_input("format `parquet` cannot be used in messages")
            .hint("use `json`, `csv` or `raw`")),
        _ => format.check_readable(schema),
    }
}
