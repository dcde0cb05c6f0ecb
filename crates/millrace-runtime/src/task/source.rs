//! A task that reads a source.
//!
//! It reads its splits in the order of their watermarks: the one furthest behind comes next. So
//! files that cover one month each are read one after the other even though all are open, and the
//! merged watermark moves with the reading. A split that was never read holds it at
//! `Timestamp::MIN`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::select_all;
use millrace_checkpoint::SplitEntry;
use millrace_core::seam::yield_now;
use millrace_core::source::ReaderContext;
use millrace_core::{
    BadRecord, BadRecordPolicy, Barrier, Batch, Boundedness, CheckpointId, DropReason, Error, Read,
    ReadBatch, Records, Source, Split, SplitReader, Timestamp, WatermarkAssigner,
};

use super::{Aligned, Chain, Command, PendingAck, TaskContext, TaskEvent, TaskFailure};
use crate::exchange::Control;
use crate::graph::SourceNode;

/// What a source task reads.
pub(crate) struct SourceHead {
    pub(crate) node: SourceNode,
    pub(crate) reader_context: ReaderContext,
    /// The splits to begin with, as the last checkpoint left them.
    pub(crate) splits: Vec<SplitEntry>,
    pub(crate) poll_interval: Duration,
    /// Whom it waits for, and who for it.
    pub(crate) aligned: Option<Aligned>,
}

/// One split that this subtask has.
struct OwnSplit {
    split: Split,
    watermark: Timestamp,
    finished: bool,
    reader: Option<Box<dyn SplitReader>>,
    assigner: Option<Box<dyn WatermarkAssigner>>,
    /// Since when it has had nothing to read, by [`millrace_core::seam::Clock::elapsed`].
    silent_since: Option<Duration>,
    /// When it was last asked in vain; it is asked again when its reader is ready, or after the
    /// poll interval if others keep the task busy.
    asked: Option<Duration>,
    /// It has been silent for so long that it no longer holds back the watermark.
    idle: bool,
}

impl OwnSplit {
    fn new(entry: SplitEntry) -> Self {
        OwnSplit {
            split: entry.split,
            watermark: entry.watermark,
            finished: entry.finished,
            reader: None,
            assigner: None,
            silent_since: None,
            asked: None,
            idle: false,
        }
    }

    fn entry(&self) -> SplitEntry {
        let mut split = self.split.clone();
        if let Some(reader) = &self.reader {
            split.position = reader.position();
        }
        SplitEntry { split, watermark: self.watermark, finished: self.finished }
    }

    fn close(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.split.position = reader.position();
        }
    }
}

/// Runs a chain behind a source.
pub(crate) struct SourceTask {
    context: TaskContext,
    chain: Chain,
    head: SourceHead,
    source: Arc<dyn Source>,
    splits: Vec<OwnSplit>,
    /// Where the splits stood in checkpoints that are not complete yet.
    marked: BTreeMap<CheckpointId, Vec<Split>>,
    taken: CheckpointId,
    idle: bool,
    ended: bool,
}

impl SourceTask {
    pub(crate) fn new(context: TaskContext, chain: Chain, mut head: SourceHead) -> Self {
        let splits = std::mem::take(&mut head.splits).into_iter().map(OwnSplit::new).collect();
        let source = head.node.source.clone();
        SourceTask {
            context,
            chain,
            head,
            source,
            splits,
            marked: BTreeMap::new(),
            taken: CheckpointId(0),
            idle: false,
            ended: false,
        }
    }

    pub(crate) async fn run(mut self) -> Result<(), TaskFailure> {
        self.splits_changed().await?;
        loop {
            while let Ok(command) = self.context.commands.try_recv() {
                if self.obey(command).await?.is_break() {
                    return Ok(());
                }
            }
            if self.ended {
                let command = self.context.commands.recv().await;
                if self.obey(command.ok_or(TaskFailure::Disconnected)?).await?.is_break() {
                    return Ok(());
                }
                continue;
            }
            let before = self.chain.clock().elapsed();
            let waited = match self.next_split(before) {
                Some(index) => {
                    self.read(index).await?;
                    Duration::ZERO
                }
                None => {
                    self.chain.flush_sink().await?;
                    self.wait().await?;
                    self.chain.clock().elapsed().saturating_sub(before)
                }
            };
            self.notice_silence().await?;
            if self.chain.next_timer().is_some() {
                self.chain.timers().await?;
            }
            let spent = self.chain.clock().elapsed().saturating_sub(before);
            self.chain.add_times(waited, spent.saturating_sub(waited));
            yield_now().await;
        }
    }

