//! Columnar rows, for SQL and the formats (feature `arrow`).

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{RecordBatch, TimestampMillisecondArray};

use crate::batch::Payload;
use crate::{Error, RowKind, RowKinds, Timestamp};

/// Rows of SQL: an Arrow `RecordBatch`, and which of its columns is the rowtime.
///
/// The rowtime column, where there is one, is a `Timestamp(Millisecond, _)` without nulls.
#[derive(Clone, Debug)]
pub struct Columns {
    /// The rows.
    pub rows: RecordBatch,
    /// The index of the rowtime column.
    pub rowtime: Option<usize>,
    /// The watermark that their split had reached before them; it decides which of them are late.
    /// See [`crate::watermark`].
    pub bound: Timestamp,
    /// What each row says, if they are of a changelog; without, every row is an insertion.
    pub kinds: Option<RowKinds>,
}

impl Columns {
    /// Rows without event time, all of them new.
    pub fn new(rows: RecordBatch) -> Self {
        Columns { rows, rowtime: None, bound: Timestamp::MIN, kinds: None }
    }

    /// Rows of a changelog.
    ///
    /// # Errors
    /// Of kind `Report` when there are more rows than kinds or fewer.
    pub fn changes(rows: RecordBatch, kinds: RowKinds) -> Result<Self, Error> {
        if kinds.len() != rows.num_rows() {
            let (kinds, rows) = (kinds.len(), rows.num_rows());
            return Err(Error::report(format!("{rows} rows of a changelog have {kinds} kinds")));
        }
        Ok(Columns { kinds: Some(kinds), ..Columns::new(rows) })
    }

    /// What a row says.
    ///
    /// # Panics
    /// When there is no such row in a changelog.
    pub fn kind(&self, row: usize) -> RowKind {
        self.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.get(row))
    }

    /// Refuses what an operator or a sink cannot take that knows new rows only; the plan should not
    /// have brought it here.
    ///
    /// # Errors
    /// Of kind `Report`, naming `reader`, when there is another row than a new one.
    pub fn check_append_only(&self, reader: &str) -> Result<(), Error> {
        let mut kinds = self.kinds.iter().flat_map(RowKinds::iter);
        match kinds.find(|kind| *kind != RowKind::Insert) {
            None => Ok(()),
            Some(kind) => {
                Err(Error::report(format!("{reader} takes new rows, and was given {kind}")))
            }
        }
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
        Columns {
            rows: self.rows.slice(offset, length),
            rowtime: self.rowtime,
            bound: self.bound,
            kinds: self.kinds.as_ref().map(|kinds| kinds.slice(offset, length)),
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int32Array};

    use super::*;

    fn rows() -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    }

    #[test]
    fn a_slice_keeps_the_kinds_of_its_rows() {
        let kinds = [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter];
        let changes = Columns::changes(rows(), kinds.into_iter().collect()).unwrap();
        let last = changes.slice(1, 2);
        assert_eq!((last.kind(0), last.kind(1)), (RowKind::UpdateBefore, RowKind::UpdateAfter));
        let error = changes.check_append_only("sink `t`").unwrap_err();
        assert_eq!(error.message(), "sink `t` takes new rows, and was given -U");
        assert!(changes.slice(0, 1).check_append_only("sink `t`").is_ok());
        assert!(Columns::new(rows()).check_append_only("sink `t`").is_ok());
    }

    #[test]
    fn each_row_of_a_changelog_has_a_kind() {
        assert!(Columns::changes(rows(), [RowKind::Insert].into_iter().collect()).is_err());
    }
}
