//! A worker of a queue that goes on through the deaths of the broker, and dies now and then itself.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::share_fetch_response::PartitionData;
use kafka_protocol::messages::{ShareFetchResponse, ShareGroupHeartbeatRequest};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::LOCK_MS;
use super::requests::{Said, acknowledge_request, decode, fetch_request, group};
use crate::client::{Client, text};
use crate::history::RecordId;
use crate::kills::rpc::{Dice, Run, parse, pause, topic};
use crate::queue_history::{Delivery, Kind, Micros, Word};

const UNKNOWN_MEMBER_ID: i16 = 25;
const SHARE_SESSION_NOT_FOUND: i16 = 122;
const INVALID_SHARE_SESSION_EPOCH: i16 = 123;
const FINAL_EPOCH: i32 = -1;

/// What a worker saw.
#[derive(Default)]
pub struct Seen {
    pub deliveries: Vec<Delivery>,
    pub words: Vec<Word>,
    pub ends: BTreeMap<u64, Micros>,
    pub forgotten: Vec<String>,
    /// Heartbeats in a later life than that in which the worker had joined.
    pub kept: u64,
}

#[derive(Clone, Copy)]
struct Session {
    id: u64,
    next_epoch: i32,
}

pub struct Worker {
    run: Run,
    dice: Dice,
    number: u64,
    wire: Option<(Client, u64)>,
    member: StrBytes,
    /// Its epoch in the group and the life in which it joined, once it has.
    joined: Option<(i32, u64)>,
    topic_id: Uuid,
    session: Option<Session>,
    /// Deliveries that it has yet to say something about.
    held: Vec<usize>,
    sessions: u64,
    members: u64,
    requests: u64,
    seen: Seen,
}

/// Works until the run stops.
pub async fn work(run: Run, number: u64, seed: u64) -> Seen {
    let mut worker = Worker::new(run.clone(), number, seed);
    while !run.stopped() {
        if !worker.joined().await {
            pause(5).await;
            continue;
        }
        worker.step().await;
    }
    worker.lose(run.micros());
    worker.seen
}

/// Accepts whatever comes until `is_done` says that nothing more will, asked each time that
/// nothing came.
pub async fn drain(run: Run, number: u64, mut is_done: impl AsyncFnMut() -> bool) -> Seen {
    let mut worker = Worker::new(run, number, number);
    loop {
        if !worker.joined().await {
            continue;
        }
        worker.fetch(Said::new(), (50, 500)).await;
        if worker.held.is_empty() && is_done().await {
            break;
        }
        let said = worker.choose(|_, _| Some(Kind::Accept));
        worker.acknowledge(said, false).await;
    }
    worker.seen
}

impl Worker {
    fn new(run: Run, number: u64, seed: u64) -> Self {
        Worker {
            run,
            dice: Dice::new(seed),
            number,
            wire: None,
            member: text(&format!("worker-{number}-0")),
            joined: None,
            topic_id: Uuid::nil(),
            session: None,
            held: Vec::new(),
            sessions: 0,
            members: 0,
            requests: 0,
            seen: Seen::default(),
        }
    }

    /// Whether it has its place in the group; if not, it tries.
    async fn joined(&mut self) -> bool {
        self.joined.is_some() || self.beat(0).await
    }

    async fn beat(&mut self, epoch: i32) -> bool {
        let topics = (epoch == 0).then(|| vec![topic()]);
        let request = ShareGroupHeartbeatRequest::default()
            .with_group_id(group())
            .with_member_id(self.member.clone())
            .with_member_epoch(epoch)
            .with_subscribed_topic_names(topics);
        let Some((answer, life)) = self.ask(1, &request).await else { return false };
        match (answer.error_code, self.joined) {
            (0, joined) => {
                let since = joined.map_or(life, |(_, since)| since);
                self.seen.kept += u64::from(joined.is_some() && life > since);
                self.joined = Some((answer.member_epoch, since));
                let assigned = answer.assignment.as_ref();
                if let Some(topic) = assigned.and_then(|all| all.topic_partitions.first()) {
                    self.topic_id = topic.topic_id;
                }
                !self.topic_id.is_nil()
            }
            (UNKNOWN_MEMBER_ID, Some((epoch, since))) => {
                let member = &self.member;
                self.seen.forgotten.push(format!(
                    "`{member}` joined in life {since} and was unknown with epoch {epoch} in life \
                     {life}"
                ));
                self.joined = None;
                false
            }
            // The coordinator is only just starting.
            (14..=16, _) => false,
            (code, _) => panic!("a heartbeat with epoch {epoch} was answered with code {code}"),
        }
    }

