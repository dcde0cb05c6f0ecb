//! Values of fixed width in state: how they are stored and copied.

use std::ops::Range;

use millrace_core::Result;
use millrace_state::codec::{Reader, Writer};

/// A value that is stored in a fixed number of bytes, little-endian.
pub trait Fixed: Copy + Default + Send + 'static {
    /// Writes the value.
    fn write(self, writer: &mut Writer);

    /// Reads a value.
    ///
    /// # Errors
    /// `Restore` when too few bytes are left.
    fn read(reader: &mut Reader<'_>) -> Result<Self>;
}

macro_rules! fixed {
    ($($number:ty),*) => {$(
        impl Fixed for $number {
            #[inline]
            fn write(self, writer: &mut Writer) {
                writer.raw(&self.to_le_bytes());
            }
            #[inline]
            fn read(reader: &mut Reader<'_>) -> Result<Self> {
                let bytes = reader.take(size_of::<Self>())?;
                Ok(Self::from_le_bytes(bytes.try_into().expect("as many as were asked for")))
            }
        }
    )*};
}
fixed!(u8, i8, i16, i32, i64, i128, u32, u64, f32, f64);

/// A value that may be missing; for accumulators of which no row has been seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<N> {
    pub value: N,
    pub state: u8,
}

impl<N> Seen<N> {
    /// No row yet.
    pub const NOTHING: u8 = 0;
    /// There is a value.
    pub const SOME: u8 = 1;
    /// The value has left its type's range, and the result is null.
    pub const OVERFLOW: u8 = 2;
}

impl<N: Fixed> Fixed for Seen<N> {
    fn write(self, writer: &mut Writer) {
        self.value.write(writer);
        self.state.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Seen { value: N::read(reader)?, state: u8::read(reader)? })
    }
}

/// A sum and of how many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mean<N> {
    pub sum: N,
    pub count: i64,
}

impl<N: Fixed> Fixed for Mean<N> {
    fn write(self, writer: &mut Writer) {
        self.sum.write(writer);
        self.count.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Mean { sum: N::read(reader)?, count: i64::read(reader)? })
    }
}

/// Writes the values of the given ranges.
pub fn write_ranges<V: Fixed>(values: &[V], ranges: &[Range<usize>], writer: &mut Writer) {
    for range in ranges {
        values[range.clone()].iter().for_each(|value| value.write(writer));
    }
}

/// Reads values of the given ranges over those that are there.
///
/// # Errors
/// `Restore` when too few bytes are left.
pub fn read_ranges<V: Fixed>(
    values: &mut [V],
    ranges: &[Range<usize>],
    reader: &mut Reader<'_>,
) -> Result<()> {
    for range in ranges {
        for value in &mut values[range.clone()] {
            *value = V::read(reader)?;
        }
    }
    Ok(())
}
