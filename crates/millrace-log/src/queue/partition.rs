//! What a queue knows of one partition: a pure state machine.

use std::collections::BTreeMap;
use std::ops::Range;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::record::StoredPartition;

/// The rules that a partition's records are handed out by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a worker may keep a record before somebody else gets it.
    pub lock_duration_ms: i64,
    /// A record that was handed out so often and is not done is given up.
    pub delivery_count_limit: i16,
    /// Records from the first one that is not done to the last one that was handed out, without
    /// those that are done.
    pub max_in_flight_records: usize,
}

/// What a worker has to say about records that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// There is no record at this offset.
    Gap,
    /// It is done.
    Accept,
    /// Somebody shall try again.
    Release,
    /// It can't be processed, by nobody.
    Reject,
}

impl Acknowledgement {
    /// By its number in the protocol.
    pub fn from_id(id: i8) -> Option<Self> {
        Some(match id {
            0 => Acknowledgement::Gap,
            1 => Acknowledgement::Accept,
            2 => Acknowledgement::Release,
            3 => Acknowledgement::Reject,
            _ => return None,
        })
    }
}

/// Offsets with what is said about them: about all the same, or about each one its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The first offset.
    pub first_offset: i64,
    /// The last offset, included.
    pub last_offset: i64,
    /// One for all, or as many as there are offsets.
    pub kinds: Vec<Acknowledgement>,
}

/// Offsets in a row that a worker got, each for the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquired {
    /// The first offset.
    pub first_offset: i64,
    /// The last offset, included.
    pub last_offset: i64,
    /// How often each was handed out, this time included.
    pub delivery_count: i16,
}

/// Who holds records: a worker in one of its sessions, which are numbered in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The worker.
    pub worker: StrBytes,
    /// The session that it got the records in.
    pub session: u64,
}

/// A record that nobody gets any more though no worker accepted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// Its offset.
    pub offset: i64,
    /// How often it was handed out.
    pub delivery_count: i16,
    /// Why.
    pub cause: Cause,
}

/// Why a record was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was handed out as often as is allowed.
    Exhausted,
    /// A worker rejected it.
    Rejected,
}

