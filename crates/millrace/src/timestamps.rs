//! Event time and watermarks for typed rows.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use millrace_core::watermark::cut_at_late_rows;
use millrace_core::{
    Batch, Error, Records, Result, Timestamp, WatermarkAssigner, WatermarkStrategy,
};

/// Watermarks that stay `delay` behind the latest row of their split (Flink's bounded
/// out-of-orderness).
pub struct BoundedDisorder<T, F> {
    pub delay: Duration,
    pub timestamp: Arc<F>,
    pub rows: PhantomData<fn(&T)>,
}

impl<T, F> WatermarkStrategy for BoundedDisorder<T, F>
where
    T: Clone + Send + 'static,
    F: Fn(&T) -> Timestamp + Send + Sync + 'static,
{
    fn assigner(&self, reached: Timestamp) -> Result<Box<dyn WatermarkAssigner>> {
        // A watermark of t says that no row of t follows; with a delay of 0 rows of the same time
        // as the latest may still come.
        let delay_ms = i64::try_from(self.delay.as_millis()).unwrap_or(i64::MAX);
        let behind_ms = delay_ms.saturating_add(1);
        let timestamp = Arc::clone(&self.timestamp);
        Ok(Box::new(Assigner { behind_ms, timestamp, reached, rows: PhantomData }))
    }
}

struct Assigner<T, F> {
    /// How far the watermark stays behind the latest row.
    behind_ms: i64,
    timestamp: Arc<F>,
    reached: Timestamp,
    rows: PhantomData<fn(&T)>,
}

impl<T, F> WatermarkAssigner for Assigner<T, F>
where
    T: Clone + Send + 'static,
    F: Fn(&T) -> Timestamp + Send + Sync + 'static,
{
    fn assign(&mut self, batch: Batch, out: &mut Vec<(Timestamp, Batch)>) -> Result<()> {
        let mut records: Records<T> = batch.downcast()?;
        let mut earliest = Timestamp::MAX;
        for (row, timestamp) in records.values.iter().zip(&mut records.timestamps) {
            *timestamp = (self.timestamp)(row);
            earliest = earliest.min(*timestamp);
        }
        if earliest == Timestamp::MIN {
            return Err(Error::fix_input("a row has the timestamp `Timestamp::MIN`")
                .hint("that value says that a row has no event time; give it one, or filter it"));
        }
        let behind_ms = self.behind_ms;
        let candidate =
            |&t: &Timestamp| (t, Timestamp::from_millis(t.as_millis().saturating_sub(behind_ms)));
        let pieces = cut_at_late_rows(records.timestamps.iter().map(candidate), &mut self.reached);
        // From the back, so that each piece is cut off once.
        let first = out.len();
        for (range, bound) in pieces.into_iter().rev() {
            let mut piece = match range.start {
                0 => std::mem::replace(&mut records, Records::with_capacity(0, bound)),
                start => records.split_off(start),
            };
            piece.bound = bound;
            out.push((bound, Batch::new(piece)));
        }
        out[first..].reverse();
        Ok(())
    }

    fn reached(&self) -> Timestamp {
        self.reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn assign(delay: u64, rows: &[i64]) -> Result<Vec<(Timestamp, Vec<i64>)>> {
        let strategy = BoundedDisorder {
            delay: Duration::from_millis(delay),
            timestamp: Arc::new(|row: &i64| at(*row)),
            rows: PhantomData,
        };
        let mut out = Vec::new();
        let rows = Records::new(rows.to_vec(), vec![Timestamp::MIN; rows.len()]);
        strategy.assigner(Timestamp::MIN)?.assign(Batch::new(rows), &mut out)?;
        let pieces = out.into_iter().map(|(bound, batch)| {
            let records: Records<i64> = batch.downcast().unwrap();
            assert_eq!(records.bound, bound);
            assert!(records.timestamps.iter().zip(&records.values).all(|(t, v)| *t == at(*v)));
            (bound, records.values)
        });
        Ok(pieces.collect())
    }

    #[test]
    fn a_batch_is_cut_before_rows_that_are_behind_the_watermark() {
        let pieces = assign(2, &[7, 10, 6, 11, 1]).unwrap();
        assert_eq!(pieces, [(Timestamp::MIN, vec![7, 10]), (at(7), vec![6, 11]), (at(8), vec![1])]);
    }

    #[test]
    fn without_delay_rows_of_equal_time_are_not_behind() {
        assert_eq!(assign(0, &[5, 5, 6, 6]).unwrap().len(), 1);
    }

    #[test]
    fn a_row_at_the_beginning_of_time_is_refused() {
        assert!(assign(0, &[i64::MIN]).is_err());
    }
}
