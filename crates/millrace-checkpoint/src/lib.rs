//! Checkpoints: what they hold, when they are taken, where they are kept.
//!
//! [`manifest`] is the stored format, [`decide`] says when a checkpoint begins, completes or is
//! abandoned (pure, no I/O), and [`CheckpointStore`] reads and writes the files. The crate talks to
//! no task: `millrace-runtime` carries out what is decided here.

pub mod decide;
pub mod manifest;
mod manifest_file;
mod store;

pub use decide::{Action, CheckpointOptions, Coordinator, Event};
pub use manifest::{CheckpointKind, FileRef, Manifest, OperatorEntry, SplitEntry, SubtaskEntry};
pub use store::{CheckpointStore, Listed, Lock, Newest, Summary, split_manifest_uri};
