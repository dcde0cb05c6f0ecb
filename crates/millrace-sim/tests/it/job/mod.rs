//! A real job under simulation: sources with watermarks → hash exchange → windows → sinks, killed at
//! random steps and started again on what it has stored, at another parallelism and batch size, on
//! storage that fails now and then. A naive model says what must have come out in the end.

mod model;
mod scenario;
mod sink;
mod source;
mod tests;
