//! Reads the columns of `PARTITIONED BY` from the directories `column=value`.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::take::take;
use async_trait::async_trait;
use millrace_core::{Batch, Columns, Error, Read, Result, SplitReader};
use serde_json::Value;

use crate::format::ReadSchema;
use crate::format::cells::{self, Cells};
use crate::format::parse::TimestampStyle;
use crate::format::sql_type::sql_type;

/// Which columns come from the file and which from its path.
#[derive(Clone, Debug)]
pub(crate) struct PartitionedRead {
    /// What the file's own reader is to give.
    pub file: ReadSchema,
    projected: SchemaRef,
    columns: Vec<Origin>,
    default_name: String,
}

#[derive(Clone, Debug)]
enum Origin {
    /// The column of the file's reader with this index.
    File(usize),
    Path(Arc<Field>),
}

impl PartitionedRead {
    /// # Errors
    /// `FixInput` for a partition column that is not one of the table's or whose type has no one
    /// form in a path.
    pub fn new(read: ReadSchema, partitioned_by: &[String], default_name: String) -> Result<Self> {
        for name in partitioned_by {
            let field = read.table.field_with_name(name).map_err(|_| {
                Error::fix_input(format!("PARTITIONED BY names `{name}`, which is no column"))
            })?;
            check_type(field)?;
        }
        let in_path = |field: &Field| partitioned_by.contains(field.name());
        let (mut kept, mut projection, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for (index, field) in read.table.fields().iter().enumerate() {
            let wanted = read.projection.contains(&index);
            if in_path(field) {
                columns.extend(wanted.then(|| Origin::Path(field.clone())));
                continue;
            }
            if wanted {
                columns.push(Origin::File(projection.len()));
                projection.push(kept.len());
            }
            kept.push(field.clone());
        }
        let table = Arc::new(Schema::new(kept));
        let file_projected = table.project(&projection).map_err(|cause| {
            Error::report("the projection of a partitioned table is wrong").caused_by(cause)
        })?;
        let file = ReadSchema {
            table_name: read.table_name,
            table,
            projection,
            projected: Arc::new(file_projected),
        };
        Ok(PartitionedRead { file, projected: read.projected, columns, default_name })
    }

    /// Adds the path's columns to what `reader` gives of the file at `path`.
    ///
    /// # Errors
    /// `FixInput` when the path lacks a partition or its value is not of the column's type.
    pub fn wrap(&self, path: &Path, reader: Box<dyn SplitReader>) -> Result<Box<dyn SplitReader>> {
        if self.columns.iter().all(|column| matches!(column, Origin::File(_))) {
            return Ok(reader);
        }
        let values = self
            .columns
            .iter()
            .map(|column| match column {
                Origin::File(index) => Ok(Column::File(*index)),
                Origin::Path(field) => self.value(path, field).map(Column::Constant),
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Box::new(PartitionReader { reader, columns: values, schema: self.projected.clone() }))
    }

    /// The one value of a column, as an array of one row.
    fn value(&self, path: &Path, field: &Field) -> Result<ArrayRef> {
        let text = path
            .parent()
            .into_iter()
            .flat_map(Path::components)
            .filter_map(|part| part.as_os_str().to_str()?.split_once('='))
            .rfind(|(name, _)| unescape(name) == field.name().as_bytes())
            .map(|(_, value)| value)
            .ok_or_else(|| {
                Error::fix_input(format!(
                    "the path of `{}` has no partition `{}=…`",
                    path.display(),
                    field.name()
                ))
            })?;
        let cell = OneCell((text != self.default_name).then(|| unescape(text)));
        let mut wrong = None;
        let style = TimestampStyle::Sql;
        let array = cells::build(field, style, &cell, &mut |_, cause| wrong = Some(cause))?;
        match wrong {
            None => Ok(array),
            Some(cause) => Err(Error::fix_input(format!(
                "the path of `{}` does not fit the table: {cause}",
                path.display()
            ))),
        }
    }
}

fn check_type(field: &Field) -> Result<()> {
    match field.data_type() {
        DataType::Utf8
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Date32 => Ok(()),
        other => Err(Error::fix_input(format!(
            "the partition column `{}` cannot be read as {}",
            field.name(),
            sql_type(other)
        ))
        .hint("STRING, BOOLEAN, whole numbers and DATE can be read from a path")),
    }
}

/// Undoes the `%2F` of partition names; what is no such escape stays.
fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    plain
}

struct OneCell(Option<Vec<u8>>);

impl Cells for OneCell {
    fn len(&self) -> usize {
        1
    }

    fn get(&self, _row: usize) -> Option<&[u8]> {
        self.0.as_deref()
    }
}

enum Column {
    File(usize),
    Constant(ArrayRef),
}

struct PartitionReader {
    reader: Box<dyn SplitReader>,
    columns: Vec<Column>,
    schema: SchemaRef,
}

impl PartitionReader {
    fn widen(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let count = rows.num_rows();
        let first = UInt32Array::from(vec![0; count]);
        let broken = |cause| Error::report("partition columns do not fit").caused_by(cause);
        let columns = self
            .columns
            .iter()
            .map(|column| match column {
                Column::File(index) => Ok(rows.column(*index).clone()),
                Column::Constant(value) => take(value, &first, None).map_err(broken),
            })
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(broken)
    }
}

#[async_trait]
impl SplitReader for PartitionReader {
    async fn next(&mut self) -> Result<Read> {
        let mut read = self.reader.next().await?;
        if let Read::Rows(batch) = &mut read
            && let Some(rows) = batch.rows.take()
        {
            let columns: Columns = rows.downcast()?;
            batch.rows = Some(Batch::new(Columns::new(self.widen(&columns.rows)?)));
        }
        Ok(read)
    }

    fn position(&self) -> Value {
        self.reader.position()
    }

    async fn ready(&mut self) -> Option<()> {
        self.reader.ready().await
    }
}
