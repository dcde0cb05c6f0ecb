//! Rows, queries and windows kept one by one, which the operator is compared with.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, Float64Type, Int32Type, Int64Type, Schema, SchemaRef,
    TimeUnit, TimestampMillisecondType,
};
use millrace_core::Timestamp;
use proptest::prelude::*;

use crate::operators::window_aggregate::{AggregateFunction, AggregateSpec, WindowAggregateSpec};

/// A row, in the order of the columns of [`schema`].
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) rowtime: i64,
    pub(super) number: Option<i64>,
    pub(super) text: Option<String>,
    pub(super) small: Option<i32>,
    pub(super) float: Option<f64>,
    pub(super) decimal: Option<i128>,
    pub(super) truth: Option<bool>,
}

pub(super) const NUMBER: usize = 1;
pub(super) const TEXT: usize = 2;
pub(super) const SMALL: usize = 3;
pub(super) const FLOAT: usize = 4;
pub(super) const DECIMAL: usize = 5;
pub(super) const TRUTH: usize = 6;

pub(super) fn schema() -> SchemaRef {
    let rowtime = DataType::Timestamp(TimeUnit::Millisecond, None);
    Arc::new(Schema::new(vec![
        Field::new("rowtime", rowtime, false),
        Field::new("number", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
        Field::new("small", DataType::Int32, true),
        Field::new("float", DataType::Float64, true),
        Field::new("decimal", DataType::Decimal128(10, 2), true),
        Field::new("truth", DataType::Boolean, true),
    ]))
}

pub(super) fn batch(rows: &[Row]) -> RecordBatch {
    let rowtimes = rows.iter().map(|row| row.rowtime);
    let decimals: Decimal128Array = rows.iter().map(|row| row.decimal).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMillisecondArray::from_iter_values(rowtimes)),
        Arc::new(rows.iter().map(|row| row.number).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.text.as_deref()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.small).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| row.float).collect::<Float64Array>()),
        Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()),
        Arc::new(rows.iter().map(|row| row.truth).collect::<BooleanArray>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// A value of any type, comparable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Null,
    Integer(i128),
    Bits(u64),
    Text(String),
}

pub(super) fn float_value(value: f64) -> Value {
    Value::Bits(value.to_bits())
}

impl Row {
    pub(super) fn value(&self, column: usize) -> Value {
        let value = match column {
            NUMBER => self.number.map(|value| Value::Integer(value.into())),
            TEXT => self.text.clone().map(Value::Text),
            SMALL => self.small.map(|value| Value::Integer(value.into())),
            FLOAT => self.float.map(float_value),
            DECIMAL => self.decimal.map(Value::Integer),
            _ => self.truth.map(|value| Value::Integer(value.into())),
        };
        value.unwrap_or(Value::Null)
    }
}

pub(super) fn value_at(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Int32 => Value::Integer(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Value::Integer(column.as_primitive::<Int64Type>().value(row).into()),
        DataType::Float64 => float_value(column.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, _) => {
            Value::Integer(column.as_primitive::<Decimal128Type>().value(row))
        }
        DataType::Utf8 => Value::Text(column.as_string::<i32>().value(row).to_owned()),
        DataType::Boolean => Value::Integer(column.as_boolean().value(row).into()),
        DataType::Timestamp(_, _) => {
            Value::Integer(column.as_primitive::<TimestampMillisecondType>().value(row).into())
        }
        other => panic!("no value of {other}"),
    }
}

pub(super) fn output_type(function: AggregateFunction, column: usize) -> DataType {
    let argument = schema().field(column).data_type().clone();
    match (function, &argument) {
        (AggregateFunction::CountStar | AggregateFunction::Count, _) => DataType::Int64,
        (AggregateFunction::Sum, DataType::Decimal128(_, _)) => DataType::Decimal128(38, 2),
        (AggregateFunction::Avg, DataType::Decimal128(_, _)) => DataType::Decimal128(38, 6),
        _ => argument,
    }
}

pub(super) fn aggregate(
    function: AggregateFunction,
    column: usize,
    distinct: bool,
    filtered: bool,
) -> AggregateSpec {
    AggregateSpec {
        function,
        argument: (function != AggregateFunction::CountStar).then_some(column),
        distinct,
        filter: filtered.then_some(TRUTH),
        output: Field::new("result", output_type(function, column), true),
    }
}

/// What the aggregate gives for these rows, by its definition.
pub(super) fn expected(spec: &AggregateSpec, rows: &[Row]) -> Value {
    let kept = rows.iter().filter(|row| spec.filter.is_none() || row.truth == Some(true));
    let Some(column) = spec.argument else { return Value::Integer(kept.count() as i128) };
    let mut values: Vec<Value> =
        kept.map(|row| row.value(column)).filter(|value| *value != Value::Null).collect();
    if spec.distinct {
        values.sort();
        values.dedup();
    }
    let count = values.len() as i128;
    if spec.function == AggregateFunction::Count {
        return Value::Integer(count);
    }
    if values.is_empty() {
        return Value::Null;
    }
    if column == FLOAT {
        let floats = values.iter().map(|value| match value {
            Value::Bits(bits) => f64::from_bits(*bits),
            other => panic!("{other:?} is no float"),
        });
        return float_value(match spec.function {
            AggregateFunction::Sum => floats.sum::<f64>() + 0.0,
            AggregateFunction::Avg => (floats.sum::<f64>() + 0.0) / count as f64,
            AggregateFunction::Min => floats.fold(f64::INFINITY, f64::min),
            _ => floats.fold(f64::NEG_INFINITY, f64::max),
        });
    }
    match spec.function {
        AggregateFunction::Min => values.into_iter().min().unwrap(),
        AggregateFunction::Max => values.into_iter().max().unwrap(),
        function => {
            let sum: i128 = values
                .iter()
                .map(|value| match value {
                    Value::Integer(value) => *value,
                    other => panic!("{other:?} is no number"),
                })
                .sum();
            let average = function == AggregateFunction::Avg;
            Value::Integer(match (column, average) {
                (SMALL, false) => (sum as i32).into(),
                (NUMBER, false) => (sum as i64).into(),
                (SMALL | NUMBER, true) => i128::from(sum as i64) / count,
                (_, false) => sum,
                // Scale 2 to scale 6, rounded half away from zero.
                (_, true) => {
                    let scaled = sum * 10_000;
                    (scaled.abs() * 2 + count) / (2 * count) * scaled.signum()
                }
            })
        }
    }
}

