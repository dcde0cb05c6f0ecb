//! Windowed `GROUP BY` over columns.

mod spec;

pub use spec::{AggregateFunction, AggregateSpec, WindowAggregateSpec, WindowColumns};
