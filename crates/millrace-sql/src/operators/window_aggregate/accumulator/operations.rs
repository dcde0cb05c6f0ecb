//! What `SUM`, `AVG`, `MIN` and `MAX` do with one value, by Flink's rules.

use std::cmp::Ordering;
use std::marker::PhantomData;

use arrow::array::ArrowNativeTypeOp;
use arrow::datatypes::{ArrowPrimitiveType, Decimal128Type};
use millrace_core::{Error, Result};

use crate::operators::window_aggregate::fixed::{Fixed, Mean, Seen};

/// A function that keeps a state of fixed width for each group.
pub trait Operation: Send + 'static {
    /// The type of the column that is aggregated.
    type Argument: ArrowPrimitiveType;
    /// The type of the results.
    type Result: ArrowPrimitiveType;
    /// What is kept; the default has seen no rows.
    type State: Fixed;

    /// Adds a value.
    fn add(&self, state: &mut Self::State, value: <Self::Argument as ArrowPrimitiveType>::Native);

    /// Adds another state.
    fn merge(&self, state: &mut Self::State, other: Self::State);

    /// The result; `None` is null.
    fn result(&self, state: &Self::State) -> Option<<Self::Result as ArrowPrimitiveType>::Native>;

    /// Whether this could have come from rows; asked of what is read from a checkpoint.
    fn is_sound(&self, _state: &Self::State) -> bool {
        true
    }
}

/// The largest decimal of 38 digits.
const LARGEST_DECIMAL: i128 = 10i128.pow(38) - 1;

fn in_decimal_range(value: i128) -> Option<i128> {
    (-LARGEST_DECIMAL..=LARGEST_DECIMAL).contains(&value).then_some(value)
}

macro_rules! over_types {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub struct $name<T>(PhantomData<fn(T)>);
        impl<T> Default for $name<T> {
            fn default() -> Self {
                $name(PhantomData)
            }
        }
    )*};
}
over_types! {
    /// `SUM` of integers, of their own type: wraps around.
    SumInteger;
    /// `SUM` of floats, of their own type.
    SumFloat;
    /// `AVG` of integers, of their own type: the wrapping sum in 64 bits, divided towards zero.
    AvgInteger;
    /// `AVG` of floats, of their own type, summed in 64 bits.
    AvgFloat;
}

macro_rules! sums {
    ($($name:ident),*) => {$(
        impl<T> Operation for $name<T>
        where
            T: ArrowPrimitiveType<Native: ArrowNativeTypeOp + Fixed>,
        {
            type Argument = T;
            type Result = T;
            type State = Seen<T::Native>;

            #[inline]
            fn add(&self, state: &mut Self::State, value: T::Native) {
                state.value = state.value.add_wrapping(value);
                state.state = Seen::<T::Native>::SOME;
            }

            fn merge(&self, state: &mut Self::State, other: Self::State) {
                if other.state != Seen::<T::Native>::NOTHING {
                    self.add(state, other.value);
                }
            }

            fn result(&self, state: &Self::State) -> Option<T::Native> {
                (state.state == Seen::<T::Native>::SOME).then_some(state.value)
            }
        }
    )*};
}
sums!(SumInteger, SumFloat);

/// `SUM` of decimals, as `DECIMAL(38, s)`: null once 128 bits or 38 digits are exceeded.
pub struct SumDecimal;

impl Operation for SumDecimal {
    type Argument = Decimal128Type;
    type Result = Decimal128Type;
    type State = Seen<i128>;

    #[inline]
    fn add(&self, state: &mut Seen<i128>, value: i128) {
        match state.value.checked_add(value) {
            Some(sum) => {
                state.value = sum;
                state.state = state.state.max(Seen::<i128>::SOME);
            }
            None => state.state = Seen::<i128>::OVERFLOW,
        }
    }

    fn merge(&self, state: &mut Seen<i128>, other: Seen<i128>) {
        if other.state == Seen::<i128>::NOTHING {
            return;
        }
        self.add(state, other.value);
        state.state = state.state.max(other.state);
    }

    fn result(&self, state: &Seen<i128>) -> Option<i128> {
        if state.state == Seen::<i128>::SOME { in_decimal_range(state.value) } else { None }
    }
}

