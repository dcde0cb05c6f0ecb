//! The contract between a partition's reader and what makes rows of its records.

use millrace_core::{BadRecord, Batch, Result, SplitId};

use super::fetched::{Fetched, Wanted};

/// Makes decoders, one for each partition.
pub(crate) trait Decode: Send + Sync {
    /// # Errors
    /// `FixInput` when the table's columns cannot be decoded.
    fn decoder(&self) -> Result<Box<dyn Decoder>>;
}

/// Turns records into rows.
pub(crate) trait Decoder: Send {
    /// What it looks at beside values.
    fn wanted(&self) -> Wanted;

    /// Decodes all of `fetched`.
    ///
    /// # Errors
    /// Only for what is wrong with Millrace itself: bad records are part of the result.
    fn decode(&mut self, fetched: &Fetched, split: &SplitId) -> Result<DecodedRecords>;
}

/// What was made of records.
pub(crate) struct DecodedRecords {
    pub rows: Option<Batch>,
    /// In their order.
    pub bad: Vec<BadRecord>,
    /// Records without a value became neither.
    pub leaves_out_nulls: bool,
}
