//! What is computed for each key and window.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A function over the rows of a key and window, one row at a time (Flink's `AggregateFunction`).
///
/// Rows are added to the accumulator of their pane; when a window fires, the accumulators of its
/// panes are merged. `merge` must therefore give what adding all rows to one accumulator would,
/// in any order.
///
/// ```
/// use millrace_runtime::window::Aggregate;
///
/// /// How many rows are longer than ten bytes.
/// struct Long;
///
/// impl Aggregate for Long {
///     type Input = String;
///     type Accumulator = u64;
///     type Output = u64;
///
///     fn create(&self) -> u64 {
///         0
///     }
///     fn add(&self, accumulator: &mut u64, row: &String) {
///         *accumulator += u64::from(row.len() > 10);
///     }
///     fn merge(&self, accumulator: &mut u64, other: &u64) {
///         *accumulator += other;
///     }
///     fn result(&self, accumulator: &u64) -> u64 {
///         *accumulator
///     }
/// }
/// ```
pub trait Aggregate: Send + 'static {
    /// The rows.
    type Input;
    /// What is kept for each key and pane. Its type is part of the operator's identity in
    /// checkpoints.
    type Accumulator: Clone + Serialize + DeserializeOwned + Send + 'static;
    /// What a window gives.
    type Output: Clone + Send + 'static;

    /// An accumulator of no rows.
    fn create(&self) -> Self::Accumulator;

    /// Adds a row.
    fn add(&self, accumulator: &mut Self::Accumulator, row: &Self::Input);

    /// Adds what another accumulator holds.
    fn merge(&self, accumulator: &mut Self::Accumulator, other: &Self::Accumulator);

    /// The result so far.
    fn result(&self, accumulator: &Self::Accumulator) -> Self::Output;
}

/// Counts rows; see [`count`].
pub struct Count<T>(PhantomData<fn(&T)>);

/// How many rows there are.
pub fn count<T: 'static>() -> Count<T> {
    Count(PhantomData)
}

impl<T> Clone for Count<T> {
    fn clone(&self) -> Self {
        Count(PhantomData)
    }
}

impl<T: 'static> Aggregate for Count<T> {
    type Input = T;
    type Accumulator = u64;
    type Output = u64;

    #[inline]
    fn create(&self) -> u64 {
        0
    }
    #[inline]
    fn add(&self, accumulator: &mut u64, _row: &T) {
        *accumulator += 1;
    }
    #[inline]
    fn merge(&self, accumulator: &mut u64, other: &u64) {
        *accumulator += other;
    }
    #[inline]
    fn result(&self, accumulator: &u64) -> u64 {
        *accumulator
    }
}

/// A number that [`sum`] can add up.
pub trait Summand: Copy {
    /// A type that holds sums of many: 64 bits for integers of up to 32, 128 for those of 64, `f64`
    /// for floats. Should even that be exceeded, integers stay at its end.
    type Total: Copy + Default + Serialize + DeserializeOwned + Send + 'static;

    /// This number, as a total of one.
    fn total(self) -> Self::Total;

    /// The sum of two totals.
    fn plus(a: Self::Total, b: Self::Total) -> Self::Total;
}

macro_rules! summands {
    ($($number:ty => $total:ty, $plus:expr;)*) => {$(
        impl Summand for $number {
            type Total = $total;
            #[inline]
            fn total(self) -> $total {
                self.into()
            }
            #[inline]
            fn plus(a: $total, b: $total) -> $total {
                $plus(a, b)
            }
        }
    )*};
}
summands! {
    i8 => i64, i64::saturating_add;
    i16 => i64, i64::saturating_add;
    i32 => i64, i64::saturating_add;
    i64 => i128, i128::saturating_add;
    u8 => u64, u64::saturating_add;
    u16 => u64, u64::saturating_add;
    u32 => u64, u64::saturating_add;
    u64 => u128, u128::saturating_add;
    f32 => f64, |a: f64, b: f64| a + b;
    f64 => f64, |a: f64, b: f64| a + b;
}

/// Adds up a number of each row; see [`sum`].
#[derive(Clone)]
pub struct Sum<T, F> {
    number: F,
    input: PhantomData<fn(&T)>,
}

