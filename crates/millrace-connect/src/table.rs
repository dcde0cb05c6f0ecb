//! How a `CREATE TABLE` reaches its connector.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use millrace_core::{BadRecordPolicy, Error, Result, Sink, Source};

/// A table as a connector sees it: physical columns and options. Computed columns and watermarks
/// are the planner's affair.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// The table's name, for messages.
    pub name: String,
    /// The physical columns, in their order. Nullability is as declared.
    pub schema: SchemaRef,
    /// The columns of `METADATA`. A reader gives them behind the physical ones, a writer gets those
    /// that are not virtual behind the physical ones.
    pub metadata: Vec<MetadataColumn>,
    /// The columns of `PRIMARY KEY (…) NOT ENFORCED`, in their order; empty without one.
    pub primary_key: Vec<String>,
    /// The columns of `PARTITIONED BY`.
    pub partitioned_by: Vec<String>,
    /// The `WITH` options, without `connector`.
    pub options: Options,
    /// The columns that a query reads, as indices of [`TableSpec::readable`], ascending; a reader
    /// gives exactly these, in this order, and need not decode the others. A sink gets all.
    pub projection: Option<Vec<usize>>,
}

impl TableSpec {
    /// All columns that can be read: the physical ones, then those of metadata.
    pub fn readable(&self) -> SchemaRef {
        self.with_metadata(|_| true)
    }

    /// The columns that a writer gets: the physical ones, then those of metadata that are not
    /// virtual.
    pub fn writable(&self) -> SchemaRef {
        self.with_metadata(|column| !column.is_virtual)
    }

    fn with_metadata(&self, wanted: impl Fn(&MetadataColumn) -> bool) -> SchemaRef {
        let metadata = self.metadata.iter().filter(|column| wanted(column));
        let mut fields = self.schema.fields().to_vec();
        fields.extend(metadata.map(|column| Arc::new(column.field.clone())));
        Arc::new(Schema::new(fields))
    }
}

/// A column that stands for something that a record has beside its content, such as its offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataColumn {
    /// The column's name, type and nullability as declared. The connector is asked for a type that
    /// it can give before a table is opened; see [`Connector::metadata`].
    pub field: Field,
    /// What it stands for: the name after `FROM`, or else the column's own.
    pub key: String,
    /// It is only read.
    pub is_virtual: bool,
}

/// Something that the records of a connector have beside their content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataKey {
    /// Its name.
    pub name: &'static str,
    /// The type that it has.
    pub data_type: DataType,
    /// Other types that a column for it may be declared with.
    pub also: Vec<DataType>,
    /// Whether it may be missing.
    pub nullable: bool,
    /// Whether a writer can set it.
    pub writable: bool,
}

/// The type of a column `MAP<key, value>`. Values may be NULL, keys may not.
///
/// Columns of maps have this one shape everywhere, so that two of the same SQL type have the same
/// Arrow type.
pub fn map_type(key: DataType, value: DataType) -> DataType {
    let entry = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), false)
}

/// The types of keys and values of a [`map_type`]; `None` for other types.
pub fn map_entry(data_type: &DataType) -> Option<(&DataType, &DataType)> {
    let DataType::Map(entries, _) = data_type else { return None };
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => {
            Some((fields[0].data_type(), fields[1].data_type()))
        }
        _ => None,
    }
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
    /// How many writers the table asks for (`sink.parallelism`); `None` is the job's parallelism.
    pub parallelism: Option<usize>,
}

/// Which kinds of rows a table gives or takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangelogMode {
    /// New rows only.
    Append,
    /// Rows that take the place of those before them with the same primary key, and deletions, of
    /// which only the key is sure to be there. A table that is read gives these; one that is
    /// written also takes new rows, and rows as they were before an update for deletions.
    Upsert,
    /// All kinds.
    All,
}

/// One kind of table, chosen by the option `connector`.
pub trait Connector: Send + Sync {
    /// The value of the option `connector`.
    fn name(&self) -> &'static str;

    /// What columns of `METADATA` can stand for. A table with others never reaches the connector.
    fn metadata(&self) -> Vec<MetadataKey> {
        Vec::new()
    }

    /// Why there is no metadata `key` although Flink's connector of the same name has it.
    fn missing_metadata(&self, _key: &str) -> Option<&'static str> {
        None
    }

    /// Which kinds of rows its tables give.
    fn gives(&self) -> ChangelogMode {
        ChangelogMode::Append
    }

    /// Which kinds of rows its tables take.
    fn takes(&self) -> ChangelogMode {
        ChangelogMode::Append
    }

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
    values: Arc<BTreeMap<String, String>>,
    /// Stands before each name that is asked for.
    prefix: String,
    /// Names that were asked for, found or not: the known ones. Shared by clones.
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl Options {
    /// Options from their names and values.
    pub fn new<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let pairs = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        Options { values: Arc::new(pairs.collect()), prefix: String::new(), asked: Arc::default() }
    }

    /// The options whose names begin with `prefix`, to be asked for by the rest of their names:
    /// how a format finds `key.json.…`.
    #[must_use]
    pub fn scoped(&self, prefix: &str) -> Self {
        Options { prefix: format!("{}{prefix}", self.prefix), ..self.clone() }
    }

    /// The whole name of what is asked for as `name`, for messages.
    pub fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The option's value, if it is there.
    pub fn text(&self, name: &str) -> Option<&str> {
        let name = self.full_name(name);
        let value = self.values.get(&name).map(String::as_str);
        self.asked.lock().expect("no holder panics").insert(name);
        value
    }

    /// The option's value read as `T`, if it is there.
    ///
    /// # Errors
    /// `FixInput` when it can't be read as `T`.
    pub fn get<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>> {
        self.text(name)
            .map(|text| {
                text.parse::<T>().map_err(|cause| {
                    let name = self.full_name(name);
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
        self.get(name)?.ok_or_else(|| {
            Error::fix_input(format!("option `{}` is missing", self.full_name(name)))
        })
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
