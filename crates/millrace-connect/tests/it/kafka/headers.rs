//! Headers as columns of maps.

use std::io::{Read, Write};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, Int64Array, MapArray, RecordBatch, StringArray};
use arrow_array::{StructArray, TimestampMillisecondArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::DataType;
use millrace_connect::{TableSpec, map_type};
use millrace_core::{CheckpointId, Columns, Read as Reading};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::cluster::{Cluster, PATIENCE, with_metadata};
use crate::harness::{self, context, open_sink, open_source, open_writer};

const N: &[(&str, DataType)] = &[("n", DataType::Int64)];

fn headers_type() -> DataType {
    map_type(DataType::Utf8, DataType::Binary)
}

fn send(producer: &BaseProducer, topic: &str, headers: &[(&str, Option<&[u8]>)]) {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(0).payload(b"{\"n\":1}");
    if !headers.is_empty() {
        let all = headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
            all.insert(Header { key, value: *value })
        });
        record = record.headers(all);
    }
    producer.send(record).map_err(|(error, _)| error).unwrap();
}

async fn columns(table: &TableSpec) -> RecordBatch {
    let source = open_source("kafka", table).unwrap().source;
    let splits = source.discover().await.unwrap();
    let mut reader = source.open(&splits[0], &context(100)).await.unwrap();
    let mut batches = Vec::new();
    loop {
        match reader.next().await.unwrap() {
            Reading::Rows(batch) => {
                let columns: Columns = batch.rows.unwrap().downcast().unwrap();
                batches.push(columns.rows);
            }
            Reading::Pending => drop(reader.ready().await),
            Reading::End => break,
        }
    }
    let schema = batches[0].schema();
    arrow_select::concat::concat_batches(&schema, &batches).unwrap()
}