    /// The split to read from: the one furthest behind of those that may have something and are not
    /// too far ahead of others.
    fn next_split(&mut self, now: Duration) -> Option<usize> {
        let (pause, limit) = (self.head.poll_interval, self.align());
        let ready = self.splits.iter().enumerate().filter(|(_, split)| {
            let resting = split.asked.is_some_and(|asked| now < asked + pause);
            !split.finished && !resting && split.watermark <= limit
        });
        ready.min_by_key(|(_, split)| split.watermark).map(|(index, _)| index)
    }

    /// Tells the others how far this subtask has come; the watermark that its splits may be read to.
    fn align(&mut self) -> Timestamp {
        let Some(aligned) = &mut self.head.aligned else {
            return Timestamp::MAX;
        };
        let held = self.splits.iter().filter(|split| !split.finished && !split.idle);
        aligned.report(held.map(|split| split.watermark).min());
        aligned.limit()
    }

    async fn read(&mut self, index: usize) -> Result<(), TaskFailure> {
        self.open(index).await?;
        let split = &mut self.splits[index];
        let reader = split.reader.as_mut().expect("just opened");
        match reader.next().await? {
            Read::Rows(batch) => {
                self.wake(index).await?;
                self.take_rows(index, batch).await
            }
            Read::Pending => {
                let now = self.chain.clock().elapsed();
                split.asked = Some(now);
                split.silent_since.get_or_insert(now);
                Ok(())
            }
            Read::End => {
                split.close();
                split.assigner = None;
                split.finished = true;
                self.splits_changed().await
            }
        }
    }

    async fn open(&mut self, index: usize) -> Result<(), TaskFailure> {
        if self.splits[index].reader.is_some() {
            return Ok(());
        }
        let open = self.splits.iter().filter(|split| split.reader.is_some()).count();
        if open >= self.source.open_readers() {
            let ahead = self.splits.iter_mut().filter(|split| split.reader.is_some());
            if let Some(ahead) = ahead.max_by_key(|split| split.watermark) {
                ahead.close();
            }
        }
        let split = &mut self.splits[index];
        let reader = self.source.open(&split.split, &self.head.reader_context).await?;
        split.reader = Some(reader);
        if split.assigner.is_none()
            && let Some(strategy) = &self.head.node.watermarks
        {
            split.assigner = Some(strategy.assigner(split.watermark)?);
        }
        Ok(())
    }

    async fn take_rows(&mut self, index: usize, read: ReadBatch) -> Result<(), TaskFailure> {
        let good = read.rows.as_ref().map_or(0, Batch::rows);
        let metrics = &self.chain.head().metrics;
        metrics.add_in((good + read.bad.len()) as u64, read.bytes);
        if !read.bad.is_empty() {
            self.take_bad(read.bad).await?;
        }
        let Some(rows) = read.rows else {
            return Ok(());
        };
        let Some(assigner) = &mut self.splits[index].assigner else {
            return self.chain.source_rows(rows).await;
        };
        let mut pieces = Vec::with_capacity(1);
        assigner.assign(rows, &mut pieces)?;
        let reached = assigner.reached();
        for (bound, piece) in pieces {
            self.reach(index, bound).await?;
            self.chain.source_rows(piece).await?;
        }
        self.reach(index, reached).await
    }

