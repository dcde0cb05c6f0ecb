//! Checks what a client sends, and makes it what is stored. No lock is held meanwhile.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use crate::error::{LogError, RejectedRecord, Result};
use crate::storage::records::{
    Attributes, BatchHeader, Batches, Codec, HEADER_BYTES, Records, decode,
};
use crate::storage::{Origin, TopicConfig};

/// A batch that may be appended.
#[derive(Debug)]
pub(super) struct Prepared {
    pub header: BatchHeader,
    /// The encoded header; the base offset is set when it is known.
    pub head: [u8; HEADER_BYTES],
    /// The records.
    pub body: Bytes,
    /// The log's own time stamp, if it set one.
    pub append_time_ms: Option<i64>,
}

impl Prepared {
    /// Gives the batch its place.
    pub fn place(&mut self, base_offset: i64) -> Result<()> {
        let end = base_offset.checked_add(i64::from(self.header.last_offset_delta) + 1);
        if end.is_none() {
            // No more offsets: 2^63 records were written.
            return Err(LogError::Refused(ResponseError::InvalidRecord));
        }
        self.header.base_offset = base_offset;
        self.header.leader_epoch = 0;
        self.head[..8].copy_from_slice(&base_offset.to_be_bytes());
        self.head[12..16].copy_from_slice(&0i32.to_be_bytes());
        Ok(())
    }
}

/// Takes the batches apart as far as needed to check them.
///
/// # Errors
/// The codes that Kafka has for each case.
pub(super) fn prepare(
    batches: Bytes,
    origin: Origin,
    config: &TopicConfig,
    now_ms: i64,
) -> Result<Vec<Prepared>> {
    let mut prepared = Vec::with_capacity(1);
    for batch in Batches::new(batches) {
        let (header, batch) = batch.map_err(|error| error.refusal())?;
        header.verify(&batch).map_err(|error| error.refusal())?;
        let batch = match origin {
            Origin::Client | Origin::TransactionClient => check(header, batch, config, now_ms)?,
            Origin::Coordinator => of(header, &batch),
        };
        if batch.header.size_bytes > config.segment_bytes as usize {
            return Err(ResponseError::RecordListTooLarge.into());
        }
        prepared.push(batch);
    }
    // As in Kafka, a request carries one batch for a partition.
    if prepared.is_empty() || (origin != Origin::Coordinator && prepared.len() > 1) {
        return Err(ResponseError::InvalidRecord.into());
    }
    Ok(prepared)
}

/// A batch as it came.
pub(super) fn of(header: BatchHeader, batch: &Bytes) -> Prepared {
    let mut head = [0; HEADER_BYTES];
    head.copy_from_slice(&batch[..HEADER_BYTES]);
    Prepared { header, head, body: batch.slice(HEADER_BYTES..), append_time_ms: None }
}

fn check(header: BatchHeader, batch: Bytes, config: &TopicConfig, now_ms: i64) -> Result<Prepared> {
    if header.size_bytes > config.max_message_bytes {
        return Err(ResponseError::MessageTooLarge.into());
    }
    let attributes = header.attributes;
    let unnumbered = header.has_producer() && header.base_sequence < 0;
    let unowned = attributes.is_transactional() && !header.has_producer();
    let complete = i64::from(header.record_count) == i64::from(header.last_offset_delta) + 1;
    let foreign = attributes.is_control() || attributes.has_delete_horizon();
    if unnumbered || unowned || !complete || foreign {
        return Err(ResponseError::InvalidRecord.into());
    }
    let block = decode(&header, &batch).map_err(|_| ResponseError::InvalidRecord)?;
    let max_timestamp_ms = check_records(&header, &block, config, now_ms)?;
    let codec = config.compression.filter(|codec| Some(*codec) != attributes.codec());
    let stamped = config.log_append_time;
    let as_it_came = codec.is_none()
        && stamped == attributes.is_log_append_time()
        && !stamped
        && max_timestamp_ms == header.max_timestamp_ms;
    if as_it_came {
        return Ok(of(header, &batch));
    }
    let body = match codec {
        None => batch.slice(HEADER_BYTES..),
        Some(codec) => codec
            .compress(&block, config.compression_level)
            .map_err(|_| ResponseError::InvalidRecord)?
            .into(),
    };
    let prepared = rewrite(header, body, codec, stamped.then_some(now_ms), max_timestamp_ms);
    if prepared.header.size_bytes > config.max_message_bytes {
        return Err(ResponseError::MessageTooLarge.into());
    }
    Ok(prepared)
}

