//! Parquet files through the `filesystem` connector.

use std::fs::File;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use millrace_core::ErrorKind;
use parquet::arrow::ArrowWriter;

use crate::harness::{open_source, read_all, table};

fn write(path: &std::path::Path, columns: Vec<(&str, ArrayRef)>) {
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
}

#[tokio::test]
async fn columns_are_matched_by_name_and_reading_goes_on_at_any_row() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.parquet");
    let text: StringArray = (0..1000).map(|n| Some(format!("t{n}"))).collect();
    let wide = Int64Array::from_iter_values(0..1000);
    let unread = Int32Array::from_iter_values(0..1000);
    write(&path, vec![("u", Arc::new(unread)), ("n", Arc::new(wide)), ("t", Arc::new(text))]);
    let columns = [("t", DataType::Utf8), ("u", DataType::Int32), ("n", DataType::Int32)];
    let mut spec = table(&columns, [("path", path.to_str().unwrap()), ("format", "parquet")]);
    spec.projection = Some(vec![0, 2]);
    let source = open_source("filesystem", &spec).unwrap().source;
    let expected: Vec<String> = (0..1000).map(|n| format!("t{n}|{n}")).collect();
    for batch_rows in [7, 100, 4096] {
        let content = read_all(&*source, batch_rows, || true).await.unwrap();
        assert_eq!(content.rows, expected);
    }
}

#[tokio::test]
async fn a_value_that_does_not_fit_and_a_damaged_file_are_told_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.parquet");
    let text = path.to_str().unwrap();
    write(&path, vec![("n", Arc::new(Int64Array::from(vec![1 << 40])))]);
    let read = async |data_type| {
        let spec = table(&[("n", data_type)], [("path", text), ("format", "parquet")]);
        let source = open_source("filesystem", &spec).unwrap().source;
        read_all(&*source, 10, || false).await
    };
    let error = read(DataType::Int32).await.unwrap_err();
    assert!(error.message().contains("`n`") && error.message().contains(text), "{error}");
    let error = read(DataType::Utf8).await.unwrap_err();
    assert!(error.message().contains("is BIGINT"), "{error}");

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = read(DataType::Int64).await.unwrap_err();
    assert!(error.message().contains(text), "{error}");
    assert_eq!(error.kind(), ErrorKind::FixInput);
}
