//! Rows of a table to records.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use millrace_core::{Batch, Columns, Error, Result, RowKind, SinkContext};

use super::outgoing::{Outgoing, OutgoingRecord, Serialization, Serializer};
use crate::TableSpec;
use crate::format::message_encoder::MessageEncoder;
use crate::kafka::headers;
use crate::kafka::metadata::HEADERS;
use crate::kafka::options::Part;

/// The option `sink.partitioner`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Partitioning {
    /// By the key's hash as Kafka's Java client does it; records without a key go to random
    /// partitions, some milliseconds' worth to the same.
    #[default]
    ByKey,
    /// Each subtask writes to one partition.
    Fixed,
    /// Each subtask writes its batches to the partitions in turn.
    RoundRobin,
}

/// How the rows of a table become records.
#[derive(Debug)]
pub(crate) struct TableSerialization {
    key: Option<Part>,
    value: Part,
    /// The column with the record's time.
    timestamp: Option<usize>,
    /// The column with its headers.
    headers: Option<usize>,
    partitioning: Partitioning,
    /// Rows may be changes, which a record without a value deletes.
    upserts: bool,
}

impl TableSerialization {
    /// Checks that the formats can write the table's columns. With `upserts` it takes changes of
    /// rows too, and `key` is the table's primary key.
    ///
    /// # Errors
    /// `FixInput` naming what cannot be written.
    pub fn new(
        table: &TableSpec,
        key: Option<Part>,
        value: Part,
        partitioning: Partitioning,
        upserts: bool,
    ) -> Result<Self> {
        for part in key.iter().chain([&value]) {
            part.format.message_encoder(&part.schema)?;
        }
        let (mut timestamp, mut headers) = (None, None);
        let physical = table.schema.fields().len();
        let written = table.metadata.iter().filter(|column| !column.is_virtual);
        for (index, column) in written.enumerate() {
            match column.key.as_str() {
                "timestamp" => timestamp = Some(physical + index),
                HEADERS => headers = Some(physical + index),
                other => {
                    return Err(Error::fix_input(format!(
                        "the metadata `{other}` of column `{}` cannot be written",
                        column.field.name()
                    ))
                    .hint("declare the column VIRTUAL"));
                }
            }
        }
        Ok(TableSerialization { key, value, timestamp, headers, partitioning, upserts })
    }
}

impl Serialization for TableSerialization {
    fn serializer(&self, context: &SinkContext, partitions: i32) -> Box<dyn Serializer> {
        let part = |part: &Part| PartSerializer {
            part: part.clone(),
            encoder: part.format.message_encoder(&part.schema).expect("it was checked in `new`"),
            places: Vec::new(),
        };
        let partition =
            i32::try_from(context.subtask.index).unwrap_or(i32::MAX) % partitions.max(1);
        Box::new(TableSerializer {
            key: self.key.as_ref().map(part),
            value: part(&self.value),
            timestamp: self.timestamp,
            headers: self.headers,
            partitioning: self.partitioning,
            upserts: self.upserts,
            partition,
            partitions: partitions.max(1),
        })
    }
}

struct TableSerializer {
    key: Option<PartSerializer>,
    value: PartSerializer,
    timestamp: Option<usize>,
    headers: Option<usize>,
    partitioning: Partitioning,
    upserts: bool,
    /// Where the next batch goes, if the partitioner says so.
    partition: i32,
    partitions: i32,
}

struct PartSerializer {
    part: Part,
    encoder: Box<dyn MessageEncoder>,
    /// Of the last batch.
    places: Vec<Option<Range<usize>>>,
}

impl PartSerializer {
    fn serialize(&mut self, rows: &RecordBatch, out: &mut Outgoing) -> Result<()> {
        let columns = self.part.columns.iter().map(|&column| rows.column(column).clone());
        let schema = Arc::clone(&self.part.schema);
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let part = RecordBatch::try_new_with_options(schema, columns.collect(), &options).map_err(
            |cause| Error::report("rows for Kafka do not fit their table").caused_by(cause),
        )?;
        self.places.clear();
        self.encoder.encode(&part, &mut out.bytes, &mut self.places).map_err(|cause| {
            Error::fix_input("a row cannot be written in the table's format").caused_by(cause)
        })
    }
}

impl Serializer for TableSerializer {
    fn serialize(&mut self, batch: Batch, out: &mut Outgoing) -> Result<()> {
        let columns: Columns = batch.downcast()?;
        let rows = &columns.rows;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        if !self.upserts {
            columns.check_append_only("a table of connector `kafka`")?;
        }
        if let Some(key) = &mut self.key {
            key.serialize(rows, out)?;
        }
        self.value.serialize(rows, out)?;
        let partition = match self.partitioning {
            Partitioning::ByKey => None,
            Partitioning::Fixed => Some(self.partition),
            Partitioning::RoundRobin => {
                let partition = self.partition;
                self.partition = (partition + 1) % self.partitions;
                Some(partition)
            }
        };
        let timestamps = self.timestamp.map(|column| millis(rows.column(column))).transpose()?;
        let mut headers =
            self.headers.map(|column| headers::of_column(rows.column(column))).transpose()?;
        for row in 0..rows.num_rows() {
            let kind = columns.kind(row);
            if kind == RowKind::UpdateBefore && self.is_replaced_by_next(&columns, row, out) {
                out.folded_rows += 1;
                continue;
            }
            let value = self.value.places[row].take();
            out.records.push(OutgoingRecord {
                key: self.key.as_mut().and_then(|key| key.places[row].take()),
                value: value.filter(|_| kind.adds()),
                partition,
                timestamp_ms: match &timestamps {
                    Some(timestamps) => timestamps[row].map(checked).transpose()?,
                    None => None,
                },
                headers: headers.as_mut().map_or(Vec::new(), |all| std::mem::take(&mut all[row])),
            });
        }
        Ok(())
    }
}

impl TableSerializer {
    /// Whether the row behind `row` is what has become of it, under the same key: then its record
    /// takes the place of this one's, and no reader needs to see the row gone in between.
    fn is_replaced_by_next(&self, columns: &Columns, row: usize, out: &Outgoing) -> bool {
        let next = row + 1;
        next < columns.rows.num_rows()
            && columns.kind(next) == RowKind::UpdateAfter
            && self
                .key
                .as_ref()
                .is_some_and(|key| out.text(&key.places[row]) == out.text(&key.places[next]))
    }
}

/// Kafka's times are not negative, and librdkafka takes 0 for the time of sending.
pub(super) fn checked(timestamp_ms: i64) -> Result<i64> {
    if timestamp_ms > 0 {
        return Ok(timestamp_ms);
    }
    Err(Error::fix_input(format!(
        "a record cannot have the time {timestamp_ms} ms: it has to be later than the beginning of \
         1970"
    )))
}

fn millis(column: &ArrayRef) -> Result<Vec<Option<i64>>> {
    fn of<T: ArrowPrimitiveType<Native = i64>>(
        column: &ArrayRef,
        convert: impl Fn(i64) -> i64,
    ) -> Vec<Option<i64>> {
        column.as_primitive::<T>().iter().map(|value| value.map(&convert)).collect()
    }
    Ok(match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            of::<TimestampSecondType>(column, |value| value.saturating_mul(1_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            of::<TimestampMillisecondType>(column, |value| value)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            of::<TimestampMicrosecondType>(column, |value| value.div_euclid(1_000))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            of::<TimestampNanosecondType>(column, |value| value.div_euclid(1_000_000))
        }
        other => return Err(Error::report(format!("{other} is no type for a record's time"))),
    })
}
