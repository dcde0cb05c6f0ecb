//! Event-time windows.

mod spec;

pub use spec::{TimeWindow, WindowSpec};
