//! How the rows of bare `SELECT`s reach standard output.
//!
//! Each `SELECT` has a [`SelectSink`]; its writer turns batches into text with a [`RowEncoder`] and
//! hands the text to the one [`Screen`], which owns standard output. Delivery is at least once:
//! rows are out before the checkpoint that follows them completes, and a resumed job may print
//! again what came after its checkpoint.

mod encode;
mod screen;
mod sink;
mod table;

pub(crate) use encode::{OutputFormat, RowEncoder};
pub(crate) use screen::Screen;
pub(crate) use sink::SelectSink;
