//! Values of one column, each a function of the seed and the row's number alone.
//!
//! So a reader can go on anywhere, batches of any size give the same rows, and parallel splits need
//! not agree on anything. Only times relative to now (DATE, TIME, TIMESTAMP, as in Flink) also
//! depend on when a row is made.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type,
};
use arrow_array::{ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, TimeUnit};
use millrace_core::{Error, Result, Timestamp};

/// The odd number nearest to 2^64 divided by the golden ratio: steps that visit all states.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The rows of a batch: every `step`-th number from `first`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub first: u64,
    pub step: u64,
    pub count: usize,
}

impl Numbers {
    fn iter(self) -> impl ExactSizeIterator<Item = u64> {
        (0..self.count).map(move |k| self.first + k as u64 * self.step)
    }
}

/// What values a column has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// `start`, `start + 1`, …
    Sequence {
        start: i64,
    },
    /// Whole or unscaled decimal numbers, both ends included.
    Integers {
        min: i128,
        max: i128,
    },
    /// Floating point numbers.
    Floats {
        min: f64,
        max: f64,
    },
    Booleans,
    /// Hexadecimal digits (STRING) or bytes (BYTES); with `vary`, 1 to `length` of them.
    Text {
        length: usize,
        vary: bool,
    },
    /// Now, less up to so much.
    Past {
        max_past_ms: u64,
    },
}

/// Makes a column.
#[derive(Clone, Debug)]
pub(crate) struct Generator {
    data_type: DataType,
    values: Values,
    seed: u64,
    /// Of 2^64 draws, so many are NULL.
    null_below: u64,
}

impl Generator {
    pub fn new(field: &Field, values: Values, seed: u64, null_rate: f64) -> Self {
        // FNV-1a over the name: a column keeps its values when others come and go.
        let name_hash = field.name().bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Generator {
            data_type: field.data_type().clone(),
            values,
            seed: mix(seed.wrapping_add(GOLDEN) ^ name_hash),
            // A rate of 1 saturates, and the one draw in 2^64 that escapes is treated below.
            null_below: (null_rate * 2f64.powi(64)) as u64,
        }
    }

    /// The values of the rows `numbers`.
    ///
    /// # Errors
    /// `Report` for a combination of type and values that the options do not allow.
    pub fn column(&self, numbers: Numbers, now: Timestamp) -> Result<ArrayRef> {
        let nulls = self.nulls(numbers);
        Ok(match (&self.data_type, &self.values) {
            (DataType::Boolean, Values::Booleans) => {
                let bits =
                    BooleanBuffer::from_iter(numbers.iter().map(|n| self.draw(n) >> 63 == 1));
                Arc::new(BooleanArray::new(bits, nulls))
            }
            (DataType::Int8, values) => self.whole::<Int8Type>(values, numbers, nulls)?,
            (DataType::Int16, values) => self.whole::<Int16Type>(values, numbers, nulls)?,
            (DataType::Int32, values) => self.whole::<Int32Type>(values, numbers, nulls)?,
            (DataType::Int64, values) => self.whole::<Int64Type>(values, numbers, nulls)?,
            (DataType::Decimal128(_, scale), values) => {
                let unit = 10i128.pow(u32::from(scale.unsigned_abs()));
                match values {
                    Values::Sequence { start } => {
                        self.primitive::<Decimal128Type>(numbers, nulls, |n| {
                            i128::from(start + n as i64) * unit
                        })
                    }
                    &Values::Integers { min, max } => {
                        self.primitive::<Decimal128Type>(numbers, nulls, |n| {
                            let span = (max - min) as u128 + 1;
                            let wide =
                                u128::from(self.draw(n)) << 64 | u128::from(mix(self.draw(n)));
                            min + (wide % span) as i128
                        })
                    }
                    other => return self.mismatch(other),
                }
            }
            (DataType::Float32, values) => match *values {
                Values::Sequence { start } => {
                    self.primitive::<Float32Type>(numbers, nulls, |n| (start + n as i64) as f32)
                }
                Values::Floats { min, max } => self.primitive::<Float32Type>(numbers, nulls, |n| {
                    between(min, max, self.draw(n)) as f32
                }),
                ref other => return self.mismatch(other),
            },
            (DataType::Float64, values) => match *values {
                Values::Sequence { start } => {
                    self.primitive::<Float64Type>(numbers, nulls, |n| (start + n as i64) as f64)
                }
                Values::Floats { min, max } => self
                    .primitive::<Float64Type>(numbers, nulls, |n| between(min, max, self.draw(n))),
                ref other => return self.mismatch(other),
            },
            (DataType::Utf8, Values::Sequence { start }) => {
                let texts = numbers.iter().map(|n| (start + n as i64).to_string());
                let texts: StringArray = texts.map(Some).collect();
                let (offsets, values, _) = texts.into_parts();
                Arc::new(StringArray::new(offsets, values, nulls))
            }
            (DataType::Utf8, &Values::Text { length, vary }) => {
                let (offsets, bytes) = self.text(numbers, length, vary, hex_digits);
                Arc::new(StringArray::new(offsets, bytes, nulls))
            }
            (DataType::Binary, &Values::Text { length, vary }) => {
                let (offsets, bytes) = self.text(numbers, length, vary, u64::to_le_bytes);
                Arc::new(BinaryArray::new(offsets, bytes, nulls))
            }
            (data_type, &Values::Past { max_past_ms }) => {
                self.past(data_type, numbers, nulls, now, max_past_ms)?
            }
            (_, other) => return self.mismatch(other),
        })
    }