impl<T> Operation for AvgInteger<T>
where
    T: ArrowPrimitiveType<Native: Into<i64> + TryFrom<i64>>,
{
    type Argument = T;
    type Result = T;
    type State = Mean<i64>;

    #[inline]
    fn add(&self, state: &mut Mean<i64>, value: T::Native) {
        state.sum = state.sum.wrapping_add(value.into());
        state.count += 1;
    }

    fn merge(&self, state: &mut Mean<i64>, other: Mean<i64>) {
        state.sum = state.sum.wrapping_add(other.sum);
        state.count = state.count.saturating_add(other.count);
    }

    fn result(&self, state: &Mean<i64>) -> Option<T::Native> {
        // The mean of values of a type fits the type, unless the sum has wrapped around.
        let mean = state.sum.checked_div(state.count)?;
        T::Native::try_from(mean).ok()
    }

    fn is_sound(&self, state: &Mean<i64>) -> bool {
        state.count >= 0
    }
}

impl<T> Operation for AvgFloat<T>
where
    T: ArrowPrimitiveType<Native: Into<f64> + FromDouble>,
{
    type Argument = T;
    type Result = T;
    type State = Mean<f64>;

    #[inline]
    fn add(&self, state: &mut Mean<f64>, value: T::Native) {
        state.sum += value.into();
        state.count += 1;
    }

    fn merge(&self, state: &mut Mean<f64>, other: Mean<f64>) {
        state.sum += other.sum;
        state.count = state.count.saturating_add(other.count);
    }

    fn result(&self, state: &Mean<f64>) -> Option<T::Native> {
        (state.count > 0).then(|| T::Native::from_double(state.sum / state.count as f64))
    }

    fn is_sound(&self, state: &Mean<f64>) -> bool {
        state.count >= 0
    }
}

/// A float that a mean is rounded to.
pub trait FromDouble {
    fn from_double(value: f64) -> Self;
}

impl FromDouble for f32 {
    fn from_double(value: f64) -> Self {
        value as f32
    }
}

impl FromDouble for f64 {
    fn from_double(value: f64) -> Self {
        value
    }
}

/// `AVG` of decimals: rounded half away from zero to the result's scale; null on overflow.
pub struct AvgDecimal {
    /// What the sum is multiplied by to have the result's scale.
    factor: i128,
}

impl AvgDecimal {
    /// From the argument's scale to the result's.
    ///
    /// # Errors
    /// `Report` when the result has fewer digits.
    pub fn new(from_scale: i8, to_scale: i8) -> Result<Self> {
        let digits = u32::try_from(i32::from(to_scale) - i32::from(from_scale)).ok();
        let factor = digits.and_then(|digits| 10i128.checked_pow(digits));
        let factor = factor.ok_or_else(|| {
            Error::report(format!("AVG from scale {from_scale} to scale {to_scale}"))
        })?;
        Ok(AvgDecimal { factor })
    }
}

impl Operation for AvgDecimal {
    type Argument = Decimal128Type;
    type Result = Decimal128Type;
    /// The count is below zero once the sum has overflown.
    type State = Mean<i128>;

    #[inline]
    fn add(&self, state: &mut Mean<i128>, value: i128) {
        self.merge(state, Mean { sum: value, count: 1 });
    }

    #[inline]
    fn merge(&self, state: &mut Mean<i128>, other: Mean<i128>) {
        match state.sum.checked_add(other.sum) {
            Some(sum) if state.count >= 0 && other.count >= 0 => {
                state.sum = sum;
                state.count = state.count.saturating_add(other.count);
            }
            _ => state.count = -1,
        }
    }

    fn result(&self, state: &Mean<i128>) -> Option<i128> {
        if state.count <= 0 {
            return None;
        }
        in_decimal_range(state.sum)?;
        let count = i128::from(state.count);
        // The whole part and the rest are scaled apart: the scaled sum may not fit 128 bits.
        let whole = (state.sum / count).checked_mul(self.factor)?;
        let rest = (state.sum % count).checked_mul(self.factor)?;
        let (fraction, left) = (rest / count, rest % count);
        let up = if left.abs() >= count - left.abs() { left.signum() } else { 0 };
        in_decimal_range(whole.checked_add(fraction)?.checked_add(up)?)
    }

