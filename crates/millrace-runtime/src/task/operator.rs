//! A task that is fed by channels.

use std::time::Duration;

use millrace_core::seam::yield_now;
use millrace_core::{Barrier, CheckpointId};

use super::{Chain, Command, PendingAck, TaskContext, TaskEvent, TaskFailure};
use crate::exchange::{Arrival, Change, Control, InputGate, WatermarkMerge};

/// Runs a chain behind an input gate.
pub(crate) struct OperatorTask {
    context: TaskContext,
    chain: Chain,
    gate: InputGate,
    merge: WatermarkMerge,
    /// A checkpoint that was announced, and whose barrier has not come.
    announced: Option<Barrier>,
    /// The newest checkpoint taken part in.
    taken: CheckpointId,
    /// The job is being stopped: what ends now goes on later, and nothing may fire for it.
    stopping: bool,
    ended: bool,
}

impl OperatorTask {
    pub(crate) fn new(context: TaskContext, chain: Chain, gate: InputGate) -> Self {
        let merge = WatermarkMerge::new(gate.channels());
        OperatorTask {
            context,
            chain,
            gate,
            merge,
            announced: None,
            taken: CheckpointId(0),
            stopping: false,
            ended: false,
        }
    }

    pub(crate) async fn run(mut self) -> Result<(), TaskFailure> {
        loop {
            while let Ok(command) = self.context.commands.try_recv() {
                if self.obey(command).await?.is_break() {
                    return Ok(());
                }
            }
            if self.ended {
                let command = self.context.commands.recv().await;
                let command = command.ok_or(TaskFailure::Disconnected)?;
                if self.obey(command).await?.is_break() {
                    return Ok(());
                }
                continue;
            }
            let before = self.chain.clock().elapsed();
            let (arrival, waited) = match self.gate.try_next() {
                Some(arrival) => (Some(arrival?), Duration::ZERO),
                None => {
                    self.chain.flush_sink().await?;
                    let arrival = self.wait().await?;
                    (arrival, self.chain.clock().elapsed().saturating_sub(before))
                }
            };
            if let Some(arrival) = arrival {
                self.admit(arrival).await?;
            }
            let spent = self.chain.clock().elapsed().saturating_sub(before);
            self.chain.add_times(waited, spent.saturating_sub(waited));
            yield_now().await;
        }
    }

    /// Waits for an element, a command or a timer; `None` when it was not an element.
    async fn wait(&mut self) -> Result<Option<Arrival>, TaskFailure> {
        let clock = self.context.seams.clock.clone();
        let timer = self.chain.next_timer();
        let until_timer = async {
            match timer {
                Some(at) => clock.sleep(at.since(clock.now())).await,
                None => std::future::pending().await,
            }
        };
        enum Woken {
            Arrival(millrace_core::Result<Arrival>),
            Command(Option<Command>),
            Timer,
        }
        let woken = tokio::select! {
            biased;
            command = self.context.commands.recv() => Woken::Command(command),
            arrival = self.gate.next() => Woken::Arrival(arrival),
            () = until_timer => Woken::Timer,
        };
        match woken {
            Woken::Arrival(arrival) => Ok(Some(arrival?)),
            Woken::Command(None) => Err(TaskFailure::Disconnected),
            Woken::Command(Some(command)) => {
                // Only an ended task is told to finish, and that one does not wait here.
                let _ = self.obey(command).await?;
                Ok(None)
            }
            Woken::Timer => {
                self.chain.timers().await?;
                Ok(None)
            }
        }
    }

    async fn admit(&mut self, arrival: Arrival) -> Result<(), TaskFailure> {
        match arrival {
            Arrival::Batch { input, batch } => self.chain.process(input, batch).await?,
            Arrival::Watermark { channel, watermark } => {
                if let Some(change) = self.merge.watermark(channel, watermark) {
                    self.pass_on(change).await?;
                }
            }
            Arrival::Idle { channel, idle } => {
                for change in self.merge.idle(channel, idle).into_iter().flatten() {
                    self.pass_on(change).await?;
                }
            }
            Arrival::Aligned(barrier) => {
                self.stopping |= barrier.stop;
                self.take_part(barrier, true).await?;
            }
            Arrival::AllEnded => self.end().await?,
            Arrival::Disconnected => return Err(TaskFailure::Disconnected),
        }
        if self.chain.next_timer().is_some() {
            self.chain.timers().await?;
        }
        Ok(())
    }

    async fn pass_on(&mut self, change: Change) -> Result<(), TaskFailure> {
        match change {
            Change::Advanced(watermark) => self.chain.watermark(watermark).await,
            Change::BecameIdle => self.chain.control(Control::Idle).await,
            Change::BecameActive => self.chain.control(Control::Active).await,
        }
    }

    async fn end(&mut self) -> Result<(), TaskFailure> {
        if self.merge.is_idle() {
            self.chain.control(Control::Active).await?;
        }
        if !self.stopping {
            self.chain.end().await?;
        }
        self.chain.flush_sink().await?;
        self.chain.control(Control::End).await?;
        self.ended = true;
        // A checkpoint was announced, but every source that feeds this task had ended by then: its
        // barrier will not come.
        if let Some(barrier) = self.announced.take() {
            self.take_part(barrier, false).await?;
        }
        if self.stopping {
            return Ok(());
        }
        let task = self.context.index;
        self.context.tell(TaskEvent::Ended { task }).await
    }

    async fn obey(&mut self, command: Command) -> Result<std::ops::ControlFlow<()>, TaskFailure> {
        match command {
            Command::Trigger(barrier) if self.ended => self.take_part(barrier, false).await?,
            Command::Trigger(barrier) => {
                if barrier.checkpoint > self.taken {
                    self.announced = Some(barrier);
                }
            }
            Command::Commit(checkpoint) => {
                self.chain.commit(checkpoint).await?;
                let task = self.context.index;
                self.context.tell(TaskEvent::Committed { task, checkpoint }).await?;
            }
            Command::AddSplits(_) => {
                return Err(millrace_core::Error::report("splits for a task without source").into());
            }
            Command::Finish => return Ok(std::ops::ControlFlow::Break(())),
        }
        Ok(std::ops::ControlFlow::Continue(()))
    }

    async fn take_part(&mut self, barrier: Barrier, forward: bool) -> Result<(), TaskFailure> {
        if barrier.checkpoint <= self.taken {
            return Ok(());
        }
        self.taken = barrier.checkpoint;
        self.announced = self.announced.filter(|other| other.checkpoint > barrier.checkpoint);
        let members = self.chain.snapshot(barrier).await?;
        if forward {
            self.chain.control(Control::Barrier(barrier)).await?;
        }
        PendingAck { checkpoint: barrier.checkpoint, members }.store(&self.context);
        Ok(())
    }
}
