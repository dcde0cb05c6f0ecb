//! Record batches, version 2: the unit that is appended, stored, fetched and checked.
//!
//! A batch is a header of 61 bytes and its records, which may be compressed as one block. The
//! checksum begins behind itself, so that the base offset and the leader epoch can be set without
//! touching what the producer signed. [`BatchHeader`] reads the header, [`Batches`] walks a
//! sequence of batches, [`Records`] the records of one, and [`BatchBuilder`] makes one.

mod batch;
mod builder;
mod codec;
mod record;

pub(super) use batch::sequence_plus;
pub use batch::{Attributes, BatchError, BatchHeader, Batches, HEADER_BYTES};
pub use builder::{BatchBuilder, Marker};
pub use codec::Codec;
pub use record::{Block, Record, RecordError, Records, decode};

#[cfg(test)]
mod tests;
