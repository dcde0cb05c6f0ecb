//! What a seed decides: the rows, the windows, and how each run of the job is set up.

use std::sync::Arc;
use std::time::Duration;

use millrace_checkpoint::{CheckpointOptions, CheckpointStore};
use millrace_core::seam::Seams;
use millrace_core::{
    BadRecordPolicy, KeyGroups, Operator, OperatorId, Partitioner, Port, Result, Subtask,
};
use millrace_runtime::window::{WindowOperator, WindowResult, WindowSpec, count, sum};
use millrace_runtime::{
    Exchange, Job, JobGraph, JobOptions, JobReport, Node, NodeKind, RestartStrategy, SourceNode,
    WatermarkAlignment,
};
use millrace_sim::{Fault, Faults, FaultyStore, SimRandom};
use object_store::ObjectStore;

use super::model::{Outcome, Windows};
use super::sink::{SharedDisk, TwoPhase};
use super::source::{Behind, ByKey, MadeUp, Row};

/// What goes wrong with storage, now and then. Corruption is not among it: falling back to an older
/// checkpoint repeats what the newer one had committed, and says so. Neither are torn writes: the
/// store relies on a file being written as a whole or not at all.
pub const FAULTS: &[Fault] =
    &[Fault::Fail, Fault::NoSpace, Fault::AnswerLost, Fault::Delay(Duration::from_millis(300))];

/// A job and its input.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub splits: Arc<Vec<Vec<Row>>>,
    pub windows: Windows,
    pub delay_ms: i64,
    key_groups: KeyGroups,
}

/// How one run of the job is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    sources: usize,
    windows: usize,
    sinks: usize,
    batch_rows: usize,
    channel_elements: usize,
    chaining: bool,
    interval_ms: u64,
    /// What may go wrong with storage.
    faults: &'static [Fault],
    faults_per_mille: u64,
    /// When the run is asked to stop with a checkpoint, in virtual time.
    stop_after_ms: Option<u64>,
}

/// What outlives a run.
#[derive(Clone, Default)]
pub struct Outside {
    pub checkpoints: Arc<object_store::memory::InMemory>,
    pub results: SharedDisk<Outcome>,
    pub late: SharedDisk<Row>,
}

impl Scenario {
    pub fn of(random: &SimRandom) -> Self {
        let slide = 1 + random.below(40) as i64;
        let size = match random.below(3) {
            0 => slide,
            1 => slide * (1 + random.below(5) as i64) + random.below(3) as i64,
            _ => 1 + random.below(slide as u64) as i64,
        };
        let allowed_lateness = if random.chance(300) { random.below(60) as i64 } else { 0 };
        let offset = random.below(slide as u64) as i64;
        let disorder = 1 + random.below(80);
        let splits = (0..1 + random.below(5)).map(|_| split(random, disorder)).collect();
        Scenario {
            splits: Arc::new(splits),
            windows: Windows { size, slide, offset, allowed_lateness },
            delay_ms: random.below(60) as i64,
            key_groups: KeyGroups::new(1 + random.below(16) as u16),
        }
    }

    fn graph(&self, setup: Setup, outside: &Outside) -> Result<JobGraph> {
        let ms = |millis: i64| Duration::from_millis(millis.unsigned_abs());
        let windows = self.windows;
        let spec = WindowSpec::hopping(ms(windows.size), ms(windows.slide), ms(windows.offset))?
            .with_allowed_lateness(ms(windows.allowed_lateness))?;
        let mut graph = JobGraph::new("simulated", self.key_groups);
        let node = |id: &str, parallelism, kind| Node {
            id: OperatorId::new(id),
            name: id.to_owned(),
            parallelism,
            kind,
        };
        let source = SourceNode {
            source: Arc::new(MadeUp { splits: Arc::clone(&self.splits) }),
            watermarks: Some(Arc::new(Behind { delay_ms: self.delay_ms })),
            bad_records: BadRecordPolicy::Fail,
            idle_timeout: None,
            // Every other scenario, by what it happens to have: results must not depend on it.
            alignment: (self.delay_ms % 2 == 0).then(|| WatermarkAlignment {
                group: "all".to_owned(),
                max_drift: Duration::from_millis(self.delay_ms as u64 * 2),
            }),
        };
        let source = graph.add(node("source", setup.sources, NodeKind::Source(source)));
        let operator = Arc::new(move |_: Subtask| -> Result<Box<dyn Operator>> {
            let aggregate = (count(), sum(|row: &Row| row.value));
            Ok(Box::new(WindowOperator::new(spec, |row: &Row| row.key, aggregate)))
        });
        let window = graph.add(node("window", setup.windows, NodeKind::Operator(operator)));
        let results =
            TwoPhase::new(outside.results.clone(), |result: WindowResult<u8, (u64, i128)>| {
                let (count, sum) = result.value;
                (result.key, result.window.start.as_millis(), count, sum as i64)
            });
        let results = NodeKind::Sink(Arc::new(results));
        let results = graph.add(node("results", setup.sinks, results));
        let late = TwoPhase::new(outside.late.clone(), |row: Row| row);
        let late = graph.add(node("late", setup.windows, NodeKind::Sink(Arc::new(late))));
        let by_key = |groups: KeyGroups| -> Box<dyn Partitioner> { Box::new(ByKey(groups)) };
        let by_key = Exchange::Hash(Arc::new(by_key));
        graph.connect(source, Port::MAIN, window, by_key);
        let exchange =
            if setup.sinks == setup.windows { Exchange::Forward } else { Exchange::Rebalance };
        graph.connect(window, Port::MAIN, results, exchange);
        graph.connect(window, Port::SIDE, late, Exchange::Forward);
        Ok(graph)
    }

