//! The operators of a task, which call each other directly.

use std::sync::Arc;
use std::time::Duration;

use millrace_core::metrics::SubtaskMetrics;
use millrace_core::seam::Clock;
use millrace_core::{
    Barrier, Batch, CheckpointId, Collector, DropReason, LedgerCounts, Operator, OperatorId, Port,
    Prepared, Progress, Result, Snapshot, SnapshotRequest, Timestamp,
};

use super::{MemberAck, PendingMember, SinkTail, StateUpdate, TaskFailure};
use crate::exchange::{Control, Outputs};
use crate::graph::NodeIndex;

/// One operator of a chain.
pub(crate) struct Member {
    pub(crate) node: NodeIndex,
    pub(crate) id: OperatorId,
    pub(crate) subtask: usize,
    pub(crate) kind: MemberKind,
    pub(crate) metrics: Arc<SubtaskMetrics>,
    pub(crate) ledger: LedgerCounts,
}

/// What a member does with rows.
pub(crate) enum MemberKind {
    /// Its rows come from the source task around the chain.
    Source,
    /// Works on them.
    Operator(Box<dyn Operator>),
    /// Takes them out of the job. Always last.
    Sink(SinkTail),
}

/// A chain and the edges that leave it.
///
/// Calls into operators are synchronous and collect what leaves the task; `flush` then waits for
/// room in the channels. So a call can't be cut in two by an abort.
pub(crate) struct Chain {
    members: Vec<Member>,
    outputs: Outputs,
    leaving: Vec<(usize, Port, Batch)>,
    clock: Arc<dyn Clock>,
    watermark: Timestamp,
    /// How long ago the operators were asked how much memory they hold.
    state_age: Duration,
}

/// How old the figure of an operator's memory may become. To ask costs time in proportion to the
/// panes that are open, so it is not done for each element.
const STATE_AGE: Duration = Duration::from_millis(250);

/// Collects one member's output during one call.
struct MemberOutput<'a> {
    ledger: &'a mut LedgerCounts,
    emitted: Vec<(Port, Batch)>,
}

impl Collector for MemberOutput<'_> {
    fn emit(&mut self, port: Port, batch: Batch) -> Result<()> {
        if batch.rows() > 0 {
            self.emitted.push((port, batch));
        }
        Ok(())
    }

    fn ledger(&mut self) -> &mut LedgerCounts {
        self.ledger
    }
}

/// Which of an operator's calls makes more output.
#[derive(Clone, Copy)]
enum Call {
    Watermark(Timestamp),
    Timer(Timestamp),
    End,
}

