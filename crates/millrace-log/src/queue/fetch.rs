//! Handing out records: reading a partition on behalf of a group.

use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::partition::Holder;
use super::service::{HandedOut, Queues, Share, report};
use super::sessions::{Lease, Place, Worker};
use crate::broker::Broker;
use crate::error::{LogError, Result};
use crate::storage::records::Batches;
use crate::storage::{Fetched, Isolation, PartitionLog};

/// What a fetch that found nothing waits for in a partition.
struct Blocked {
    log: Arc<PartitionLog>,
    /// Records behind this offset, if more may be handed out.
    beyond: Option<i64>,
    lock_end_ms: Option<i64>,
}

/// How much a worker takes.
#[derive(Clone, Copy)]
pub(crate) struct Appetite {
    pub(crate) max_records: usize,
    pub(crate) max_bytes: usize,
    pub(crate) max_wait: Duration,
}

/// A place, and what a worker got from there.
pub(crate) type Answer = (Place, Result<HandedOut, ResponseError>);

impl Queues {
    /// Hands out records from some of the places; waits if there are none. In a session that has
    /// ended meanwhile nothing is handed out.
    pub(crate) async fn fetch(
        &self,
        broker: &Broker,
        (worker, lease): (&Worker, &Lease),
        places: &[Place],
        appetite: Appetite,
    ) -> Vec<Answer> {
        let clock = broker.seams().clock.clone();
        let mut until = clock.sleep(appetite.max_wait);
        loop {
            // Listening begins before looking, so that what comes between the two is not missed.
            let released = self.released(broker, worker, places);
            let mut released = released.as_ref().map(|released| Box::pin(released.notified()));
            if let Some(released) = &mut released {
                released.as_mut().enable();
            }
            let (answers, blocked) = self.try_fetch(broker, (worker, lease), places, appetite);
            let over = lease.is_over() || !answers.is_empty();
            if over || appetite.max_wait.is_zero() || appetite.max_records == 0 {
                return answers;
            }
            let lock_end_ms = blocked.iter().filter_map(|one| one.lock_end_ms).min();
            let lock_end = lock_end_ms.map(|end_ms| end_ms.saturating_sub(self.now_ms()).max(1));
            let lock_end = lock_end.map(|ms| Duration::from_millis(ms.unsigned_abs()));
            let mut lock_end = lock_end.map(|duration| clock.sleep(duration));
            let mut appends: Vec<_> = blocked
                .iter()
                .filter_map(|one| {
                    let beyond = one.beyond?;
                    Some(Box::pin(one.log.wait_beyond(beyond, Isolation::ReadCommitted)))
                })
                .collect();
            let over = std::future::poll_fn(|context| {
                let append = appends.iter_mut().any(|one| one.as_mut().poll(context).is_ready());
                let lock =
                    lock_end.as_mut().is_some_and(|one| one.as_mut().poll(context).is_ready());
                let free =
                    released.as_mut().is_some_and(|one| one.as_mut().poll(context).is_ready());
                if append || lock || free {
                    return Poll::Ready(false);
                }
                until.as_mut().poll(context).map(|()| true)
            });
            if over.await {
                return Vec::new();
            }
        }
    }

    fn released(
        &self,
        broker: &Broker,
        worker: &Worker,
        places: &[Place],
    ) -> Option<Arc<tokio::sync::Notify>> {
        let mut shares = places.iter().filter_map(|p| self.share(broker, &worker.0, *p).ok());
        shares.next().map(|share| share.released())
    }

