//! Lines of JSON through the `filesystem` connector.

use std::fs;
use std::sync::Arc;

use arrow_schema::{DataType, Field};

use crate::harness::{Content, millis, open_source, read_all, table};

const COLUMNS: &[(&str, DataType)] =
    &[("name", DataType::Utf8), ("n", DataType::Int32), ("x", DataType::Float64)];

async fn read(
    text: &str,
    columns: &[(&str, DataType)],
    options: &[(&'static str, &'static str)],
) -> Content {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.json");
    fs::write(&path, text).unwrap();
    let mut all = vec![("path", path.to_str().unwrap()), ("format", "json")];
    all.extend_from_slice(options);
    let source = open_source("filesystem", &table(columns, all)).unwrap().source;
    let mut whole = read_all(&*source, 4096, || false).await.unwrap();
    for batch_rows in [1, 7] {
        let again = read_all(&*source, batch_rows, || true).await.unwrap();
        assert_eq!(again, whole, "in batches of {batch_rows}, resumed after each");
    }
    for bad in &mut whole.bad {
        bad.split = millrace_core::SplitId::new("in.json");
    }
    whole
}

#[tokio::test]
async fn fields_are_matched_by_name_and_simple_values_are_converted() {
    let text = concat!(
        "{\"n\": 1, \"name\": \"a\", \"x\": 1.5, \"more\": {\"n\": [1]}}\n\n",
        "{\"name\": 7, \"n\": \"2\"}\r\n",
        "{\"name\": null, \"n\": null, \"x\": 2}",
    );
    let content = read(text, COLUMNS, &[]).await;
    assert_eq!(content.rows, ["a|1|1.5", "7|2|NULL", "NULL|NULL|2.0"]);
    assert_eq!(content.bad, []);
}

#[tokio::test]
async fn bad_lines_are_told_with_their_place() {
    let text = concat!(
        "{\"n\": 1}\n",
        "{\"n\": oops}\n",
        "{\"n\": 1}{\"n\": 2}\n",
        "{\"n\": 1.5}\n",
        "[1]\n",
        "{\"x\": 1, \"name\": {\"a\": 1}}\n",
        "{\"n\": 3\n",
        "{\"n\": 4}\n",
    );
    let content = read(text, COLUMNS, &[]).await;
    assert_eq!(content.rows, ["NULL|1|NULL", "NULL|4|NULL"]);
    assert_eq!(
        content.complaints(),
        [
            "in.json:2:7: not JSON: expected value",
            "in.json:3:9: not JSON: trailing characters",
            "in.json:4:7: `1.5` in column `n` cannot be read as INT",
            "in.json:5:1: the line is not a JSON object",
            "in.json:6:18: column `name` has a nested value",
            "in.json:7:7: not JSON: EOF while parsing an object",
        ]
    );
    assert_eq!(content.bad[0].offset, 9);
    assert_eq!(content.bad[0].raw, b"{\"n\": oops}");
}

#[tokio::test]
async fn records_do_not_join_across_lines() {
    let text = "{\"n\": 1}{\"n\": 2}\n{\"n\":\n3}\n";
    let content = read(text, COLUMNS, &[]).await;
    assert_eq!((content.rows.len(), content.bad.len()), (0, 3));
}

#[tokio::test]
async fn a_missing_field_is_bad_only_when_asked() {
    let text = "{\"name\": \"a\", \"n\": 1, \"x\": null}\n{\"name\": \"b\", \"x\": 1}\n";
    assert_eq!(read(text, COLUMNS, &[]).await.rows.len(), 2);
    let content = read(text, COLUMNS, &[("json.fail-on-missing-field", "true")]).await;
    assert_eq!(content.rows, ["a|1|NULL"]);
    assert_eq!(content.complaints(), ["in.json:2: field `n` is missing"]);
}

#[tokio::test]
async fn ignore_parse_errors_makes_values_null_and_skips_broken_lines() {
    let text = "{\"n\": \"x\", \"x\": 1}\n{\"n\": 1, \"name\": [1]}\nbroken\n";
    let content = read(text, COLUMNS, &[("json.ignore-parse-errors", "true")]).await;
    assert_eq!(content.rows, ["NULL|NULL|1.0", "NULL|1|NULL"]);
    assert_eq!(content.bad.len(), 1);
}

#[tokio::test]
async fn timestamps_have_the_standard_that_was_chosen() {
    let columns = [("at", millis())];
    let text = "{\"at\": \"2013-01-01 05:15:00\"}\n{\"at\": \"2013-01-01T05:15:00\"}\n";
    let sql = read(text, &columns, &[]).await;
    assert_eq!((sql.rows.len(), sql.bad[0].line), (1, Some(2)));
    let iso = read(text, &columns, &[("json.timestamp-format.standard", "ISO-8601")]).await;
    assert_eq!((iso.rows.len(), iso.bad[0].line), (1, Some(1)));
    assert_eq!(iso.rows, sql.rows);
}

#[tokio::test]
async fn rows_and_arrays_are_read() {
    let place = DataType::Struct(vec![Field::new("lat", DataType::Float64, true)].into());
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)));
    let text = "{\"at\": {\"lat\": 1.5}, \"legs\": [1, 2]}\n{\"at\": 3}\n";
    let content = read(text, &[("at", place), ("legs", list)], &[]).await;
    assert_eq!(content.rows, ["{lat: 1.5}|[1, 2]"]);
    assert_eq!(content.bad[0].line, Some(2));
}

#[tokio::test]
async fn an_object_is_a_map_whose_values_are_of_its_type() {
    let maps = [("m", millrace_connect::map_type(DataType::Utf8, DataType::Int32))];
    let text = concat!(
        "{\"m\": {\"a\": 1, \"b\": null, \"a\": \"3\"}}\n",
        "{\"m\": {}}\n",
        "{\"m\": null}\n",
        "{}\n",
        "{\"m\": {\"a\": 1, \"b\": \"x\"}}\n",
        "{\"m\": [1]}\n",
        "{\"m\": {\"a\": {\"b\": 1}}}\n",
        "{\"m\": {\"z\": -1}}\n",
    );
    let content = read(text, &maps, &[]).await;
    assert_eq!(content.rows, ["{b: NULL, a: 3}", "{}", "NULL", "NULL", "{z: -1}"]);
    let lines: Vec<_> = content.bad.iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [Some(5), Some(6), Some(7)], "{:?}", content.complaints());
    assert!(content.complaints()[0].contains("`x` in column `m`"), "{:?}", content.complaints());
}

#[test]
fn maps_that_are_no_objects_or_no_text_are_refused_by_their_column() {
    let map = |key| millrace_connect::map_type(key, DataType::Int32);
    for (format, key, wanted) in [
        ("json", DataType::Binary, "MAP<BYTES, INT> of column `m`"),
        ("csv", DataType::Utf8, "MAP<STRING, INT> of column `m`"),
        ("parquet", DataType::Utf8, "MAP<STRING, INT> of column `m`"),
    ] {
        let table = table(&[("m", map(key))], [("path", "/tmp"), ("format", format)]);
        for error in [
            open_source("filesystem", &table).err().expect("it cannot be read"),
            crate::harness::open_sink("filesystem", &table).err().expect("it cannot be written"),
        ] {
            assert!(error.message().contains(wanted), "{error}");
        }
    }
}
