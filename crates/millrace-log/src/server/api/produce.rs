//! Records in.
//!
//! A request has two steps. The first appends to all partitions and does not wait, so that requests
//! of one connection are appended in their order. The second waits until what was appended satisfies
//! the fsync policy; meanwhile the connection may begin its next request.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;

use super::partition::find_topic;
use crate::broker::{Broker, Topic};
use crate::error::{LogError, RejectedRecord, Result};
use crate::server::Peer;
use crate::server::access::Operation;
use crate::storage::records::{BatchError, BatchHeader, Batches, Codec};
use crate::storage::{Appended, Origin, PartitionLog};
use crate::transaction::{Added, Admission, Partitions, Producer, Transactions};
use crate::transaction::{not_taken_in, refused_batch};

/// From this version on batches take their partitions into the transaction.
const TAKES_IN: i16 = 12;

/// From this version on topics are named by their ids.
const BY_ID: i16 = 13;

/// Records that were appended and are not acknowledged yet.
pub(crate) struct Begun {
    response: ProduceResponse,
    /// The client wants an answer.
    wanted: bool,
    /// Which partitions must be on the disk through which offset, and their places in `response`.
    waiting: Vec<(Arc<PartitionLog>, i64, usize, usize)>,
    /// What must be on the disk of the transaction that the records belong to.
    added: Option<(Arc<Transactions>, Added)>,
}

/// Appends the records of a request. Compressed ones are inflated to check them, off the
/// connections' threads.
///
/// # Errors
/// When appending panicked.
pub(crate) async fn begin(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: ProduceRequest,
    version: i16,
) -> Result<Begun> {
    if !is_compressed(&request) {
        return Ok(append_all(broker, peer, request, version));
    }
    let peer = peer.clone();
    broker.inflating(move |broker| append_all(broker, &peer, request, version)).await
}

fn is_compressed(request: &ProduceRequest) -> bool {
    let partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    let records = partitions.filter_map(|data| data.records.as_ref());
    records.flat_map(headers).any(|header| header.attributes.codec().is_some())
}

fn append_all(broker: &Broker, peer: &Peer, request: ProduceRequest, version: i16) -> Begun {
    let mut begun = Begun {
        response: ProduceResponse::default(),
        wanted: request.acks != 0,
        waiting: Vec::new(),
        added: None,
    };
    let acks_are_known = matches!(request.acks, -1..=1);
    let may_write = check_transactional_id(broker, peer, &request);
    let find = |data: &TopicProduceData| {
        let access = (peer, Operation::Write);
        find_topic(broker, access, &data.name, data.topic_id, version >= BY_ID)
    };
    let topics: Vec<_> = request.topic_data.iter().map(find).collect();
    let taken_in = match may_write {
        Ok(()) if version >= TAKES_IN => take_in(broker, &request, &topics),
        _ => Ok(None),
    };
    let id = request.transactional_id.as_ref().map(|id| id.as_str());
    let found = request.topic_data.into_iter().zip(&topics);
    for (topic_place, (data, topic)) in found.enumerate() {
        let mut answer =
            TopicProduceResponse::default().with_name(data.name).with_topic_id(data.topic_id);
        for (place, partition) in data.partition_data.into_iter().enumerate() {
            let appended = match (topic, may_write) {
                (_, Err(code)) => Err(code.into()),
                (Err(code), _) => Err((*code).into()),
                (Ok(topic), _) => {
                    let admit = |records: &Bytes| match &taken_in {
                        Err(code) if is_transactional(records) => Err(*code),
                        _ if version >= TAKES_IN => Ok(None),
                        _ => admit(broker, id, (&topic.name, partition.index), records, version),
                    };
                    let admit = |records: &Bytes| match acks_are_known {
                        true => admit(records),
                        false => Err(ResponseError::InvalidRequiredAcks),
                    };
                    append(topic, partition.index, partition.records, version, admit)
                }
            };
            if let Ok((log, appended)) = &appended {
                begun.waiting.push((log.clone(), appended.last_offset, topic_place, place));
            }
            let appended = appended.map(|(_, appended)| appended);
            answer.partition_responses.push(answer_partition(partition.index, appended, version));
        }
        begun.response.responses.push(answer);
    }
    // The admission was held until here, where all batches are in their logs.
    begun.added = taken_in.ok().flatten().map(|(_, added)| (broker.transactions().clone(), added));
    begun
}

