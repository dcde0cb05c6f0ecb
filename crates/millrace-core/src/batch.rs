//! Rows in bulk: the unit of work, of exchange and of accounting.

use std::any::{Any, type_name};
use std::fmt;

use crate::{Error, Timestamp};

/// What a batch must offer so that tasks can carry and count it without knowing its rows.
pub trait Payload: Any + Send {
    /// How many rows.
    fn rows(&self) -> usize;

    /// About how much memory the rows take, in bytes; for metrics and bounds, not exact.
    fn bytes(&self) -> usize;

    /// The same rows again, for a second reader of the same output.
    fn duplicate(&self) -> Box<dyn Payload>;

    /// The type's name, for error messages.
    fn type_name(&self) -> &'static str {
        type_name::<Self>()
    }
}

/// Rows of one kind, about 1,000 to 8,000 of them: [`Records`] in the typed API, `Columns` in SQL.
///
/// The type of the rows is erased here, once a batch, so that the runtime is compiled once and not
/// for each row type. An operator that gets a batch of another type than it was built for reports a
/// bug in the plan.
///
/// ```
/// use millrace_core::{Batch, Records, Timestamp};
///
/// let batch = Batch::new(Records::new(vec!["a", "b"], vec![Timestamp::MIN; 2]));
/// assert_eq!(batch.rows(), 2);
/// let records: Records<&str> = batch.downcast().unwrap();
/// assert_eq!(records.values, ["a", "b"]);
/// ```
pub struct Batch(Box<dyn Payload>);

impl Batch {
    /// Erases the type of `payload`.
    pub fn new(payload: impl Payload) -> Self {
        Batch(Box::new(payload))
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.0.rows()
    }

    /// About how much memory the rows take, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// The rows as `P`.
    ///
    /// # Errors
    /// Of kind `Report` when the batch holds something else: two operators were joined that do not
    /// fit.
    pub fn downcast<P: Payload>(self) -> Result<P, Error> {
        let found = self.0.type_name();
        let any: Box<dyn Any> = self.0;
        any.downcast::<P>().map(|payload| *payload).map_err(|_| {
            Error::report(format!(
                "an operator for batches of `{}` was given `{found}`",
                type_name::<P>()
            ))
        })
    }

    /// The rows as `P`, or `None` when the batch holds something else.
    pub fn downcast_ref<P: Payload>(&self) -> Option<&P> {
        let any: &dyn Any = &*self.0;
        any.downcast_ref()
    }

    /// The same rows again, for a second reader.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Batch(self.0.duplicate())
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} rows of {})", self.rows(), self.0.type_name())
    }
}

/// Rows of the typed API: values beside their timestamps.
///
/// `values` and `timestamps` have the same length. A row without event time has
/// [`Timestamp::MIN`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records<T> {
    /// The rows' values.
    pub values: Vec<T>,
    /// The rows' event time, one a value.
    pub timestamps: Vec<Timestamp>,
    /// The watermark that their split had reached before them; it decides which of them are late.
    /// See [`crate::watermark`].
    pub bound: Timestamp,
}

impl<T> Records<T> {
    /// Rows with their timestamps, bounded by no watermark.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn new(values: Vec<T>, timestamps: Vec<Timestamp>) -> Self {
        assert_eq!(values.len(), timestamps.len(), "one timestamp a value");
        Records { values, timestamps, bound: Timestamp::MIN }
    }

    /// No rows yet, with room for `capacity`.
    pub fn with_capacity(capacity: usize, bound: Timestamp) -> Self {
        Records {
            values: Vec::with_capacity(capacity),
            timestamps: Vec::with_capacity(capacity),
            bound,
        }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Adds a row.
    pub fn push(&mut self, value: T, timestamp: Timestamp) {
        self.values.push(value);
        self.timestamps.push(timestamp);
    }

    /// Cuts the rows from `at` on off and returns them, with the same bound.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Self {
        Records {
            values: self.values.split_off(at),
            timestamps: self.timestamps.split_off(at),
            bound: self.bound,
        }
    }
}

impl<T: Clone + Send + 'static> Payload for Records<T> {
    fn rows(&self) -> usize {
        self.values.len()
    }

    fn bytes(&self) -> usize {
        self.values.len() * (size_of::<T>() + size_of::<Timestamp>())
    }

    fn duplicate(&self) -> Box<dyn Payload> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_another_type_is_a_bug_with_both_names() {
        let batch = Batch::new(Records::new(vec![1u32], vec![Timestamp::MIN]));
        let error = batch.downcast::<Records<String>>().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Report);
        assert!(error.message().contains("String") && error.message().contains("u32"), "{error}");
    }
}
