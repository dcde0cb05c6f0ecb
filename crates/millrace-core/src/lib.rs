//! Vocabulary and contracts of the Millrace stream processor.
//!
//! Everything that two other crates must agree on stands here and nothing else does: what flows in
//! a channel ([`Element`]), the rows themselves ([`Batch`], [`Records`], and `Columns` with the
//! feature `arrow`), event time ([`Timestamp`], [`watermark`]), key groups ([`KeyGroups`]), the
//! traits of the three kinds of node ([`Source`], [`Operator`], [`Sink`]), what a checkpoint takes
//! from them ([`Snapshot`]), the [`ledger`], and the seams through which the outside world comes
//! in ([`seam`]).
//!
//! The crate runs nothing: `millrace-runtime` executes, `millrace-checkpoint` stores.
//!
//! # The channel grammar
//!
//! Between two tasks flows `(Batch | Watermark | Idle | Active | Barrier)* End`; see [`element`].

pub mod bad_record;
pub mod batch;
#[cfg(feature = "arrow")]
pub mod columns;
pub mod element;
pub mod error;
pub mod id;
pub mod keygroup;
pub mod ledger;
pub mod metrics;
pub mod operator;
#[cfg(feature = "arrow")]
pub mod row_kind;
pub mod seam;
pub mod sink;
pub mod snapshot;
pub mod source;
pub mod time;
pub mod watermark;

pub use bad_record::{BadRecord, BadRecordPolicy};
pub use batch::{Batch, Payload, Records};
#[cfg(feature = "arrow")]
pub use columns::Columns;
pub use element::{Barrier, Element};
pub use error::{Error, ErrorKind, Result};
pub use id::{CheckpointId, OperatorId, SplitId, Subtask};
pub use keygroup::{KeyGroup, KeyGroups, Partitioner};
pub use ledger::{DropReason, LedgerCounts};
pub use operator::{Collector, Operator, OperatorContext, Port, Progress};
#[cfg(feature = "arrow")]
pub use row_kind::{RowKind, RowKinds};
pub use sink::{Committable, Prepared, Sink, SinkContext, SinkWriter};
pub use snapshot::{Restored, Snapshot, SnapshotRequest};
pub use source::{Boundedness, Read, ReadBatch, ReaderContext, Source, Split, SplitReader};
pub use time::Timestamp;
pub use watermark::{WatermarkAssigner, WatermarkStrategy};
