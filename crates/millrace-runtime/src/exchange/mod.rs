//! Channels between tasks: the only place where rows change task.
//!
//! A channel is bounded; a sender that finds it full waits, and so a slow sink slows its sources.
//! Control elements travel in the same channels, in their places between the rows.

mod gate;
mod merge;
mod writer;

pub(crate) use gate::{Arrival, InputChannel, InputGate};
pub(crate) use merge::{Change, WatermarkMerge};
pub(crate) use writer::{Control, EdgeWriter, Outputs, SendError};
