//! A job: a graph that is run, restarted after failures, and resumed from checkpoints.

use std::time::Duration;

use millrace_checkpoint::{CheckpointKind, CheckpointStore, Manifest};
use millrace_core::seam::Seams;
use millrace_core::{CheckpointId, ErrorKind, Result};

use crate::execution::{Restore, Run, RunEnd, RunEndKind};
use crate::graph::JobGraph;
use crate::ledger::Ledger;
use crate::options::JobOptions;
use crate::watch::{JobEvent, JobState, JobWatch, Order};

/// A job that is ready to run.
///
/// Running it with a store that holds checkpoints of the same job goes on from the newest complete
/// one. Delivery is exactly once into sinks whose commit is (see `millrace_core::sink`), whenever
/// the process is killed.
pub struct Job {
    graph: JobGraph,
    options: JobOptions,
    store: CheckpointStore,
    seams: Seams,
    watch: JobWatch,
    /// Where to begin if the store itself holds nothing.
    given: Option<(Manifest, CheckpointStore)>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All input was read, and all output is committed.
    Finished,
    /// It stopped with a checkpoint, and can go on from there.
    Stopped,
    /// It was told to end at once. What came after its last checkpoint is done again on resuming.
    Cancelled,
    /// The checkpoint that it would go on from says that it had finished before.
    AlreadyFinished,
}

/// What a job did.
#[derive(Clone, Debug)]
pub struct JobReport {
    /// How it ended.
    pub outcome: Outcome,
    /// Where every row went, since the job's first start.
    pub ledger: Ledger,
    /// The time that this call of `run` took.
    pub elapsed: Duration,
    /// Rows read by this run's sources, what was read again after a restart among them.
    pub rows_read: u64,
    /// How often it was started again.
    pub restarts: u32,
    /// The newest complete checkpoint, and where its manifest is.
    pub checkpoint: Option<(CheckpointId, String)>,
}

impl Job {
    /// A job over `graph` that keeps its checkpoints in `store`.
    ///
    /// # Errors
    /// `FixInput` or `Report` when the graph is not valid; see [`JobGraph::validate`].
    pub fn new(
        graph: JobGraph,
        options: JobOptions,
        store: CheckpointStore,
        seams: Seams,
    ) -> Result<Job> {
        graph.validate()?;
        let watch = JobWatch::new(&graph);
        Ok(Job { graph, options, store, seams, watch, given: None })
    }

    /// Begins from this checkpoint, read from `store`, if the job's own store holds none.
    #[must_use]
    pub fn restore_from(mut self, manifest: Manifest, store: CheckpointStore) -> Self {
        self.given = Some((manifest, store));
        self
    }

    /// A handle to watch and stop the job with.
    pub fn watch(&self) -> JobWatch {
        self.watch.clone()
    }

    /// Runs the job to its end.
    ///
    /// # Errors
    /// What the job failed of, after as many restarts as the strategy allows. What was committed
    /// stays; what was not is done again when the job is run with the same store.
    pub async fn run(self) -> Result<JobReport> {
        let begun = self.seams.clock.elapsed();
        let result = self.run_with_restarts().await;
        let (restarts, rows_read) = (self.watch.restarts(), self.rows_read());
        match result {
            Ok((outcome, end)) => {
                self.watch.set_ledger(end.ledger.clone());
                self.watch.set_state(match outcome {
                    Outcome::Finished | Outcome::AlreadyFinished => JobState::Finished,
                    Outcome::Stopped => JobState::Stopped,
                    Outcome::Cancelled => JobState::Cancelled,
                });
                let elapsed = self.seams.clock.elapsed().saturating_sub(begun);
                let (ledger, checkpoint) = (end.ledger, end.checkpoint);
                Ok(JobReport { outcome, ledger, elapsed, rows_read, restarts, checkpoint })
            }
            Err(error) => {
                self.watch.set_state(JobState::Failed);
                Err(error)
            }
        }
    }