/// The sum of a number of each row.
pub fn sum<T: 'static, N: Summand, F>(number: F) -> Sum<T, F>
where
    F: Fn(&T) -> N + Send + 'static,
{
    Sum { number, input: PhantomData }
}

impl<T: 'static, N: Summand, F: Fn(&T) -> N + Send + 'static> Aggregate for Sum<T, F> {
    type Input = T;
    type Accumulator = N::Total;
    type Output = N::Total;

    fn create(&self) -> N::Total {
        N::Total::default()
    }
    #[inline]
    fn add(&self, accumulator: &mut N::Total, row: &T) {
        *accumulator = N::plus(*accumulator, (self.number)(row).total());
    }
    fn merge(&self, accumulator: &mut N::Total, other: &N::Total) {
        *accumulator = N::plus(*accumulator, *other);
    }
    fn result(&self, accumulator: &N::Total) -> N::Total {
        *accumulator
    }
}

/// The smallest or largest value; see [`min`] and [`max`].
#[derive(Clone)]
pub struct Extreme<T, F> {
    value: F,
    /// Which of two values replaces the other.
    keep: std::cmp::Ordering,
    input: PhantomData<fn(&T)>,
}

/// The smallest value of a row; `None` when no value can be compared (`NaN`).
pub fn min<T: 'static, V, F: Fn(&T) -> V>(value: F) -> Extreme<T, F> {
    Extreme { value, keep: std::cmp::Ordering::Less, input: PhantomData }
}

/// The largest value of a row; `None` when no value can be compared (`NaN`).
pub fn max<T: 'static, V, F: Fn(&T) -> V>(value: F) -> Extreme<T, F> {
    Extreme { value, keep: std::cmp::Ordering::Greater, input: PhantomData }
}

impl<T, F> Extreme<T, F> {
    #[inline]
    fn take<V: PartialOrd>(&self, best: &mut Option<V>, value: V) {
        let better = match best {
            None => value.partial_cmp(&value).is_some(),
            Some(best) => value.partial_cmp(best) == Some(self.keep),
        };
        if better {
            *best = Some(value);
        }
    }
}

impl<T, V, F> Aggregate for Extreme<T, F>
where
    T: 'static,
    V: PartialOrd + Clone + Serialize + DeserializeOwned + Send + 'static,
    F: Fn(&T) -> V + Send + 'static,
{
    type Input = T;
    type Accumulator = Option<V>;
    type Output = Option<V>;

    fn create(&self) -> Option<V> {
        None
    }
    #[inline]
    fn add(&self, accumulator: &mut Option<V>, row: &T) {
        self.take(accumulator, (self.value)(row));
    }
    fn merge(&self, accumulator: &mut Option<V>, other: &Option<V>) {
        if let Some(value) = other {
            self.take(accumulator, value.clone());
        }
    }
    fn result(&self, accumulator: &Option<V>) -> Option<V> {
        accumulator.clone()
    }
}

/// The mean of a number; see [`avg`].
#[derive(Clone)]
pub struct Avg<T, F> {
    number: F,
    input: PhantomData<fn(&T)>,
}

/// The mean of a number of each row.
pub fn avg<T: 'static, F: Fn(&T) -> f64 + Send + 'static>(number: F) -> Avg<T, F> {
    Avg { number, input: PhantomData }
}

impl<T: 'static, F: Fn(&T) -> f64 + Send + 'static> Aggregate for Avg<T, F> {
    type Input = T;
    /// Sum and count.
    type Accumulator = (f64, u64);
    type Output = f64;

    fn create(&self) -> (f64, u64) {
        (0.0, 0)
    }
    #[inline]
    fn add(&self, accumulator: &mut (f64, u64), row: &T) {
        accumulator.0 += (self.number)(row);
        accumulator.1 += 1;
    }
    fn merge(&self, accumulator: &mut (f64, u64), other: &(f64, u64)) {
        accumulator.0 += other.0;
        accumulator.1 += other.1;
    }
    fn result(&self, accumulator: &(f64, u64)) -> f64 {
        accumulator.0 / accumulator.1 as f64
    }
}

/// An aggregate of closures; see [`fold`].
#[derive(Clone)]
pub struct Fold<T, A, F, M> {
    initial: A,
    add: F,
    merge: M,
    input: PhantomData<fn(&T)>,
}

