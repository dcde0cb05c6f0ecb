//! Stored JSON as earlier versions wrote it: it has to be understood for ever.

use std::fs;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::DataType;
use millrace_core::{CheckpointId, Columns, ErrorKind, Prepared, Read, Split, SplitId};
use serde_json::{Value, json};

use crate::harness::{
    all_files, batch, context, open_sink, open_source, open_writer, rows_as_text, table,
};

const COLUMNS: &[(&str, DataType)] = &[("n", DataType::Int64)];

#[tokio::test]
async fn position_version_1_of_a_file_of_records() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.csv");
    fs::write(&path, "1\n2\n3\n").unwrap();
    let text = path.to_str().unwrap();
    let source = open_source("filesystem", &table(COLUMNS, [("path", text), ("format", "csv")]));
    let source = source.unwrap().source;
    let golden = json!({"version": 1, "file_bytes": 6, "offset": 2, "line": 2});
    let split = Split { id: SplitId::new(text), position: golden.clone() };
    let mut reader = source.open(&split, &context(1)).await.unwrap();
    assert_eq!(reader.position(), golden);
    let Read::Rows(rows) = reader.next().await.unwrap() else { panic!("no rows") };
    let columns: Columns = rows.rows.unwrap().downcast().unwrap();
    assert_eq!(rows_as_text(&columns.rows), ["2"]);

    let newer = json!({"version": 2});
    let split = Split { id: SplitId::new(text), position: newer };
    let error = source.open(&split, &context(1)).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Restore);
}

#[tokio::test]
async fn position_version_1_of_generated_rows() {
    let source = open_source("datagen", &table(COLUMNS, [("number-of-rows", "5")])).unwrap().source;
    let golden = json!({"version": 1, "rows": 3, "splits": 1});
    let split = Split { id: SplitId::new("rows-0"), position: golden.clone() };
    let mut reader = source.open(&split, &context(10)).await.unwrap();
    assert_eq!(reader.position(), golden);
    let Read::Rows(rows) = reader.next().await.unwrap() else { panic!("no rows") };
    assert_eq!(rows.rows.unwrap().rows(), 2);
}

#[tokio::test]
async fn committable_and_state_version_1_of_the_file_sink() {
    let directory = tempfile::tempdir().unwrap();
    let spec = table(COLUMNS, [("path", directory.path().to_str().unwrap()), ("format", "csv")]);
    let sink = open_sink("filesystem", &spec).unwrap().sink;
    let golden: Prepared = serde_json::from_value(json!({
        "committables": [{
            "payload": {
                "version": 1,
                "partition": "",
                "prepared": ".part-0123456789abcdef-0-0.csv.fedcba9876543210.prepared",
                "name": "part-0123456789abcdef-0-0.csv",
                "bytes": 4
            },
            "rows": 2
        }],
        "state": {"version": 1, "lineage": "fedcba9876543210"}
    }))
    .unwrap();
    let hidden = golden.committables[0].payload["prepared"].as_str().unwrap();
    fs::write(directory.path().join(hidden), "1\n2\n").unwrap();
    let mut writer = open_writer(&*sink, 0, 1, std::slice::from_ref(&golden)).await.unwrap();
    assert_eq!(all_files(directory.path()), ["part-0123456789abcdef-0-0.csv"]);

    // What is written today has the same shape and goes on with the lineage.
    let rows = Arc::new(Int64Array::from(vec![3, 4]));
    writer.write(batch(&RecordBatch::try_new(spec.schema, vec![rows]).unwrap())).await.unwrap();
    let written = writer.prepare(CheckpointId(2)).await.unwrap();
    assert_eq!(written.state, golden.state);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&written.committables[0].payload), keys(&golden.committables[0].payload));

    let mut outside = golden.clone();
    outside.committables[0].payload["name"] = "../elsewhere.csv".into();
    let error = open_writer(&*sink, 0, 1, &[outside]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Restore);
}