    async fn run_with_restarts(&self) -> Result<(Outcome, RunEnd)> {
        let mut in_a_row = 0;
        // The bug that ended the run before, if one did.
        let mut bug = None;
        loop {
            let begun = self.seams.clock.elapsed();
            let completed = self.watch.checkpoints().completed;
            let error = match self.run_once().await {
                Ok(end) => return Ok(end),
                Err(error) => error,
            };
            let ran = self.seams.clock.elapsed().saturating_sub(begun);
            let progressed = self.watch.checkpoints().completed > completed;
            if self.options.restart.is_reset_by(ran) && progressed {
                in_a_row = 0;
            }
            let found = (error.kind() == ErrorKind::Report).then(|| error.full_report());
            let may_pass = match error.kind() {
                ErrorKind::Retry => true,
                // The same bug on the same rows: it would be met for ever.
                ErrorKind::Report => progressed || found != bug,
                ErrorKind::FixInput | ErrorKind::Restore => false,
            };
            bug = found;
            let delay = match self.options.restart.delay(in_a_row) {
                Some(delay) if may_pass && self.watch.ordered() == Order::Run => delay,
                _ => return Err(error),
            };
            in_a_row += 1;
            self.watch.count_restart();
            self.watch.set_state(JobState::Restarting);
            let error_text = error.full_report();
            self.watch.tell(JobEvent::Restarting { error: error_text, restart: in_a_row, delay });
            tokio::select! {
                biased;
                () = self.seams.clock.sleep(delay) => {}
                _ = self.watch.wait_for_order(Order::Run) => return Err(error),
            }
        }
    }

    async fn run_once(&self) -> Result<(Outcome, RunEnd)> {
        self.watch.set_state(JobState::Restoring);
        let newest = self.store.newest().await?;
        for (checkpoint, error) in newest.passed_over {
            let reason = error.full_report();
            self.watch.tell(JobEvent::PassedOver { checkpoint, reason });
        }
        let from = match (newest.manifest, &self.given) {
            (Some(manifest), _) => Some((manifest, &self.store, true)),
            (None, Some((manifest, store))) => Some((manifest.clone(), store, false)),
            (None, None) => None,
        };
        let mut restore = Restore::default();
        let mut attempts = 1;
        if let Some((manifest, store, own)) = from {
            restore = Restore::read(&self.graph, &manifest, store, own).await?;
            attempts = manifest.attempts + 1;
            let (checkpoint, uri) = (manifest.checkpoint, store.uri().to_owned());
            self.watch.tell(JobEvent::Restored { checkpoint, uri: uri.clone() });
            if manifest.kind == CheckpointKind::Final {
                return self.commit_again(&restore, (checkpoint, uri)).await;
            }
        }
        let next_checkpoint = self.store.next_checkpoint_id().await?;
        self.watch.set_state(JobState::Running);
        let run = Run {
            graph: &self.graph,
            options: &self.options,
            seams: &self.seams,
            store: &self.store,
            watch: &self.watch,
            restore,
            next_checkpoint,
            attempts,
        };
        let end = run.execute().await?;
        let outcome = match end.kind {
            RunEndKind::Finished => Outcome::Finished,
            RunEndKind::Stopped => Outcome::Stopped,
            RunEndKind::Cancelled => Outcome::Cancelled,
        };
        Ok((outcome, end))
    }

    /// The job had finished, but may have been killed between its last manifest and the commit.
    async fn commit_again(
        &self,
        restore: &Restore,
        checkpoint: (CheckpointId, String),
    ) -> Result<(Outcome, RunEnd)> {
        let ledger = restore.commit_sinks(&self.graph, &self.seams).await?;
        let end = RunEnd { kind: RunEndKind::Finished, ledger, checkpoint: Some(checkpoint) };
        Ok((Outcome::AlreadyFinished, end))
    }

    fn rows_read(&self) -> u64 {
        let operators = self.watch.operators();
        let sources = operators
            .iter()
            .filter(|operator| operator.role == crate::ledger::NodeRole::Source)
            .flat_map(|operator| &operator.subtasks);
        sources.map(|subtask| subtask.rows_in).sum()
    }
}
