use bytes::Bytes;

use super::*;

fn batch() -> Bytes {
    let mut builder = BatchBuilder::new().producer(7, 1, 5);
    builder.push(100, Some(b"a"), Some(b"1"));
    builder.push_with_headers(90, None, Some(b"2"), &[("h", Some(b"x")), ("h", None)]);
    builder.push(300, Some(b"c"), None);
    builder.build()
}

#[test]
fn what_is_built_is_what_kafka_protocol_reads() {
    let mut bytes = batch();
    let set = kafka_protocol::records::RecordBatchDecoder::decode(&mut bytes).unwrap();
    let seen: Vec<_> = set.records.iter().map(|r| (r.offset, r.timestamp, r.key.clone())).collect();
    let key = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    assert_eq!(seen, [(0, 100, key("a")), (1, 90, None), (2, 300, key("c"))]);
    assert_eq!(set.records[0].producer_id, 7);
    assert_eq!(set.records[1].sequence, 6);
}

#[test]
fn headers_that_occur_twice_are_walked_over_whole() {
    let batch = batch();
    let header = BatchHeader::parse(&batch).unwrap();
    let records: Vec<_> =
        Records::new(&header, &batch[HEADER_BYTES..]).map(Result::unwrap).collect();
    assert_eq!(records[1].header_count, 2);
    let encoded: usize = records.iter().map(|record| record.encoded.len()).sum();
    assert_eq!(encoded + HEADER_BYTES, batch.len());
}

#[test]
fn each_codec_gives_back_what_it_got() {
    let records: Vec<u8> = (0..100_000u32).flat_map(|n| (n / 100).to_le_bytes()).collect();
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let block = codec.compress(&records, None).unwrap();
        assert_eq!(codec.decompress(&block).unwrap()[..], records, "{codec:?}");
        assert_eq!(Codec::from_id(codec.id()), Some(codec));
    }
    let raw = snap::raw::Encoder::new().compress_vec(&records).unwrap();
    assert_eq!(Codec::Snappy.decompress(&raw).unwrap()[..], records);
}

#[test]
fn a_block_that_inflates_beyond_all_measure_is_refused() {
    let zeros = vec![0u8; codec::MAX_INFLATED_BYTES + 1];
    let block = Codec::Zstd.compress(&zeros, Some(1)).unwrap();
    assert!(block.len() < 100_000);
    assert!(Codec::Zstd.decompress(&block).is_err());
    // A snappy block that claims 4 GiB.
    assert!(Codec::Snappy.decompress(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]).is_err());
}

/// Any bytes, hostile or cut, give an error or a batch, and never a panic or a large allocation.
#[test]
fn any_bytes_can_be_read() {
    let good = batch();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.to_vec();
            bytes[at] ^= 1 << bit;
            let Ok(header) = BatchHeader::parse(&bytes) else { continue };
            let outside_of_the_checksum = at < 8 || (12..16).contains(&at);
            assert_eq!(header.verify(&bytes).is_ok(), outside_of_the_checksum, "byte {at}");
            if let Ok(block) = decode(&header, &bytes) {
                Records::new(&header, &block).for_each(drop);
            }
        }
        let cut = Batches::new(good.slice(..at)).next();
        assert!(cut.is_none_or(|batch| batch.is_err()), "cut at {at}");
    }
}

#[test]
fn sequence_numbers_start_again_at_zero() {
    assert_eq!(batch::sequence_plus(i32::MAX, 0), i32::MAX);
    assert_eq!(batch::sequence_plus(i32::MAX, 1), 0);
    assert_eq!(batch::sequence_plus(i32::MAX - 1, 3), 1);
}
