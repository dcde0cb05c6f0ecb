//! What a window aggregation has to compute: the agreement between planner and operator.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use millrace_runtime::window::WindowSpec;

/// A windowed `GROUP BY`: window, keys and aggregates over the columns of its input.
///
/// Input batches are `Columns` of [`WindowAggregateSpec::input`] with a rowtime, which is never
/// null. Output batches are `Columns` of [`WindowAggregateSpec::output`]: keys, aggregates, then
/// the window columns that [`WindowAggregateSpec::emit`] asks for; their rowtime is `window_time`
/// where it is emitted, and there is none otherwise. Late rows leave at `Port::SIDE` as they came
/// in.
#[derive(Clone, Debug)]
pub struct WindowAggregateSpec {
    /// How rowtimes are cut into windows.
    pub window: WindowSpec,
    /// The columns that come in.
    pub input: SchemaRef,
    /// The rowtime among them, a `Timestamp(Millisecond, _)`.
    pub rowtime: usize,
    /// The columns to group by, besides the window; none means one group a window. Nulls are equal
    /// to each other, and floats are compared bit by bit (so `-0.0` is not `0.0`), as in Flink.
    pub keys: Vec<usize>,
    /// What is computed for each group.
    pub aggregates: Vec<AggregateSpec>,
    /// Which columns of the window are put out.
    pub emit: WindowColumns,
}

/// One aggregate call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateSpec {
    /// What is computed.
    pub function: AggregateFunction,
    /// The column that is aggregated; only `CountStar` has none. Nulls are passed over.
    pub argument: Option<usize>,
    /// Equal values count once.
    pub distinct: bool,
    /// A `BOOLEAN` column; only rows where it is true count (neither false nor null).
    pub filter: Option<usize>,
    /// Name, type and nullability of the result; see [`AggregateFunction`] for the types.
    pub output: Field,
}

/// The aggregate functions, with Flink's types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// `COUNT(*)`: rows, as `BIGINT`, not null.
    CountStar,
    /// `COUNT(x)`: rows where `x` is not null, as `BIGINT`, not null.
    Count,
    /// `SUM(x)`: null when there is no value. The result has the type of `x`: integers wrap around
    /// on overflow; `DECIMAL(p, s)` gives `DECIMAL(38, s)`, null on overflow.
    Sum,
    /// `AVG(x)`: null when there is no value. Integers keep their type: the sum in a `BIGINT`
    /// divided by the count, towards zero; `FLOAT` is summed as `DOUBLE`; `DECIMAL(p, s)` gives
    /// `DECIMAL(38, max(6, s))`, rounded half up.
    Avg,
    /// `MIN(x)`, of the type of `x`, for numbers, strings, booleans, dates, times and timestamps.
    Min,
    /// `MAX(x)`, like `Min`.
    Max,
}

/// Which columns of the window a result has, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowColumns {
    /// `window_start`, inclusive.
    pub start: bool,
    /// `window_end`, exclusive.
    pub end: bool,
    /// `window_time`: the end less 1 ms; the rowtime of the results.
    pub time: bool,
}

impl WindowAggregateSpec {
    /// The columns that go out: keys, aggregates, and the window's columns. `window_start` and
    /// `window_end` are `TIMESTAMP(3)`, `window_time` has the type of the input's rowtime; as in
    /// Flink, and with the same milliseconds since the time zone is UTC.
    pub fn output(&self) -> SchemaRef {
        let mut fields: Vec<Field> =
            self.keys.iter().map(|&key| self.input.field(key).clone()).collect();
        fields.extend(self.aggregates.iter().map(|aggregate| aggregate.output.clone()));
        let timestamp = DataType::Timestamp(TimeUnit::Millisecond, None);
        if self.emit.start {
            fields.push(Field::new("window_start", timestamp.clone(), false));
        }
        if self.emit.end {
            fields.push(Field::new("window_end", timestamp, false));
        }
        if self.emit.time {
            let rowtime = self.input.field(self.rowtime).data_type();
            fields.push(Field::new("window_time", rowtime.clone(), false));
        }
        Arc::new(Schema::new(fields))
    }

    /// The index of `window_time` in [`WindowAggregateSpec::output`], if it is emitted.
    pub fn output_rowtime(&self) -> Option<usize> {
        let before = usize::from(self.emit.start) + usize::from(self.emit.end);
        self.emit.time.then_some(self.keys.len() + self.aggregates.len() + before)
    }
}