/// The entries of a row's map.
fn entries(maps: &MapArray, row: usize) -> Vec<(String, Option<Vec<u8>>)> {
    let pairs = maps.value(row);
    let (names, values) = (pairs.column(0).as_string::<i32>(), pairs.column(1).as_binary::<i32>());
    let value = |index: usize| values.is_valid(index).then(|| values.value(index).to_vec());
    (0..pairs.len()).map(|index| (names.value(index).to_owned(), value(index))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_a_map_in_which_the_last_of_a_name_counts() {
    let cluster = Cluster::start().await;
    let topic = cluster.topic("headers", 1).await;
    let producer = cluster.producer();
    send(&producer, &topic, &[("a", Some(b"1")), ("b", Some(&[0xff])), ("a", Some(b"2"))]);
    send(&producer, &topic, &[]);
    send(&producer, &topic, &[("null", None), ("empty", Some(b""))]);
    producer.flush(PATIENCE).unwrap();
    let table = with_metadata(cluster.table(&topic, N, &[]), "headers", headers_type());
    let rows = columns(&table).await;
    let maps = rows.column(1).as_map();
    let owned = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    assert_eq!(entries(maps, 0), [owned("b", Some(&[0xff])), owned("a", Some(b"2"))]);
    // A record without headers has an empty map, not NULL.
    assert_eq!((entries(maps, 1), maps.is_null(1)), (Vec::new(), false));
    assert_eq!(entries(maps, 2), [owned("null", None), owned("empty", Some(b""))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn written_metadata_is_read_again_and_null_stands_for_none() {
    let cluster = Cluster::start().await;
    let topic = cluster.topic("written", 1).await;
    let utc = DataType::Timestamp(arrow_schema::TimeUnit::Millisecond, Some("UTC".into()));
    let mut table = cluster.table(&topic, N, &[]);
    for (key, data_type) in [("headers", headers_type()), ("timestamp", utc)] {
        table = with_metadata(table, key, data_type);
    }
    for column in &mut table.metadata {
        column.is_virtual = false;
        column.field = column.field.clone().with_nullable(true);
    }
    let names = StringArray::from(vec!["a", "gone", "b"]);
    let values = BinaryArray::from_opt_vec(vec![Some(&b"1"[..]), None, Some(b"")]);
    let DataType::Map(entry, _) = headers_type() else { unreachable!() };
    let DataType::Struct(fields) = entry.data_type() else { unreachable!() };
    let pairs = StructArray::new(fields.clone(), vec![Arc::new(names), Arc::new(values)], None);
    let maps = MapArray::new(
        entry,
        OffsetBuffer::from_lengths([3, 0, 0]),
        pairs,
        Some(NullBuffer::from(vec![true, false, true])),
        false,
    );
    let times = vec![Some(1_700_000_000_000), None, Some(5)];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(maps),
        Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC")),
    ];
    let rows = RecordBatch::try_new(table.writable(), columns).unwrap();
    let sink = open_sink("kafka", &table).unwrap().sink;
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    let before = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    writer.write(harness::batch(&rows)).await.unwrap();
    writer.prepare(CheckpointId(1)).await.unwrap();

    let read = self::columns(&table).await;
    let maps = read.column(1).as_map();
    // As in Flink, a NULL value is no header.
    let a = ("a".to_owned(), Some(b"1".to_vec()));
    assert_eq!(entries(maps, 0), [a, ("b".to_owned(), Some(Vec::new()))]);
    assert!(entries(maps, 1).is_empty() && entries(maps, 2).is_empty());
    let times = read.column(2).as_primitive::<arrow_array::types::TimestampMillisecondType>();
    assert_eq!((times.value(0), times.value(2)), (1_700_000_000_000, 5));
    assert!(times.value(1) >= before, "NULL is the time of sending, not {}", times.value(1));
}

/// Any client may write a header whose name is not UTF-8.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_text_in_the_name_of_a_header_is_replaced() {
    let cluster = Cluster::start().await;
    let topic = cluster.topic("hostile", 1).await;
    produce_raw(&cluster.bootstrap, &topic, &batch_with_header(&[0xff, b'x']));
    let table = with_metadata(cluster.table(&topic, N, &[]), "headers", headers_type());
    let epoch = with_metadata(table, "leader-epoch", DataType::Int32);
    let rows = columns(&epoch).await;
    let header = ("\u{fffd}x".to_owned(), Some(b"v".to_vec()));
    assert_eq!(entries(rows.column(1).as_map(), 0), [header]);
    // The broker writes its own epoch, whatever the batch came with.
    let epochs = rows.column(2).as_primitive::<arrow_array::types::Int32Type>();
    assert!(epochs.is_valid(0) && epochs.value(0) >= 0, "{epochs:?}");
}

/// A batch of one record `{"n":1}` with one header of this name, as Kafka's protocol has it.
fn batch_with_header(name: &[u8]) -> Vec<u8> {
    // All lengths are so short that they take one byte, doubled by zigzag.
    let short = |length: usize| (length * 2) as u8;
    let mut record = vec![0, 0, 0, 1];
    let value = b"{\"n\":1}";
    record.push(short(value.len()));
    record.extend_from_slice(value);
    record.extend_from_slice(&[short(1), short(name.len())]);
    record.extend_from_slice(name);
    record.extend_from_slice(&[short(1), b'v']);

    let mut hashed = Vec::new();
    hashed.extend_from_slice(&0_i16.to_be_bytes());
    hashed.extend_from_slice(&0_i32.to_be_bytes());
    for time in [1_700_000_000_000_i64; 2] {
        hashed.extend_from_slice(&time.to_be_bytes());
    }
    hashed.extend_from_slice(&(-1_i64).to_be_bytes());
    hashed.extend_from_slice(&(-1_i16).to_be_bytes());
    hashed.extend_from_slice(&(-1_i32).to_be_bytes());
    hashed.extend_from_slice(&1_i32.to_be_bytes());
    hashed.push(short(record.len()));
    hashed.extend_from_slice(&record);

    let mut batch = 0_i64.to_be_bytes().to_vec();
    batch.extend_from_slice(&(9 + hashed.len() as i32).to_be_bytes());
    batch.extend_from_slice(&(-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend_from_slice(&crc32c(&hashed).to_be_bytes());
    batch.extend_from_slice(&hashed);
    batch
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// `Produce` in version 3, over a connection of its own.
fn produce_raw(bootstrap: &str, topic: &str, batch: &[u8]) {
    let mut request = Vec::new();
    for word in [0_i16, 3, 0, 1, -1, -1, 1] {
        // Key, version, correlation (two words), no client id, no transactional id, acks.
        request.extend_from_slice(&word.to_be_bytes());
    }
    request.extend_from_slice(&10_000_i32.to_be_bytes());
    request.extend_from_slice(&1_i32.to_be_bytes());
    request.extend_from_slice(&(topic.len() as i16).to_be_bytes());
    request.extend_from_slice(topic.as_bytes());
    request.extend_from_slice(&1_i32.to_be_bytes());
    request.extend_from_slice(&0_i32.to_be_bytes());
    request.extend_from_slice(&(batch.len() as i32).to_be_bytes());
    request.extend_from_slice(batch);
    let mut stream = std::net::TcpStream::connect(bootstrap).unwrap();
    stream.write_all(&(request.len() as i32).to_be_bytes()).unwrap();
    stream.write_all(&request).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; i32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).unwrap();
    // Correlation, topics, name, partitions, partition, error.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    assert_eq!(answer[at..at + 2], [0, 0], "the broker takes the batch: {answer:?}");
}