    async fn step(&mut self) {
        match self.dice.below(100) {
            0..=39 => {
                let said = match self.session {
                    Some(_) if self.dice.below(3) == 0 => self.decide(),
                    _ => Said::new(),
                };
                let limits = (self.dice.below(40) as i32, 1 + self.dice.below(20) as i32);
                self.fetch(said, limits).await;
            }
            40..=79 => {
                let said = self.decide();
                self.acknowledge(said, false).await;
            }
            80..=83 => {
                let epoch = self.joined.map_or(0, |(epoch, _)| epoch);
                self.beat(epoch).await;
            }
            // It hangs: some of its locks end meanwhile.
            84..=85 => pause(self.dice.below(LOCK_MS * 3 / 2)).await,
            86..=90 => pause(self.dice.below(LOCK_MS / 4)).await,
            91..=92 => {
                let said = self.decide();
                self.acknowledge(said, true).await;
            }
            // The session begins anew on the same connection.
            93 => self.end_session(self.run.micros()),
            94..=96 => self.die().await,
            97 => self.leave().await,
            _ => self.say_again().await,
        }
    }

    /// The connection ends, as if the process had been killed; sometimes with a request on its way.
    async fn die(&mut self) {
        let said = self.decide();
        let at = self.run.micros();
        let is_sent = !said.is_empty() && self.dice.below(2) == 0;
        if is_sent
            && let Some(session) = self.session
            && let Some((client, life)) = &mut self.wire
        {
            let request =
                acknowledge_request(&self.member, session.next_epoch, self.topic_id, &said);
            let life = *life;
            let _ = client.try_write(1, &request).await;
            self.note(&said, (life, session.id), at, &BTreeMap::new());
        } else if self.dice.below(2) == 0
            && let Some(session) = self.session
            && let Some((client, _)) = &mut self.wire
        {
            let request = fetch_request(
                &self.member,
                session.next_epoch,
                self.topic_id,
                &Said::new(),
                (20, 10),
            );
            let _ = client.try_write(1, &request).await;
        }
        self.lose(at);
        if self.dice.below(3) > 0 {
            // Another process takes its place; else it is the same one, which comes again at once.
            self.become_another();
        }
    }

    async fn leave(&mut self) {
        let at = self.run.micros();
        let request = ShareGroupHeartbeatRequest::default()
            .with_group_id(group())
            .with_member_id(self.member.clone())
            .with_member_epoch(-1);
        let _ = self.ask(1, &request).await;
        self.end_session(at);
        self.become_another();
    }

    fn become_another(&mut self) {
        self.members += 1;
        self.member = text(&format!("worker-{}-{}", self.number, self.members));
        self.joined = None;
        self.held.clear();
    }

    /// Says something about a record that it has said something about before.
    async fn say_again(&mut self) {
        let count = self.seen.words.len().min(30) as u64;
        if count == 0 || self.session.is_none() {
            return;
        }
        let word = &self.seen.words[self.seen.words.len() - 1 - self.dice.below(count) as usize];
        let at = self.seen.deliveries.iter().rposition(|one| one.place == word.place);
        let Some(at) = at else { return };
        let kind = if self.dice.below(2) == 0 { Kind::Release } else { Kind::Accept };
        self.held.push(at);
        let said = self.choose(|_, delivery| (delivery == at).then_some(kind));
        self.acknowledge(said, false).await;
    }

    /// What it says about some of what it holds. Some records nobody can process.
    fn decide(&mut self) -> Said {
        let share = 20 + self.dice.below(80);
        let mut dice = Dice::new(self.dice.below(u64::MAX >> 1) + 1);
        self.choose(|record, _| {
            let roll = dice.below(100);
            if roll >= share {
                return None;
            }
            let is_poison = record.is_some_and(|record| record.number % 11 == 0);
            Some(match dice.below(100) {
                0..=14 => Kind::Release,
                15..=22 => Kind::Reject,
                _ if is_poison => Kind::Release,
                _ => Kind::Accept,
            })
        })
    }

    /// Takes from what it holds what `word` has a word for.
    fn choose(&mut self, mut word: impl FnMut(Option<RecordId>, usize) -> Option<Kind>) -> Said {
        let mut said: BTreeMap<i32, BTreeMap<i64, Kind>> = BTreeMap::new();
        let deliveries = &self.seen.deliveries;
        self.held.retain(|at| {
            let delivery = &deliveries[*at];
            let Some(kind) = word(delivery.record, *at) else { return true };
            said.entry(delivery.place.0).or_default().insert(delivery.place.1, kind);
            false
        });
        said.into_iter().map(|(partition, said)| (partition, said.into_iter().collect())).collect()
    }

    async fn fetch(&mut self, said: Said, limits: (i32, i32)) {
        let session = self.session.unwrap_or_else(|| {
            self.sessions += 1;
            Session { id: self.number << 32 | self.sessions, next_epoch: 0 }
        });
        let request = fetch_request(&self.member, session.next_epoch, self.topic_id, &said, limits);
        let called = self.run.micros();
        // The broker may take it for the beginning of a session though the answer is lost.
        self.session = Some(Session { next_epoch: session.next_epoch + 1, ..session });
        let life = self.life();
        let Some((answer, life)) = self.ask(1, &request).await else {
            self.note(&said, (life, session.id), called, &BTreeMap::new());
            return;
        };
        let codes = codes_of(&answer, &said);
        self.note(&said, (life, session.id), called, &codes);
        if self.is_over(answer.error_code, called) {
            return;
        }
        let answered = self.run.micros();
        for topic in answer.responses {
            for partition in topic.partitions {
                self.take(partition, (life, session.id), (called, answered));
            }
        }
    }

