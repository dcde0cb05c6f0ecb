//! One connection: requests in, answers out in the same order.
//!
//! Problem: a client sends its next requests before it has the answers, and expects the answers in
//! order. A request may wait (a fetch for records, a member for its group), and so may a reader
//! that does not read its answers.
//!
//! The task holds a queue of answers, begun and done. It starts the next request only when the one
//! before it is answered, as Kafka does, but for those whose effect is complete before their answer
//! (a produce request whose records must yet reach the disk): so appends of one connection share an
//! fsync. Answers are written from the front of the queue as they are done.
//!
//! Bounds: a large request takes its bytes from the budget of all connections as they come, so that
//! to announce one takes nothing from others, and gives them back with its answer. Small ones are
//! bounded by the number of connections. If several wait for each other's memory, those that waited
//! for long are closed. [`MAX_ANSWERS`] bounds the queue; nothing more is read while it
//! is full or while what is written does not drain.
//!
//! Failures: a request that cannot be understood, a handler that panics, a frame that does not
//! come to its end, answers that are not read, and silence for long end the connection. What the
//! client sent before it closed its side is still served.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Shared;
use super::dispatch::{self, Answer, BadRequest, Reply};
use super::frame::{BadLength, Frames};
use super::outgoing::Outgoing;
use super::peer::Peer;
use crate::broker::Broker;

/// Requests of one connection that may wait for the disk at the same time.
const MAX_ANSWERS: usize = 64;

/// Bytes of answers beyond which no further request is started.
const MAX_OUTGOING_BYTES: usize = 1 << 20;

/// How often the time limits are looked at.
const TICK: Duration = Duration::from_secs(5);

/// A connection without requests is closed after this time.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// A connection that takes nothing of its answers is closed after so many ticks.
const STUCK_TICKS: u64 = 12;

/// A frame must come to its end within so many ticks, and one more for each mebibyte.
const FRAME_TICKS: u64 = 12;

/// A request up to this size takes nothing from the budget, and a larger one not yet.
pub(crate) const FREE_BYTES: usize = 64 << 10;

/// A larger request takes as much as has come of it, but this at least.
const BUDGET_STEP_BYTES: usize = 1 << 20;

/// A request that has come in part is given up after so many ticks without memory for the rest.
const STARVED_TICKS: u64 = 2;

/// A client that must prove who it is has so many ticks for it.
const UNPROVED_TICKS: u64 = 6;

/// Nor may it send longer requests meanwhile.
const UNPROVED_BYTES: usize = 64 << 10;

/// Why a connection ended.
enum Ended {
    /// The client closed it.
    Left,
    /// The server stops.
    Stopping,
    /// Nothing came for long.
    Idle,
    /// The network or the client's machine.
    Io(std::io::Error),
    /// The client did what it may not.
    Bad(String),
}

pub(super) struct Connection<S> {
    stream: S,
    peer: Peer,
    broker: Arc<Broker>,
    stopping: watch::Receiver<bool>,
}

type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The place of an answer in the queue, with the bytes of its request taken from the budget.
struct Slot {
    state: State,
    budget: Option<OwnedSemaphorePermit>,
}

enum State {
    /// Its handler is at work, and no other request is started before it is done.
    Alone(Waiting<Result<Reply, BadRequest>>),
    /// What it does is done, and its answer will come.
    Beside(Waiting<Result<Answer, BadRequest>>),
    Done(Answer),
}

