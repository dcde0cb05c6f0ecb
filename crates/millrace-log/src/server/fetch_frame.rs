//! The frame of a fetch response, without a copy of its records.
//!
//! The codec writes everything else. Records, and the arrays that they stand in, are the last field
//! of their structure; so each structure is written with an empty one, its end is cut off, and the
//! contents follow. Large records become buffers of their own.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{FetchResponse, ResponseHeader};
use kafka_protocol::protocol::{Encodable, HeaderVersion};

use super::dispatch::BadRequest;

/// From this version on lengths are compact, and tagged fields follow each structure.
const FLEXIBLE: i16 = 12;

/// Records of fewer bytes are cheaper copied than written from a buffer of their own.
const COPIED_BYTES: usize = 4 << 10;

/// Encodes a response; the buffers in a row are its frame.
pub(super) fn encode(
    mut response: FetchResponse,
    correlation_id: i32,
    version: i16,
) -> Result<Vec<Bytes>, BadRequest> {
    let failed = |error: &dyn std::fmt::Display| {
        BadRequest(format!("the answer to a fetch cannot be encoded: {error}"))
    };
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    let header_version = FetchResponse::header_version(version);
    let header_bytes = header.compute_size(header_version).map_err(|e| failed(&e))?;
    let body_bytes = response.compute_size(version).map_err(|e| failed(&e))?;
    let length = i32::try_from(header_bytes + body_bytes).map_err(|e| failed(&e))?;
    let mut out = Pieces { done: Vec::new(), open: BytesMut::with_capacity(512), version };
    out.open.put_i32(length);
    header.encode(&mut out.open, header_version).map_err(|e| failed(&e))?;

    let topics = std::mem::take(&mut response.responses);
    out.put_head(&response)?;
    out.put_length(topics.len());
    for mut topic in topics {
        let partitions = std::mem::take(&mut topic.partitions);
        out.put_head(&topic)?;
        out.put_length(partitions.len());
        for mut partition in partitions {
            let records = partition.records.replace(Bytes::new()).unwrap_or_default();
            out.put_head(&partition)?;
            out.put_length(records.len());
            out.put_records(records);
            out.put_no_tags();
        }
        out.put_no_tags();
    }
    out.put_no_tags();
    out.done.push(out.open.freeze());
    Ok(out.done)
}

struct Pieces {
    done: Vec<Bytes>,
    open: BytesMut,
    version: i16,
}

impl Pieces {
    /// Writes a structure whose last field is empty, without this field and what is behind it.
    fn put_head<T: Encodable>(&mut self, message: &T) -> Result<(), BadRequest> {
        let encoded = message.encode(&mut self.open, self.version);
        encoded.map_err(|e| BadRequest(format!("a part of a fetch cannot be encoded: {e}")))?;
        let end: &[u8] = if self.version >= FLEXIBLE { &[1, 0] } else { &[0, 0, 0, 0] };
        if !self.open.ends_with(end) {
            return Err(BadRequest("a fetch has fields that were not expected".to_owned()));
        }
        self.open.truncate(self.open.len() - end.len());
        Ok(())
    }

    fn put_length(&mut self, length: usize) {
        // The whole frame's length was checked to be an `i32`.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if self.version < FLEXIBLE {
            self.open.put_u32(length);
            return;
        }
        let mut rest = length + 1;
        while rest >= 0x80 {
            self.open.put_u8((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.open.put_u8(rest as u8);
    }

    fn put_records(&mut self, records: Bytes) {
        if records.len() < COPIED_BYTES {
            self.open.put_slice(&records);
        } else {
            self.done.push(self.open.split().freeze());
            self.done.push(records);
        }
    }

    fn put_no_tags(&mut self) {
        if self.version >= FLEXIBLE {
            self.open.put_u8(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::fetch_response::{
        AbortedTransaction, FetchableTopicResponse, PartitionData,
    };
    use kafka_protocol::messages::{FetchRequest, ProducerId, TopicName};
    use kafka_protocol::protocol::StrBytes;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::dispatch;
    use super::*;

    fn partition() -> impl Strategy<Value = PartitionData> {
        let length = prop_oneof![0usize..300, 4_000usize..5_000, 16_000usize..17_000];
        let aborted = proptest::option::of(proptest::collection::vec(any::<(i64, i64)>(), 0..3));
        (any::<(i32, i16, i64, i64, i64)>(), aborted, length).prop_map(|(n, aborted, length)| {
            let aborted = aborted.map(|aborted| {
                let one = |(id, offset)| {
                    AbortedTransaction::default()
                        .with_producer_id(ProducerId(id))
                        .with_first_offset(offset)
                };
                aborted.into_iter().map(one).collect()
            });
            PartitionData::default()
                .with_partition_index(n.0)
                .with_error_code(n.1)
                .with_high_watermark(n.2)
                .with_last_stable_offset(n.3)
                .with_log_start_offset(n.4)
                .with_aborted_transactions(aborted)
                .with_records(Some(Bytes::from(vec![n.0 as u8; length])))
        })
    }

    fn response() -> impl Strategy<Value = FetchResponse> {
        let topic = ("[a-z]{0,200}", any::<u128>(), proptest::collection::vec(partition(), 0..4));
        proptest::collection::vec(topic, 0..4).prop_map(|topics| {
            let topics = topics.into_iter().map(|(name, id, partitions)| {
                FetchableTopicResponse::default()
                    .with_topic(TopicName(StrBytes::from_string(name)))
                    .with_topic_id(Uuid::from_u128(id))
                    .with_partitions(partitions)
            });
            FetchResponse::default().with_responses(topics.collect())
        })
    }

    proptest! {
        #[test]
        fn the_frame_is_what_the_codec_writes(response in response(), version in 4i16..=18) {
            let expected = dispatch::encode::<FetchRequest>(&response, 7, version);
            let pieces = encode(response, 7, version).map(|pieces| Bytes::from(pieces.concat()));
            prop_assert_eq!(pieces, expected);
        }
    }

    #[test]
    fn large_records_are_not_copied() {
        let records = Bytes::from(vec![1; COPIED_BYTES]);
        let partition = PartitionData::default().with_records(Some(records.clone()));
        let topic = FetchableTopicResponse::default().with_partitions(vec![partition]);
        let response = FetchResponse::default().with_responses(vec![topic]);
        let pieces = encode(response, 0, 12).unwrap();
        assert!(pieces.iter().any(|piece| piece.as_ptr() == records.as_ptr()));
    }
}
