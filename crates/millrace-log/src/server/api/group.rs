//! What the requests of groups have in common.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;

/// A copy that does not hold the whole request in memory.
pub(super) fn copy(text: &StrBytes) -> StrBytes {
    StrBytes::from_string(text.to_string())
}

/// The same for bytes.
pub(super) fn copy_bytes(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// The same for what may be missing.
pub(super) fn copy_optional(text: &Option<StrBytes>) -> Option<StrBytes> {
    text.as_ref().map(copy)
}

/// The number in an answer: 0 for success.
pub(super) fn code(result: Result<(), ResponseError>) -> i16 {
    result.err().map_or(0, |code| code.code())
}

/// Offsets are only kept for partitions that there are.
pub(super) fn check_partition(
    broker: &Broker,
    topic: &str,
    partition: i32,
) -> Result<(), ResponseError> {
    match broker.partition(topic, partition) {
        Some(_) => Ok(()),
        None => Err(ResponseError::UnknownTopicOrPartition),
    }
}
