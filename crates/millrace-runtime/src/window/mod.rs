//! Event-time windows.
//!
//! [`WindowSpec`] says which windows there are, [`state`] where rows go and when windows fire;
//! [`WindowOperator`] is the operator of the typed API with an [`Aggregate`]. The columnar operator
//! of SQL stands on the same two.

pub mod aggregate;
mod operator;
mod spec;
pub mod state;

pub use aggregate::{Aggregate, avg, count, fold, max, min, sum};
pub use operator::{Key, WindowOperator, WindowResult};
pub use spec::{TimeWindow, WindowSpec};

#[cfg(test)]
mod tests;
