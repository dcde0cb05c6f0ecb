//! Spoilt record batches whose checksum is right, and batches that grow without bounds when they are
//! inflated.

use std::io::Write;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ListOffsetsRequest, ProduceRequest, TopicName};
use kafka_protocol::records::RecordBatchDecoder;
use millrace_log::broker::NewTopic;
use millrace_log::storage::records::{BatchBuilder, HEADER_BYTES};
use millrace_log::storage::{Isolation, Origin};

use super::mutate::{Dice, spoil};
use super::seeds::batch;
use super::watch::{panics, peak_bytes, watch};
use super::{dice, replay, rounds};
use crate::client::{Client, Log, text};

/// The places of fields in a batch.
const LENGTH_AT: usize = 8;
const CHECKSUM_AT: usize = 17;
const CHECKED_FROM: usize = 21;
const ATTRIBUTES_AT: usize = 22;

/// Makes length and checksum fit what the batch holds.
pub fn sign(batch: &mut [u8]) {
    let length = i32::try_from(batch.len() - 12).unwrap();
    batch[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&batch[CHECKED_FROM..]);
    batch[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_be_bytes());
}

/// What a codec makes of bytes.
fn deflated(codec: u8, bytes: &[u8]) -> Vec<u8> {
    match codec {
        1 => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        2 => snap::raw::Encoder::new().compress_vec(bytes).unwrap(),
        3 => {
            let mut encoder = lz4::EncoderBuilder::new().build(Vec::new()).unwrap();
            encoder.write_all(bytes).unwrap();
            let (deflated, ended) = encoder.finish();
            ended.unwrap();
            deflated
        }
        4 => zstd::encode_all(bytes, 3).unwrap(),
        _ => bytes.to_vec(),
    }
}

/// The batch with its records in another codec.
fn in_codec(batch: &[u8], codec: u8) -> BytesMut {
    let mut deflated_batch = BytesMut::from(&batch[..HEADER_BYTES]);
    deflated_batch[ATTRIBUTES_AT] |= codec;
    deflated_batch.put_slice(&deflated(codec, &batch[HEADER_BYTES..]));
    sign(&mut deflated_batch);
    deflated_batch
}

fn spoilt(dice: &mut Dice) -> Bytes {
    let whole = batch();
    let codec = dice.below(6) as u8;
    let mut spoilt = BytesMut::from(&whole[..]);
    // Before it is deflated or after: in the records, or in what the codec made of them.
    let inside = dice.one_in(2);
    let kept = if dice.one_in(4) { CHECKED_FROM } else { HEADER_BYTES };
    if inside {
        spoil(&mut spoilt, kept, &whole[kept..], dice);
    }
    if spoilt.len() >= HEADER_BYTES {
        spoilt = in_codec(&spoilt, codec);
    }
    if !inside || dice.one_in(4) {
        spoil(&mut spoilt, kept, &whole[kept..], dice);
    }
    if spoilt.len() >= HEADER_BYTES && !dice.one_in(20) {
        sign(&mut spoilt);
    }
    spoilt.freeze()
}

fn create(log: &Log, name: &str, compact: bool) {
    let mut new = NewTopic { name: name.to_owned(), partitions: 1, ..NewTopic::default() };
    // The records are from long ago.
    new.configs.insert("retention.ms".to_owned(), "-1".to_owned());
    if compact {
        new.configs.insert("cleanup.policy".to_owned(), "compact".to_owned());
        new.configs.insert("min.cleanable.dirty.ratio".to_owned(), "0.0".to_owned());
        new.configs.insert("segment.ms".to_owned(), "1".to_owned());
    }
    log.server.broker().topics().create(new).unwrap();
}

/// What is taken must be what others can read: by another decoder, by compaction, and after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_spoilt_batch_is_refused_or_can_be_read_by_all() {
    watch();
    let log = Log::start().await;
    create(&log, "plain", false);
    create(&log, "compacted", true);
    let (mut taken, rounds) = (0, rounds(1) * 10);
    for round in 0..rounds {
        let batch = spoilt(&mut dice(round));
        let compacted = round.is_multiple_of(2);
        let name = if compacted { "compacted" } else { "plain" };
        let partition = log.server.broker().partition(name, 0).unwrap();
        let Ok(appended) = partition.append(batch, Origin::Client) else { continue };
        taken += 1;
        let note = replay("a_spoilt_batch", round);
        let read = partition.read(appended.base_offset, 1 << 20, true, Isolation::LogEnd);
        let mut records = read.unwrap().records;
        let decoded = RecordBatchDecoder::decode_all(&mut records);
        let sets = match decoded {
            Ok(sets) => sets,
            // Kafka takes names of headers that are not UTF-8, and this decoder does not.
            Err(error) if error.to_string().contains("utf-8") => continue,
            Err(error) => panic!("{error}: {note}"),
        };
        let count: usize = sets.iter().map(|set| set.records.len()).sum();
        assert_eq!(count as i64, appended.last_offset + 1 - appended.base_offset, "{note}");
        partition.offset_for_time(1_700_000_000_001, Isolation::LogEnd).expect(&note);
        if taken % 500 == 0 {
            partition.maintain().expect(&note);
        }
        assert_eq!(panics(), Vec::<String>::new(), "{note}");
    }
    println!("{taken} of {rounds} were taken");
    assert!(taken > 0 && taken < rounds, "{taken} of {rounds} were taken");
    let log = log.restart().await;
    for name in ["plain", "compacted"] {
        log.server.broker().partition(name, 0).unwrap().maintain().unwrap();
    }
}