    fn is_sound(&self, state: &Mean<i128>) -> bool {
        state.count >= -1
    }
}

/// `MIN` or `MAX`. Floats are ordered with `NaN` above all numbers; `-0.0` and `0.0` are equal, and
/// the one that came first stays.
pub struct Extreme<T, const MIN: bool>(PhantomData<fn(T)>);

impl<T, const MIN: bool> Default for Extreme<T, MIN> {
    fn default() -> Self {
        Extreme(PhantomData)
    }
}

impl<T, const MIN: bool> Operation for Extreme<T, MIN>
where
    T: ArrowPrimitiveType<Native: ArrowNativeTypeOp + Fixed>,
{
    type Argument = T;
    type Result = T;
    type State = Seen<T::Native>;

    #[inline]
    fn add(&self, state: &mut Self::State, value: T::Native) {
        let wanted = if MIN { Ordering::Less } else { Ordering::Greater };
        if state.state == Seen::<T::Native>::NOTHING || order(value, state.value) == wanted {
            *state = Seen { value, state: Seen::<T::Native>::SOME };
        }
    }

    fn merge(&self, state: &mut Self::State, other: Self::State) {
        if other.state != Seen::<T::Native>::NOTHING {
            self.add(state, other.value);
        }
    }

    fn result(&self, state: &Self::State) -> Option<T::Native> {
        (state.state == Seen::<T::Native>::SOME).then_some(state.value)
    }
}

#[inline]
fn order<N: ArrowNativeTypeOp>(a: N, b: N) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| {
        // Only `NaN` is not equal to itself.
        let is_nan = |value: N| value.partial_cmp(&value).is_none();
        is_nan(a).cmp(&is_nan(b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{Float64Type, Int8Type, Int64Type};

    fn run<O: Operation>(
        operation: &O,
        values: &[<O::Argument as ArrowPrimitiveType>::Native],
    ) -> Option<<O::Result as ArrowPrimitiveType>::Native> {
        let mut state = O::State::default();
        values.iter().for_each(|&value| operation.add(&mut state, value));
        operation.result(&state)
    }

    #[test]
    fn integers_wrap_around_as_in_flink() {
        assert_eq!(run(&SumInteger::<Int8Type>::default(), &[127, 1]), Some(-128));
        assert_eq!(run(&AvgInteger::<Int8Type>::default(), &[127, 127]), Some(127));
        assert_eq!(run(&AvgInteger::<Int64Type>::default(), &[-1, -2]), Some(-1));
        assert_eq!(run(&AvgInteger::<Int64Type>::default(), &[]), None);
    }

    #[test]
    fn a_mean_of_decimals_is_rounded_half_up_at_its_scale() {
        // 0.01 and 0.02, 0.02: 5 / 3 hundredths = 0.0166667.
        let mean = AvgDecimal::new(2, 6).unwrap();
        assert_eq!(run(&mean, &[1, 2, 2]), Some(16_667));
        assert_eq!(run(&mean, &[-1, -2, -2]), Some(-16_667));
        let half = AvgDecimal::new(6, 6).unwrap();
        assert_eq!((run(&half, &[1, 2]), run(&half, &[-1, -2])), (Some(2), Some(-2)));
    }

    #[test]
    fn a_decimal_beyond_38_digits_is_null() {
        assert_eq!(run(&SumDecimal, &[LARGEST_DECIMAL]), Some(LARGEST_DECIMAL));
        assert_eq!(run(&SumDecimal, &[LARGEST_DECIMAL, 1]), None);
        assert_eq!(run(&SumDecimal, &[LARGEST_DECIMAL, LARGEST_DECIMAL, -LARGEST_DECIMAL]), None);
        assert_eq!(run(&AvgDecimal::new(0, 6).unwrap(), &[LARGEST_DECIMAL]), None);
    }

    #[test]
    fn nan_is_the_largest_number() {
        let values = [f64::NAN, 1.0, 2.0];
        assert_eq!(run(&Extreme::<Float64Type, true>::default(), &values), Some(1.0));
        assert!(run(&Extreme::<Float64Type, false>::default(), &values).unwrap().is_nan());
    }
}
