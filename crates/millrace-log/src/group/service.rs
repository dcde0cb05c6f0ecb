//! Runs the state machine of groups over its log, and wakes those who wait for answers.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use millrace_core::seam::{Seams, Task};
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::command::{Answer, GroupConfig, Join, MemberRef, Moment, Sync, Ticket, Turn};
use super::consumer::{Beat, Told, TopicSource};
use super::coordinator::Coordinator;
use super::offsets::{Committed, TopicPartition};
use super::record::GroupRecord;
use super::store::{self, Producer};
use crate::error::Result;
use crate::storage::{PartitionLog, TransactionOutcome};

/// The longest sleep of the timer, lest a deadline that is far away be added to what it has.
const MAX_SLEEP_MS: i64 = 60_000;

/// An offset to be committed.
pub(crate) type ToCommit = (TopicPartition, Committed);

/// The coordinator of all groups.
///
/// Commands are done one after another; each is on its way to the log before the next begins.
pub(crate) struct Groups {
    shared: Arc<Shared>,
    timer: Mutex<Option<Box<dyn Task>>>,
}

struct Shared {
    log: Arc<PartitionLog>,
    seams: Seams,
    inner: Mutex<Inner>,
    /// There is a deadline before the one that the timer waits for.
    earlier: Arc<Notify>,
}

struct Inner {
    coordinator: Coordinator,
    waiting: HashMap<Ticket, oneshot::Sender<Answer>>,
    next_ticket: Ticket,
    next_expiry_ms: i64,
    /// What the timer waits for.
    armed_ms: i64,
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}

impl Groups {
    /// Reads the groups from the log of `__consumer_offsets`.
    ///
    /// # Errors
    /// The log can't be read, or holds what this version does not know.
    pub(crate) fn open(
        log: Arc<PartitionLog>,
        seams: Seams,
        config: GroupConfig,
    ) -> Result<Groups> {
        let now = moment(&seams);
        let mut coordinator = Coordinator::new(config);
        store::replay(&log, &mut coordinator, now)?;
        let inner = Inner {
            coordinator,
            waiting: HashMap::new(),
            next_ticket: 0,
            next_expiry_ms: now.elapsed_ms + config.retention_check_interval_ms,
            armed_ms: i64::MAX,
        };
        let earlier = Arc::new(Notify::new());
        let shared = Arc::new(Shared { log, seams, inner: Mutex::new(inner), earlier });
        Ok(Groups { shared, timer: Mutex::new(None) })
    }

    /// Lets time act on the groups from now on; before, nobody is removed for being silent.
    pub(crate) fn start_timer(&self) {
        let shared = Arc::downgrade(&self.shared);
        let task = self.shared.seams.spawner.spawn("log-groups", Box::pin(run_timer(shared)));
        let old = self.timer.lock().unwrap_or_else(PoisonError::into_inner).replace(task);
        if let Some(old) = old {
            old.abort();
        }
    }

    /// Joins a group; `join.new_member_id` is filled in here.
    pub(crate) async fn join(
        &self,
        group: &StrBytes,
        mut join: Join,
        source: &dyn TopicSource,
    ) -> Answer {
        let name = join.instance_id.as_ref().unwrap_or(&join.client_id);
        let id = format!("{}-{}", name.as_str(), self.random_uuid());
        join.new_member_id = StrBytes::from_string(id);
        let member_id = join.member_id.clone();
        let answer = self.ask(|coordinator, ticket, now| {
            let divided = coordinator.classic_join(group, &join, ticket, source, now);
            divided.unwrap_or_else(|| coordinator.join(group, &join, ticket, now))
        });
        let code = ResponseError::CoordinatorNotAvailable;
        answer.await.unwrap_or(Answer::JoinRefused { member_id, code })
    }

    /// Asks for a member's part.
    pub(crate) async fn sync(&self, group: &StrBytes, sync: Sync) -> Answer {
        let answer =
            self.ask(|coordinator, ticket, now| coordinator.sync(group, &sync, ticket, now));
        answer.await.unwrap_or(Answer::SyncRefused(ResponseError::CoordinatorNotAvailable))
    }