    fn take(
        &mut self,
        answer: PartitionData,
        (life, session): (u64, u64),
        (called, answered): (Micros, Micros),
    ) {
        let partition = answer.partition_index;
        assert_eq!(answer.error_code, 0, "fetching from {partition}");
        let records: BTreeMap<i64, RecordId> = decode(answer.records.unwrap_or_default())
            .into_iter()
            .map(|record| (record.offset, parse(&record.value.expect("records have values"))))
            .collect();
        for run in answer.acquired_records {
            for offset in run.first_offset..=run.last_offset {
                self.held.push(self.seen.deliveries.len());
                self.seen.deliveries.push(Delivery {
                    place: (partition, offset),
                    record: records.get(&offset).copied(),
                    life,
                    count: run.delivery_count,
                    session,
                    called,
                    answered,
                });
            }
        }
    }

    async fn acknowledge(&mut self, said: Said, is_final: bool) {
        let Some(session) = self.session else { return };
        if said.is_empty() && !is_final {
            return;
        }
        let epoch = if is_final { FINAL_EPOCH } else { session.next_epoch };
        let request = acknowledge_request(&self.member, epoch, self.topic_id, &said);
        let called = self.run.micros();
        self.session = Some(Session { next_epoch: session.next_epoch + 1, ..session });
        if is_final {
            self.end_session(called);
        }
        let life = self.life();
        let Some((answer, life)) = self.ask(1, &request).await else {
            self.note(&said, (life, session.id), called, &BTreeMap::new());
            return;
        };
        let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
        let mut codes: BTreeMap<i32, i16> =
            partitions.map(|one| (one.partition_index, one.error_code)).collect();
        if answer.error_code != 0 {
            codes = said.keys().map(|partition| (*partition, answer.error_code)).collect();
        }
        self.note(&said, (life, session.id), called, &codes);
        self.is_over(answer.error_code, called);
    }

    /// Whether the broker does not know the session, or not so.
    fn is_over(&mut self, code: i16, called: Micros) -> bool {
        match code {
            0 => false,
            SHARE_SESSION_NOT_FOUND | INVALID_SHARE_SESSION_EPOCH => {
                self.end_session(called);
                true
            }
            code => panic!("a request of a session was answered with code {code}"),
        }
    }

    /// Writes down what was said, with the codes of the answer; without them it was not answered.
    fn note(
        &mut self,
        said: &Said,
        said_in: (u64, u64),
        called: Micros,
        codes: &BTreeMap<i32, i16>,
    ) {
        let answered = self.run.micros();
        for (partition, said) in said {
            self.requests += 1;
            let together = self.number << 32 | self.requests;
            let code = codes.get(partition);
            assert!(code.is_some() || codes.is_empty(), "no answer about {partition}");
            for &(offset, kind) in said {
                let place = (*partition, offset);
                let delivery = self.seen.deliveries.iter().rfind(|one| one.place == place);
                let delivery = delivery.expect("it was delivered");
                self.seen.words.push(Word {
                    kind,
                    place,
                    delivery: (delivery.life, delivery.count),
                    session: delivery.session,
                    said_in,
                    together,
                    called,
                    answer: code.map(|code| (answered, *code)),
                });
            }
        }
    }

    fn end_session(&mut self, at: Micros) {
        if let Some(session) = self.session.take() {
            self.seen.ends.insert(session.id, at);
        }
    }

    fn lose(&mut self, at: Micros) {
        self.wire = None;
        self.end_session(at);
    }

    /// The life of the broker that it is connected to.
    fn life(&self) -> u64 {
        self.wire.as_ref().map_or_else(|| self.run.life(), |(_, life)| *life)
    }

    /// The answer and the life of the broker that gave it; none if the connection was lost.
    async fn ask<T: Request>(&mut self, version: i16, request: &T) -> Option<(T::Response, u64)> {
        let called = self.run.micros();
        let asked = async {
            if self.wire.is_none() {
                let life = self.run.life();
                let stream = TcpStream::connect(self.run.address).await.ok()?;
                stream.set_nodelay(true).ok()?;
                // A broker has one life, and there is none while it changes.
                if life == self.run.life() {
                    self.wire = Some((Client::over(stream), life));
                }
            }
            let (client, life) = self.wire.as_mut()?;
            let id = client.try_write::<T>(version, request).await.ok()?;
            Some((client.read::<T>(version, id).await?, *life))
        };
        let answer = tokio::time::timeout(Duration::from_secs(10), asked).await.ok().flatten();
        if answer.is_none() {
            self.lose(called);
            pause(5).await;
        }
        answer
    }
}

fn codes_of(answer: &ShareFetchResponse, said: &Said) -> BTreeMap<i32, i16> {
    if answer.error_code != 0 {
        return said.keys().map(|partition| (*partition, answer.error_code)).collect();
    }
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|one| (one.partition_index, one.acknowledge_error_code)).collect()
}
