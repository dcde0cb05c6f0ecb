//! Flink SQL for Millrace: dialect, catalog, planner and columnar operators.
//!
//! [`plan_script`] makes a [`millrace_runtime::JobGraph`] of a script:
//!
//! 1. `script` cuts the text into statements and parses them, in Flink's dialect;
//! 2. `planner` keeps the catalog, refuses what is not supported, and resolves names with
//!    DataFusion's `SqlToRel`, which is told nothing about functions and types;
//! 3. `expr` gives expressions Flink's types and meaning;
//! 4. `plan` builds the streaming plan, shares and prunes scans, explains it, and compiles it into
//!    a graph of the [`operators`].
//!
//! What is accepted, and where it differs from Flink, stands in `docs/reference/sql.md`. Types of
//! DataFusion do not leave this crate.

mod environment;
mod error;
mod expr;
#[cfg(test)]
mod expression_cases;
pub mod operators;
mod plan;
mod plan_script;
mod planner;
mod script;
mod settings;
mod spelling;
mod types;

pub use environment::{OutputSink, PlannedScript, SelectOutput, SqlEnvironment};
pub use error::SqlError;
pub use plan::Explanation;
pub use plan_script::plan_script;
pub use settings::duration as parse_duration;