    fn ask(
        &self,
        command: impl FnOnce(&mut Coordinator, Ticket, Moment) -> Turn,
    ) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let mut inner = self.shared.lock();
        inner.next_ticket += 1;
        let ticket = inner.next_ticket;
        inner.waiting.insert(ticket, answer);
        let turn = command(&mut inner.coordinator, ticket, moment(&self.shared.seams));
        // The answers say so, if it can't be written.
        let _ = self.shared.settle(&mut inner, turn);
        answered
    }

    /// A member is alive.
    pub(crate) fn heartbeat(
        &self,
        group: &StrBytes,
        member: &MemberRef,
    ) -> Result<(), ResponseError> {
        let mut inner = self.shared.lock();
        let result = inner.coordinator.heartbeat(group, member, moment(&self.shared.seams));
        self.shared.rearm(&mut inner);
        result
    }

    /// A member of a group whose partitions the coordinator divides joins, is alive, or leaves.
    ///
    /// # Errors
    /// The code for the member; the group's new epoch can't be written.
    pub(crate) fn consumer_beat(
        &self,
        group: &StrBytes,
        beat: &Beat,
        source: &dyn TopicSource,
    ) -> Result<Told> {
        let mut inner = self.shared.lock();
        let now = moment(&self.shared.seams);
        let (told, turn) = inner.coordinator.consumer_beat(group, beat, source, now)?;
        if let Err(code) = self.shared.settle(&mut inner, turn) {
            inner.coordinator.keep_all_again(group);
            return Err(code.into());
        }
        Ok(told)
    }

    /// An id for a member that has none.
    pub(crate) fn new_member_id(&self) -> StrBytes {
        StrBytes::from_string(self.random_uuid().to_string())
    }

    /// Members leave: by id, or static ones by instance.
    pub(crate) fn leave(
        &self,
        group: &StrBytes,
        members: &[(StrBytes, Option<StrBytes>)],
    ) -> Result<Vec<Result<(), ResponseError>>, ResponseError> {
        let mut inner = self.shared.lock();
        let now = moment(&self.shared.seams);
        let (results, turn) = inner.coordinator.leave(group, members, now)?;
        self.shared.settle(&mut inner, turn)?;
        Ok(results)
    }

    /// Commits offsets of a member, or of nobody in a group without members. A result for each.
    pub(crate) async fn commit(
        &self,
        group: &StrBytes,
        member: &MemberRef,
        offsets: Vec<ToCommit>,
    ) -> Vec<Result<(), ResponseError>> {
        self.write_offsets(group, member, offsets, None).await
    }

    /// Writes offsets that become valid when the producer's transaction commits. A member that has
    /// missed a generation is refused, a producer without membership is not.
    ///
    /// The caller has made sure that `__consumer_offsets` is part of the producer's transaction.
    pub(crate) async fn txn_offset_commit(
        &self,
        group: &StrBytes,
        member: &MemberRef,
        producer_id: i64,
        producer_epoch: i16,
        offsets: Vec<ToCommit>,
    ) -> Vec<Result<(), ResponseError>> {
        let producer = Producer { id: producer_id, epoch: producer_epoch };
        self.write_offsets(group, member, offsets, Some(producer)).await
    }

    async fn write_offsets(
        &self,
        group: &StrBytes,
        member: &MemberRef,
        offsets: Vec<ToCommit>,
        producer: Option<Producer>,
    ) -> Vec<Result<(), ResponseError>> {
        let now = moment(&self.shared.seams);
        let mut results = Vec::with_capacity(offsets.len());
        let mut records = Vec::new();
        let written = {
            let mut inner = self.shared.lock();
            let in_transaction = producer.is_some();
            let checked = inner.coordinator.check_commit(group, member, in_transaction, now);
            self.shared.rearm(&mut inner);
            if let Err(code) = checked {
                return vec![Err(code); offsets.len()];
            }
            let max_bytes = inner.coordinator.config().max_offset_metadata_bytes;
            for (partition, committed) in offsets {
                if committed.metadata.len() > max_bytes {
                    results.push(Err(ResponseError::OffsetMetadataTooLarge));
                    continue;
                }
                results.push(Ok(()));
                let (group, value) = (group.clone(), Some(committed));
                records.push(GroupRecord::Offset { group, partition, value });
            }
            self.shared.keep(&mut inner, records, producer, now)
        };
        let last = match written {
            Ok(last) => last,
            Err(code) => {
                return results.into_iter().map(|result| result.and(Err(code))).collect();
            }
        };
        if let Some(last) = last
            && let Err(error) = self.shared.log.durable(last).await
        {
            let code = store::code_of_failure(&error);
            return results.into_iter().map(|result| result.and(Err(code))).collect();
        }
        results
    }

    /// A transaction's marker is in the log of `__consumer_offsets`: its offsets are valid, or gone.
    pub(crate) fn complete_transaction(&self, producer_id: i64, outcome: TransactionOutcome) {
        self.shared.lock().coordinator.complete_transaction(producer_id, outcome);
    }

    /// Deletes a group that has no members.
    pub(crate) async fn delete(&self, group: &StrBytes) -> Result<(), ResponseError> {
        self.remove(|coordinator| coordinator.delete(group).map(|records| ((), records))).await
    }

    /// Takes offsets away. A result for each, or one for all.
    pub(crate) async fn delete_offsets(
        &self,
        group: &StrBytes,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Result<(), ResponseError>>, ResponseError> {
        self.remove(|coordinator| {
            let (mut results, mut records) = (Vec::new(), Vec::new());
            for result in coordinator.delete_offsets(group, partitions)? {
                results.push(result.map(|record| records.extend(record)));
            }
            Ok((results, records))
        })
        .await
    }

    /// A topic is deleted: no group has offsets in it any more.
    pub(crate) async fn forget_topic(&self, topic: &str) -> Result<(), ResponseError> {
        self.remove(|coordinator| Ok(((), coordinator.forget_topic(topic)))).await
    }

    async fn remove<T>(
        &self,
        decide: impl FnOnce(&Coordinator) -> Result<(T, Vec<GroupRecord>), ResponseError>,
    ) -> Result<T, ResponseError> {
        let (result, last) = {
            let mut inner = self.shared.lock();
            let (result, records) = decide(&inner.coordinator)?;
            let now = moment(&self.shared.seams);
            (result, self.shared.keep(&mut inner, records, None, now)?)
        };
        if let Some(last) = last {
            let durable = self.shared.log.durable(last).await;
            durable.map_err(|error| store::code_of_failure(&error))?;
        }
        Ok(result)
    }

    /// Looks at the groups, without changing anything.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Coordinator) -> T) -> T {
        look(&self.shared.lock().coordinator)
    }

    fn random_uuid(&self) -> Uuid {
        let random = &self.shared.seams.random;
        let (high, low) = (random.next_u64(), random.next_u64());
        let bits = (u128::from(high) << 64) | u128::from(low);
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        let timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(timer) = timer {
            timer.abort();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in between leaves a state that each command checks anew; to stop serving all
        // groups would be worse.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes records of offsets, or that take something away, and lets what was written count.
    /// Gives the last offset that was written.
    fn keep(
        &self,
        inner: &mut Inner,
        records: Vec<GroupRecord>,
        producer: Option<Producer>,
        now: Moment,
    ) -> Result<Option<i64>, ResponseError> {
        let (offsets, outcome) = store::append(&self.log, &records, producer, now.wall_ms);
        let last = offsets.last().copied();
        for (record, offset) in records.into_iter().zip(offsets) {
            inner.coordinator.apply(record, offset, producer.map(|producer| producer.id), now);
        }
        outcome.map(|()| last).map_err(|error| {
            tracing::warn!(%error, "offsets of a group could not be written");
            store::code_of_failure(&error)
        })
    }

    /// Writes down what a turn wants kept, and then sends its answers. What can't be written has not
    /// happened, and the answers say so.
    fn settle(&self, inner: &mut Inner, turn: Turn) -> Result<(), ResponseError> {
        let tickets: Vec<Ticket> = turn.answers.iter().map(|(ticket, _)| *ticket).collect();
        let answers = turn.answers.into_iter();
        let answers: Vec<_> = answers
            .filter_map(|(ticket, answer)| Some((inner.waiting.remove(&ticket)?, answer)))
            .collect();
        let (offsets, outcome) = store::append(&self.log, &turn.records, None, turn.now.wall_ms);
        if let Err(error) = outcome {
            tracing::error!(%error, "a generation of a group could not be written");
            inner.coordinator.undo(turn.before, &tickets, turn.now);
            self.rearm(inner);
            let code = store::code_of_failure(&error);
            send(answers.into_iter().map(|(to, answer)| (to, refused(answer, code))));
            return Err(code);
        }
        self.rearm(inner);
        let Some(last) = offsets.last().copied().filter(|_| !answers.is_empty()) else {
            send(answers);
            return Ok(());
        };
        // On a task of its own, since those who wait don't depend on whoever brought the answer.
        let log = self.log.clone();
        let deliver = async move {
            match log.durable(last).await {
                Ok(()) => send(answers),
                Err(error) => {
                    let code = store::code_of_failure(&error);
                    send(answers.into_iter().map(|(to, answer)| (to, refused(answer, code))));
                }
            }
        };
        self.seams.spawner.spawn("log-group-answers", Box::pin(deliver));
        Ok(())
    }

    fn rearm(&self, inner: &mut Inner) {
        if inner.coordinator.next_deadline_ms().is_some_and(|due_ms| due_ms < inner.armed_ms) {
            self.earlier.notify_one();
        }
    }

    /// How long the timer may sleep.
    fn arm(&self) -> Duration {
        let mut inner = self.lock();
        let now_ms = moment(&self.seams).elapsed_ms;
        let due_ms = inner.coordinator.next_deadline_ms().unwrap_or(i64::MAX);
        inner.armed_ms = due_ms.min(inner.next_expiry_ms).min(now_ms + MAX_SLEEP_MS);
        Duration::from_millis(u64::try_from(inner.armed_ms - now_ms).unwrap_or_default())
    }

    fn fire(&self) {
        let mut inner = self.lock();
        let now = moment(&self.seams);
        let turn = inner.coordinator.fire(now);
        // What can't be written is undone, and comes again.
        let _ = self.settle(&mut inner, turn);
        if inner.next_expiry_ms <= now.elapsed_ms {
            let interval_ms = inner.coordinator.config().retention_check_interval_ms;
            inner.next_expiry_ms = now.elapsed_ms + interval_ms.max(1);
            let records = inner.coordinator.expire(now);
            if !records.is_empty() {
                tracing::info!(count = records.len(), "unused offsets and groups are removed");
            }
            // What could not be written is still there for the next time; `keep` says so.
            let _ = self.keep(&mut inner, records, None, now);
        }
    }
}

async fn run_timer(shared: Weak<Shared>) {
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let sleep = strong.seams.clock.sleep(strong.arm());
        let earlier = strong.earlier.clone();
        drop(strong);
        tokio::select! {
            () = sleep => {}
            () = earlier.notified() => {}
        }
        let Some(strong) = shared.upgrade() else { return };
        strong.fire();
    }
}

fn send(answers: impl IntoIterator<Item = (oneshot::Sender<Answer>, Answer)>) {
    for (to, answer) in answers {
        // A client that has gone away does not want it any more.
        let _ = to.send(answer);
    }
}

/// The same answer, had the request been refused.
pub(super) fn refused(answer: Answer, code: ResponseError) -> Answer {
    match answer {
        Answer::Joined(joined) => Answer::JoinRefused { member_id: joined.member_id, code },
        Answer::Synced { .. } => Answer::SyncRefused(code),
        refusal => refusal,
    }
}

fn moment(seams: &Seams) -> Moment {
    let elapsed_ms = seams.clock.elapsed().as_millis();
    Moment {
        elapsed_ms: i64::try_from(elapsed_ms).unwrap_or(i64::MAX / 2),
        wall_ms: seams.clock.now().as_millis(),
    }
}