/// At most so many records of a batch are named that can't be taken.
const MAX_REJECTED: usize = 1000;

/// Checks each record, and says what their largest time stamp is.
///
/// # Errors
/// The records that can't be taken, so that a client can tell them from those that were only sent
/// along. Where any of them has a wrong time stamp, this is the code, as in Kafka.
fn check_records(
    header: &BatchHeader,
    block: &[u8],
    config: &TopicConfig,
    now_ms: i64,
) -> Result<i64> {
    // Where the producer says that the stamps are the log's, its records' own would be hidden.
    let mut as_sent = *header;
    as_sent.attributes.0 &= !Attributes::LOG_APPEND_TIME;
    let oldest = now_ms.saturating_sub(config.timestamp_before_max_ms);
    let youngest = now_ms.saturating_add(config.timestamp_after_max_ms);
    let mut max_timestamp_ms = -1;
    let mut code = ResponseError::InvalidRecord;
    let mut rejected = Vec::new();
    let mut reject = |index: i32, message: String| {
        if rejected.len() < MAX_REJECTED {
            rejected.push(RejectedRecord { index, message });
        }
    };
    // What may be compressed anew is numbered from 0 on by who sends it.
    let displaced = header.base_offset != 0
        && (header.attributes.codec() != Some(Codec::None)
            || config.compression.is_some_and(|codec| codec != Codec::None));
    for (index, record) in Records::new(&as_sent, block).enumerate() {
        let record = record.map_err(|_| ResponseError::InvalidRecord)?;
        if record.offset_delta as usize != index {
            return Err(ResponseError::InvalidRecord.into());
        }
        let stamp = record.timestamp_ms;
        let no_stamp = config.log_append_time || stamp == -1;
        if config.compact && record.key.is_none() {
            reject(
                record.offset_delta,
                "A compacted topic takes no record without a key.".to_owned(),
            );
        } else if !no_stamp && (stamp < oldest || stamp > youngest) {
            code = ResponseError::InvalidTimestamp;
            let message = format!(
                "Timestamp {stamp} is out of range: the topic takes those from {oldest} to {youngest}."
            );
            reject(record.offset_delta, message);
        } else if displaced {
            let message = "The offsets of a batch that is compressed begin with 0.";
            reject(record.offset_delta, message.to_owned());
        }
        max_timestamp_ms = stamp.max(max_timestamp_ms);
    }
    match rejected.is_empty() {
        true => Ok(max_timestamp_ms),
        false => Err(LogError::RejectedRecords { code, records: rejected }),
    }
}

/// The batch with another body, codec or time stamps, signed anew.
fn rewrite(
    mut header: BatchHeader,
    body: Bytes,
    codec: Option<Codec>,
    append_time_ms: Option<i64>,
    max_timestamp_ms: i64,
) -> Prepared {
    if let Some(codec) = codec {
        header.attributes.0 = (header.attributes.0 & !Attributes::CODEC_MASK) | codec.id();
    }
    header.attributes.0 &= !Attributes::LOG_APPEND_TIME;
    if append_time_ms.is_some() {
        header.attributes.0 |= Attributes::LOG_APPEND_TIME;
    }
    header.max_timestamp_ms = append_time_ms.unwrap_or(max_timestamp_ms);
    header.size_bytes = HEADER_BYTES + body.len();
    let head = header.encode(&body);
    Prepared { header, head, body, append_time_ms }
}
