//! Columnar rows, for SQL and the formats (feature `arrow`).

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{RecordBatch, TimestampMillisecondArray};

use crate::batch::Payload;
use crate::{Error, Timestamp};

/// Rows of SQL: an Arrow `RecordBatch`, and which of its columns is the rowtime.
///
/// The rowtime column, where there is one, is a `Timestamp(Millisecond, _)` without nulls.
/// Every row is an insertion; changelog row kinds get a column of their own when updating queries
/// come.
#[derive(Clone, Debug)]
pub struct Columns {
    /// The rows.
    pub rows: RecordBatch,
    /// The index of the rowtime column.
    pub rowtime: Option<usize>,
    /// The watermark that their split had reached before them; it decides which of them are late.
    /// See [`crate::watermark`].
    pub bound: Timestamp,
}

impl Columns {
    /// Rows without event time.
    pub fn new(rows: RecordBatch) -> Self {
        Columns { rows, rowtime: None, bound: Timestamp::MIN }
    }

    /// The rowtime column.
    ///
    /// # Errors
    /// Of kind `Report` when there is none or it has another type: the plan promised one.
    pub fn rowtimes(&self) -> Result<&TimestampMillisecondArray, Error> {
        let index = self.rowtime.ok_or_else(|| {
            Error::report("a batch without rowtime reached an operator of event time")
        })?;
        self.rows
            .column(index)
            .as_primitive_opt::<TimestampMillisecondType>()
            .ok_or_else(|| Error::report("the rowtime column is not a timestamp of milliseconds"))
    }

    /// The rows `offset..offset + length`, without copying.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Columns { rows: self.rows.slice(offset, length), rowtime: self.rowtime, bound: self.bound }
    }
}

impl Payload for Columns {
    fn rows(&self) -> usize {
        self.rows.num_rows()
    }

    fn bytes(&self) -> usize {
        self.rows.get_array_memory_size()
    }

    fn duplicate(&self) -> Box<dyn Payload> {
        Box::new(self.clone())
    }
}
