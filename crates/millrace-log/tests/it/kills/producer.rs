//! An idempotent producer that goes on through the deaths of the broker.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::PARTITIONS;
use super::rpc::{Dice, Link, Run, pause, topic, value};
use crate::history::{RecordId, Send};

/// Codes after which the same batch is sent again: the broker is starting, or its disk failed.
const AGAIN: [i16; 7] = [3, 5, 6, 7, 14, 15, 56];

/// Sends batches to random partitions until the run stops. Each is sent until it is answered, but
/// for a few that are given up, as by a producer that dies.
/// Now and then it rests, for up to `rest_ms`.
pub async fn produce(run: Run, producer: u32, seed: u64, rest_ms: u64) -> Vec<Send> {
    let mut dice = Dice::new(seed);
    let mut link = Link::new(run.address);
    let mut sends: Vec<Send> = Vec::new();
    let mut number = 0;
    'producers: while !run.stopped() {
        let Some((id, epoch)) = identity(&mut link).await else {
            pause(10).await;
            continue;
        };
        let mut sequences: BTreeMap<i32, i32> = BTreeMap::new();
        while !run.stopped() {
            let partition = dice.below(u64::from(PARTITIONS)) as i32;
            let count = 1 + dice.below(5) as u32;
            let records: Vec<RecordId> =
                (0..count).map(|at| RecordId { producer, number: number + at }).collect();
            number += count;
            let sequence = sequences.entry(partition).or_insert(0);
            let batch = encode(&records, id, epoch, *sequence, dice.below(5));
            *sequence += count as i32;
            let called = run.now();
            let first = sends.len();
            sends.extend(records.iter().map(|&record| Send {
                record,
                partition,
                called,
                acknowledged: None,
            }));
            loop {
                match send(&mut link, partition, batch.clone()).await {
                    Some((0, base)) => {
                        let answered = run.now();
                        for (at, send) in sends[first..].iter_mut().enumerate() {
                            send.acknowledged = Some((answered, base + at as i64));
                        }
                        break;
                    }
                    Some((code, _)) if AGAIN.contains(&code) => pause(10).await,
                    Some((code, _)) => panic!(
                        "partition {partition} refused a batch of producer {producer}, sequence \
                         {}, with code {code}",
                        *sequence - count as i32
                    ),
                    // It may be there or not; one in ten producers dies of it.
                    None if dice.below(10) == 0 => continue 'producers,
                    None => {}
                }
            }
            if dice.below(4) == 0 {
                pause(dice.below(rest_ms)).await;
            }
        }
    }
    sends
}

async fn identity(link: &mut Link) -> Option<(i64, i16)> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(60_000)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let response = link.ask(4, &request).await?;
    (response.error_code == 0).then_some((response.producer_id.0, response.producer_epoch))
}

async fn send(link: &mut Link, partition: i32, batch: Bytes) -> Option<(i16, i64)> {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let request = ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(-1)
        .with_timeout_ms(5_000)
        .with_topic_data(vec![
            TopicProduceData::default().with_name(topic()).with_partition_data(vec![data]),
        ]);
    let response = link.ask(8, &request).await?;
    let answer = response.responses.first()?.partition_responses.first()?;
    Some((answer.error_code, answer.base_offset))
}

fn encode(records: &[RecordId], id: i64, epoch: i16, sequence: i32, codec: u64) -> Bytes {
    let records: Vec<Record> = records
        .iter()
        .enumerate()
        .map(|(at, &record)| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: id,
            producer_epoch: epoch,
            timestamp_type: TimestampType::Creation,
            offset: at as i64,
            sequence: sequence + at as i32,
            timestamp: 1_000 + i64::from(record.number),
            key: None,
            value: Some(value(record)),
            headers: Default::default(),
        })
        .collect();
    let compression = match codec {
        0 => Compression::Gzip,
        1 => Compression::Snappy,
        2 => Compression::Lz4,
        3 => Compression::Zstd,
        _ => Compression::None,
    };
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression };
    RecordBatchEncoder::encode(&mut batch, &records, &options).unwrap();
    batch.freeze()
}