pub(super) fn row() -> impl Strategy<Value = Row> {
    let number = prop_oneof![
        4 => (-3i64..6).prop_map(Some), 1 => Just(Some(i64::MAX)), 1 => Just(None)
    ];
    let text = prop_oneof![4 => "[ab]{0,2}".prop_map(Some), 1 => Just(None)];
    let small = prop_oneof![
        4 => (-9i32..9).prop_map(Some), 1 => Just(Some(i32::MAX)), 1 => Just(None)
    ];
    // Sums of whole numbers are exact in any order.
    let float = prop_oneof![4 => (1i8..9).prop_map(|f| Some(f.into())), 1 => Just(None)];
    let decimal = prop_oneof![4 => (-999i128..999).prop_map(Some), 1 => Just(None)];
    let truth = prop_oneof![Just(Some(true)), Just(Some(false)), Just(None)];
    (-100i64..260, number, text, small, float, decimal, truth).prop_map(
        |(rowtime, number, text, small, float, decimal, truth)| Row {
            rowtime,
            number,
            text,
            small,
            float,
            decimal,
            truth,
        },
    )
}

pub(super) fn aggregates() -> impl Strategy<Value = Vec<AggregateSpec>> {
    use AggregateFunction::*;
    let numeric = prop::sample::select(vec![NUMBER, SMALL, FLOAT, DECIMAL]);
    let any = prop::sample::select(vec![NUMBER, TEXT, SMALL, FLOAT, DECIMAL, TRUTH]);
    let one = prop_oneof![
        (Just(CountStar), Just(NUMBER), Just(false)),
        (prop::sample::select(vec![Sum, Avg]), numeric, prop::bool::ANY),
        (prop::sample::select(vec![Count, Min, Max]), any, prop::bool::ANY),
    ];
    prop::collection::vec((one, prop::bool::ANY), 0..5).prop_map(|all| {
        let spec = |((function, column, distinct), filtered)| {
            aggregate(function, column, distinct, filtered)
        };
        all.into_iter().map(spec).collect()
    })
}

pub(super) fn keys() -> impl Strategy<Value = Vec<usize>> {
    prop::sample::select(vec![
        vec![],
        vec![NUMBER],
        vec![TEXT],
        vec![TRUTH],
        vec![FLOAT],
        vec![DECIMAL],
        vec![NUMBER, TEXT],
        vec![TRUTH, DECIMAL, SMALL, FLOAT],
    ])
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Rows(usize, Vec<Row>),
    Advance(usize, i64),
    Snapshot(bool),
    Restore(usize),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..2, prop::collection::vec(row(), 1..25)).prop_map(|(s, r)| Step::Rows(s, r)),
        4 => (0usize..2, 0i64..60).prop_map(|(s, by)| Step::Advance(s, by)),
        1 => prop::bool::ANY.prop_map(Step::Snapshot),
        1 => (1usize..4).prop_map(Step::Restore),
    ]
}

/// Windows kept one by one, with all their rows.
pub(super) struct Model {
    pub(super) spec: Arc<WindowAggregateSpec>,
    pub(super) windows: BTreeMap<(i64, Vec<Value>), Vec<Row>>,
    pub(super) watermark: Option<i64>,
    pub(super) late: u64,
    pub(super) gap: u64,
}

impl Model {
    /// Takes a row; whether it is late.
    pub(super) fn add(&mut self, row: &Row, bound: Option<i64>) -> bool {
        let at = Timestamp::from_millis(row.rowtime);
        let windows = self.spec.window.windows_at(at);
        if windows.is_empty() {
            self.gap += 1;
            return false;
        }
        let limit = bound.max(self.watermark);
        let key: Vec<Value> = self.spec.keys.iter().map(|&key| row.value(key)).collect();
        let mut late = true;
        for window in windows {
            let last = self.spec.window.window(window).max_timestamp().as_millis();
            if limit.is_none_or(|limit| last > limit) {
                self.windows.entry((window, key.clone())).or_default().push(row.clone());
                late = false;
            }
        }
        self.late += u64::from(late);
        late
    }

    pub(super) fn advance(&mut self, watermark: i64) -> Vec<Vec<Value>> {
        self.watermark = self.watermark.max(Some(watermark));
        let all = std::mem::take(&mut self.windows);
        let mut results = Vec::new();
        for ((window, key), rows) in all {
            let bounds = self.spec.window.window(window);
            if bounds.max_timestamp().as_millis() > watermark {
                self.windows.insert((window, key), rows);
                continue;
            }
            let mut result = key;
            result.extend(self.spec.aggregates.iter().map(|spec| expected(spec, &rows)));
            let points = [bounds.start, bounds.end, bounds.max_timestamp()];
            result.extend(points.map(|at| Value::Integer(at.as_millis().into())));
            results.push(result);
        }
        results.sort();
        results
    }
}
