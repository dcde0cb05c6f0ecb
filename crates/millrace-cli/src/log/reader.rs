//! Reading assigned partitions, each in a lane of its own.
//!
//! The client hands out the records of all partitions through one queue, and says there that the
//! end of partition 0 was reached, but not of which topic. Therefore each partition gets a queue
//! of its own here, split off before the partition is assigned, so that nothing of it ever reaches
//! the common one.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use millrace_core::seam::Clock;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};

use super::client::LogContext;
use super::patience::Patience;

/// Records of one lane before the next one has its turn.
const TURN_RECORDS: usize = 1_000;

/// A partition, and where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// Reads partitions until each is done.
pub(super) struct Reader {
    lanes: Vec<Lane>,
    wake: Arc<Wake>,
    patience: Patience,
    clock: Arc<dyn Clock>,
    // Behind the queues of the lanes: they are dropped before the consumer.
    consumer: Arc<BaseConsumer<LogContext>>,
}

struct Lane {
    start: Start,
    queue: PartitionQueue<LogContext>,
    done: bool,
}

/// What a lane has.
pub(super) enum Event<'a> {
    /// The next record.
    Record(&'a BorrowedMessage<'a>),
    /// Its present end. It may come again when more was written meanwhile.
    End,
    /// It cannot be read.
    Failed(KafkaError),
}

/// What to do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Go on.
    Next,
    /// Read no more of this lane.
    Done,
    /// Read no more of any lane.
    Stop,
}

/// Set when a queue has become non-empty.
#[derive(Default)]
struct Wake {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Wake {
    fn wake(&self) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    fn wait(&self, timeout: Duration) {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut set, _) = self
            .changed
            .wait_timeout_while(set, timeout, |set| !*set)
            .unwrap_or_else(PoisonError::into_inner);
        *set = false;
    }
}

impl Reader {
    /// Nothing assigned yet. The consumer needs `enable.partition.eof`.
    pub(super) fn new(
        consumer: Arc<BaseConsumer<LogContext>>,
        patience: Patience,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Reader { lanes: Vec::new(), wake: Arc::default(), patience, clock, consumer }
    }

    /// Begins to read these partitions too.
    ///
    /// # Errors
    /// What the client says.
    pub(super) fn add(&mut self, starts: Vec<Start>) -> Result<(), KafkaError> {
        let mut assigned = TopicPartitionList::new();
        for start in starts {
            assigned.add_partition_offset(
                &start.topic,
                start.partition,
                Offset::Offset(start.offset),
            )?;
            let mut queue = self
                .consumer
                .split_partition_queue(&start.topic, start.partition)
                .ok_or_else(|| KafkaError::Subscription(start.topic.clone()))?;
            let wake = Arc::clone(&self.wake);
            queue.set_nonempty_callback(move || wake.wake());
            self.lanes.push(Lane { start, queue, done: false });
        }
        self.consumer.incremental_assign(&assigned)
    }

    /// Whether no lane is left to read.
    pub(super) fn is_done(&self) -> bool {
        self.lanes.iter().all(|lane| lane.done)
    }

    /// Hands what there is to `visit`, at most some records of each lane; waits up to `timeout` if
    /// there is nothing. False after [`Then::Stop`].
    ///
    /// # Errors
    /// Those of `visit`, and those of the client as a whole.
    pub(super) fn turn<E: From<KafkaError>>(
        &mut self,
        timeout: Duration,
        visit: &mut dyn FnMut(usize, Event<'_>) -> Result<Then, E>,
    ) -> Result<bool, E> {
        let mut idle = true;
        for index in 0..self.lanes.len() {
            let mut finished = false;
            if self.lanes[index].done {
                continue;
            }
            for _ in 0..TURN_RECORDS {
                let Some(polled) = self.lanes[index].queue.poll(Duration::ZERO) else { break };
                idle = false;
                let then = match polled {
                    Ok(record) => {
                        self.patience.relieve();
                        visit(index, Event::Record(&record))?
                    }
                    Err(KafkaError::PartitionEOF(_)) => {
                        self.patience.relieve();
                        visit(index, Event::End)?
                    }
                    Err(error) => {
                        if let Err(error) = self.patience.bear(error, self.clock.elapsed()) {
                            visit(index, Event::Failed(error))?
                        } else {
                            Then::Next
                        }
                    }
                };
                match then {
                    Then::Next => {}
                    Then::Done => {
                        finished = true;
                        break;
                    }
                    Then::Stop => return Ok(false),
                }
            }
            if finished {
                self.finish(index)?;
            }
        }
        // Serves callbacks; only errors of the client as a whole come this way.
        if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
            self.patience.bear(error, self.clock.elapsed())?;
        }
        if idle && !self.is_done() {
            self.patience.check(self.clock.elapsed())?;
            self.wake.wait(timeout);
        }
        Ok(true)
    }

    fn finish(&mut self, index: usize) -> Result<(), KafkaError> {
        let lane = &mut self.lanes[index];
        lane.done = true;
        let mut paused = TopicPartitionList::new();
        paused.add_partition(&lane.start.topic, lane.start.partition);
        self.consumer.pause(&paused)
    }
}
