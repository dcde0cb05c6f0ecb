//! What the client has fetched of one partition, taken many records at a time.
//!
//! The library's own way takes one record a call, and each call looks at the clock several times and
//! makes an event object: a quarter of the time of a job that reads small records. librdkafka can
//! hand over many at once; this is the only place of the crate that calls it directly.

use std::ffi::{CStr, CString};
use std::ops::ControlFlow;
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;

use millrace_core::{Error, Result};
use rdkafka::bindings as native;
use rdkafka::consumer::Consumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::Timestamp;
use rdkafka::types::RDKafkaErrorCode;

use super::client::LoggedClient;
use super::consumer::SourceConsumer;
use super::fetched::RecordHeaders;
use super::position::TopicPartition;

/// So many records are taken at once.
const BATCH: usize = 256;

/// The queue of one partition of a consumer.
pub(crate) struct RecordQueue {
    queue: NonNull<native::rd_kafka_queue_t>,
    /// Keeps the callback, and with it the consumer, for as long as the queue lives.
    _woken_by: PartitionQueue<LoggedClient>,
    taken: Vec<*mut native::rd_kafka_message_t>,
}

// SAFETY: librdkafka's queues may be used from any thread, and by several at a time; the messages
// are owned by the queue's user and never outlive a call of `take`.
unsafe impl Send for RecordQueue {}
// SAFETY: as above; taking needs `&mut self`.
unsafe impl Sync for RecordQueue {}

impl RecordQueue {
    /// Parts the partition's records from the consumer's own queue, and calls `arrived` when there
    /// are some again. To be done before the partition is assigned.
    ///
    /// # Errors
    /// `Report` when the client has no queue for the partition.
    pub fn split(
        consumer: &Arc<SourceConsumer>,
        partition: &TopicPartition,
        arrived: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self> {
        let none = || Error::report(format!("{partition} has no queue"));
        let TopicPartition { topic, partition: number } = partition;
        let mut woken_by = consumer.split_partition_queue(topic, *number).ok_or_else(none)?;
        woken_by.set_nonempty_callback(arrived);
        let topic = CString::new(topic.as_str()).map_err(|_| none())?;
        // SAFETY: the consumer lives, and the topic's name ends with a zero.
        let queue = unsafe {
            let client = consumer.client().native_ptr();
            native::rd_kafka_queue_get_partition(client, topic.as_ptr(), *number)
        };
        let queue = NonNull::new(queue).ok_or_else(none)?;
        Ok(RecordQueue { queue, _woken_by: woken_by, taken: Vec::with_capacity(BATCH) })
    }

    /// Hands over what is there, `at_most` records or a few hundred, without waiting: records and
    /// errors in their order, until `each` has enough. Behind that, what was taken out of the queue
    /// is gone. Returns how many were taken out.
    pub fn take(
        &mut self,
        at_most: usize,
        mut each: impl FnMut(Result<Record<'_>, KafkaError>) -> ControlFlow<()>,
    ) -> usize {
        let size = at_most.min(BATCH);
        debug_assert!(self.taken.is_empty());
        // SAFETY: there is room for `size` pointers, and as many as the answer says are written.
        // Nothing between here and `Taken`, which frees them, can panic.
        let taken = unsafe {
            let room = self.taken.as_mut_ptr();
            let count = native::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, room, size);
            // Negative is an error of the arguments.
            self.taken.set_len(usize::try_from(count).unwrap_or_default());
            Taken(&mut self.taken)
        };
        let count = taken.0.len();
        for &message in taken.0.iter() {
            // SAFETY: it is a message that `taken` owns, and it lives until that is dropped.
            let message = unsafe { &*message };
            let given = match RDKafkaErrorCode::from(message.err) {
                RDKafkaErrorCode::NoError => Ok(Record { message }),
                RDKafkaErrorCode::PartitionEOF => Err(KafkaError::PartitionEOF(message.partition)),
                code @ RDKafkaErrorCode::Fatal => Err(KafkaError::MessageConsumptionFatal(code)),
                code => Err(KafkaError::MessageConsumption(code)),
            };
            if each(given).is_break() {
                break;
            }
        }
        count
    }
}

impl Drop for RecordQueue {
    fn drop(&mut self) {
        // SAFETY: it was got once, and its client still lives by `_woken_by`.
        unsafe { native::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// Frees the messages, also when a closure panics.
struct Taken<'a>(&'a mut Vec<*mut native::rd_kafka_message_t>);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        for message in self.0.drain(..) {
            // SAFETY: each was handed over by the queue and is freed here only.
            unsafe { native::rd_kafka_message_destroy(message) }
        }
    }
}

/// A record in the client's memory.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    message: &'a native::rd_kafka_message_t,
}

impl<'a> Record<'a> {
    pub fn offset(&self) -> i64 {
        self.message.offset
    }

    /// `None` for a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: the message says where its value is, and how long.
        unsafe { bytes(self.message.payload.cast(), self.message.len) }
    }

    pub fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: the message says where its key is, and how long.
        unsafe { bytes(self.message.key.cast(), self.message.key_len) }
    }

    pub fn timestamp(&self) -> Timestamp {
        use native::rd_kafka_timestamp_type_t::{
            RD_KAFKA_TIMESTAMP_CREATE_TIME, RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME,
            RD_KAFKA_TIMESTAMP_NOT_AVAILABLE,
        };
        let mut kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message lives.
        let time = unsafe { native::rd_kafka_message_timestamp(self.message, &mut kind) };
        match kind {
            RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => Timestamp::NotAvailable,
            RD_KAFKA_TIMESTAMP_CREATE_TIME => Timestamp::CreateTime(time),
            RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => Timestamp::LogAppendTime(time),
        }
    }

    /// The epoch of the partition's leader that took it, if it is known.
    pub fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: the message lives.
        let epoch = unsafe { native::rd_kafka_message_leader_epoch(self.message) };
        (epoch >= 0).then_some(epoch)
    }

    /// Its headers in their order; what is no UTF-8 in a name is replaced.
    pub fn headers(&self) -> RecordHeaders {
        let mut headers = null_mut();
        // SAFETY: the message lives, and keeps the headers.
        let code = unsafe { native::rd_kafka_message_headers(self.message, &mut headers) };
        if RDKafkaErrorCode::from(code) != RDKafkaErrorCode::NoError {
            return RecordHeaders::new();
        }
        (0..).map_while(|number| header(headers, number)).collect()
    }
}

fn header(
    headers: *const native::rd_kafka_headers_t,
    number: usize,
) -> Option<(String, Option<Vec<u8>>)> {
    let (mut name, mut value, mut size) = (null(), null(), 0);
    // SAFETY: the headers live as long as their message; the three are written when one is there.
    unsafe {
        let code =
            native::rd_kafka_header_get_all(headers, number, &mut name, &mut value, &mut size);
        if RDKafkaErrorCode::from(code) != RDKafkaErrorCode::NoError {
            return None;
        }
        let name = CStr::from_ptr(name).to_string_lossy().into_owned();
        Some((name, bytes(value.cast(), size).map(<[u8]>::to_vec)))
    }
}

/// # Safety
/// `start` is null, or `length` bytes can be read there for as long as `'a`.
unsafe fn bytes<'a>(start: *const u8, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller says.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start, length) })
}
