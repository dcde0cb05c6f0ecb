//! Records to rows of a table: columns of the value, of the key, and of metadata side by side.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
};
use arrow_schema::{Field, Schema, SchemaRef};
use arrow_select::take::take;
use arrow_select::zip::zip;
use millrace_core::{BadRecord, Batch, Columns, Error, Result, RowKind, RowKinds, SplitId};

use super::decode::{Decode, DecodedRecords, Decoder};
use super::fetched::{Fetched, Wanted};
use super::metadata::{self, HEADERS, LEADER_EPOCH};
use super::options::Part;
use crate::TableSpec;
use crate::format::message::{BadMessage, DecodedMessages, MessageDecoder, Messages};
use crate::format::record::without_rows;
use crate::format::{Format, ReadSchema};

/// What records mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Each is a new row.
    Append,
    /// Each is what has become of the row with its key; without a value it is gone. Rows are of a
    /// changelog then, and those of the latter sort have the columns of the key and those of
    /// metadata, all others null.
    Upserts,
}

/// What the rows of a table are made of.
#[derive(Debug)]
pub(crate) struct TableRows {
    schema: SchemaRef,
    columns: Vec<Column>,
    value: (Part, ReadSchema),
    key: Option<(Part, ReadSchema)>,
    reading: Reading,
}

/// Where a column comes from.
#[derive(Clone, Debug)]
enum Column {
    /// The column of this number among those that are decoded from the value.
    Value(usize),
    /// The same for the key.
    Key(usize),
    /// Of the value, and of the key where there is no value.
    Both {
        value: usize,
        key: usize,
    },
    Metadata(String, Field),
}

impl TableRows {
    /// # Errors
    /// `Report` for a projection that does not fit the table.
    pub fn new(
        table: &TableSpec,
        value: Part,
        key: Option<Part>,
        reading: Reading,
    ) -> Result<Self> {
        let readable = table.readable();
        let all = || (0..readable.fields().len()).collect();
        let projection: Vec<usize> = table.projection.clone().unwrap_or_else(all);
        let schema = readable.project(&projection).map_err(|cause| {
            Error::report(format!("the projection of table `{}` is wrong", table.name))
                .caused_by(cause)
        })?;
        let physical = table.schema.fields().len();
        let (mut of_value, mut of_key, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for index in projection {
            let place = |part: &Part| part.columns.iter().position(|&column| column == index);
            let column = if let Some(metadata) = index.checked_sub(physical) {
                let column = &table.metadata[metadata];
                Column::Metadata(column.key.clone(), column.field.clone())
            } else if let Some(in_value) = place(&value) {
                // A column of both is the value's, as in Flink.
                of_value.push(in_value);
                let value = of_value.len() - 1;
                match key.as_ref().and_then(place).filter(|_| reading == Reading::Upserts) {
                    Some(in_key) => {
                        of_key.push(in_key);
                        Column::Both { value, key: of_key.len() - 1 }
                    }
                    None => Column::Value(value),
                }
            } else if let Some(place) = key.as_ref().and_then(place) {
                of_key.push(place);
                Column::Key(of_key.len() - 1)
            } else {
                return Err(Error::report(format!("column {index} is in no part of the message")));
            };
            columns.push(column);
        }
        // A format reads its columns in their order, which for the key is that of `key.fields`.
        let of_key = sorted(of_key, &mut columns);
        let read = |part: Part, projection: Vec<usize>| {
            let projected = part.schema.project(&projection).map_err(|cause| {
                Error::report("columns of a message do not fit").caused_by(cause)
            })?;
            let read = ReadSchema {
                table_name: table.name.clone(),
                table: Arc::clone(&part.schema),
                projection,
                projected: Arc::new(projected),
            };
            Ok((part, read))
        };
        let value = read(value, of_value)?;
        let key = match key {
            Some(part) if !of_key.is_empty() => Some(read(part, of_key)?),
            _ => None,
        };
        let schema = match reading {
            Reading::Append => schema,
            Reading::Upserts => with_nulls(&schema, &columns),
        };
        Ok(TableRows { schema: Arc::new(schema), columns, value, key, reading })
    }
}

/// Sorts the places of key columns, and points the columns at their new numbers.
fn sorted(places: Vec<usize>, columns: &mut [Column]) -> Vec<usize> {
    let mut ascending = places.clone();
    ascending.sort_unstable();
    for column in columns {
        if let Column::Key(number) | Column::Both { key: number, .. } = column {
            let place = places[*number];
            *number = ascending.partition_point(|&other| other < place);
        }
    }
    ascending
}

/// The schema of rows of which some have nothing but their key.
fn with_nulls(schema: &Schema, columns: &[Column]) -> Schema {
    let fields = schema.fields().iter().zip(columns).map(|(field, column)| match column {
        Column::Value(_) => field.as_ref().clone().with_nullable(true),
        _ => field.as_ref().clone(),
    });
    Schema::new(fields.collect::<Vec<_>>())
}

impl Decode for TableRows {
    fn decoder(&self) -> Result<Box<dyn Decoder>> {
        let (part, read) = &self.value;
        let value = match read.projection.is_empty() {
            true => None,
            false => Some(part.format.message_decoder(read)?),
        };
        let key = self.key.as_ref().map(|(part, read)| part.format.message_decoder(read));
        Ok(Box::new(RowDecoder {
            schema: self.schema.clone(),
            columns: self.columns.clone(),
            value,
            nulls_are_rows: matches!(part.format, Format::Raw(_)),
            upserts: self.reading == Reading::Upserts,
            key: key.transpose()?,
            key_names: self.key.as_ref().map_or(String::new(), |(_, read)| names(&read.projected)),
        }))
    }
}

fn names(schema: &SchemaRef) -> String {
    let names: Vec<String> =
        schema.fields().iter().map(|field| format!("`{}`", field.name())).collect();
    names.join(", ")
}

struct RowDecoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    /// None when no column of it is read: then it is not looked at.
    value: Option<Box<dyn MessageDecoder>>,
    /// A value of nothing is a row of its format.
    nulls_are_rows: bool,
    /// A record without a value deletes the row of its key.
    upserts: bool,
    key: Option<Box<dyn MessageDecoder>>,
    key_names: String,
}

