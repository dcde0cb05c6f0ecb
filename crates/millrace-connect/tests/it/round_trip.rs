//! Random rows are written, read back in batches of any size with restarts anywhere, and equal
//! themselves. Random lines are bad or good exactly as a naive reader says.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow_schema::DataType;
use millrace_core::CheckpointId;
use proptest::prelude::*;

use crate::harness::{
    batch, millis, open_sink, open_source, open_writer, read_all, rows_as_text, table,
};

const COLUMNS: usize = 6;

fn columns() -> [(&'static str, DataType); COLUMNS] {
    [
        ("t", DataType::Utf8),
        ("n", DataType::Int32),
        ("x", DataType::Float64),
        ("b", DataType::Boolean),
        ("d", DataType::Decimal128(12, 3)),
        ("at", millis()),
    ]
}

type Row = (Option<String>, Option<i32>, Option<f64>, Option<bool>, Option<i64>, Option<i64>);

fn row() -> impl Strategy<Value = Row> {
    use proptest::option::of;
    (
        of("[a-z,;\"'\\\\\n\r\t #é]{0,6}"),
        of(any::<i32>()),
        of(prop_oneof![
            any::<f64>().prop_filter("NaN is not equal to itself", |x| !x.is_nan()),
            (-1_000_000i64..1_000_000).prop_map(|n| n as f64 / 100.0),
        ]),
        of(any::<bool>()),
        of(-999_999_999_999i64..=999_999_999_999),
        of(-60_000_000_000_000i64..250_000_000_000_000),
    )
}

fn batch_of(rows: &[Row]) -> RecordBatch {
    let decimals = Decimal128Array::from_iter(rows.iter().map(|row| row.4.map(i128::from)));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0.clone()).collect::<StringArray>()),
        Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.1))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.2))),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.3))),
        Arc::new(decimals.with_precision_and_scale(12, 3).unwrap()),
        Arc::new(TimestampMillisecondArray::from_iter(rows.iter().map(|row| row.5))),
    ];
    RecordBatch::try_new(table(&columns(), []).schema, arrays).unwrap()
}

async fn round_trip(
    rows: &[Row],
    format: &'static str,
    options: &[(&'static str, &'static str)],
    batch_rows: usize,
    restarts: &[bool],
) -> (Vec<String>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let mut all = vec![("path", directory.path().to_str().unwrap()), ("format", format)];
    all.extend_from_slice(options);
    let spec = table(&columns(), all);
    let sink = open_sink("filesystem", &spec).unwrap().sink;
    let written = batch_of(rows);
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    for start in (0..rows.len()).step_by(5) {
        let part = written.slice(start, 5.min(rows.len() - start));
        writer.write(batch(&part)).await.unwrap();
    }
    let prepared = writer.prepare(CheckpointId(1)).await.unwrap();
    writer.commit(CheckpointId(1), &prepared).await.unwrap();
    let source = open_source("filesystem", &spec).unwrap().source;
    let mut restarts = restarts.iter().copied().cycle();
    let read = read_all(&*source, batch_rows, || restarts.next().unwrap()).await.unwrap();
    assert_eq!(read.bad, [], "{format}");
    (read.rows, rows_as_text(&written))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back(
        rows in proptest::collection::vec(row(), 1..40),
        batch_rows in 1usize..50,
        restarts in proptest::collection::vec(any::<bool>(), 1..9),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (format, options) in [
            ("csv", &[("csv.null-literal", "\\N")][..]),
            ("csv", &[("csv.null-literal", "\\N"), ("csv.header", "true")]),
            ("csv", &[("csv.null-literal", "NULL"), ("csv.escape-character", "\\"), ("csv.field-delimiter", ";")]),
            ("csv", &[("csv.null-literal", "NULL"), ("csv.escape-character", "\\"), ("csv.disable-quote-character", "true")]),
            ("json", &[]),
            ("json", &[("json.timestamp-format.standard", "ISO-8601"), ("json.encode.ignore-null-fields", "true")]),
            ("parquet", &[]),
        ] {
            let (read, written) =
                runtime.block_on(round_trip(&rows, format, options, batch_rows, &restarts));
            prop_assert_eq!(read, written, "{} {:?}", format, options);
        }
    }

    #[test]
    fn bad_lines_are_found_among_good_ones(
        lines in proptest::collection::vec(line(), 0..60),
        batch_rows in 1usize..20,
        compress in any::<bool>(),
    ) {
        let mut text = Vec::new();
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (index, (line, parsed)) in lines.iter().enumerate() {
            match parsed {
                Some(row) => good.push(row.clone()),
                None => bad.push((index as u64 + 1, text.len() as u64, line.clone().into_bytes())),
            }
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(if compress { "in.csv.zst" } else { "in.csv" });
        let bytes = if compress { zstd::encode_all(&*text, 1).unwrap() } else { text };
        std::fs::write(&path, bytes).unwrap();
        let spec = table(
            &[("a", DataType::Int32), ("b", DataType::Utf8)],
            [("path", path.to_str().unwrap()), ("format", "csv")],
        );
        let source = open_source("filesystem", &spec).unwrap().source;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let content = runtime.block_on(read_all(&*source, batch_rows, || true)).unwrap();
        prop_assert_eq!(content.rows, good);
        let found: Vec<_> =
            content.bad.into_iter().map(|b| (b.line.unwrap(), b.offset, b.raw)).collect();
        prop_assert_eq!(found, bad);
    }
}

/// A line without line ends in it, and what it is as a row if it is one.
fn line() -> impl Strategy<Value = (String, Option<String>)> {
    prop_oneof![
        3 => (any::<i32>(), "[a-z ]{0,5}").prop_map(|(n, t)| (format!("{n},{t}"), Some(format!("{n}|{t}")))),
        1 => (any::<i32>(), "[a-z ,]{0,5}").prop_map(|(n, t)| (format!("{n},\"{t}\""), Some(format!("{n}|{t}")))),
        1 => "[a-z]{1,5}".prop_map(|t| (format!("{t},x"), None)),
        1 => "[0-9]{1,3}".prop_map(|t| (t, None)),
        1 => "[0-9]{1,3}".prop_map(|t| (format!("{t},a,b"), None)),
        1 => "[0-9]{1,3}".prop_map(|t| (format!("{t},\"a\"b"), None)),
    ]
}