/// The task's state beside the socket.
struct Work {
    frames: Frames,
    /// The budget for the frame at the front: being waited for, or taken.
    asking: Option<Waiting<OwnedSemaphorePermit>>,
    budget: Option<OwnedSemaphorePermit>,
    /// Bytes of the frame at the front that may be in memory.
    paid_bytes: usize,
    asking_tick: u64,
    answers: VecDeque<Slot>,
    outgoing: Outgoing,
    /// What was written last may yet be in the buffers of TLS.
    unflushed: bool,
    /// The client will send no more.
    at_end: bool,
    tick: u64,
    read_tick: u64,
    written_tick: u64,
    frame_tick: u64,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection<S> {
    pub(super) fn new(stream: S, peer: Peer, shared: &Shared) -> Self {
        Connection {
            stream,
            peer,
            broker: shared.broker.clone(),
            stopping: shared.stopping.clone(),
        }
    }

    /// Serves the connection until it ends, and logs why it did.
    pub(super) async fn serve(mut self) {
        let (connection, address) = (self.peer.connection, self.peer.address);
        tracing::debug!(connection, %address, "connected");
        let _in_panic = LogPanic { connection, address };
        match self.run().await {
            Ended::Left => tracing::debug!(connection, %address, "left"),
            Ended::Stopping => tracing::debug!(connection, %address, "closed: the log stops"),
            Ended::Idle => tracing::debug!(connection, %address, "closed: silent for long"),
            Ended::Io(error) => tracing::debug!(connection, %address, %error, "lost"),
            Ended::Bad(reason) => {
                let principal = self.peer.session.principal();
                tracing::warn!(connection, %address, principal, reason, "closed");
            }
        }
    }

    async fn run(&mut self) -> Ended {
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        let clock = self.broker.seams().clock.clone();
        let mut ticks = clock.sleep(TICK);
        let mut work = Work::new(self.broker.config().max_request_bytes);
        loop {
            if let Err(ended) = work.start_requests(&self.broker, &self.peer) {
                return ended;
            }
            work.queue_answers();
            if work.is_over() {
                return Ended::Left;
            }
            if self.peer.session.has_failed() && work.has_answered() {
                return Ended::Bad("the client did not prove who it is".to_owned());
            }
            let wants_more = work.wants_more();
            let readable = work.frames.readable_bytes(work.paid_bytes);
            let Work { asking, answers, outgoing, unflushed, frames, .. } = &mut work;
            tokio::select! {
                biased;
                _ = self.stopping.wait_for(|stopping| *stopping) => return Ended::Stopping,
                outcome = std::future::poll_fn(|context| poll_answers(answers, context)) => {
                    if let Err(BadRequest(reason)) = outcome {
                        return Ended::Bad(reason);
                    }
                }
                written = write_on(&mut writer, outgoing), if outgoing.has_remaining() || *unflushed => {
                    match written {
                        Ok(Some(0)) => return Ended::Left,
                        Ok(written) => {
                            work.written_tick = work.tick;
                            work.unflushed = written.is_some();
                        }
                        Err(error) => return Ended::Io(error),
                    }
                }
                permit = std::future::poll_fn(|context| poll_budget(asking, context)) => {
                    work.pay(permit);
                }
                read = async { reader.read_buf(&mut frames.space(readable)).await }, if wants_more => {
                    match read {
                        Ok(0) => work.at_end = true,
                        Ok(_) => work.read_tick = work.tick,
                        Err(error) => return Ended::Io(error),
                    }
                }
                () = &mut ticks => {
                    ticks = clock.sleep(TICK);
                    if let Some(ended) = work.next_tick() {
                        return ended;
                    }
                    if work.tick > UNPROVED_TICKS && !self.peer.session.is_settled() {
                        let reason = "the client did not prove in time who it is";
                        return Ended::Bad(reason.to_owned());
                    }
                }
            }
        }
    }
}

impl Work {
    fn new(max_request_bytes: usize) -> Self {
        Work {
            frames: Frames::new(max_request_bytes),
            asking: None,
            budget: None,
            paid_bytes: 0,
            asking_tick: 0,
            answers: VecDeque::new(),
            outgoing: Outgoing::default(),
            unflushed: false,
            at_end: false,
            tick: 0,
            read_tick: 0,
            written_tick: 0,
            frame_tick: 0,
        }
    }

    /// Starts what has come whole and may be started.
    fn start_requests(&mut self, broker: &Arc<Broker>, peer: &Peer) -> Result<(), Ended> {
        while self.may_start() && !peer.session.has_failed() {
            let announced = self.frames.announced().map_err(|BadLength(length)| {
                Ended::Bad(format!("a request of {length} bytes is refused"))
            })?;
            let Some(bytes) = announced else { break };
            if bytes > UNPROVED_BYTES && !peer.session.is_settled() {
                let reason = "before the client has proved who it is";
                return Err(Ended::Bad(format!("a request of {bytes} bytes {reason}")));
            }
            self.take_budget(bytes, broker);
            let Some(frame) = self.frames.take() else { break };
            self.paid_bytes = 0;
            self.asking = None;
            self.frame_tick = self.tick;
            let served = dispatch::start(broker, peer, frame)
                .map_err(|BadRequest(reason)| Ended::Bad(reason))?;
            let budget = self.budget.take();
            self.answers.push_back(Slot { state: State::Alone(served), budget });
            let mut context = Context::from_waker(std::task::Waker::noop());
            // Most handlers need not wait; those that must are polled again by the loop.
            if let Poll::Ready(Err(BadRequest(reason))) =
                poll_answers(&mut self.answers, &mut context)
            {
                return Err(Ended::Bad(reason));
            }
        }
        Ok(())
    }

    /// Takes the next bytes of a frame from the budget, or begins to wait for them.
    fn take_budget(&mut self, frame_bytes: usize, broker: &Arc<Broker>) {
        self.paid_bytes = self.paid_bytes.max(frame_bytes.min(FREE_BYTES));
        let come = self.frames.buffered_bytes();
        if self.asking.is_some() || self.paid_bytes >= frame_bytes || self.paid_bytes > come {
            return;
        }
        let target = (2 * come).max(BUDGET_STEP_BYTES).min(frame_bytes);
        let taken = self.budget.as_ref().map_or(0, |budget| budget.num_permits());
        // A request larger than the whole budget is read when it has all of it.
        let more = target.min(broker.config().max_in_flight_bytes).saturating_sub(taken);
        self.paid_bytes = target;
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let memory = broker.memory().clone();
        match memory.clone().try_acquire_many_owned(more) {
            Ok(permit) => self.pay(permit),
            Err(_) => {
                self.asking_tick = self.tick;
                self.asking = Some(Box::pin(async move {
                    memory.acquire_many_owned(more).await.expect("the semaphore is never closed")
                }));
            }
        }
    }

