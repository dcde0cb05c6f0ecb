//! Millrace: stream processing with Flink's semantics inside a Rust program.
//!
//! Rows are values of your own types, functions are closures; the job runs in this process, with
//! event time, exactly-once state and checkpoints, on as many threads as you allow it.
//!
//! ```
//! use std::time::Duration;
//! use millrace::{StreamExecutionEnvironment, Timestamp, Tumbling, count};
//!
//! #[derive(Clone)]
//! struct Ride {
//!     city: &'static str,
//!     at_s: i64,
//! }
//!
//! # fn main() -> millrace::Result<()> {
//! let env = StreamExecutionEnvironment::new();
//! let rides = vec![
//!     Ride { city: "Graz", at_s: 3 },
//!     Ride { city: "Linz", at_s: 30 },
//!     Ride { city: "Graz", at_s: 59 },
//!     Ride { city: "Graz", at_s: 75 },
//!     Ride { city: "Linz", at_s: 2 }, // its minute is over by 5 s: late
//! ];
//! let counted = env
//!     .from_collection(rides)
//!     .assign_timestamps(Duration::from_secs(10), |ride| Timestamp::from_millis(ride.at_s * 1_000))
//!     .filter(|ride| !ride.city.is_empty())
//!     .key_by(|ride| ride.city.to_owned())
//!     .window(Tumbling::of(Duration::from_secs(60))?)
//!     .aggregate(count());
//! let late = counted.late().map(|ride| (ride.city, ride.at_s)).collect();
//! let results = counted.map(|row| (row.window.start.as_millis(), row.key, row.value)).collect();
//! let report = env.execute("rides")?;
//!
//! assert_eq!(results.sorted(), [
//!     (0, "Graz".to_owned(), 2),
//!     (0, "Linz".to_owned(), 1),
//!     (60_000, "Graz".to_owned(), 1),
//! ]);
//! assert_eq!(late.sorted(), [("Linz", 2)]);
//! assert_eq!(report.rows_read, 5);
//! # Ok(())
//! # }
//! ```
//!
//! # Where things are
//!
//! A program begins with a [`StreamExecutionEnvironment`], gets a [`DataStream`] from a source,
//! and ends with [`StreamExecutionEnvironment::execute`]. Names are Flink's where it has them.
//! Neighbouring `map`, `filter` and `flat_map` are one operator, compiled into one loop. Whoever
//! needs more than closures implements [`Source`], [`Sink`], [`Operator`] or [`Aggregate`].
//!
//! # Identity
//!
//! A checkpoint knows operators by name: a given [`DataStream::uid`], or else what they are and
//! the how-manieth of that kind. Give `uid`s to what must survive a change of the job.

mod environment;
#[cfg(feature = "kafka")]
pub mod kafka;
mod keyed;
mod plan;
mod sink;
mod source;
mod stage;
mod stream;
mod timestamps;

pub use environment::StreamExecutionEnvironment;
pub use keyed::{Hopping, KeyedStream, Tumbling, WindowResults, WindowedStream};
pub use sink::Collected;
pub use source::FromSource;
pub use stage::{Identity, Stage};
pub use stream::{AfterWindow, DataStream, SinkHandle};

pub use millrace_checkpoint::CheckpointOptions;
pub use millrace_core::seam::Seams;
pub use millrace_core::{
    Batch, Boundedness, CheckpointId, Collector, Error, ErrorKind, KeyGroups, Operator, Port,
    Progress, Records, Result, Sink, SinkWriter, Source, SplitReader, Timestamp,
};
pub use millrace_runtime::window::{
    Aggregate, Key, TimeWindow, WindowResult, WindowSpec, aggregate, avg, count, fold, max, min,
    sum,
};
pub use millrace_runtime::{Job, JobOptions, JobReport, JobWatch, Outcome, RestartStrategy};
