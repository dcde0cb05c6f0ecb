//! What records have beside key and value, as columns.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMillisecondArray};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, TimeUnit};
use millrace_core::{Error, Result};
use rdkafka::message::Timestamp;

use super::fetched::Fetched;
use super::headers;
use crate::MetadataKey;

/// The key of the column with a record's headers.
pub(crate) const HEADERS: &str = "headers";
/// The key of the column with the epoch of the leader that took the record.
pub(crate) const LEADER_EPOCH: &str = "leader-epoch";

/// All keys that columns can stand for.
pub(crate) fn keys() -> Vec<MetadataKey> {
    let zoned = |unit| DataType::Timestamp(unit, Some("UTC".into()));
    let key = |name, data_type, also: &[DataType], writable| MetadataKey {
        name,
        data_type,
        also: also.to_vec(),
        nullable: false,
        writable,
    };
    let local = |unit| DataType::Timestamp(unit, None);
    let timestamps = [
        zoned(TimeUnit::Microsecond),
        zoned(TimeUnit::Nanosecond),
        local(TimeUnit::Millisecond),
        local(TimeUnit::Microsecond),
        local(TimeUnit::Nanosecond),
    ];
    let [headers, other_headers @ ..] = headers::types();
    vec![
        key("topic", DataType::Utf8, &[], false),
        key("partition", DataType::Int32, &[DataType::Int64], false),
        key("offset", DataType::Int64, &[], false),
        key("timestamp", zoned(TimeUnit::Millisecond), &timestamps, true),
        key("timestamp-type", DataType::Utf8, &[], false),
        key(HEADERS, headers, &other_headers, true),
        MetadataKey { nullable: true, ..key(LEADER_EPOCH, DataType::Int32, &[], false) },
    ]
}

/// Why a key that Flink has is missing here.
pub(crate) fn why_missing(key: &str) -> Option<&'static str> {
    match key {
        "header-list" => Some("it is an ARRAY of ROWs, which are not supported; use `headers`"),
        _ => None,
    }
}

/// The column of a key for all of `fetched`, in the type that it was declared with.
///
/// # Errors
/// `Report` for a key or a type that [`keys`] does not have.
pub(crate) fn column(key: &str, field: &Field, fetched: &Fetched) -> Result<ArrayRef> {
    let rows = fetched.len();
    let column: ArrayRef = match key {
        "topic" => {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&fetched.topic, rows)))
        }
        "partition" => Arc::new(Int32Array::from_value(fetched.partition, rows)),
        "offset" => Arc::new(Int64Array::from_iter_values(fetched.offsets.iter().copied())),
        "timestamp" => {
            // The Java client gives -1 where a record has none.
            let millis = fetched.timestamps.iter().map(|time| time.to_millis().unwrap_or(-1));
            Arc::new(TimestampMillisecondArray::from_iter_values(millis).with_timezone("UTC"))
        }
        "timestamp-type" => {
            let name = |time: &Timestamp| match time {
                Timestamp::NotAvailable => "NoTimestampType",
                Timestamp::CreateTime(_) => "CreateTime",
                Timestamp::LogAppendTime(_) => "LogAppendTime",
            };
            Arc::new(StringArray::from_iter_values(fetched.timestamps.iter().map(name)))
        }
        LEADER_EPOCH => Arc::new(fetched.leader_epochs.iter().copied().collect::<Int32Array>()),
        HEADERS => return headers::to_column(&fetched.headers, field.data_type()),
        other => return Err(Error::report(format!("there is no metadata `{other}`"))),
    };
    if column.data_type() == field.data_type() {
        return Ok(column);
    }
    cast(&column, field.data_type()).map_err(|cause| {
        Error::report(format!("metadata `{key}` cannot be what it was declared")).caused_by(cause)
    })
}
