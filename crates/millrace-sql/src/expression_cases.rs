//! Expressions against what Apache Flink 1.20.1 gave for them.
//!
//! `tests/data/flink-1.20.1-expressions.tsv` holds an expression, Flink's type and value for one
//! row (the one that [`row`] makes), and `refused` where Millrace does not take what Flink takes.
//! What Flink refuses is to be refused here, what fails there at runtime must not succeed here.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray,
    Time32SecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema, TimeUnit};
use datafusion_expr::LogicalPlan;

use crate::error::Fault;
use crate::expr::Typed;
use crate::operators::evaluate::Evaluator;
use crate::planner::{self, Catalog, Relation};
use crate::script::{self, Statement};
use crate::types::type_name;

const CASES: &str = include_str!("../tests/data/flink-1.20.1-expressions.tsv");

const TABLE: &str = "CREATE TABLE t (b BOOLEAN, ti TINYINT, si SMALLINT, i INT, l BIGINT, f FLOAT,
    d DOUBLE, de DECIMAL(10,2), de2 DECIMAL(5,1), s STRING, e STRING, n INT, ns STRING, dt DATE,
    tm TIME(0), ts TIMESTAMP(3), ts6 TIMESTAMP(6), z INT, m INT, k INT, num STRING, bad STRING)
    WITH ('connector' = 'datagen')";

/// The row of Flink's run.
fn row(schema: &Schema) -> RecordBatch {
    let decimal = |value: i128, precision, scale| -> ArrayRef {
        let array = Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale);
        Arc::new(array.expect("it fits"))
    };
    let int = |value: i32| -> ArrayRef { Arc::new(Int32Array::from(vec![value])) };
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![true])),
        Arc::new(Int8Array::from(vec![100])),
        Arc::new(Int16Array::from(vec![30_000])),
        int(2_000_000_000),
        Arc::new(Int64Array::from(vec![9_000_000_000_000_000_000])),
        Arc::new(Float32Array::from(vec![1.5])),
        Arc::new(Float64Array::from(vec![-2.75])),
        decimal(12_345, 10, 2),
        decimal(-75, 5, 1),
        text("Hello World"),
        text(""),
        Arc::new(Int32Array::from(vec![None])),
        Arc::new(StringArray::from(vec![None::<&str>])),
        Arc::new(Date32Array::from(vec![18_321])),
        Arc::new(Time32SecondArray::from(vec![37_230])),
        Arc::new(TimestampMillisecondArray::from(vec![1_582_979_696_789])),
        Arc::new(TimestampMicrosecondArray::from(vec![1_582_979_696_789_123])),
        int(0),
        int(-7),
        int(3),
        text("12"),
        text("abc"),
    ];
    RecordBatch::try_new(Arc::new(schema.clone()), columns).expect("the table's columns")
}

/// The expression's type and value, or why it has none.
fn evaluate(expression: &str) -> Result<(String, Result<String, String>), String> {
    let refused = |fault: Fault| fault.to_string();
    let script = format!("{TABLE};\nSELECT {expression} AS v FROM t");
    let mut catalog = Catalog::default();
    let mut query = None;
    for parsed in script::parse(&script).map_err(refused)? {
        match parsed.statement {
            Statement::CreateTable(table) => {
                planner::declare_table(&table, &parsed.tokens, &mut catalog).map_err(refused)?;
            }
            Statement::Select(select) => {
                query = Some(
                    planner::resolve_query(select, &parsed.tokens, &catalog).map_err(refused)?,
                );
            }
            other => return Err(format!("{other:?}")),
        }
    }
    let Some(LogicalPlan::Projection(projection)) = query else {
        return Err("no projection".into());
    };
    let Some(Relation::Table(table)) = catalog.get("t") else { return Err("no table".into()) };
    let columns: Vec<Typed> =
        table.schema.fields().iter().map(|field| Typed::column(field)).collect();
    let typed = planner::type_expr(&projection.expr[0], projection.input.schema(), &columns)
        .map_err(refused)?;
    if matches!(typed.data_type, DataType::Interval(_) | DataType::Null) {
        return Err("no value of a column".into());
    }
    let batch = row(&table.schema);
    let value = Evaluator::new(&typed.expr, &typed.data_type, &table.schema)
        .and_then(|evaluator| evaluator.evaluate(&batch))
        .map_err(|error| error.to_string())
        .map(|array| {
            assert!(typed.nullable || array.null_count() == 0, "{expression} is not to be null");
            java(&array)
        });
    Ok((type_name(&typed.data_type), value))
}

