//! Where rows come from.

mod collection;
mod generator;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use millrace_core::{BadRecordPolicy, Source, Timestamp, WatermarkStrategy};
use millrace_runtime::{NodeKind, SourceNode, WatermarkAlignment};

pub(crate) use self::collection::CollectionSource;
pub(crate) use self::generator::GeneratorSource;
use crate::plan::Build;
use crate::stage::Stage;
use crate::stream::DataStream;
use crate::timestamps::BoundedDisorder;

/// How long a split may be silent before it stops holding back event time, unless it is set.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A source in the plan, with how its rows get event time.
#[derive(Clone)]
pub(crate) struct Origin {
    /// Makes the source for a parallelism.
    make: Arc<dyn Fn(usize) -> Arc<dyn Source> + Send + Sync>,
    watermarks: Option<Arc<dyn WatermarkStrategy>>,
    idle_timeout: Option<Duration>,
    alignment: Option<WatermarkAlignment>,
}

impl Origin {
    pub(crate) fn new(make: impl Fn(usize) -> Arc<dyn Source> + Send + Sync + 'static) -> Self {
        Origin {
            make: Arc::new(make),
            watermarks: None,
            idle_timeout: Some(IDLE_TIMEOUT),
            alignment: None,
        }
    }

    pub(crate) fn build(&self) -> Build {
        let Origin { make, watermarks, idle_timeout, alignment } = self.clone();
        Box::new(move |parallelism| {
            NodeKind::Source(SourceNode {
                source: make(parallelism),
                watermarks: watermarks.clone(),
                bad_records: BadRecordPolicy::Fail,
                idle_timeout,
                alignment: alignment.clone(),
            })
        })
    }
}

/// Marks a stream that comes straight out of a source.
pub struct FromSource<T> {
    origin: Origin,
    rows: PhantomData<fn(T)>,
}

impl<T> FromSource<T> {
    pub(crate) fn new(origin: Origin) -> Self {
        FromSource { origin, rows: PhantomData }
    }
}

impl<T> Clone for FromSource<T> {
    fn clone(&self) -> Self {
        Self::new(self.origin.clone())
    }
}

impl<T: Clone + Send + 'static> Stage for FromSource<T> {
    type In = T;
    type Out = T;
    const IS_IDENTITY: bool = true;

    #[inline]
    fn run(&self, row: T, emit: &mut impl FnMut(T)) {
        emit(row);
    }

    fn describe(&self) -> String {
        String::new()
    }
}

impl<T: Clone + Send + 'static> DataStream<T, FromSource<T>> {
    /// Gives rows their event time, and lets event time of each split stay `delay` behind the
    /// latest row: a row that comes later than that is late (Flink's
    /// `forBoundedOutOfOrderness`).
    #[must_use]
    pub fn assign_timestamps<F>(self, delay: Duration, timestamp: F) -> Self
    where
        F: Fn(&T) -> Timestamp + Send + Sync + 'static,
    {
        self.assign_watermarks(Arc::new(BoundedDisorder {
            delay,
            timestamp: Arc::new(timestamp),
            rows: PhantomData,
        }))
    }

    /// Gives rows their event time by a strategy of your own, which takes `Records<T>`.
    #[must_use]
    pub fn assign_watermarks(self, strategy: Arc<dyn WatermarkStrategy>) -> Self {
        self.change_origin(|origin| origin.watermarks = Some(strategy))
    }

    /// How long a split may be silent before it stops holding back event time; 60 s unless it is
    /// set. `None`: it holds it back for ever.
    #[must_use]
    pub fn with_idleness(self, timeout: Option<Duration>) -> Self {
        self.change_origin(|origin| origin.idle_timeout = timeout)
    }

    /// Keeps the splits of all sources that name `group` within `max_drift` of each other in event
    /// time: what runs ahead is not read until the others have caught up. Without it each is read as
    /// fast as it can be.
    #[must_use]
    pub fn with_watermark_alignment(self, group: impl Into<String>, max_drift: Duration) -> Self {
        let alignment = WatermarkAlignment { group: group.into(), max_drift };
        self.change_origin(|origin| origin.alignment = Some(alignment))
    }

    fn change_origin(mut self, change: impl FnOnce(&mut Origin)) -> Self {
        change(&mut self.stage.origin);
        self.plan.rebuild(self.node, self.stage.origin.build());
        self
    }
}
