//! Checkpoints: what they hold, when they are taken, where they are kept.

pub mod manifest;

pub use manifest::{CheckpointKind, FileRef, Manifest, OperatorEntry, SplitEntry, SubtaskEntry};