    async fn take_bad(&mut self, bad: Vec<BadRecord>) -> Result<(), TaskFailure> {
        let rows = bad.len() as u64;
        match self.head.node.bad_records {
            BadRecordPolicy::Fail => {
                let first = bad.into_iter().next().expect("there is one");
                self.chain.source_bad(DropReason::Failed, 1, None).await?;
                Err(Error::fix_input(first.to_string())
                    .hint(
                        "mend the record, or set the table's option `bad-records` to `skip` or \
                         `dead-letter`",
                    )
                    .into())
            }
            BadRecordPolicy::Skip => self.chain.source_bad(DropReason::Skipped, rows, None).await,
            BadRecordPolicy::DeadLetter => {
                let times = vec![Timestamp::MIN; bad.len()];
                let letters = Batch::new(Records::new(bad, times));
                self.chain.source_bad(DropReason::DeadLettered, rows, Some(letters)).await
            }
        }
    }

    /// Moves a split's watermark, and the task's with it if it was the one furthest behind.
    async fn reach(&mut self, index: usize, watermark: Timestamp) -> Result<(), TaskFailure> {
        let split = &mut self.splits[index];
        if watermark <= split.watermark {
            return Ok(());
        }
        split.watermark = watermark;
        self.advance().await
    }

    async fn advance(&mut self) -> Result<(), TaskFailure> {
        let active = self.splits.iter().filter(|split| !split.finished && !split.idle);
        match active.map(|split| split.watermark).min() {
            Some(merged) => self.chain.watermark(merged).await,
            None => Ok(()),
        }
    }

    /// A split began, ended, fell silent or spoke again.
    async fn splits_changed(&mut self) -> Result<(), TaskFailure> {
        let idle = !self.splits.iter().any(|split| !split.finished && !split.idle);
        if !idle && std::mem::take(&mut self.idle) {
            // Before its watermark: one of an idle channel counts for nothing.
            self.chain.control(Control::Active).await?;
        }
        self.advance().await?;
        let unfinished = self.splits.iter().any(|split| !split.finished);
        if !unfinished && self.source.boundedness() == Boundedness::Bounded {
            return self.end().await;
        }
        if idle && !self.idle {
            // Where its splits fell silent at different watermarks, those ahead of the last stay
            // unsaid, as in Flink: whoever reads the channel decides when all of its channels are.
            self.idle = true;
            self.chain.control(Control::Idle).await?;
        }
        Ok(())
    }

    /// A split that was silent has rows.
    async fn wake(&mut self, index: usize) -> Result<(), TaskFailure> {
        let split = &mut self.splits[index];
        (split.silent_since, split.asked) = (None, None);
        if std::mem::take(&mut split.idle) {
            self.splits_changed().await?;
        }
        Ok(())
    }

    /// Lets go of the watermarks of splits that have been silent for too long.
    async fn notice_silence(&mut self) -> Result<(), TaskFailure> {
        let Some(timeout) = self.head.node.idle_timeout else {
            return Ok(());
        };
        if self.splits.iter().all(|split| split.silent_since.is_none() || split.idle) {
            return Ok(());
        }
        let now = self.chain.clock().elapsed();
        for index in 0..self.splits.len() {
            let split = &mut self.splits[index];
            let silent = split.silent_since.map(|since| now.saturating_sub(since));
            if !split.finished && !split.idle && silent.is_some_and(|silent| silent >= timeout) {
                split.idle = true;
                let (node, split) = (self.chain.head().node, split.split.id.clone());
                self.context.tell(TaskEvent::SplitIdle { node, split }).await?;
                self.splits_changed().await?;
            }
        }
        Ok(())
    }

