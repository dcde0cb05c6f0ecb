use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{MetadataRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::{Encodable, StrBytes};
use proptest::prelude::*;

use super::*;

fn produce(records: usize, timeout_ms: i32) -> ProduceRequest {
    let partition = PartitionProduceData::default()
        .with_index(i32::MAX)
        .with_records(Some(Bytes::from(vec![0x80; records])));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("orders")))
        .with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(timeout_ms).with_topic_data(vec![topic])
}

fn encoded<T: Encodable>(message: &T, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes, version).unwrap();
    bytes.freeze()
}

#[test]
fn integers_larger_than_what_follows_arrive_as_they_were_sent() {
    for version in [3, 8, 9, 12] {
        for records in [0, 1, 100, 200_000, 3_000_000] {
            let request = produce(records, 30_000);
            let mut bytes = encoded(&request, version);
            assert_eq!(decode_request::<ProduceRequest>(&mut bytes, version), Ok(request));
            assert!(bytes.is_empty());
        }
    }
}

#[test]
fn records_are_not_copied() {
    let mut bytes = encoded(&produce(1_000, 30_000), 9);
    let range = bytes.as_ptr_range();
    let request: ProduceRequest = decode_request(&mut bytes, 9).unwrap();
    let records = request.topic_data[0].partition_data[0].records.clone().unwrap();
    assert!(range.contains(&records.as_ptr()));
}

#[test]
fn what_follows_a_message_is_left() {
    let mut bytes = BytesMut::from(&encoded(&MetadataRequest::default(), 9)[..]);
    bytes.put_slice(b"rest");
    let mut bytes = bytes.freeze();
    decode_request::<MetadataRequest>(&mut bytes, 9).unwrap();
    assert_eq!(&bytes[..], b"rest");
}

/// The codec reserves room for as many topics as are announced: for these, hundreds of gigabytes.
#[test]
fn an_array_that_cannot_follow_is_refused_before_room_is_made_for_it() {
    let mut old = BytesMut::new();
    old.put_i32(i32::MAX);
    assert!(decode_request::<MetadataRequest>(&mut old.freeze(), 1).is_err());

    let compact = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]);
    assert!(decode_request::<MetadataRequest>(&mut compact.clone(), 9).is_err());
}

/// A boolean of 0x81 looks like the first byte of a length, and must not hide the five that follow.
#[test]
fn no_byte_before_a_length_hides_how_large_it_is() {
    for first in [0x80, 0x81, 0xff] {
        let mut guard = Guard::new(Bytes::from(vec![first, 0x80, 0x80, 0x80, 0x80, 0x0f, 0]), 1);
        let refused = (0..6).any(|_| guard.try_get_u8().is_err());
        assert!(refused, "{first:#x}");
    }
}

#[test]
fn a_request_of_too_many_fields_is_refused() {
    let topic =
        MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_static_str("a"))));
    let request = |count| MetadataRequest::default().with_topics(Some(vec![topic.clone(); count]));
    let mut bytes = encoded(&request(900_000), 1);
    assert!(decode_request::<MetadataRequest>(&mut bytes, 1).is_ok());
    let mut bytes = encoded(&request(1_100_000), 1);
    assert!(decode_request::<MetadataRequest>(&mut bytes, 1).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_decoded_as_by_the_codec_or_refused(
        bytes in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(2), any::<u8>()], 0..60),
        version in 0i16..14,
    ) {
        let mut bytes = Bytes::from(bytes);
        let mut same = bytes.clone();
        // What the guard lets through the codec can read without reserving more than there is.
        if let Ok(guarded) = decode_request::<MetadataRequest>(&mut bytes, version) {
            prop_assert_eq!(MetadataRequest::decode(&mut same, version).ok(), Some(guarded));
        }
    }
}
