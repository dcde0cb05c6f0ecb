//! Copies of what was given up, for whoever wants to see why.

use std::borrow::Cow;

use kafka_protocol::error::ResponseError;

use super::partition::{Cause, GivenUp};
use crate::error::{LogError, Result};
use crate::storage::records::{BatchBuilder, Batches, Records, decode};
use crate::storage::{Isolation, Origin, PartitionLog};

/// Where records are from that were given up.
pub(super) struct Place<'a> {
    pub group: &'a str,
    pub topic: &'a str,
    pub partition: i32,
    pub log: &'a PartitionLog,
}

/// Writes copies to a partition of the dead-letter topic: key, value and headers as they were, and
/// behind these where they are from and what became of them.
///
/// # Errors
/// A log can't be read or written. Some copies may have been written.
pub(super) fn write(place: &Place<'_>, given_up: &[GivenUp], to: &PartitionLog) -> Result<()> {
    for record in given_up {
        if let Some(copy) = copy(place, record)? {
            to.append(copy, Origin::Client)?;
        } else {
            let (topic, partition, offset) = (place.topic, place.partition, record.offset);
            tracing::warn!(topic, partition, offset, "a dead letter was deleted from its topic");
        }
    }
    Ok(())
}

/// The batch with the copy; `None` when the record is not there any more.
fn copy(place: &Place<'_>, given_up: &GivenUp) -> Result<Option<bytes::Bytes>> {
    let fetched = match place.log.read(given_up.offset, 1, true, Isolation::ReadUncommitted) {
        Err(LogError::Refused(ResponseError::OffsetOutOfRange)) => return Ok(None),
        fetched => fetched?,
    };
    let damaged = |error: &dyn std::fmt::Display| LogError::Damaged {
        path: place.log.dir().to_owned(),
        position: 0,
        reason: format!("at offset {}: {error}", given_up.offset),
    };
    let Some(batch) = Batches::new(fetched.records).next() else { return Ok(None) };
    let (header, batch) = batch.map_err(|error| damaged(&error))?;
    let block = decode(&header, &batch).map_err(|error| damaged(&error))?;
    for record in Records::new(&header, &block) {
        let record = record.map_err(|error| damaged(&error))?;
        if record.offset != given_up.offset {
            continue;
        }
        let message = match given_up.cause {
            Cause::Exhausted => "it was handed out as often as is allowed",
            Cause::Rejected => "it was rejected",
        };
        let context = [
            ("__dlq.errors.topic", place.topic.to_owned()),
            ("__dlq.errors.partition", place.partition.to_string()),
            ("__dlq.errors.offset", given_up.offset.to_string()),
            ("__dlq.errors.group", place.group.to_owned()),
            ("__dlq.errors.delivery.count", given_up.delivery_count.to_string()),
            ("__dlq.errors.message", message.to_owned()),
        ];
        // Clients write names as UTF-8; others could not be read by anybody.
        let names: Vec<(Cow<'_, str>, Option<&[u8]>)> = record
            .header_list()
            .map(|(name, value)| (String::from_utf8_lossy(name), value))
            .collect();
        let mut headers: Vec<(&str, Option<&[u8]>)> =
            names.iter().map(|(name, value)| (&**name, *value)).collect();
        headers.extend(context.iter().map(|(name, value)| (*name, Some(value.as_bytes()))));
        let mut builder = BatchBuilder::new();
        builder.push_with_headers(record.timestamp_ms, record.key, record.value, &headers);
        return Ok(Some(builder.build()));
    }
    Ok(None)
}