    /// Waits until a silent split may have something, or for a command.
    async fn wait(&mut self) -> Result<(), TaskFailure> {
        let clock = self.context.seams.clock.clone();
        let limit = self.align();
        let mut readers = Vec::new();
        for (index, split) in self.splits.iter_mut().enumerate() {
            let may_read = !split.finished && split.watermark <= limit;
            if let (Some(reader), true) = (&mut split.reader, may_read) {
                let (clock, pause) = (clock.clone(), self.head.poll_interval);
                readers.push(
                    async move {
                        if reader.ready().await.is_none() {
                            clock.sleep(pause).await;
                        }
                        index
                    }
                    .boxed(),
                );
            }
        }
        let timer = self.chain.next_timer();
        let until_timer = async {
            match timer {
                Some(at) => clock.sleep(at.since(clock.now())).await,
                None => std::future::pending().await,
            }
        };
        let any_reader = async {
            match readers.is_empty() {
                true => std::future::pending().await,
                false => select_all(readers).await.0,
            }
        };
        let aligned = self.head.aligned.as_ref();
        let others = async {
            match aligned {
                Some(aligned) => aligned.changed().await,
                None => std::future::pending().await,
            }
        };
        enum Woken {
            Split(usize),
            Others,
            Command(Option<Command>),
            Timer,
        }
        let woken = tokio::select! {
            biased;
            command = self.context.commands.recv() => Woken::Command(command),
            index = any_reader => Woken::Split(index),
            () = others => Woken::Others,
            () = until_timer => Woken::Timer,
        };
        match woken {
            Woken::Split(index) => self.splits[index].asked = None,
            Woken::Timer | Woken::Others => {}
            Woken::Command(None) => return Err(TaskFailure::Disconnected),
            Woken::Command(Some(command)) => {
                // Only an ended task is told to finish, and that one does not wait here.
                let _ = self.obey(command).await?;
            }
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), TaskFailure> {
        if self.ended {
            return Ok(());
        }
        self.head.aligned = None;
        if std::mem::take(&mut self.idle) {
            self.chain.control(Control::Active).await?;
        }
        self.chain.watermark(Timestamp::MAX).await?;
        self.chain.end().await?;
        self.pass_on_end().await?;
        let task = self.context.index;
        self.context.tell(TaskEvent::Ended { task }).await
    }

    async fn pass_on_end(&mut self) -> Result<(), TaskFailure> {
        self.chain.flush_sink().await?;
        self.chain.control(Control::End).await?;
        self.ended = true;
        Ok(())
    }

    async fn obey(&mut self, command: Command) -> Result<ControlFlow<()>, TaskFailure> {
        match command {
            Command::Trigger(barrier) => self.take_part(barrier).await?,
            Command::Commit(checkpoint) => {
                self.chain.commit(checkpoint).await?;
                let task = self.context.index;
                self.context.tell(TaskEvent::Committed { task, checkpoint }).await?;
                self.tell_source(checkpoint).await?;
            }
            Command::AddSplits(splits) => {
                for split in splits {
                    let watermark = Timestamp::MIN;
                    self.splits.push(OwnSplit::new(SplitEntry {
                        split,
                        watermark,
                        finished: false,
                    }));
                }
                self.splits_changed().await?;
            }
            Command::Finish => return Ok(ControlFlow::Break(())),
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Lets the source tell others how far this subtask has come.
    async fn tell_source(&mut self, checkpoint: CheckpointId) -> Result<(), TaskFailure> {
        // Checkpoints before it were given up, or are complete by this one.
        let later = self.marked.split_off(&CheckpointId(checkpoint.0 + 1));
        let splits = std::mem::replace(&mut self.marked, later).remove(&checkpoint);
        if let Some(splits) = splits {
            let ReaderContext { subtask, seams, .. } = &self.head.reader_context;
            self.source.checkpoint_completed(*subtask, &splits, seams).await?;
        }
        Ok(())
    }

    async fn take_part(&mut self, barrier: Barrier) -> Result<(), TaskFailure> {
        if barrier.checkpoint <= self.taken {
            return Ok(());
        }
        self.taken = barrier.checkpoint;
        let mut members = self.chain.snapshot(barrier).await?;
        let entries: Vec<SplitEntry> = self.splits.iter().map(OwnSplit::entry).collect();
        let splits = entries.iter().map(|entry| entry.split.clone()).collect();
        self.marked.insert(barrier.checkpoint, splits);
        members[0].ack.splits = entries;
        if !self.ended {
            self.chain.control(Control::Barrier(barrier)).await?;
        }
        PendingAck { checkpoint: barrier.checkpoint, members }.store(&self.context);
        if barrier.stop && !self.ended {
            self.pass_on_end().await?;
        }
        Ok(())
    }
}
