//! The hash of a row's key, a column at a time.
//!
//! Exchange and keyed operators must agree on it: it decides the key group, and so the subtask,
//! that owns a key. Two keys that `GROUP BY` holds for equal have the same hash: nulls are equal,
//! floats are compared bit by bit. It is not stored anywhere, so it may change from one version to
//! the next.

use std::hash::{BuildHasher, Hasher};

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use foldhash::fast::FixedState;
use millrace_core::{Error, Result};

const START: u64 = 0x243f_6a88_85a3_08d3;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const NULL: u64 = 0x1319_8a2e_0370_7344;

/// Writes the hash of each row's key to `hashes`, which is cleared first. Without columns every
/// row has the same hash. All bits are usable: the high ones choose the key group, the low ones
/// are left for tables.
///
/// # Errors
/// `Report` for a column of a type that cannot be a key; the planner refuses those.
pub fn hash_keys(columns: &[ArrayRef], rows: usize, hashes: &mut Vec<u64>) -> Result<()> {
    hashes.clear();
    hashes.resize(rows, START);
    columns.iter().try_for_each(|column| hash_column(column, hashes))
}

/// Whether [`hash_keys`] takes columns of this type.
pub fn is_key_type(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(
        data_type,
        Boolean | Int8 | Int16 | Int32 | Int64 | Float32 | Float64 | Utf8 | Binary | Date32
    ) || matches!(data_type, Time32(_) | Timestamp(_, _) | Decimal128(_, _))
}

/// One step: both halves of the 128-bit product, so that every bit of the input reaches both ends
/// of the result.
#[inline(always)]
fn mix(hash: u64, value: u64) -> u64 {
    let product = u128::from(hash ^ value).wrapping_mul(u128::from(FACTOR));
    (product as u64) ^ ((product >> 64) as u64).wrapping_add(hash.rotate_left(23))
}

fn hash_column(column: &ArrayRef, hashes: &mut [u64]) -> Result<()> {
    match column.data_type() {
        DataType::Int8 => primitive::<Int8Type>(column, hashes, |value| value as u64),
        DataType::Int16 => primitive::<Int16Type>(column, hashes, |value| value as u64),
        DataType::Int32 => primitive::<Int32Type>(column, hashes, |value| value as u64),
        DataType::Int64 => primitive::<Int64Type>(column, hashes, |value| value as u64),
        DataType::Float32 => {
            primitive::<Float32Type>(column, hashes, |value| u64::from(value.to_bits()));
        }
        DataType::Float64 => primitive::<Float64Type>(column, hashes, f64::to_bits),
        DataType::Date32 => primitive::<Date32Type>(column, hashes, |value| value as u64),
        DataType::Time32(TimeUnit::Second) => {
            primitive::<Time32SecondType>(column, hashes, |value| value as u64);
        }
        DataType::Time32(_) => {
            primitive::<Time32MillisecondType>(column, hashes, |value| value as u64);
        }
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => {
                primitive::<TimestampSecondType>(column, hashes, |value| value as u64);
            }
            TimeUnit::Millisecond => {
                primitive::<TimestampMillisecondType>(column, hashes, |value| value as u64);
            }
            TimeUnit::Microsecond => {
                primitive::<TimestampMicrosecondType>(column, hashes, |value| value as u64);
            }
            TimeUnit::Nanosecond => {
                primitive::<TimestampNanosecondType>(column, hashes, |value| value as u64);
            }
        },
        DataType::Decimal128(_, _) => primitive::<Decimal128Type>(column, hashes, |value| {
            mix(value as u64, (value >> 64) as u64)
        }),
        DataType::Boolean => {
            let values = column.as_boolean();
            fold(column, hashes, |row| u64::from(values.value(row)));
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            fold(column, hashes, |row| hash_bytes(values.value(row).as_bytes()));
        }
        DataType::Binary => {
            let values = column.as_binary::<i32>();
            fold(column, hashes, |row| hash_bytes(values.value(row)));
        }
        other => return Err(Error::report(format!("a key column has the type {other}"))),
    }
    Ok(())
}

fn primitive<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    hashes: &mut [u64],
    bits: impl Fn(T::Native) -> u64,
) {
    let array: &PrimitiveArray<T> = column.as_primitive();
    if array.null_count() == 0 {
        for (hash, value) in hashes.iter_mut().zip(array.values()) {
            *hash = mix(*hash, bits(*value));
        }
    } else {
        fold(column, hashes, |row| bits(array.value(row)));
    }
}

fn fold(column: &ArrayRef, hashes: &mut [u64], bits: impl Fn(usize) -> u64) {
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => {
            for (row, hash) in hashes.iter_mut().enumerate() {
                *hash = mix(*hash, bits(row));
            }
        }
        Some(nulls) => {
            for (row, hash) in hashes.iter_mut().enumerate() {
                *hash = mix(*hash, if nulls.is_valid(row) { bits(row) } else { NULL });
            }
        }
    }
}

#[inline]
fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(START).build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    fn hashes(columns: &[ArrayRef]) -> Vec<u64> {
        let mut hashes = Vec::new();
        hash_keys(columns, columns[0].len(), &mut hashes).expect("types of keys");
        hashes
    }

    #[test]
    fn equal_keys_have_equal_hashes_whatever_stands_beside_them() {
        let text: ArrayRef =
            Arc::new(StringArray::from(vec![Some("JFK"), None, Some("JFK"), None, Some("")]));
        let number: ArrayRef =
            Arc::new(Int64Array::from(vec![Some(1), None, Some(1), None, Some(0)]));
        let all = hashes(&[Arc::clone(&text), Arc::clone(&number)]);
        assert_eq!((all[0], all[1]), (all[2], all[3]));
        assert_ne!(all[1], all[4], "null is neither the empty string nor 0");
        let sliced = hashes(&[text.slice(2, 3), number.slice(2, 3)]);
        assert_eq!(sliced, all[2..]);
    }

    #[test]
    fn a_null_slot_hashes_alike_whatever_bits_lie_under_it() {
        let with_nulls: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
        let without: ArrayRef = Arc::new(Int64Array::from(vec![7, 7]));
        assert_eq!(hashes(&[with_nulls])[0], hashes(&[without])[1]);
    }

    #[test]
    fn floats_are_compared_by_their_bits() {
        let values: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, f64::NAN]));
        let all = hashes(&[values]);
        assert_ne!(all[0], all[1]);
        assert_eq!(all[2], all[3]);
    }

    #[test]
    fn neighbouring_numbers_spread_over_high_and_low_bits() {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..65_536));
        let all = hashes(&[values]);
        for shift in [0, 28, 56] {
            let mut counts = [0u32; 256];
            for hash in &all {
                counts[(hash >> shift) as usize & 255] += 1;
            }
            let (least, most) = (counts.iter().min(), counts.iter().max());
            assert!(least > Some(&150) && most < Some(&370), "{shift}: {least:?} to {most:?}");
        }
    }
}
