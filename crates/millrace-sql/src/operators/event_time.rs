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
            out.push((bound, Batch::new(Columns { rows: piece, rowtime: Some(rowtime), bound })));
        }
        Ok(())
    }

    fn reached(&self) -> Timestamp {
        self.reached
    }
}