impl Chain {
    pub(crate) fn new(members: Vec<Member>, outputs: Outputs, clock: Arc<dyn Clock>) -> Self {
        Chain {
            members,
            outputs,
            leaving: Vec::new(),
            clock,
            watermark: Timestamp::MIN,
            state_age: STATE_AGE,
        }
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The first member's node, which gives the task its place in the graph.
    pub(crate) fn head(&self) -> &Member {
        &self.members[0]
    }

    /// Takes rows for the first member.
    pub(crate) async fn process(&mut self, input: usize, batch: Batch) -> Result<(), TaskFailure> {
        self.push(0, input, batch)?;
        self.flush().await
    }

    /// Takes rows that the source read.
    pub(crate) async fn source_rows(&mut self, batch: Batch) -> Result<(), TaskFailure> {
        let rows = batch.rows() as u64;
        self.members[0].ledger.rows_in += rows;
        self.members[0].ledger.passed += rows;
        self.route(0, vec![(Port::MAIN, batch)])?;
        self.flush().await
    }

    /// Takes records that the source could not decode, to go to the side output or nowhere.
    pub(crate) async fn source_bad(
        &mut self,
        reason: DropReason,
        rows: u64,
        letters: Option<Batch>,
    ) -> Result<(), TaskFailure> {
        self.members[0].ledger.rows_in += rows;
        self.members[0].ledger.add_dropped(reason, rows);
        if let Some(letters) = letters {
            self.route(0, vec![(Port::SIDE, letters)])?;
        }
        self.show_drops(0);
        self.flush().await
    }

    /// Moves event time on, through all members, and passes the watermark on.
    pub(crate) async fn watermark(&mut self, watermark: Timestamp) -> Result<(), TaskFailure> {
        if watermark <= self.watermark {
            return Ok(());
        }
        self.watermark = watermark;
        for at in 0..self.members.len() {
            self.call(at, Call::Watermark(watermark)).await?;
            self.members[at].metrics.set_watermark(watermark);
            if let MemberKind::Sink(sink) = &mut self.members[at].kind {
                sink.watermark(watermark).await?;
            }
        }
        self.control(Control::Watermark(watermark)).await
    }

    /// The next moment in processing time at which an operator wants to be called.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        let operators = self.members.iter().filter_map(|member| match &member.kind {
            MemberKind::Operator(operator) => operator.next_timer(),
            MemberKind::Source | MemberKind::Sink(_) => None,
        });
        operators.min()
    }

    /// Calls the operators whose time has come.
    pub(crate) async fn timers(&mut self) -> Result<(), TaskFailure> {
        let now = self.clock.now();
        for at in 0..self.members.len() {
            let due = match &self.members[at].kind {
                MemberKind::Operator(operator) => operator.next_timer().is_some_and(|at| at <= now),
                MemberKind::Source | MemberKind::Sink(_) => false,
            };
            if due {
                self.call(at, Call::Timer(now)).await?;
            }
        }
        Ok(())
    }

    /// Ends the operators, in order.
    pub(crate) async fn end(&mut self) -> Result<(), TaskFailure> {
        for at in 0..self.members.len() {
            self.call(at, Call::End).await?;
        }
        self.flush_sink().await
    }

    /// Sends a control element to all readers.
    pub(crate) async fn control(&mut self, control: Control) -> Result<(), TaskFailure> {
        Ok(self.outputs.broadcast(control, &*self.clock).await?)
    }

    /// Lets the sink's buffered rows out, because nothing more is ready.
    pub(crate) async fn flush_sink(&mut self) -> Result<(), TaskFailure> {
        if let Some(MemberKind::Sink(sink)) = self.members.last_mut().map(|last| &mut last.kind) {
            sink.flush().await?;
        }
        Ok(())
    }

    /// Copies the state of all members as it is behind a barrier.
    pub(crate) async fn snapshot(
        &mut self,
        barrier: Barrier,
    ) -> Result<Vec<PendingMember>, TaskFailure> {
        let request = SnapshotRequest { checkpoint: barrier.checkpoint, full: barrier.full };
        let mut pending = Vec::with_capacity(self.members.len());
        for member in &mut self.members {
            let before = self.clock.elapsed();
            let (snapshot, prepared) = member.snapshot(request).await?;
            if let MemberKind::Operator(operator) = &member.kind {
                member.metrics.set_state_bytes(operator.state_bytes() as u64);
            }
            member.metrics.set_snapshot(self.clock.elapsed().saturating_sub(before));
            pending.push(PendingMember {
                id: member.id.clone(),
                snapshot,
                ack: MemberAck {
                    node: member.node,
                    subtask: member.subtask,
                    state: StateUpdate::Empty,
                    splits: Vec::new(),
                    prepared,
                    ledger: member.ledger.clone(),
                },
            });
        }
        Ok(pending)
    }

    /// Makes visible what the sink prepared, if there is one.
    pub(crate) async fn commit(&mut self, checkpoint: CheckpointId) -> Result<(), TaskFailure> {
        if let Some(last) = self.members.last_mut()
            && let MemberKind::Sink(sink) = &mut last.kind
        {
            let rows = sink.commit(checkpoint).await?;
            last.ledger.passed += rows;
            last.ledger.absorbed = last.ledger.absorbed.saturating_sub(rows);
        }
        Ok(())
    }

    /// Adds to the times of all members: they share the task's.
    pub(crate) fn add_times(&mut self, idle: Duration, worked: Duration) {
        let waited = self.outputs.take_waited();
        self.state_age += idle + worked;
        let measure = self.state_age >= STATE_AGE;
        if measure {
            self.state_age = Duration::ZERO;
        }
        for member in &self.members {
            member.metrics.add_idle(idle);
            member.metrics.add_busy(worked.saturating_sub(waited));
            if !waited.is_zero() {
                member.metrics.add_backpressured(waited);
            }
            if let (true, MemberKind::Operator(operator)) = (measure, &member.kind) {
                member.metrics.set_state_bytes(operator.state_bytes() as u64);
            }
        }
    }

    /// Calls an operator until it has nothing more to say, sending in between.
    async fn call(&mut self, at: usize, call: Call) -> Result<(), TaskFailure> {
        loop {
            let member = &mut self.members[at];
            let MemberKind::Operator(operator) = &mut member.kind else {
                return Ok(());
            };
            let mut out = MemberOutput { ledger: &mut member.ledger, emitted: Vec::new() };
            let progress = match call {
                Call::Watermark(watermark) => operator.watermark(watermark, &mut out)?,
                Call::Timer(now) => operator.timer(now, &mut out)?,
                Call::End => operator.end(&mut out)?,
            };
            let emitted = out.emitted;
            self.route(at, emitted)?;
            self.flush().await?;
            if progress == Progress::Done {
                return Ok(());
            }
        }
    }

    /// Hands rows to the member `at` and what comes of them to those behind it.
    fn push(&mut self, at: usize, input: usize, batch: Batch) -> Result<()> {
        let rows = batch.rows() as u64;
        let member = &mut self.members[at];
        member.ledger.rows_in += rows;
        member.metrics.add_in(rows, batch.bytes() as u64);
        match &mut member.kind {
            MemberKind::Source => unreachable!("a source is always the first of its chain"),
            MemberKind::Sink(_) => {
                member.ledger.absorbed += rows;
                self.leaving.push((at, Port::MAIN, batch));
                Ok(())
            }
            MemberKind::Operator(operator) => {
                let mut out = MemberOutput { ledger: &mut member.ledger, emitted: Vec::new() };
                operator.process(input, batch, &mut out)?;
                let emitted = out.emitted;
                self.show_drops(at);
                self.route(at, emitted)
            }
        }
    }

    /// Counts a member's output and sends it on its way.
    fn route(&mut self, at: usize, emitted: Vec<(Port, Batch)>) -> Result<()> {
        for (port, batch) in emitted {
            let rows = batch.rows() as u64;
            let member = &mut self.members[at];
            if member.ledger.rows_out.len() <= port.0 {
                member.ledger.rows_out.resize(port.0 + 1, 0);
            }
            member.ledger.rows_out[port.0] += rows;
            member.metrics.add_out(rows, batch.bytes() as u64);
            if port == Port::MAIN && at + 1 < self.members.len() {
                self.push(at + 1, 0, batch)?;
            } else if self.outputs.has_reader(at, port) {
                self.leaving.push((at, port, batch));
            }
        }
        Ok(())
    }

    fn show_drops(&self, at: usize) {
        let Member { ledger, metrics, .. } = &self.members[at];
        metrics.set_dropped(ledger.dropped(DropReason::Late), ledger.dropped.iter().sum());
    }

    /// Sends what is to leave the task, in order.
    async fn flush(&mut self) -> Result<(), TaskFailure> {
        let mut leaving = std::mem::take(&mut self.leaving);
        for (at, port, batch) in leaving.drain(..) {
            match &mut self.members[at].kind {
                MemberKind::Sink(sink) => sink.write(batch).await?,
                MemberKind::Source | MemberKind::Operator(_) => {
                    self.outputs.send(at, port, batch, &*self.clock).await?;
                }
            }
        }
        self.leaving = leaving;
        Ok(())
    }
}

impl Member {
    async fn snapshot(&mut self, request: SnapshotRequest) -> Result<(Snapshot, Option<Prepared>)> {
        match &mut self.kind {
            MemberKind::Source => Ok((Snapshot::Empty, None)),
            MemberKind::Operator(operator) => Ok((operator.snapshot(request)?, None)),
            MemberKind::Sink(sink) => {
                Ok((Snapshot::Empty, Some(sink.prepare(request.checkpoint).await?)))
            }
        }
    }
}