impl Decoder for RowDecoder {
    fn wanted(&self) -> Wanted {
        let wants = |wanted: &str| {
            let is_it =
                |column: &Column| matches!(column, Column::Metadata(key, _) if key == wanted);
            self.columns.iter().any(is_it)
        };
        Wanted {
            keys: self.key.is_some(),
            headers: wants(HEADERS),
            leader_epochs: wants(LEADER_EPOCH),
        }
    }

    fn decode(&mut self, fetched: &Fetched, split: &SplitId) -> Result<DecodedRecords> {
        let count = fetched.len();
        let mut of_value = vec![Fate::Row; count];
        if !self.nulls_are_rows && fetched.values.nulls() > 0 {
            let nulls = (0..count).filter(|&index| fetched.values.get(index).is_none());
            nulls.for_each(|index| of_value[index] = Fate::NoRow);
        }
        let mut fates = if self.upserts { vec![Fate::Row; count] } else { of_value.clone() };
        let leaves_out_nulls = !self.nulls_are_rows && !self.upserts;
        let mut bad = Vec::new();
        let DecodedMessages { rows: value, bad: bad_values } = match &mut self.value {
            Some(decoder) => decoder.decode_messages(&fetched.values, split)?,
            None => DecodedMessages::default(),
        };
        let value_fates = judged(&of_value, &bad_values);
        take_bad(bad_values, &fetched.values, fetched, split, &mut fates, &mut bad);
        let key = self.decode_keys(fetched, split, &mut fates, &mut bad)?;
        bad.sort_by_key(|record: &BadRecord| record.offset);
        let rows = fates.iter().filter(|fate| **fate == Fate::Row).count();
        if rows == 0 {
            return Ok(DecodedRecords { rows: None, bad, leaves_out_nulls });
        }
        let value = narrowed(value, &value_fates, &fates)?;
        let value = if self.upserts { spread(value, &value_fates, &fates)? } else { value };
        let key = match key {
            Some((rows, key_fates)) => narrowed(rows, &key_fates, &fates)?,
            None => None,
        };
        let columns = self.columns(fetched, &fates, value.as_ref(), key.as_ref())?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|cause| Error::report("columns of messages do not fit").caused_by(cause))?;
        let rows = match self.upserts {
            true => Columns::changes(batch, kinds(fetched, &fates))?,
            false => Columns::new(batch),
        };
        Ok(DecodedRecords { rows: Some(Batch::new(rows)), bad, leaves_out_nulls })
    }
}

type DecodedKeys = (Option<RecordBatch>, Vec<Fate>);

impl RowDecoder {
    fn decode_keys(
        &mut self,
        fetched: &Fetched,
        split: &SplitId,
        fates: &mut [Fate],
        bad: &mut Vec<BadRecord>,
    ) -> Result<Option<DecodedKeys>> {
        let Some(decoder) = &mut self.key else { return Ok(None) };
        let mut key_fates = vec![Fate::Row; fates.len()];
        let mut missing = Vec::new();
        if !decoder.has_rows_for_nulls() {
            for index in (0..fates.len()).filter(|&index| fetched.keys.get(index).is_none()) {
                key_fates[index] = Fate::NoRow;
                let cause = format!("the message has no key, which has {}", self.key_names);
                missing.push(BadMessage { index, column: None, cause });
            }
        }
        let decoded = decoder.decode_messages(&fetched.keys, split)?;
        let key_fates = judged(&key_fates, &decoded.bad);
        let of_key = |bad: BadMessage| BadMessage { cause: format!("key: {}", bad.cause), ..bad };
        let all = missing.into_iter().chain(decoded.bad.into_iter().map(of_key)).collect();
        take_bad(all, &fetched.values, fetched, split, fates, bad);
        Ok(Some((decoded.rows, key_fates)))
    }