    fn mismatch<T>(&self, values: &Values) -> Result<T> {
        Err(Error::report(format!("{values:?} cannot be made as {}", self.data_type)))
    }

    /// The random number of a row.
    #[inline(always)]
    fn draw(&self, number: u64) -> u64 {
        mix(self.seed.wrapping_add(number.wrapping_mul(GOLDEN)))
    }

    fn nulls(&self, numbers: Numbers) -> Option<NullBuffer> {
        if self.null_below == 0 {
            return None;
        }
        let seed = !self.seed;
        let valid = numbers.iter().map(|n| {
            let draw = mix(seed.wrapping_add(n.wrapping_mul(GOLDEN)));
            draw >= self.null_below && self.null_below != u64::MAX
        });
        Some(NullBuffer::new(BooleanBuffer::from_iter(valid)))
    }

    fn primitive<T: ArrowPrimitiveType>(
        &self,
        numbers: Numbers,
        nulls: Option<NullBuffer>,
        value: impl Fn(u64) -> T::Native,
    ) -> ArrayRef {
        let values: Vec<T::Native> = numbers.iter().map(value).collect();
        let array = PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls);
        Arc::new(array.with_data_type(self.data_type.clone()))
    }

    fn whole<T>(
        &self,
        values: &Values,
        numbers: Numbers,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef>
    where
        T: ArrowPrimitiveType<Native: Truncated>,
    {
        Ok(match *values {
            Values::Sequence { start } => self.primitive::<T>(numbers, nulls, |n| {
                T::Native::truncated(start.wrapping_add(n as i64))
            }),
            Values::Integers { min, max } => {
                // 2^64 for all of BIGINT: then every draw is a value.
                let (min, span) = (min as i64, (max - min) as u128 + 1);
                match u64::try_from(span) {
                    Ok(span) => self.primitive::<T>(numbers, nulls, |n| {
                        let scaled = (u128::from(self.draw(n)) * u128::from(span)) >> 64;
                        T::Native::truncated(min.wrapping_add(scaled as i64))
                    }),
                    Err(_) => self.primitive::<T>(numbers, nulls, |n| {
                        T::Native::truncated(self.draw(n) as i64)
                    }),
                }
            }
            ref other => return self.mismatch(other),
        })
    }

    /// `piece` makes so many bytes of each random number.
    fn text<const N: usize>(
        &self,
        numbers: Numbers,
        length: usize,
        vary: bool,
        piece: fn(u64) -> [u8; N],
    ) -> (OffsetBuffer<i32>, Buffer) {
        let mut bytes = Vec::with_capacity(numbers.count * length);
        let mut offsets = Vec::with_capacity(numbers.count + 1);
        offsets.push(0);
        for number in numbers.iter() {
            let mut state = self.draw(number);
            let length = if vary && length > 0 {
                ((u128::from(mix(!state)) * length as u128) >> 64) as usize + 1
            } else {
                length
            };
            let end = bytes.len() + length;
            while bytes.len() < end {
                bytes.extend_from_slice(&piece(state));
                state = mix(state.wrapping_add(GOLDEN));
            }
            bytes.truncate(end);
            // The options bound a batch's text to what 31 bits can address.
            offsets.push(end as i32);
        }
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes))
    }

    fn past(
        &self,
        data_type: &DataType,
        numbers: Numbers,
        nulls: Option<NullBuffer>,
        now: Timestamp,
        max_past_ms: u64,
    ) -> Result<ArrayRef> {
        use arrow_array::types as t;
        let now_ms = now.as_millis();
        let span = u128::from(max_past_ms) + 1;
        let at_ms = |n: u64| {
            let back = (u128::from(self.draw(n)) * span) >> 64;
            now_ms.saturating_sub(back as i64)
        };
        let of_day = |n: u64| at_ms(n).rem_euclid(86_400_000);
        Ok(match data_type {
            DataType::Date32 => self.primitive::<Date32Type>(numbers, nulls, |n| {
                at_ms(n).div_euclid(86_400_000) as i32
            }),
            DataType::Time32(TimeUnit::Second) => {
                self.primitive::<t::Time32SecondType>(numbers, nulls, |n| {
                    (of_day(n) / 1_000) as i32
                })
            }
            DataType::Time32(_) => {
                self.primitive::<t::Time32MillisecondType>(numbers, nulls, |n| of_day(n) as i32)
            }
            DataType::Time64(TimeUnit::Microsecond) => {
                self.primitive::<t::Time64MicrosecondType>(numbers, nulls, |n| of_day(n) * 1_000)
            }
            DataType::Time64(_) => {
                self.primitive::<t::Time64NanosecondType>(numbers, nulls, |n| of_day(n) * 1_000_000)
            }
            DataType::Timestamp(TimeUnit::Second, _) => {
                self.primitive::<t::TimestampSecondType>(numbers, nulls, |n| at_ms(n) / 1_000)
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                self.primitive::<t::TimestampMillisecondType>(numbers, nulls, at_ms)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => self
                .primitive::<t::TimestampMicrosecondType>(numbers, nulls, |n| {
                    at_ms(n).saturating_mul(1_000)
                }),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => self
                .primitive::<t::TimestampNanosecondType>(numbers, nulls, |n| {
                    at_ms(n).saturating_mul(1_000_000)
                }),
            _ => return self.mismatch(&self.values),
        })
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input moves every bit
/// of the output.
#[inline(always)]
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number from `min` to `max`, of which 2^53 are possible.
fn between(min: f64, max: f64, draw: u64) -> f64 {
    let unit = (draw >> 11) as f64 / (1u64 << 53) as f64;
    // Not `min + unit * (max - min)`: the difference can be too large for an f64.
    min * (1.0 - unit) + max * unit
}

fn hex_digits(bits: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (at, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(bits >> (4 * at)) as usize & 15];
    }
    digits
}

/// Whole numbers of at most 64 bits from the low bits of one.
trait Truncated {
    fn truncated(value: i64) -> Self;
}

macro_rules! truncated {
    ($($number:ty),*) => {$(
        impl Truncated for $number {
            #[inline(always)]
            fn truncated(value: i64) -> Self {
                value as $number
            }
        }
    )*};
}
truncated!(i8, i16, i32, i64);