    /// Runs the job to its end or stop, on what `outside` holds.
    pub async fn run(
        &self,
        setup: Setup,
        outside: Outside,
        seed: u64,
        seams: Seams,
    ) -> Result<JobReport> {
        let mut faults = Faults::none();
        if !setup.faults.is_empty() {
            faults = faults.at_random(seed, setup.faults_per_mille, setup.faults);
        }
        let memory: Arc<dyn ObjectStore> = outside.checkpoints.clone();
        let storage = FaultyStore::new(memory, seams.clock.clone(), seed, faults);
        let store = CheckpointStore::with_object_store(Arc::new(storage), "sim:".to_owned());
        let options = JobOptions {
            batch_rows: setup.batch_rows,
            channel_elements: setup.channel_elements,
            chaining: setup.chaining,
            checkpoints: CheckpointOptions {
                interval: Duration::from_millis(setup.interval_ms),
                min_pause: Duration::ZERO,
                timeout: Duration::from_millis(250),
                tolerable_failures: 2,
                retained: 2,
            },
            restart: RestartStrategy::FixedDelay {
                attempts: u32::MAX,
                delay: Duration::from_millis(10),
            },
            ..JobOptions::default()
        };
        let clock = seams.clock.clone();
        let job = Job::new(self.graph(setup, &outside)?, options, store, seams)?;
        let Some(stop_after_ms) = setup.stop_after_ms else {
            return job.run().await;
        };
        let watch = job.watch();
        let stop = async move {
            clock.sleep(Duration::from_millis(stop_after_ms)).await;
            watch.stop();
        };
        futures::future::join(job.run(), stop).await.0
    }

    pub fn rows(&self) -> u64 {
        self.splits.iter().map(|split| split.len() as u64).sum()
    }
}

/// Rows of rising event time, each moved back by up to `disorder`, with leaps now and then.
fn split(random: &SimRandom, disorder: u64) -> Vec<Row> {
    let mut time = random.below(100) as i64 - 50;
    let rows = random.below(120);
    let row = |_| {
        time += random.below(8) as i64;
        if random.chance(20) {
            time += random.below(300) as i64;
        }
        Row {
            key: random.below(7) as u8,
            value: random.below(1_000) as i64 - 500,
            rowtime_ms: time - random.below(disorder) as i64,
        }
    };
    (0..rows).map(row).collect()
}

impl Setup {
    /// A setup without faults and without a stop.
    pub fn of(random: &SimRandom, scenario: &Scenario) -> Self {
        let most = u64::from(scenario.key_groups.max_parallelism()).min(4);
        let parallelism = || 1 + random.below(most) as usize;
        Setup {
            sources: parallelism(),
            windows: parallelism(),
            sinks: parallelism(),
            batch_rows: [1, 2, 7, 50, 4_096][random.below(5) as usize],
            channel_elements: 1 + random.below(4) as usize,
            chaining: random.chance(500),
            interval_ms: 5 + random.below(60),
            faults: &[],
            faults_per_mille: 0,
            stop_after_ms: None,
        }
    }

    #[must_use]
    pub fn with_faults(self, faults: &'static [Fault], per_mille: u64) -> Self {
        Setup { faults, faults_per_mille: per_mille, ..self }
    }

    #[must_use]
    pub fn stopped_after_ms(self, stop_after_ms: u64) -> Self {
        Setup { stop_after_ms: Some(stop_after_ms), ..self }
    }
}
