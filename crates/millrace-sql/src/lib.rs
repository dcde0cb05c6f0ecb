//! Flink SQL for Millrace: dialect, catalog, planner and columnar operators.

pub mod operators;