/// Takes the partitions of all transactional batches into their transaction, at once.
fn take_in(
    broker: &Broker,
    request: &ProduceRequest,
    topics: &[Result<Arc<Topic>, ResponseError>],
) -> Result<Option<(Admission, Added)>, ResponseError> {
    let mut partitions = Partitions::new();
    let mut producers = BTreeSet::new();
    for (data, topic) in request.topic_data.iter().zip(topics) {
        let Some(topic) = topic.as_ref().ok().filter(|topic| !topic.internal) else { continue };
        for partition in &data.partition_data {
            let (index, records) = (partition.index, partition.records.as_ref());
            let Some(records) = records.filter(|_| topic.partition(index).is_some()) else {
                continue;
            };
            for producer in transactional_producers(records) {
                producers.insert(producer);
                partitions.entry(topic.name.clone()).or_default().insert(index);
            }
        }
    }
    let mut producers = producers.into_iter();
    let Some(producer) = producers.next() else { return Ok(None) };
    if producers.next().is_some() {
        return Err(ResponseError::InvalidProducerIdMapping);
    }
    let id = request.transactional_id.as_ref();
    let id = id.ok_or(ResponseError::TransactionalIdAuthorizationFailed)?;
    let added = broker.transactions().add_and_admit(id, producer, &partitions);
    added.map(Some).map_err(not_taken_in)
}

fn is_transactional(records: &Bytes) -> bool {
    transactional_producers(records).next().is_some()
}

/// The producer of each transactional batch.
fn transactional_producers(records: &Bytes) -> impl Iterator<Item = Producer> + use<> {
    headers(records)
        .filter(|header| header.attributes.is_transactional())
        .map(|header| Producer { id: header.producer_id, epoch: header.producer_epoch })
}

/// Why records were not appended, and what the answer says of where the log starts.
struct NotAppended {
    error: LogError,
    log_start_offset: i64,
}

impl<E: Into<LogError>> From<E> for NotAppended {
    fn from(error: E) -> Self {
        NotAppended { error: error.into(), log_start_offset: -1 }
    }
}

impl NotAppended {
    /// As Kafka, which says where the log starts when it has looked into the records, and not when
    /// they are damaged or too large or the log can't be written to.
    fn by(log: &PartitionLog, error: LogError) -> Self {
        let unseen = matches!(
            error.code(),
            ResponseError::CorruptMessage
                | ResponseError::MessageTooLarge
                | ResponseError::RecordListTooLarge
                | ResponseError::UnknownTopicOrPartition
                | ResponseError::KafkaStorageError
        );
        NotAppended { error, log_start_offset: if unseen { -1 } else { log.log_start_offset() } }
    }
}

fn append(
    topic: &Topic,
    index: i32,
    records: Option<Bytes>,
    version: i16,
    admit: impl FnOnce(&Bytes) -> Result<Option<Admission>, ResponseError>,
) -> Result<(Arc<PartitionLog>, Appended), NotAppended> {
    if topic.internal {
        let message = format!("Cannot append to internal topic {}", topic.name);
        return Err(LogError::rejected(ResponseError::InvalidTopicException, message).into());
    }
    let log = topic.partition(index).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let records = one_batch(&records.unwrap_or_default(), version)?;
    // Held until the batch is in the log: the markers of its transaction wait for it.
    let _admission = admit(&records)?;
    let in_transaction = version >= TAKES_IN && is_transactional(&records);
    let origin = if in_transaction { Origin::TransactionClient } else { Origin::Client };
    let appended = log.append(records, origin).map_err(|error| NotAppended::by(log, error))?;
    Ok((log.clone(), appended))
}

/// The one batch that there must be, without what was cut off behind it, in a format and codec that clients of this
/// version may use.
fn one_batch(records: &Bytes, version: i16) -> Result<Bytes, ResponseError> {
    /// From this version on clients know zstd.
    const WITH_ZSTD: i16 = 7;
    let mut batches = Batches::new(records.clone());
    let (header, batch) = match batches.next() {
        None | Some(Err(BatchError::Truncated { .. })) => Err(ResponseError::InvalidRecord),
        Some(Err(error)) => Err(error.refusal()),
        Some(Ok(first)) => Ok(first),
    }?;
    if version < WITH_ZSTD && header.attributes.codec() == Some(Codec::Zstd) {
        return Err(ResponseError::UnsupportedCompressionType);
    }
    match batches.next() {
        None | Some(Err(BatchError::Truncated { .. })) => Ok(batch),
        Some(Err(error)) => Err(error.refusal()),
        Some(Ok(_)) => Err(ResponseError::InvalidRecord),
    }
}