/// Adds rows to an accumulator that begins as `initial`, by `add`, and joins two accumulators by
/// `merge`. The accumulator is the result.
pub fn fold<T, A, F, M>(initial: A, add: F, merge: M) -> Fold<T, A, F, M>
where
    T: 'static,
    F: Fn(&mut A, &T) + Send + 'static,
    M: Fn(&mut A, &A) + Send + 'static,
{
    Fold { initial, add, merge, input: PhantomData }
}

impl<T, A, F, M> Aggregate for Fold<T, A, F, M>
where
    T: 'static,
    A: Clone + Serialize + DeserializeOwned + Send + 'static,
    F: Fn(&mut A, &T) + Send + 'static,
    M: Fn(&mut A, &A) + Send + 'static,
{
    type Input = T;
    type Accumulator = A;
    type Output = A;

    fn create(&self) -> A {
        self.initial.clone()
    }
    #[inline]
    fn add(&self, accumulator: &mut A, row: &T) {
        (self.add)(accumulator, row);
    }
    fn merge(&self, accumulator: &mut A, other: &A) {
        (self.merge)(accumulator, other);
    }
    fn result(&self, accumulator: &A) -> A {
        accumulator.clone()
    }
}

macro_rules! tuples {
    ($(($($name:ident $field:tt),*)),*) => {$(
        /// Several aggregates over the same rows.
        impl<I, $($name: Aggregate<Input = I>),*> Aggregate for ($($name,)*) {
            type Input = I;
            type Accumulator = ($($name::Accumulator,)*);
            type Output = ($($name::Output,)*);

            #[inline]
            fn create(&self) -> Self::Accumulator {
                ($(self.$field.create(),)*)
            }
            #[inline]
            fn add(&self, accumulator: &mut Self::Accumulator, row: &I) {
                $(self.$field.add(&mut accumulator.$field, row);)*
            }
            fn merge(&self, accumulator: &mut Self::Accumulator, other: &Self::Accumulator) {
                $(self.$field.merge(&mut accumulator.$field, &other.$field);)*
            }
            fn result(&self, accumulator: &Self::Accumulator) -> Self::Output {
                ($(self.$field.result(&accumulator.$field),)*)
            }
        }
    )*};
}
tuples!((A 0, B 1), (A 0, B 1, C 2), (A 0, B 1, C 2, D 3), (A 0, B 1, C 2, D 3, E 4));

#[cfg(test)]
mod tests {
    use super::*;

    fn run<A: Aggregate>(aggregate: &A, rows: &[A::Input]) -> A::Output {
        let (left, right) = rows.split_at(rows.len() / 2);
        let mut sides = [left, right].map(|side| {
            let mut accumulator = aggregate.create();
            side.iter().for_each(|row| aggregate.add(&mut accumulator, row));
            accumulator
        });
        let right = sides[1].clone();
        aggregate.merge(&mut sides[0], &right);
        aggregate.result(&sides[0])
    }

    #[test]
    fn ready_made_aggregates_give_the_same_from_two_halves() {
        let rows = [3i64, -1, 4, 1, 5];
        assert_eq!(run(&count(), &rows), 5);
        assert_eq!(run(&sum(|&row: &i64| row), &rows), 12);
        assert_eq!(
            run(&(min(|&row: &i64| row), max(|&row: &i64| row)), &rows),
            (Some(-1), Some(5))
        );
        assert_eq!(run(&avg(|&row: &i64| row as f64), &rows), 2.4);
        let product = fold(1i64, |product, row: &i64| *product *= row, |a, b| *a *= b);
        assert_eq!(run(&product, &rows), -60);
    }

    #[test]
    fn sums_of_large_integers_do_not_wrap() {
        assert_eq!(run(&sum(|&row: &i64| row), &[i64::MAX, i64::MAX]), 2 * i128::from(i64::MAX));
        assert_eq!(run(&sum(|&row: &u32| row), &[u32::MAX, u32::MAX]), 2 * u64::from(u32::MAX));
    }

    #[test]
    fn what_cannot_be_compared_is_neither_smallest_nor_largest() {
        let least = min(|&row: &f64| row);
        assert_eq!(run(&least, &[f64::NAN, 2.0, f64::NAN, 1.0]), Some(1.0));
        assert_eq!(run(&least, &[f64::NAN]), None);
    }
}
