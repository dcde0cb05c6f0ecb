//! Where rows go.

mod collect;
mod print;

pub(crate) use self::collect::CollectSink;
pub use self::collect::Collected;
pub(crate) use self::print::PrintSink;
