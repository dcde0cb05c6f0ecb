use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, InitProducerIdRequest, ListOffsetsRequest, ProduceRequest,
    ProducerId, TopicName, TransactionalId, WriteTxnMarkersRequest,
};
use millrace_log::broker::NewTopic;
use millrace_log::storage::records::BatchBuilder;

use crate::client::{Client, Log, text};

const READ_COMMITTED: i8 = 1;

/// Leaves a record of an open transaction in `orders`, and says whose it is.
async fn open_transaction(client: &mut Client) -> ProducerId {
    let transaction = TransactionalId(text("payments"));
    let init = InitProducerIdRequest::default()
        .with_transactional_id(Some(transaction.clone()))
        .with_transaction_timeout_ms(60_000);
    let producer = client.send(4, init).await;
    assert_eq!((producer.error_code, producer.producer_epoch), (0, 0));
    let topic = AddPartitionsToTxnTopic::default()
        .with_name(TopicName(text("orders")))
        .with_partitions(vec![0]);
    let add = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(transaction.clone())
        .with_v3_and_below_producer_id(producer.producer_id)
        .with_v3_and_below_producer_epoch(0)
        .with_v3_and_below_topics(vec![topic]);
    let added = client.send(3, add).await;
    assert_eq!(
        added.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code,
        0
    );
    let mut batch = BatchBuilder::new().producer(producer.producer_id.0, 0, 0).transactional();
    batch.push(1_700_000_000_000, None, Some(b"hanging"));
    let records: Bytes = batch.build();
    let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(TopicName(text("orders")))
        .with_partition_data(vec![data]);
    let produce = ProduceRequest::default()
        .with_transactional_id(Some(transaction))
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![topic]);
    let produced = client.send(9, produce).await;
    assert_eq!(produced.responses[0].partition_responses[0].error_code, 0);
    producer.producer_id
}

/// Where readers of what is committed come to.
async fn stable_end(client: &mut Client) -> i64 {
    let partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(-1);
    let topic = ListOffsetsTopic::default()
        .with_name(TopicName(text("orders")))
        .with_partitions(vec![partition]);
    let request =
        ListOffsetsRequest::default().with_isolation_level(READ_COMMITTED).with_topics(vec![topic]);
    client.send(7, request).await.topics[0].partitions[0].offset
}

/// The codes for partitions 0 and 7 of `orders`, of which the second isn't there.
async fn abort(client: &mut Client, producer: ProducerId, epoch: i16) -> Vec<i16> {
    let topic = WritableTxnMarkerTopic::default()
        .with_name(TopicName(text("orders")))
        .with_partition_indexes(vec![0, 7]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(producer)
        .with_producer_epoch(epoch)
        .with_topics(vec![topic]);
    let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
    let response = client.send(1, request).await;
    assert_eq!(response.markers[0].producer_id, producer);
    response.markers[0].topics[0].partitions.iter().map(|partition| partition.error_code).collect()
}

#[tokio::test]
async fn an_administrator_ends_a_transaction_that_hangs() {
    let log = Log::start().await;
    let new = NewTopic { name: "orders".to_owned(), partitions: 1, ..NewTopic::default() };
    log.server.broker().topics().create(new).unwrap();
    let mut client = log.client().await;
    let producer = open_transaction(&mut client).await;
    assert_eq!(stable_end(&mut client).await, 0);
    let missing = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(abort(&mut client, producer, 0).await, [0, missing]);
    assert_eq!(stable_end(&mut client).await, 2);
    // Nothing is open any more, so no second marker is written.
    assert_eq!(abort(&mut client, producer, 0).await, [0, missing]);
    assert_eq!(stable_end(&mut client).await, 2);
}

#[tokio::test]
async fn a_marker_of_an_old_epoch_ends_nothing() {
    let log = Log::start().await;
    let new = NewTopic { name: "orders".to_owned(), partitions: 1, ..NewTopic::default() };
    log.server.broker().topics().create(new).unwrap();
    let mut client = log.client().await;
    let producer = open_transaction(&mut client).await;
    let fenced = ResponseError::InvalidProducerEpoch.code();
    assert_eq!(abort(&mut client, producer, -1).await[0], fenced);
    assert_eq!(stable_end(&mut client).await, 0);
}
