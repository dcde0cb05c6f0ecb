//! The bytes of snapshots: little-endian numbers and blobs with their length before them.
//!
//! A [`Reader`] trusts nothing: a length that exceeds what is left is a `Restore` error, found
//! before anything is allocated for it.

use millrace_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes the parts of a snapshot one behind the other.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

macro_rules! numbers {
    ($($name:ident),*) => {
        impl Writer {$(
            #[doc = concat!("Writes a `", stringify!($name), "`.")]
            pub fn $name(&mut self, number: $name) {
                self.bytes.extend_from_slice(&number.to_le_bytes());
            }
        )*}
        impl Reader<'_> {$(
            #[doc = concat!("Reads a `", stringify!($name), "`.")]
            ///
            /// # Errors
            /// `Restore` when too few bytes are left.
            pub fn $name(&mut self) -> Result<$name> {
                let bytes = self.take(size_of::<$name>())?;
                Ok($name::from_le_bytes(bytes.try_into().expect("as many as were asked for")))
            }
        )*}
    };
}
numbers!(u8, u16, u32, u64, i64, i128, f64);

impl Writer {
    /// Goes on behind `bytes`.
    pub fn after(bytes: Vec<u8>) -> Self {
        Writer { bytes }
    }

    /// Writes bytes with their length before them.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes what `content` writes, with its length before it.
    ///
    /// # Errors
    /// Those of `content`.
    pub fn blob(&mut self, content: impl FnOnce(&mut Writer) -> Result<()>) -> Result<()> {
        let at = self.bytes.len();
        self.u64(0);
        content(self)?;
        let length = (self.bytes.len() - at - size_of::<u64>()) as u64;
        self.bytes[at..at + size_of::<u64>()].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    /// Writes values in postcard's encoding, without their number.
    ///
    /// # Errors
    /// `FixInput` when a value's `Serialize` fails.
    pub fn values<'a, T: Serialize + 'a>(
        &mut self,
        values: impl IntoIterator<Item = &'a T>,
    ) -> Result<()> {
        let mut bytes = std::mem::take(&mut self.bytes);
        for value in values {
            bytes = postcard::to_extend(value, bytes).map_err(|cause| {
                Error::fix_input(format!(
                    "state of type `{}` cannot be encoded",
                    std::any::type_name::<T>()
                ))
                .caused_by(cause)
            })?;
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Forgets what was written and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// How many bytes there are so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads what a [`Writer`] wrote.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; errors call them `what`.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Reader { bytes, what }
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// `Restore` when fewer are left.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        match self.bytes.split_at_checked(length) {
            Some((head, tail)) => {
                self.bytes = tail;
                Ok(head)
            }
            None => Err(self.broken(format_args!(
                "{length} bytes are announced and {} are left",
                self.bytes.len()
            ))),
        }
    }

    /// Bytes with their length before them.
    ///
    /// # Errors
    /// `Restore` when fewer are left than announced.
    pub fn blob(&mut self) -> Result<&'a [u8]> {
        let length = self.u64()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// A number of items that take at least `bytes_each` bytes each, checked against what is left.
    ///
    /// # Errors
    /// `Restore` when that many cannot follow.
    pub fn count(&mut self, bytes_each: usize) -> Result<usize> {
        let count = self.u64()?;
        let possible = self.bytes.len() / bytes_each.max(1);
        match usize::try_from(count) {
            Ok(count) if count <= possible => Ok(count),
            _ => {
                Err(self
                    .broken(format_args!("{count} items are announced and {possible} have room")))
            }
        }
    }

    /// A value in postcard's encoding.
    ///
    /// # Errors
    /// `Restore` when the bytes are not one.
    pub fn value<T: DeserializeOwned>(&mut self) -> Result<T> {
        match postcard::take_from_bytes(self.bytes) {
            Ok((value, rest)) => {
                self.bytes = rest;
                Ok(value)
            }
            Err(cause) => {
                let what = format_args!("not a `{}`", std::any::type_name::<T>());
                Err(self.broken(what).caused_by(cause))
            }
        }
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Checks that everything has been read.
    ///
    /// # Errors
    /// `Restore` when bytes are left.
    pub fn finish(self) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        Err(self.broken(format_args!("{} bytes more than expected", self.bytes.len())))
    }

    /// The error for bytes that make no sense.
    pub fn broken(&self, why: impl std::fmt::Display) -> Error {
        Error::restore(format!("stored state cannot be read ({}): {why}", self.what))
            .hint("an older checkpoint may be whole")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut writer = Writer::default();
        writer.u16(7);
        writer.blob(|writer| writer.values(&["a".to_owned(), "bc".to_owned()])).unwrap();
        writer.i128(-5);
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes, "test");
        assert_eq!(reader.u16().unwrap(), 7);
        let mut values = Reader::new(reader.blob().unwrap(), "values");
        assert_eq!(values.value::<String>().unwrap(), "a");
        assert_eq!(values.value::<String>().unwrap(), "bc");
        values.finish().unwrap();
        assert_eq!(reader.i128().unwrap(), -5);
        reader.finish().unwrap();
    }

    #[test]
    fn lengths_beyond_the_end_are_found_before_they_are_allocated() {
        let mut writer = Writer::default();
        writer.u64(u64::MAX);
        let bytes = writer.into_bytes();
        assert!(Reader::new(&bytes, "test").blob().is_err());
        assert!(Reader::new(&bytes, "test").count(1).is_err());
        assert!(Reader::new(&bytes[..3], "test").u64().is_err());
    }
}