fn headers(records: &Bytes) -> impl Iterator<Item = BatchHeader> + use<> {
    Batches::new(records.clone()).map_while(|batch| batch.ok().map(|(header, _)| header))
}

/// A request with a transactional batch in it is refused whole if the client may not write under its
/// transactional id, whatever it may do with the topics.
fn check_transactional_id(
    broker: &Broker,
    peer: &Peer,
    request: &ProduceRequest,
) -> Result<(), ResponseError> {
    let partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    if !partitions.filter_map(|data| data.records.as_ref()).any(is_transactional) {
        return Ok(());
    }
    let id = request.transactional_id.as_ref();
    let id = id.ok_or(ResponseError::TransactionalIdAuthorizationFailed)?;
    peer.check_transactional_id(broker, Operation::Write, id)
}

/// Checks that transactional batches belong to an open transaction of their partition. What is
/// wrong with batches otherwise is for the partition to say.
fn admit(
    broker: &Broker,
    transactional_id: Option<&str>,
    (topic, partition): (&str, i32),
    records: &Bytes,
    version: i16,
) -> Result<Option<Admission>, ResponseError> {
    /// From this version on clients know that a transaction may have to be aborted.
    const KNOWS_ABORTABLE: i16 = 11;
    let mut producers = transactional_producers(records);
    let Some(producer) = producers.next() else { return Ok(None) };
    let id = transactional_id.ok_or(ResponseError::TransactionalIdAuthorizationFailed)?;
    if producers.any(|other| other != producer) {
        return Err(ResponseError::InvalidProducerIdMapping);
    }
    let admission = broker.transactions().admit(id, producer, topic, partition);
    admission.map(Some).map_err(|code| refused_batch(code, version >= KNOWS_ABORTABLE))
}

fn answer_partition(
    index: i32,
    appended: Result<Appended, NotAppended>,
    version: i16,
) -> PartitionProduceResponse {
    let answer = PartitionProduceResponse::default().with_index(index);
    match appended {
        Ok(appended) => answer
            .with_base_offset(appended.base_offset)
            .with_log_append_time_ms(appended.append_time_ms.unwrap_or(-1))
            .with_log_start_offset(appended.log_start_offset),
        Err(NotAppended { error, log_start_offset }) => {
            refuse(answer, &error, version).with_log_start_offset(log_start_offset)
        }
    }
}

fn refuse(
    answer: PartitionProduceResponse,
    error: &LogError,
    version: i16,
) -> PartitionProduceResponse {
    /// From this version on an error has a text.
    const WITH_MESSAGE: i16 = 8;
    // Clients have texts of their own for codes that say all there is to say.
    let says_more = version >= WITH_MESSAGE && !matches!(error, LogError::Refused(_));
    let message = says_more.then(|| StrBytes::from_string(error.to_string()));
    let answer = match error {
        LogError::RejectedRecords { records, .. } if says_more => {
            answer.with_record_errors(records.iter().map(record_error).collect())
        }
        _ => answer,
    };
    answer
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1)
        .with_error_code(error.code().code())
        .with_error_message(message)
}

fn record_error(record: &RejectedRecord) -> BatchIndexAndErrorMessage {
    let message = StrBytes::from_string(record.message.clone());
    BatchIndexAndErrorMessage::default()
        .with_batch_index(record.index)
        .with_batch_index_error_message(Some(message))
}

impl Begun {
    /// Waits until what was appended satisfies the fsync policy. None where the client wants no
    /// answer.
    ///
    /// # Errors
    /// A client that wants no answer can only learn of a refusal by losing its connection: the
    /// refused partition's code.
    pub(crate) async fn finish(mut self, version: i16) -> Result<Option<ProduceResponse>> {
        let added = match self.added {
            Some((transactions, added)) => transactions.added(added).await.map_err(not_taken_in),
            None => Ok(()),
        };
        for (log, offset, topic, place) in self.waiting {
            let safe = log.durable(offset).await;
            if let Err(error) = safe.and(added.map_err(LogError::from)) {
                let answer = &mut self.response.responses[topic].partition_responses[place];
                *answer = refuse(std::mem::take(answer), &error, version);
            }
        }
        if self.wanted {
            return Ok(Some(self.response));
        }
        let answers = self.response.responses.iter().flat_map(|topic| &topic.partition_responses);
        match answers.filter_map(|a| ResponseError::try_from_code(a.error_code)).next() {
            Some(code) => Err(code.into()),
            None => Ok(None),
        }
    }
}