    fn columns(
        &self,
        fetched: &Fetched,
        fates: &[Fate],
        value: Option<&RecordBatch>,
        key: Option<&RecordBatch>,
    ) -> Result<Vec<ArrayRef>> {
        let column = |batch: Option<&RecordBatch>, index: usize| {
            let batch = batch.ok_or_else(|| Error::report("a part of the message has no rows"))?;
            Ok(Arc::clone(batch.column(index)))
        };
        let all_stay = fates.iter().all(|fate| *fate == Fate::Row);
        let rows = fates.iter().filter(|fate| **fate == Fate::Row).count();
        let fields = self.schema.fields();
        let columns = self.columns.iter().zip(fields).map(|(source, field)| match source {
            // All of them are deletions.
            Column::Value(_) if self.upserts && value.is_none() => {
                Ok(new_null_array(field.data_type(), rows))
            }
            Column::Value(index) => column(value, *index),
            Column::Key(index) => column(key, *index),
            Column::Both { value: of_value, key: of_key } => {
                let of_key = column(key, *of_key)?;
                let Some(value) = value else { return Ok(of_key) };
                let there = BooleanArray::from_iter(
                    kinds(fetched, fates).iter().map(|kind| Some(kind.adds())),
                );
                zip(&there, value.column(*of_value), &of_key)
                    .map_err(|cause| Error::report("key and value do not fit").caused_by(cause))
            }
            Column::Metadata(name, field) => {
                let whole = metadata::column(name, field, fetched)?;
                if all_stay {
                    return Ok(whole);
                }
                let keep = fates.iter().map(|fate| Some(*fate == Fate::Row));
                let keep = BooleanArray::from_iter(keep);
                arrow_select::filter::filter(&whole, &keep)
                    .map_err(|cause| Error::report("metadata does not fit").caused_by(cause))
            }
        });
        columns.collect()
    }
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Row,
    Bad,
    /// It has no content, and is none in its format.
    NoRow,
}

/// What the records that stay say of their rows, when they are upserts.
fn kinds(fetched: &Fetched, fates: &[Fate]) -> RowKinds {
    let kind = |index: usize| match fetched.values.get(index) {
        Some(_) => RowKind::UpdateAfter,
        None => RowKind::Delete,
    };
    let stay = fates.iter().enumerate().filter(|(_, fate)| **fate == Fate::Row);
    stay.map(|(index, _)| kind(index)).collect()
}

/// The rows of values with a row of nulls wherever a record that stays has none.
fn spread(rows: Option<RecordBatch>, own: &[Fate], fates: &[Fate]) -> Result<Option<RecordBatch>> {
    let Some(rows) = rows else { return Ok(None) };
    let mut next = 0..;
    let stay = own.iter().zip(fates).filter(|(_, fate)| **fate == Fate::Row);
    let places: UInt32Array =
        stay.map(|(own, _)| if *own == Fate::Row { next.next() } else { None }).collect();
    let fields = rows.schema_ref().fields().iter();
    let nullable = fields.map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let columns = rows.columns().iter().map(|column| take(column, &places, None));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>();
    let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
    columns
        .and_then(|columns| RecordBatch::try_new_with_options(schema, columns, &options))
        .map(Some)
        .map_err(|cause| Error::report("values do not fit their records").caused_by(cause))
}

/// Which records a part has rows for.
fn judged(fates: &[Fate], bad: &[BadMessage]) -> Vec<Fate> {
    let mut fates = fates.to_vec();
    bad.iter().for_each(|bad| fates[bad.index] = Fate::Bad);
    fates
}

/// Makes bad records of bad messages; each record is told once, and one without a value too if its
/// key is bad.
fn take_bad(
    messages: Vec<BadMessage>,
    values: &Messages,
    fetched: &Fetched,
    split: &SplitId,
    fates: &mut [Fate],
    bad: &mut Vec<BadRecord>,
) {
    for message in messages {
        let index = message.index;
        // A record that is no row by its value is not judged by its key.
        if fates[index] == Fate::Row {
            fates[index] = Fate::Bad;
            bad.push(message.into_record(split, fetched.offsets[index], values.get(index)));
        }
    }
}

/// The rows of a part that stay when all parts have been judged.
fn narrowed(
    rows: Option<RecordBatch>,
    own: &[Fate],
    fates: &[Fate],
) -> Result<Option<RecordBatch>> {
    let Some(rows) = rows else { return Ok(None) };
    let there = own.iter().zip(fates).filter(|(own, _)| **own == Fate::Row);
    let leave_out: Vec<bool> = there.map(|(_, fate)| *fate != Fate::Row).collect();
    if leave_out.len() != rows.num_rows() {
        return Err(Error::report(format!(
            "{} rows were decoded from {} messages",
            rows.num_rows(),
            leave_out.len()
        )));
    }
    without_rows(rows, &leave_out).map(Some)
}