    fn pay(&mut self, permit: OwnedSemaphorePermit) {
        self.asking = None;
        match &mut self.budget {
            Some(budget) => budget.merge(permit),
            None => self.budget = Some(permit),
        }
    }

    fn may_start(&self) -> bool {
        self.answers.len() < MAX_ANSWERS
            && self.outgoing.remaining() < MAX_OUTGOING_BYTES
            && !self.answers.back().is_some_and(|slot| matches!(slot.state, State::Alone(_)))
    }

    /// Whether to read on: also while a request is at work, so that the client's leaving is seen,
    /// but not more than the frame at the front needs.
    fn wants_more(&self) -> bool {
        let come = self.frames.buffered_bytes();
        let paid_bytes = if self.frames.is_announced() { self.paid_bytes } else { FREE_BYTES };
        !self.at_end && self.asking.is_none() && come < paid_bytes && self.frames.is_short()
    }

    /// Moves the answers that are done and first in the queue to what is written.
    fn queue_answers(&mut self) {
        while let Some(Slot { state: State::Done(answer), .. }) = self.answers.front_mut() {
            if !self.outgoing.has_remaining() {
                self.written_tick = self.tick;
            }
            for buffer in answer.drain(..) {
                self.outgoing.push(buffer);
            }
            self.answers.pop_front();
            self.read_tick = self.tick;
        }
    }

    fn has_answered(&self) -> bool {
        self.answers.is_empty() && !self.outgoing.has_remaining() && !self.unflushed
    }

    fn is_over(&self) -> bool {
        self.at_end && self.has_answered() && (self.frames.is_short() && self.asking.is_none())
    }

    /// Looks at the time limits.
    fn next_tick(&mut self) -> Option<Ended> {
        self.tick += 1;
        if !(self.wants_more() && self.frames.is_within()) {
            self.frame_tick = self.tick;
        }
        if (self.outgoing.has_remaining() || self.unflushed)
            && self.tick - self.written_tick > STUCK_TICKS
        {
            return Some(Ended::Bad("the client does not take its answers".to_owned()));
        }
        let starved = self.asking.is_some() && self.budget.is_some();
        if starved && self.tick - self.asking_tick > STARVED_TICKS {
            return Some(Ended::Bad("there was no memory for the rest of a request".to_owned()));
        }
        let frame_ticks = FRAME_TICKS + self.frames.missing_bytes() as u64 / (1 << 20);
        if self.tick - self.frame_tick > frame_ticks {
            return Some(Ended::Bad("a request did not come to its end".to_owned()));
        }
        let idle = self.answers.is_empty()
            && self.tick - self.read_tick > IDLE_TIMEOUT.as_secs() / TICK.as_secs();
        idle.then_some(Ended::Idle)
    }
}

/// Writes what there is, and says how much; flushes where there is nothing more.
async fn write_on(
    writer: &mut (impl AsyncWrite + Unpin),
    outgoing: &mut Outgoing,
) -> std::io::Result<Option<usize>> {
    if outgoing.has_remaining() {
        writer.write_buf(outgoing).await.map(Some)
    } else {
        writer.flush().await.map(|()| None)
    }
}

/// Drives the queue. Ready when a slot is done that was not before, if there is one to be driven.
fn poll_answers(
    answers: &mut VecDeque<Slot>,
    context: &mut Context<'_>,
) -> Poll<Result<(), BadRequest>> {
    let mut progress = false;
    for slot in answers {
        if let State::Alone(served) = &mut slot.state
            && let Poll::Ready(reply) = served.as_mut().poll(context)
        {
            progress = true;
            slot.state = match reply? {
                Reply::Now(answer) => State::Done(answer),
                Reply::Later(answer) => State::Beside(answer),
            };
        }
        if let State::Beside(served) = &mut slot.state
            && let Poll::Ready(answer) = served.as_mut().poll(context)
        {
            progress = true;
            slot.state = State::Done(answer?);
        }
        if matches!(slot.state, State::Done(_)) {
            slot.budget = None;
        }
    }
    if progress { Poll::Ready(Ok(())) } else { Poll::Pending }
}

/// Ready with the budget for the next frame, if it is being waited for.
fn poll_budget(
    asking: &mut Option<Waiting<OwnedSemaphorePermit>>,
    context: &mut Context<'_>,
) -> Poll<OwnedSemaphorePermit> {
    asking.as_mut().map_or(Poll::Pending, |asking| asking.as_mut().poll(context))
}

/// Says in the log that a handler panicked, when the task is unwound.
struct LogPanic {
    connection: u64,
    address: std::net::SocketAddr,
}

impl Drop for LogPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let LogPanic { connection, address } = self;
            tracing::error!(connection, %address, "closed: the handler of a request panicked");
        }
    }
}