/// Some hundred kilobytes that say they are gigabytes of zeros.
fn bombs() -> Vec<(&'static str, Bytes)> {
    let zeros = vec![0; 4 << 20];
    let mut batch = BatchBuilder::new();
    batch.push(1_700_000_000_000, Some(b"key"), Some(b"value"));
    let bomb = |codec: u8, block: Vec<u8>| {
        let mut bomb = BytesMut::from(&batch.clone().build()[..HEADER_BYTES]);
        bomb[ATTRIBUTES_AT] |= codec;
        bomb.put_slice(&block);
        sign(&mut bomb);
        bomb.freeze()
    };
    // Parts in a row are one whole for gzip and zstd. LZ4 inflates 255-fold at most.
    let zstd = deflated(4, &zeros).repeat(2_000);
    let mut lz4 = lz4::EncoderBuilder::new().build(Vec::new()).unwrap();
    (0..56).for_each(|_| lz4.write_all(&zeros).unwrap());
    let lz4 = lz4.finish().0;
    let snappy_lies = [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0; 1_000]].concat();
    vec![
        ("gzip", bomb(1, deflated(1, &zeros).repeat(200))),
        ("snappy", bomb(2, snappy_lies)),
        ("lz4", bomb(3, lz4)),
        ("zstd", bomb(4, zstd)),
    ]
}

fn produce(topic: &str, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(records));
    let data = TopicProduceData::default()
        .with_name(TopicName(text(topic)))
        .with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data])
}

async fn bombard(mut client: Client, bomb: Bytes) -> Option<ResponseError> {
    let response = client.send(9, produce("target", bomb)).await;
    ResponseError::try_from_code(response.responses[0].partition_responses[0].error_code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_that_inflate_to_gigabytes_are_refused_in_little_memory() {
    watch();
    let log = Log::start().await;
    create(&log, "target", false);
    let before = peak_bytes();
    let began = Instant::now();
    let mut flying = Vec::new();
    for (name, bomb) in bombs() {
        assert!(bomb.len() < 1 << 20, "{name} has {} bytes", bomb.len());
        for _ in 0..2 {
            flying.push((name, tokio::spawn(bombard(log.client().await, bomb.clone()))));
        }
    }
    for (name, one) in flying {
        assert_eq!(one.await.unwrap(), Some(ResponseError::InvalidRecord), "{name}");
    }
    println!(
        "8 bombs in {:?}, memory before and after {before:?} {:?}",
        began.elapsed(),
        peak_bytes()
    );
    if let Some(((had, _), (has, _))) = before.zip(peak_bytes()) {
        assert!(has - had < 700 << 20, "memory grew by {} MiB", (has - had) >> 20);
    }
    assert_eq!(panics(), Vec::<String>::new());
}

/// A batch that may be stored, and is inflated again by each search for a time: nobody else waits long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searching_a_large_batch_by_time_does_not_hold_up_others() {
    watch();
    let log = Log::start().await;
    create(&log, "target", false);
    let mut batch = BatchBuilder::new();
    batch.push(1_700_000_000_000, None, Some(&vec![0; 100 << 20]));
    let batch = in_codec(&batch.build(), 4);
    let mut client = log.client().await;
    let response = client.send(9, produce("target", batch.freeze())).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    let before = peak_bytes();
    let searches: Vec<_> = (0..8)
        .map(|_| {
            let address = log.server.address();
            tokio::spawn(async move {
                let wanted = ListOffsetsTopic::default()
                    .with_name(TopicName(text("target")))
                    .with_partitions(vec![
                        ListOffsetsPartition::default().with_timestamp(1_600_000_000_000),
                    ]);
                let request = ListOffsetsRequest::default().with_topics(vec![wanted]);
                Client::connect(address).await.send(4, request).await
            })
        })
        .collect();
    for search in searches {
        let found = search.await.unwrap();
        assert_eq!(found.topics[0].partitions[0].offset, 0, "{found:?}");
    }
    if let Some(((had, _), (has, _))) = before.zip(peak_bytes()) {
        assert!(has - had < 700 << 20, "memory grew by {} MiB", (has - had) >> 20);
    }
}