    fn try_fetch(
        &self,
        broker: &Broker,
        (worker, lease): (&Worker, &Lease),
        places: &[Place],
        appetite: Appetite,
    ) -> (Vec<Answer>, Vec<Blocked>) {
        let (mut answers, mut blocked) = (Vec::new(), Vec::new());
        let Appetite { max_records: mut records_left, max_bytes: mut bytes_left, .. } = appetite;
        for place in places {
            if records_left == 0 || bytes_left == 0 {
                break;
            }
            let handed_out = self.share(broker, &worker.0, *place).and_then(|share| {
                self.expire_if_due(broker, &share);
                let first = answers.is_empty();
                let got =
                    self.hand_out(&share, (worker, lease), records_left, bytes_left, first)?;
                if got.is_none() {
                    let partition = share.lock();
                    blocked.push(Blocked {
                        log: share.log.clone(),
                        beyond: partition.wanted_offset(&share.settings.limits),
                        lock_end_ms: partition.next_lock_end_ms(),
                    });
                }
                Ok(got)
            });
            match handed_out {
                Ok(None) => {}
                Ok(Some(handed_out)) => {
                    let runs = handed_out.acquired.iter();
                    let count: i64 = runs.map(|run| run.last_offset - run.first_offset + 1).sum();
                    records_left = records_left.saturating_sub(usize::try_from(count).unwrap_or(0));
                    bytes_left = bytes_left.saturating_sub(handed_out.records.len());
                    answers.push((*place, Ok(handed_out)));
                }
                Err(error) => {
                    report(&error, &worker.0, *place);
                    answers.push((*place, Err(error.code())));
                }
            }
        }
        (answers, blocked)
    }

    /// Reads and hands out; `None` if there is nothing for now.
    fn hand_out(
        &self,
        share: &Share,
        (worker, lease): (&Worker, &Lease),
        max_records: usize,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<Option<HandedOut>> {
        let mut partition = share.lock();
        let limits = &share.settings.limits;
        if lease.is_over() {
            // Who ends a session releases what was handed out in it when this lock is free again.
            return Ok(None);
        }
        let holder = Holder { worker: worker.1.clone(), session: lease.session };
        loop {
            let Some(from) = partition.wanted_offset(limits) else { return Ok(None) };
            let read = share.log.read(from, max_bytes, at_least_one, Isolation::ReadCommitted);
            let fetched = match read {
                Err(LogError::Refused(ResponseError::OffsetOutOfRange))
                    if from < share.log.log_start_offset() =>
                {
                    let lost = partition.advance_start(share.log.log_start_offset());
                    let (group, topic) = (share.group.as_str(), &share.topic.name);
                    tracing::warn!(
                        group,
                        topic,
                        from,
                        lost,
                        "records were deleted before a worker had them"
                    );
                    continue;
                }
                fetched => fetched?,
            };
            let (read, visible) = survey(&fetched, from, at_least_one)?;
            if read.is_empty() {
                return Ok(None);
            }
            let now_ms = self.now_ms();
            let acquired = partition.acquire(&holder, read, &visible, max_records, limits, now_ms);
            let (Some(first), Some(last)) = (acquired.first(), acquired.last()) else { continue };
            let records = narrow(fetched.records, first.first_offset, last.last_offset)?;
            return Ok(Some(HandedOut { acquired, records }));
        }
    }
}

/// The offsets that a read covered from `from` on, and those among them that a consumer sees.
fn survey(
    fetched: &Fetched,
    from: i64,
    at_least_one: bool,
) -> Result<(Range<i64>, Vec<Range<i64>>)> {
    let mut visible = Vec::new();
    let mut read_to = from;
    for batch in Batches::new(fetched.records.clone()) {
        let (header, _) = batch.map_err(|_| ResponseError::CorruptMessage)?;
        read_to = header.next_offset().max(from);
        let aborted = header.attributes.is_transactional()
            && fetched.aborted.iter().any(|aborted| {
                aborted.producer_id == header.producer_id
                    && (aborted.first_offset..=aborted.last_offset).contains(&header.base_offset)
            });
        if !header.attributes.is_control() && !aborted {
            visible.push(header.base_offset.max(from)..read_to);
        }
    }
    if fetched.records.is_empty() && at_least_one {
        // Compaction has left nothing from here on.
        read_to = fetched.last_stable_offset.max(from);
    }
    Ok((from..read_to, visible))
}

/// The batches with the offsets from `first` to `last`.
fn narrow(records: Bytes, first: i64, last: i64) -> Result<Bytes> {
    let (mut at, mut start, mut end) = (0, None, 0);
    for batch in Batches::new(records.clone()) {
        let (header, _) = batch.map_err(|_| ResponseError::CorruptMessage)?;
        if header.last_offset() >= first && header.base_offset <= last {
            start.get_or_insert(at);
            end = at + header.size_bytes;
        }
        at += header.size_bytes;
    }
    Ok(records.slice(start.unwrap_or(0)..end))
}
