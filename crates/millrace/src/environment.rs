//! Where a program begins and ends.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use millrace_checkpoint::CheckpointStore;
use millrace_core::seam::Seams;
use millrace_core::{Error, KeyGroups, Port, Result, Source};
use millrace_runtime::{Job, JobGraph, JobOptions, JobReport};

use crate::plan::Plan;
use crate::source::{CollectionSource, FromSource, GeneratorSource, Origin};
use crate::stream::DataStream;

/// Describes a job and runs it.
///
/// Settings may be made at any time before [`StreamExecutionEnvironment::execute`].
pub struct StreamExecutionEnvironment {
    plan: Plan,
    settings: Mutex<Settings>,
}

#[derive(Clone)]
struct Settings {
    parallelism: usize,
    key_groups: KeyGroups,
    checkpoint_storage: String,
    options: JobOptions,
}

impl Default for StreamExecutionEnvironment {
    fn default() -> Self {
        Self::new()
    }
}

impl StreamExecutionEnvironment {
    /// A job with parallelism 1 and checkpoints in memory, which survive failures of the job but
    /// not of the process.
    pub fn new() -> Self {
        StreamExecutionEnvironment {
            plan: Plan::default(),
            settings: Mutex::new(Settings {
                parallelism: 1,
                key_groups: KeyGroups::default(),
                checkpoint_storage: "memory:".to_owned(),
                options: JobOptions::default(),
            }),
        }
    }

    fn set(&self, set: impl FnOnce(&mut Settings)) -> &Self {
        set(&mut self.settings.lock().expect("no holder panics"));
        self
    }

    /// How many subtasks operators have that say nothing else, and how many threads
    /// [`StreamExecutionEnvironment::execute`] runs them on. At least 1.
    pub fn set_parallelism(&self, parallelism: usize) -> &Self {
        self.set(|settings| settings.parallelism = parallelism)
    }

    /// The number of key groups: the highest parallelism that the job can ever be restored at.
    ///
    /// # Errors
    /// `FixInput` unless it is from 1 to 32,768.
    pub fn set_max_parallelism(&self, max_parallelism: u16) -> Result<&Self> {
        if !(1..=KeyGroups::LIMIT).contains(&max_parallelism) {
            return Err(Error::fix_input(format!(
                "a maximum parallelism of {max_parallelism} is not from 1 to {}",
                KeyGroups::LIMIT
            )));
        }
        Ok(self.set(|settings| settings.key_groups = KeyGroups::new(max_parallelism)))
    }

    /// Takes a checkpoint every `interval`; 10 s unless it is set.
    pub fn enable_checkpointing(&self, interval: Duration) -> &Self {
        self.set(|settings| settings.options.checkpoints.interval = interval)
    }

    /// Keeps checkpoints in this directory (a path or URI), and goes on from the newest one there.
    pub fn set_checkpoint_storage(&self, uri: impl Into<String>) -> &Self {
        self.set(|settings| settings.checkpoint_storage = uri.into())
    }

    /// All else about how the job runs. Replaces the interval of
    /// [`StreamExecutionEnvironment::enable_checkpointing`].
    pub fn set_options(&self, options: JobOptions) -> &Self {
        self.set(|settings| settings.options = options)
    }

    /// The rows of a source, which gives `Records<T>`. `what` names the kind of source.
    pub fn from_source<T>(
        &self,
        what: &str,
        source: Arc<dyn Source>,
    ) -> DataStream<T, FromSource<T>>
    where
        T: Clone + Send + 'static,
    {
        self.read_from(what, Origin::new(move |_| Arc::clone(&source)))
    }

    /// The items of a collection, in its order. One subtask reads them.
    pub fn from_collection<T>(&self, items: Vec<T>) -> DataStream<T, FromSource<T>>
    where
        T: Clone + Send + Sync + 'static,
    {
        let items = Arc::new(items);
        self.from_iter((0..items.len()).map(move |index| items[index].clone()))
    }

    /// The items of an iterator, which is begun anew (cloned) at each start of the job; on resuming
    /// the items that were read are skipped. One subtask reads them.
    pub fn from_iter<I>(&self, items: I) -> DataStream<I::Item, FromSource<I::Item>>
    where
        I: IntoIterator<Item: Clone + Send + 'static> + Clone + Send + Sync + 'static,
        I::IntoIter: Send + 'static,
    {
        let source: Arc<dyn Source> = Arc::new(CollectionSource::new(items));
        self.from_source("collection", source).set_parallelism(1)
    }

    /// `function(0)`, `function(1)`, … up to `count` rows, or for ever. Each of the source's
    /// subtasks reads every so-manieth row. The function must give the same row for the same number
    /// whenever it is asked.
    pub fn generate<T, F>(&self, count: Option<u64>, function: F) -> DataStream<T, FromSource<T>>
    where
        T: Clone + Send + 'static,
        F: Fn(u64) -> T + Send + Sync + 'static,
    {
        let function = Arc::new(function);
        let origin = Origin::new(move |parallelism| {
            let function = Arc::clone(&function);
            Arc::new(GeneratorSource::new(count, function, parallelism)) as Arc<dyn Source>
        });
        self.read_from("generator", origin)
    }

    fn read_from<T>(&self, what: &str, origin: Origin) -> DataStream<T, FromSource<T>>
    where
        T: Clone + Send + 'static,
    {
        let node = self.plan.source(what, origin.build());
        DataStream::new(self.plan.clone(), node, Port::MAIN, FromSource::new(origin))
    }

    /// The job graph as it would be run: for tests and tools.
    ///
    /// # Errors
    /// `FixInput` for a parallelism of zero.
    pub fn job_graph(&self, name: &str) -> Result<JobGraph> {
        let settings = self.settings.lock().expect("no holder panics").clone();
        self.plan.graph(name, settings.parallelism, settings.key_groups)
    }

    /// The job on the given seams, to be run on an executor of your own: in a tokio runtime with
    /// [`Seams::system`], or in a simulation.
    ///
    /// # Errors
    /// `FixInput` for a job that cannot be, such as an empty one, and for checkpoint storage that
    /// cannot be used.
    pub fn job(&self, name: &str, seams: Seams) -> Result<Job> {
        let graph = self.job_graph(name)?;
        let settings = self.settings.lock().expect("no holder panics").clone();
        let store = CheckpointStore::open(&settings.checkpoint_storage)?;
        Job::new(graph, settings.options, store, seams)
    }

    /// Runs the job to its end on threads of its own, as many as the parallelism, and waits.
    ///
    /// # Errors
    /// What the job failed of; `FixInput` when called inside an asynchronous task.
    pub fn execute(&self, name: &str) -> Result<JobReport> {
        if tokio::runtime::Handle::try_current().is_ok() {
            return Err(Error::fix_input("`execute` was called inside an asynchronous task")
                .hint("use `job(..)?.run().await` there"));
        }
        let threads = self.settings.lock().expect("no holder panics").parallelism.max(1);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .map_err(|cause| Error::retry("cannot start threads").caused_by(cause))?;
        runtime.block_on(async { self.job(name, Seams::system())?.run().await })
    }
}