/// The records of one partition as the workers of one group share them.
///
/// Offsets below the end that are not open are done: acknowledged, given up, or never records. What
/// is open is available or held by one worker. So what is kept is as large as what is in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharePartition {
    end_offset: i64,
    open: BTreeMap<i64, OpenRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct OpenRecord {
    delivery_count: i16,
    lock: Option<Lock>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Lock {
    holder: Holder,
    until_ms: i64,
}

impl OpenRecord {
    /// Whether it may be handed out; else it is held, or to be given up.
    fn is_available(&self, limits: &Limits) -> bool {
        self.lock.is_none() && self.delivery_count < limits.delivery_count_limit
    }
}

impl Lock {
    fn is_held(&self, now_ms: i64) -> bool {
        now_ms < self.until_ms
    }
}

impl SharePartition {
    /// One whose records from this offset on nobody has had.
    pub fn new(start_offset: i64) -> Self {
        SharePartition { end_offset: start_offset, open: BTreeMap::new() }
    }

    /// As it was stored: nobody holds anything, and how often a record was handed out is known.
    pub fn restore(stored: &StoredPartition) -> Self {
        let open = stored.open.iter().flat_map(|run| {
            let record = OpenRecord { delivery_count: run.delivery_count, lock: None };
            (run.first_offset..=run.last_offset).map(move |offset| (offset, record.clone()))
        });
        SharePartition { end_offset: stored.end_offset, open: open.collect() }
    }

    /// What is to be stored of it.
    pub fn store(&self) -> StoredPartition {
        let mut open = Vec::new();
        for (&offset, record) in &self.open {
            extend_run(&mut open, offset, record.delivery_count);
        }
        StoredPartition { end_offset: self.end_offset, open }
    }

    /// The first offset that is not done.
    pub fn start_offset(&self) -> i64 {
        self.open.first_key_value().map_or(self.end_offset, |(offset, _)| *offset)
    }

    /// The offset behind those that were handed out.
    #[cfg(test)]
    pub fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// How many records are open.
    #[cfg(test)]
    pub fn in_flight_records(&self) -> usize {
        self.open.len()
    }

    /// Where to read for a worker; `None` while no more may be handed out.
    pub fn wanted_offset(&self, limits: &Limits) -> Option<i64> {
        let available = self.open.iter().find(|(_, record)| record.is_available(limits));
        match available {
            Some((offset, _)) => Some(*offset),
            None if self.open.len() < limits.max_in_flight_records => Some(self.end_offset),
            None => None,
        }
    }

    /// When the next lock ends.
    pub fn next_lock_end_ms(&self) -> Option<i64> {
        self.open.values().filter_map(|record| Some(record.lock.as_ref()?.until_ms)).min()
    }

    /// Hands out up to `max_records` of what was read to a worker. `read` are the offsets that the
    /// read covered, and `records` those among them that a consumer may see, ascending; all others
    /// are done with this, since they will never be seen.
    pub fn acquire(
        &mut self,
        holder: &Holder,
        read: Range<i64>,
        records: &[Range<i64>],
        max_records: usize,
        limits: &Limits,
        now_ms: i64,
    ) -> Vec<Acquired> {
        let visible = |offset: i64| {
            let behind = records.partition_point(|range| range.end <= offset);
            records.get(behind).is_some_and(|range| range.contains(&offset))
        };
        let read_before = read.start..read.end.min(self.end_offset).max(read.start);
        let gone: Vec<i64> = self.open.range(read_before.clone()).map(|(o, _)| *o).collect();
        for offset in gone.into_iter().filter(|offset| !visible(*offset)) {
            // Held or not: there is nothing to be done about it.
            self.open.remove(&offset);
        }
        let until_ms = now_ms.saturating_add(limits.lock_duration_ms);
        let mut runs = Vec::new();
        let mut left = max_records;
        let mut hand_out = |offset: i64, record: &mut OpenRecord| {
            record.delivery_count = record.delivery_count.saturating_add(1);
            record.lock = Some(Lock { holder: holder.clone(), until_ms });
            extend_run(&mut runs, offset, record.delivery_count);
            left -= 1;
            left > 0
        };
        if max_records == 0 {
            return Vec::new();
        }
        let available =
            self.open.range_mut(read_before).filter(|(_, record)| record.is_available(limits));
        let mut more = true;
        for (offset, record) in available {
            if !hand_out(*offset, record) {
                more = false;
                break;
            }
        }
        // New records only where the read is continuous with what is known already.
        if more && read.start <= self.end_offset {
            more = records.iter().flat_map(Clone::clone).all(|offset| {
                if offset < self.end_offset {
                    return true;
                }
                if self.open.len() >= limits.max_in_flight_records {
                    return false;
                }
                let mut record = OpenRecord { delivery_count: 0, lock: None };
                let more = hand_out(offset, &mut record);
                self.open.insert(offset, record);
                self.end_offset = offset + 1;
                more
            });
            if more {
                self.end_offset = self.end_offset.max(read.end);
            }
        }
        runs
    }

    /// Takes what a worker says about records that it holds, all of it or nothing. Gives those that
    /// it rejected.
    ///
    /// # Errors
    /// INVALID_REQUEST when it makes no sense; INVALID_RECORD_STATE when one of the records is not
    /// held by the worker in this session, or not any more.
    pub fn acknowledge(
        &mut self,
        holder: &Holder,
        acknowledged: &[Acknowledged],
        now_ms: i64,
    ) -> Result<Vec<GivenUp>, ResponseError> {
        let mut next_offset = i64::MIN;
        for batch in acknowledged {
            let count = batch.last_offset.checked_sub(batch.first_offset);
            let count = count.and_then(|count| usize::try_from(count).ok()?.checked_add(1));
            let count = count.ok_or(ResponseError::InvalidRequest)?;
            let in_order = batch.first_offset >= next_offset && batch.last_offset < i64::MAX;
            if !in_order || (batch.kinds.len() != 1 && batch.kinds.len() != count) {
                return Err(ResponseError::InvalidRequest);
            }
            next_offset = batch.last_offset + 1;
            let range = batch.first_offset..=batch.last_offset;
            let held = self.open.range(range).take_while(|(_, record)| {
                let lock = record.lock.as_ref();
                lock.is_some_and(|lock| lock.holder == *holder && lock.is_held(now_ms))
            });
            if held.count() != count {
                return Err(ResponseError::InvalidRecordState);
            }
        }
        let mut rejected = Vec::new();
        for batch in acknowledged {
            for (at, offset) in (batch.first_offset..=batch.last_offset).enumerate() {
                let kind = batch.kinds.get(at).unwrap_or(&batch.kinds[0]);
                self.take(offset, *kind, &mut rejected);
            }
        }
        Ok(rejected)
    }

    fn take(&mut self, offset: i64, kind: Acknowledgement, rejected: &mut Vec<GivenUp>) {
        if kind == Acknowledgement::Release {
            if let Some(record) = self.open.get_mut(&offset) {
                record.lock = None;
            }
            return;
        }
        let record = self.open.remove(&offset);
        if let (Some(record), Acknowledgement::Reject) = (record, kind) {
            let delivery_count = record.delivery_count;
            rejected.push(GivenUp { offset, delivery_count, cause: Cause::Rejected });
        }
    }

    /// A session has ended: what its worker got in it or in an earlier one is available. Says whether
    /// there was something. A later session of the worker may have begun already.
    pub fn release(&mut self, ended: &Holder) -> bool {
        let mut released = false;
        let is_ended =
            |holder: &Holder| holder.worker == ended.worker && holder.session <= ended.session;
        for record in self.open.values_mut() {
            if record.lock.as_ref().is_some_and(|lock| is_ended(&lock.holder)) {
                record.lock = None;
                released = true;
            }
        }
        released
    }

    /// Ends the locks whose time is over. Says whether there were some.
    pub fn expire_locks(&mut self, now_ms: i64) -> bool {
        let mut expired = false;
        for record in self.open.values_mut() {
            if record.lock.as_ref().is_some_and(|lock| !lock.is_held(now_ms)) {
                record.lock = None;
                expired = true;
            }
        }
        expired
    }

    /// Gives up the available records that were handed out as often as is allowed.
    pub fn give_up(&mut self, limits: &Limits) -> Vec<GivenUp> {
        let is_over = |record: &OpenRecord| {
            record.lock.is_none() && record.delivery_count >= limits.delivery_count_limit
        };
        let over = self.open.iter().filter(|(_, record)| is_over(record));
        let over: Vec<GivenUp> = over
            .map(|(&offset, record)| GivenUp {
                offset,
                delivery_count: record.delivery_count,
                cause: Cause::Exhausted,
            })
            .collect();
        for record in &over {
            self.open.remove(&record.offset);
        }
        over
    }

    /// The log begins at this offset now: what was before is done. Gives how many open records it
    /// took away.
    pub fn advance_start(&mut self, log_start_offset: i64) -> usize {
        let kept = self.open.split_off(&log_start_offset);
        let lost = std::mem::replace(&mut self.open, kept).len();
        self.end_offset = self.end_offset.max(log_start_offset);
        lost
    }
}

/// Adds an offset behind those of the runs.
fn extend_run(runs: &mut Vec<Acquired>, offset: i64, delivery_count: i16) {
    match runs.last_mut() {
        Some(run) if run.last_offset + 1 == offset && run.delivery_count == delivery_count => {
            run.last_offset = offset;
        }
        _ => runs.push(Acquired { first_offset: offset, last_offset: offset, delivery_count }),
    }
}
