//! `PARTITIONED BY`: rows go to directories `column=value`, as Hive and Flink name them.

use std::collections::BTreeMap;

use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::take::take_record_batch;
use millrace_core::{Error, Result};

use crate::format::display::{TextStyle, value_writer};

/// Divides rows by the values of some columns, which the files then do not have.
#[derive(Clone, Debug)]
pub(crate) struct Partitioning {
    /// Indices and names of the partition columns, in the order of `PARTITIONED BY`.
    columns: Vec<(usize, String)>,
    /// Indices of the others.
    rest: Vec<usize>,
    /// What stands for NULL and for the empty text.
    default_name: String,
}

impl Partitioning {
    /// # Errors
    /// `FixInput` when a column is not one of the table's, or none is left for the files.
    pub fn new(schema: &SchemaRef, names: &[String], default_name: String) -> Result<Self> {
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            let index = schema.index_of(name).map_err(|_| {
                Error::fix_input(format!("PARTITIONED BY names `{name}`, which is no column"))
            })?;
            columns.push((index, name.clone()));
        }
        let partitioned = |index: &usize| columns.iter().any(|(column, _)| column == index);
        let rest: Vec<usize> =
            (0..schema.fields().len()).filter(|index| !partitioned(index)).collect();
        if rest.is_empty() {
            return Err(Error::fix_input("PARTITIONED BY leaves no column for the files"));
        }
        Ok(Partitioning { columns, rest, default_name })
    }

    /// The columns of the files.
    pub fn file_schema(&self, schema: &Schema) -> Schema {
        let fields = self.rest.iter().map(|&index| schema.field(index).clone());
        Schema::new(fields.collect::<Vec<_>>())
    }

    /// The rows by the directory of their partition, each part in its order.
    ///
    /// # Errors
    /// `Report` when the rows are not of the table's schema.
    pub fn divide(&self, rows: &RecordBatch) -> Result<Vec<(String, RecordBatch)>> {
        let broken = |cause| Error::report("rows cannot be partitioned").caused_by(cause);
        let content = rows.project(&self.rest).map_err(broken)?;
        if self.columns.is_empty() {
            return Ok(vec![(String::new(), content)]);
        }
        let mut parts: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (row, directory) in self.directories(rows)?.into_iter().enumerate() {
            match parts.get_mut(&directory) {
                Some(indices) => indices.push(row as u32),
                None => {
                    parts.insert(directory, vec![row as u32]);
                }
            }
        }
        parts
            .into_iter()
            .map(|(directory, indices)| {
                let part = take_record_batch(&content, &UInt32Array::from(indices));
                Ok((directory, part.map_err(broken)?))
            })
            .collect()
    }

    fn directories(&self, rows: &RecordBatch) -> Result<Vec<String>> {
        let mut directories = vec![String::new(); rows.num_rows()];
        for (position, (index, name)) in self.columns.iter().enumerate() {
            let array: &ArrayRef = rows.column(*index);
            let writer = value_writer(array, TextStyle::Java)?;
            let mut value = Vec::new();
            for (row, directory) in directories.iter_mut().enumerate() {
                if position > 0 {
                    directory.push('/');
                }
                escape(name, directory);
                directory.push('=');
                value.clear();
                if !array.is_null(row) {
                    writer.write(row, &mut value);
                }
                match value.as_slice() {
                    [] => directory.push_str(&self.default_name),
                    value => escape(&String::from_utf8_lossy(value), directory),
                }
            }
        }
        Ok(directories)
    }
}

/// Writes what file names cannot hold, or Hive sets apart, as `%` and two hexadecimal digits.
fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '\u{1}'..='\u{1f}'
            | '\u{7f}'
            | '"'
            | '#'
            | '%'
            | '\''
            | '*'
            | '/'
            | ':'
            | '='
            | '?'
            | '\\'
            | '{'
            | '['
            | ']'
            | '^'
            | '\0' => {
                out.push_str(&format!("%{:02X}", u32::from(character)));
            }
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int32Array, StringArray};
    use arrow_schema::{DataType, Field};

    use super::*;

    #[test]
    fn rows_are_divided_by_escaped_values_with_a_name_for_null() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("to", DataType::Utf8, true),
            Field::new("n", DataType::Int32, true),
        ]));
        let to = StringArray::from(vec![Some("a/b"), None, Some(""), Some("a/b"), Some("..")]);
        let n = Int32Array::from(vec![1, 2, 3, 4, 5]);
        let rows = RecordBatch::try_new(schema.clone(), vec![Arc::new(to), Arc::new(n)]).unwrap();
        let partitioning =
            Partitioning::new(&schema, &["to".to_owned()], "__NULL__".to_owned()).unwrap();
        let parts = partitioning.divide(&rows).unwrap();
        let shown: Vec<(String, Vec<i32>)> = parts
            .into_iter()
            .map(|(directory, rows)| {
                use arrow_array::cast::AsArray;
                use arrow_array::types::Int32Type;
                assert_eq!(rows.num_columns(), 1);
                (directory, rows.column(0).as_primitive::<Int32Type>().values().to_vec())
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("to=..".to_owned(), vec![5]),
                ("to=__NULL__".to_owned(), vec![2, 3]),
                ("to=a%2Fb".to_owned(), vec![1, 4]),
            ]
        );
    }
}
