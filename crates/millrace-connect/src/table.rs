//! How a `CREATE TABLE` reaches its connector.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use arrow_schema::SchemaRef;
use millrace_core::{BadRecordPolicy, Error, Result, Sink, Source};

/// A table as a connector sees it: physical columns and options. Computed columns and watermarks
/// are the planner's affair.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// The table's name, for messages.
    pub name: String,
    /// The physical columns, in their order. Nullability is as declared.
    pub schema: SchemaRef,
    /// The columns of `PARTITIONED BY`.
    pub partitioned_by: Vec<String>,
    /// The `WITH` options, without `connector`.
    pub options: Options,
    /// The columns that a query reads, as indices of `schema`, ascending; a reader gives exactly
    /// these, in this order, and need not decode the others. A sink gets all.
    pub projection: Option<Vec<usize>>,
}

/// A table to read from.
#[derive(Clone)]
pub struct SourceTable {
    /// Where rows come from. Batches are `Columns` of the projected schema, without rowtime.
    pub source: Arc<dyn Source>,
    /// What becomes of records that can't be decoded.
    pub bad_records: BadRecordPolicy,
    /// With `BadRecordPolicy::DeadLetter`: takes `Records<BadRecord>`.
    pub dead_letters: Option<Arc<dyn Sink>>,
}

/// A table to write to.
#[derive(Clone)]
pub struct SinkTable {
    /// Where rows go. Batches are `Columns` of the table's schema.
    pub sink: Arc<dyn Sink>,
    /// The sink wants one writer, whatever the job's parallelism (`print` to one terminal).
    pub single_writer: bool,
}

/// One kind of table, chosen by the option `connector`.
pub trait Connector: Send + Sync {
    /// The value of the option `connector`.
    fn name(&self) -> &'static str;

    /// Opens the table for reading.
    ///
    /// # Errors
    /// `FixInput` for an option that is missing, unknown or wrong, naming it, and for a table that
    /// cannot be read from at all.
    fn source(&self, table: &TableSpec) -> Result<SourceTable>;

    /// Opens the table for writing.
    ///
    /// # Errors
    /// As for `source`.
    fn sink(&self, table: &TableSpec) -> Result<SinkTable>;
}

/// The options of a table, each to be taken by the connector or its format: what nobody took is
/// unknown, and refused.
///
/// ```
/// use millrace_connect::Options;
///
/// let options = Options::new([("path", "in.csv"), ("fromat", "csv")]);
/// assert_eq!(options.required::<String>("path").unwrap(), "in.csv");
/// let error = options.finish("flights").unwrap_err();
/// assert_eq!(error.message(), "table `flights` has an unknown option `fromat`");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Options {
    values: BTreeMap<String, String>,
    /// Names that were asked for, found or not: the known ones. Shared by clones.
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl Options {
    /// Options from their names and values.
    pub fn new<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let values = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Options { values, asked: Arc::default() }
    }

    /// The option's value, if it is there.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.asked.lock().expect("no holder panics").insert(name.to_owned());
        self.values.get(name).map(String::as_str)
    }

    /// The option's value read as `T`, if it is there.
    ///
    /// # Errors
    /// `FixInput` when it can't be read as `T`.
    pub fn get<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>> {
        self.text(name)
            .map(|text| {
                text.parse::<T>().map_err(|cause| {
                    Error::fix_input(format!("option `{name}` cannot be `{text}`: {cause}"))
                })
            })
            .transpose()
    }

    /// The option's value read as `T`.
    ///
    /// # Errors
    /// `FixInput` when it is missing or can't be read as `T`.
    pub fn required<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<T> {
        self.get(name)?.ok_or_else(|| Error::fix_input(format!("option `{name}` is missing")))
    }

    /// The names that begin with `prefix`, such as `fields.`. They count as known only when asked
    /// for one by one.
    pub fn names_under(&self, prefix: &str) -> Vec<String> {
        self.values.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    /// Refuses options that nobody asked for.
    ///
    /// # Errors
    /// `FixInput` naming the first unknown option, with the known ones as a hint.
    pub fn finish(&self, table: &str) -> Result<()> {
        let asked = self.asked.lock().expect("no holder panics");
        match self.values.keys().find(|name| !asked.contains(*name)) {
            None => Ok(()),
            Some(unknown) => {
                Err(Error::fix_input(format!("table `{table}` has an unknown option `{unknown}`"))
                    .hint(format!(
                        "known here: {}",
                        asked.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
                    )))
            }
        }
    }
}
