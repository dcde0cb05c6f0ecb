//! Connectors and formats of Millrace.
//!
//! A `CREATE TABLE` reaches its connector as a [`TableSpec`]; [`registry::connector`] finds the
//! connector by name, which gives a [`SourceTable`] or a [`SinkTable`] to put into a job graph.
//! Options have Flink's names and meanings; `docs/reference/connectors.md` lists them all.
//!
//! Rows travel as Arrow batches (`millrace_core::Columns`). The crate knows nothing of the engine
//! that calls it, and nothing of SQL beyond the table.

pub mod blackhole;
mod blocking;
pub mod datagen;
mod dead_letter;
mod duration;
pub mod filesystem;
mod format;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod print;
pub mod registry;
pub mod table;

pub use table::{
    ChangelogMode, Connector, MetadataColumn, MetadataKey, Options, SinkTable, SourceTable,
    TableSpec, map_entry, map_type,
};
