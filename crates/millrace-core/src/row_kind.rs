//! What the rows of a changelog say.

use std::fmt;

use arrow_array::UInt8Array;

use crate::{Error, Result};

/// What a row says about a table that changes.
///
/// A stream whose rows are all [`RowKind::Insert`] is *append-only*; any other is a *changelog*.
/// Following all of them in order gives the table. A row with a key is changed by an
/// [`RowKind::UpdateBefore`] with the row as it was, right before the [`RowKind::UpdateAfter`] with
/// what it is now; where nobody needs the former it is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RowKind {
    /// The row is new.
    Insert = 0,
    /// The row is as it was before an update.
    UpdateBefore = 1,
    /// The row takes the place of the one before it.
    UpdateAfter = 2,
    /// The row is gone.
    Delete = 3,
}

impl RowKind {
    const ALL: [RowKind; 4] =
        [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete];

    /// As people write it: `+I`, `-U`, `+U`, `-D`.
    pub fn sign(self) -> &'static str {
        match self {
            RowKind::Insert => "+I",
            RowKind::UpdateBefore => "-U",
            RowKind::UpdateAfter => "+U",
            RowKind::Delete => "-D",
        }
    }

    /// Whether the row belongs to the table from here on; else it no longer does.
    pub fn adds(self) -> bool {
        matches!(self, RowKind::Insert | RowKind::UpdateAfter)
    }
}

impl fmt::Display for RowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sign())
    }
}

/// The kinds of a batch's rows, one for each.
///
/// ```
/// use millrace_core::{RowKind, RowKinds};
///
/// let kinds: RowKinds = [RowKind::Insert, RowKind::Delete].into_iter().collect();
/// assert_eq!(kinds.get(1), RowKind::Delete);
/// assert_eq!(kinds.iter().map(RowKind::sign).collect::<Vec<_>>(), ["+I", "-D"]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RowKinds(UInt8Array);

impl RowKinds {
    /// The kinds as numbers, for kernels that take or filter rows.
    pub fn array(&self) -> &UInt8Array {
        &self.0
    }

    /// Kinds from the numbers that [`RowKinds::array`] gave.
    ///
    /// # Errors
    /// Of kind `Report` for a null or a number that is none of a kind.
    pub fn from_array(array: UInt8Array) -> Result<Self> {
        let known = |number: &u8| usize::from(*number) < RowKind::ALL.len();
        if arrow_array::Array::null_count(&array) == 0 && array.values().iter().all(known) {
            return Ok(RowKinds(array));
        }
        Err(Error::report("a row of a changelog has no kind"))
    }

    /// The kind of a row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn get(&self, row: usize) -> RowKind {
        RowKind::ALL[usize::from(self.0.value(row))]
    }

    /// The kinds in the order of their rows.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RowKind> + '_ {
        self.0.values().iter().map(|&number| RowKind::ALL[usize::from(number)])
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.values().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kinds of the rows `offset..offset + length`, without copying.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        RowKinds(self.0.slice(offset, length))
    }
}

impl FromIterator<RowKind> for RowKinds {
    fn from_iter<I: IntoIterator<Item = RowKind>>(kinds: I) -> Self {
        RowKinds(UInt8Array::from_iter_values(kinds.into_iter().map(|kind| kind as u8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_go_through_numbers_and_back() {
        let kinds: RowKinds = RowKind::ALL.into_iter().collect();
        let again = RowKinds::from_array(kinds.array().clone()).unwrap();
        assert_eq!(again, kinds);
        assert_eq!(again.slice(1, 2).iter().collect::<Vec<_>>(), RowKind::ALL[1..3]);
        assert_eq!(RowKind::ALL.map(RowKind::adds), [true, false, true, false]);
    }

    #[test]
    fn what_is_no_kind_is_found() {
        assert!(RowKinds::from_array(UInt8Array::from(vec![4])).is_err());
        assert!(RowKinds::from_array(UInt8Array::from(vec![Some(1), None])).is_err());
    }
}
