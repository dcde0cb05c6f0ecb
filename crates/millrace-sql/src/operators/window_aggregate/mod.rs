//! Windowed `GROUP BY` over columns.
//!
//! A batch's rows are sorted by pane, their keys are hashed and laid out once, and then each pane
//! takes its rows: keys become group numbers, and each aggregate adds its column to its
//! accumulators in one call. Panes, firing and lateness are those of `millrace_runtime::window`.

mod accumulator;
mod fixed;
mod group_keys;
mod group_table;
mod operator;
mod spec;

pub use operator::WindowAggregate;
pub use spec::{AggregateFunction, AggregateSpec, WindowAggregateSpec, WindowColumns};

#[cfg(test)]
mod tests;
