//! Connectors and formats.

pub mod table;

pub use table::{Connector, Options, SinkTable, SourceTable, TableSpec};