/// A value as Java's `toString` has it.
fn java(array: &ArrayRef) -> String {
    if array.is_null(0) || array.data_type() == &DataType::Null {
        return "null".into();
    }
    let ticks =
        || cast(array, &DataType::Int64).map(|ticks| ticks.as_primitive::<Int64Type>().value(0));
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(0).to_string(),
        DataType::Utf8 => array.as_string::<i32>().value(0).to_owned(),
        DataType::Binary => {
            let bytes = array.as_binary::<i32>().value(0).iter();
            let shown: Vec<String> = bytes.map(|&byte| (byte as i8).to_string()).collect();
            format!("[{}]", shown.join(", "))
        }
        DataType::Timestamp(unit, zone) => {
            let per_second = match unit {
                TimeUnit::Second => 1,
                TimeUnit::Millisecond => 1_000,
                TimeUnit::Microsecond => 1_000_000,
                TimeUnit::Nanosecond => 1_000_000_000,
            };
            let ticks = ticks().expect("timestamps are numbers");
            let seconds = ticks.div_euclid(per_second);
            let nanos = ticks.rem_euclid(per_second) * (1_000_000_000 / per_second);
            let date = Date32Array::from(vec![seconds.div_euclid(86_400) as i32]);
            let date: ArrayRef = Arc::new(date);
            format!(
                "{}T{}{}",
                java(&date),
                clock(seconds.rem_euclid(86_400), nanos, zone.is_some()),
                if zone.is_some() { "Z" } else { "" }
            )
        }
        DataType::Time32(_) => {
            let seconds = array.as_primitive::<arrow::datatypes::Time32SecondType>().value(0);
            clock(i64::from(seconds), 0, false)
        }
        other => {
            let field = arrow::datatypes::Field::new("v", other.clone(), true);
            let text = crate::expr::text_of(Typed::column(&field)).expect("it has a text");
            let schema = Schema::new(vec![field]);
            let batch = RecordBatch::try_new(Arc::new(schema.clone()), vec![Arc::clone(array)])
                .expect("one column");
            let evaluator =
                Evaluator::new(&text.expr, &DataType::Utf8, &schema).expect("it compiles");
            java(&evaluator.evaluate(&batch).expect("it has a text"))
        }
    }
}

fn clock(of_day: i64, nanos: i64, seconds_always: bool) -> String {
    let mut text = format!("{:02}:{:02}", of_day / 3_600, of_day / 60 % 60);
    if of_day % 60 != 0 || nanos != 0 || seconds_always {
        let _ = write!(text, ":{:02}", of_day % 60);
    }
    if nanos % 1_000_000 == 0 && nanos != 0 {
        let _ = write!(text, ".{:03}", nanos / 1_000_000);
    } else if nanos != 0 {
        let _ = write!(text, ".{:06}", nanos / 1_000);
    }
    text
}

/// Flink's name of a type, without what Millrace does not keep: lengths of strings and NOT NULL.
fn comparable(flink: &str) -> String {
    let plain = flink.trim_end_matches(" NOT NULL");
    if plain.starts_with("CHAR(") || plain.starts_with("VARCHAR(") {
        "STRING".into()
    } else {
        plain.into()
    }
}

#[test]
fn expressions_mean_what_they_mean_in_flink() {
    let mut differences = String::new();
    for line in CASES.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [expression, flink_type, flink_value, rest @ ..] = fields.as_slice() else {
            panic!("not a case: {line}");
        };
        let found = evaluate(expression);
        let to_be_refused = rest.contains(&"refused") || *flink_type == "-";
        let fails = flink_value.starts_with("ERROR");
        let difference = match &found {
            Err(_) if to_be_refused || fails => None,
            Err(why) => Some(format!("refused: {why}")),
            Ok((_, Err(_))) if to_be_refused => None,
            Ok((data_type, value)) if to_be_refused => {
                Some(format!("accepted as {data_type}: {value:?}"))
            }
            Ok((_, Err(_))) if fails => None,
            Ok((data_type, _)) if *data_type != comparable(flink_type) => {
                Some(format!("type {data_type}"))
            }
            Ok((_, Ok(value))) if value == flink_value => None,
            Ok((_, value)) => Some(format!("{value:?}")),
        };
        if let Some(difference) = difference {
            let _ = writeln!(
                differences,
                "{expression}: Flink {flink_type} {flink_value}; here {difference}"
            );
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}
