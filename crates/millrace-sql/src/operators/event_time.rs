//! Event time of a table: the rowtime column and the watermark of `WATERMARK FOR`.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use millrace_core::watermark::cut_at_late_rows;
use millrace_core::{
    Batch, Columns, Error, Result, Timestamp, WatermarkAssigner, WatermarkStrategy,
};

use super::evaluate::{Evaluator, show_row};

/// How rows of a table get their event time; made for the columns that the job reads.
#[derive(Clone, Debug)]
pub(crate) struct EventTime {
    /// The table's name, for messages.
    pub table: String,
    /// The rowtime over the columns that are read, where it is not one of them.
    pub computed: Option<Evaluator>,
    /// The index of the rowtime in `output`.
    pub rowtime: usize,
    /// The columns that are read, and behind them the rowtime if it is computed.
    pub output: SchemaRef,
    pub candidate: Candidate,
}

/// The candidate watermark of a row.
#[derive(Clone, Debug)]
pub(crate) enum Candidate {
    /// The rowtime less so many milliseconds.
    Delay(i64),
    /// An expression over `EventTime::output`; a null leaves the watermark where it is.
    Expression(Evaluator),
}

impl WatermarkStrategy for EventTime {
    fn assigner(&self, reached: Timestamp) -> Result<Box<dyn WatermarkAssigner>> {
        Ok(Box::new(Assigner { event_time: self.clone(), reached }))
    }
}

struct Assigner {
    event_time: EventTime,
    reached: Timestamp,
}

impl Assigner {
    /// The rows with their rowtime column.
    fn with_rowtime(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let event_time = &self.event_time;
        let rowtime = match &event_time.computed {
            Some(computed) => computed.evaluate(&rows)?,
            None => Arc::clone(rows.column(event_time.rowtime)),
        };
        if rowtime.null_count() > 0 {
            let row = (0..rowtime.len()).find(|&row| rowtime.is_null(row)).unwrap_or(0);
            let name = event_time.output.field(event_time.rowtime).name();
            return Err(Error::fix_input(format!(
                "a row of `{}` has no event time: `{name}` is null",
                event_time.table
            ))
            .caused_by(format!("the row is {}", show_row(&rows, row)))
            .hint(format!(
                "compute it so that it is never null: event_time AS COALESCE({name}, …), WATERMARK FOR event_time AS …"
            )));
        }
        if event_time.computed.is_none() {
            return Ok(rows);
        }
        let mut columns = rows.columns().to_vec();
        columns.push(rowtime);
        RecordBatch::try_new(Arc::clone(&event_time.output), columns).map_err(|error| {
            Error::report(format!("`{}` has other columns: {error}", event_time.table))
        })
    }
}

fn millis(array: &dyn Array) -> Result<&TimestampMillisecondArray> {
    array
        .as_primitive_opt::<TimestampMillisecondType>()
        .ok_or_else(|| Error::report(format!("event time is a {}", array.data_type())))
}

impl WatermarkAssigner for Assigner {
    fn assign(&mut self, batch: Batch, out: &mut Vec<(Timestamp, Batch)>) -> Result<()> {
        let read: Columns = batch.downcast()?;
        read.check_append_only("a table with event time")?;
        let rows = self.with_rowtime(read.rows)?;
        let rowtime = self.event_time.rowtime;
        let rowtimes = millis(rows.column(rowtime))?.values();
        let at = Timestamp::from_millis;
        let pieces = match &self.event_time.candidate {
            Candidate::Delay(delay) => cut_at_late_rows(
                rowtimes.iter().map(|&time| (at(time), at(time.saturating_sub(*delay)))),
                &mut self.reached,
            ),
            Candidate::Expression(expression) => {
                let candidates = expression.evaluate(&rows)?;
                let candidates = millis(&candidates)?;
                let times = rowtimes.iter().enumerate().map(|(row, &time)| {
                    let candidate = if candidates.is_valid(row) {
                        at(candidates.value(row))
                    } else {
                        Timestamp::MIN
                    };
                    (at(time), candidate)
                });
                cut_at_late_rows(times, &mut self.reached)
            }
        };
        for (range, bound) in pieces {
            let piece = rows.slice(range.start, range.len());
            let columns = Columns { rowtime: Some(rowtime), bound, ..Columns::new(piece) };
            out.push((bound, Batch::new(columns)));
        }
        Ok(())
    }

    fn reached(&self) -> Timestamp {
        self.reached
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    use datafusion_expr::col;
    use proptest::prelude::*;

    use super::*;

    fn schema() -> SchemaRef {
        let timestamp = DataType::Timestamp(TimeUnit::Millisecond, None);
        Arc::new(Schema::new(vec![
            Field::new("number", DataType::Int64, false),
            Field::new("at", timestamp.clone(), true),
            Field::new("candidate", timestamp, true),
        ]))
    }

    fn strategy(candidate: Candidate) -> EventTime {
        EventTime { table: "t".into(), computed: None, rowtime: 1, output: schema(), candidate }
    }

    fn rows(times: &[i64], from: usize, delay: i64) -> Batch {
        let numbers = Int64Array::from_iter_values((from as i64..).take(times.len()));
        let at = TimestampMillisecondArray::from(times.to_vec());
        let candidates: TimestampMillisecondArray =
            times.iter().map(|time| Some(time - delay)).collect();
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(numbers), Arc::new(at), Arc::new(candidates)];
        Batch::new(Columns::new(RecordBatch::try_new(schema(), columns).unwrap()))
    }

    /// Each row's number and bound, and the watermark at the end.
    fn assigned(
        strategy: &EventTime,
        times: &[i64],
        delay: i64,
        batch: usize,
    ) -> (Vec<(i64, bool)>, Timestamp) {
        let mut assigner = strategy.assigner(Timestamp::MIN).unwrap();
        let mut seen = Vec::new();
        for (index, chunk) in times.chunks(batch).enumerate() {
            let mut out = Vec::new();
            assigner.assign(rows(chunk, index * batch, delay), &mut out).unwrap();
            for (bound, piece) in out {
                let piece: Columns = piece.downcast().unwrap();
                assert_eq!(piece.bound, bound);
                let numbers = piece.rows.column(0).as_primitive::<arrow::datatypes::Int64Type>();
                let at = piece.rowtimes().unwrap();
                seen.extend(
                    numbers
                        .values()
                        .iter()
                        .zip(at.values())
                        .map(|(&number, &time)| (number, Timestamp::from_millis(time) <= bound)),
                );
            }
        }
        (seen, assigner.reached())
    }

    proptest! {
        #[test]
        fn a_delay_and_the_same_as_an_expression_agree_at_any_batch_size(
            times in prop::collection::vec(0i64..100, 1..50),
            delay in 0i64..30,
            batch in 1usize..10,
        ) {
            let timestamp = DataType::Timestamp(TimeUnit::Millisecond, None);
            let expression = Evaluator::new(&col("candidate"), &timestamp, &schema()).unwrap();
            let expected = assigned(&strategy(Candidate::Delay(delay)), &times, delay, times.len());
            prop_assert_eq!(&assigned(&strategy(Candidate::Delay(delay)), &times, delay, batch), &expected);
            let by_expression = strategy(Candidate::Expression(expression));
            prop_assert_eq!(&assigned(&by_expression, &times, delay, batch), &expected);
        }
    }
}
