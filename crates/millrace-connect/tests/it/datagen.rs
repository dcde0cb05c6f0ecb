//! Generated rows.

use arrow_schema::DataType;
use millrace_core::{Boundedness, ErrorKind, Read, Split};

use crate::harness::{context, millis, open_source, read_all, table};

const COLUMNS: &[(&str, DataType)] = &[
    ("id", DataType::Int64),
    ("n", DataType::Int32),
    ("x", DataType::Float64),
    ("t", DataType::Utf8),
    ("ok", DataType::Boolean),
    ("price", DataType::Decimal128(10, 2)),
];

const OPTIONS: &[(&str, &str)] = &[
    ("number-of-rows", "500"),
    ("rows-per-second", "1000000"),
    ("fields.id.kind", "sequence"),
    ("fields.id.start", "10"),
    ("fields.id.end", "100000"),
    ("fields.n.min", "-3"),
    ("fields.n.max", "3"),
    ("fields.n.null-rate", "0.5"),
    ("fields.t.length", "20"),
    ("fields.t.var-len", "true"),
    ("fields.price.min", "1.5"),
    ("fields.price.max", "2"),
];

#[tokio::test]
async fn rows_are_the_same_in_batches_of_any_size_and_after_any_restart() {
    let source = open_source("datagen", &table(COLUMNS, OPTIONS.to_vec())).unwrap().source;
    assert_eq!(source.boundedness(), Boundedness::Bounded);
    let whole = read_all(&*source, 4096, || false).await.unwrap();
    assert_eq!(whole.rows.len(), 500);
    assert!(whole.rows[0].starts_with("10|") && whole.rows[499].starts_with("509|"));
    for batch_rows in [1, 7] {
        assert_eq!(read_all(&*source, batch_rows, || true).await.unwrap(), whole);
    }
    let cells = |at: usize| whole.rows.iter().map(move |row| row.split('|').nth(at).unwrap());
    let numbers: std::collections::BTreeSet<&str> = cells(1).collect();
    assert_eq!(numbers.len(), 8, "all of -3 to 3, and NULL: {numbers:?}");
    let nulls = cells(1).filter(|cell| *cell == "NULL").count();
    assert!((200..300).contains(&nulls), "{nulls} of 500 at a rate of 0.5");
    assert!(cells(3).all(|text| (1..=20).contains(&text.len())));
    assert!(cells(5).all(|price| ("1.50"..="2.00").contains(&price)));
    assert!(cells(2).collect::<std::collections::BTreeSet<_>>().len() > 490);
}

#[tokio::test]
async fn splits_share_the_rows_and_a_seed_changes_them() {
    let rows = async |more: &[(&'static str, &'static str)]| {
        let mut options = OPTIONS.to_vec();
        options.extend_from_slice(more);
        let source = open_source("datagen", &table(COLUMNS, options)).unwrap().source;
        let mut rows = read_all(&*source, 64, || true).await.unwrap().rows;
        rows.sort_by_key(|row| row.split('|').next().unwrap().parse::<i64>().unwrap());
        rows
    };
    let one = rows(&[]).await;
    assert_eq!(rows(&[("splits", "3")]).await, one);
    assert_ne!(rows(&[("seed", "1")]).await, one);
}

#[tokio::test]
async fn a_projection_leaves_the_values_as_they_are() {
    let mut spec = table(COLUMNS, OPTIONS.to_vec());
    let whole = read_all(&*open_source("datagen", &spec).unwrap().source, 64, || false).await;
    spec.projection = Some(vec![1, 3]);
    let some = read_all(&*open_source("datagen", &spec).unwrap().source, 64, || false).await;
    let expected: Vec<String> = whole
        .unwrap()
        .rows
        .iter()
        .map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            format!("{}|{}", cells[1], cells[3])
        })
        .collect();
    assert_eq!(some.unwrap().rows, expected);
}

#[tokio::test]
async fn the_end_of_a_sequence_is_the_end_and_without_one_there_is_none() {
    let options =
        [("fields.id.kind", "sequence"), ("fields.id.start", "1"), ("fields.id.end", "3")];
    let source = open_source("datagen", &table(&[("id", DataType::Int64)], options)).unwrap();
    assert_eq!(read_all(&*source.source, 10, || false).await.unwrap().rows, ["1", "2", "3"]);
    let source = open_source("datagen", &table(&[("id", DataType::Int64)], [])).unwrap().source;
    assert_eq!(source.boundedness(), Boundedness::Unbounded { discovery_interval: None });
}

#[tokio::test]
async fn rows_come_at_the_rate_and_wait_by_the_clock() {
    let options = [("rows-per-second", "100"), ("number-of-rows", "4")];
    let spec = table(&[("id", DataType::Int64), ("at", millis())], options);
    let source = open_source("datagen", &spec).unwrap().source;
    let context = context(10);
    let start = context.seams.clock.elapsed();
    let split: Split = source.discover().await.unwrap().remove(0);
    let mut reader = source.open(&split, &context).await.unwrap();
    assert!(matches!(reader.next().await.unwrap(), Read::Rows(_)));
    assert!(matches!(reader.next().await.unwrap(), Read::Pending));
    while !matches!(reader.next().await.unwrap(), Read::End) {
        reader.ready().await;
    }
    let took = context.seams.clock.elapsed() - start;
    assert!(took >= std::time::Duration::from_millis(29), "4 rows at 100 a second: {took:?}");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for options in [
        vec![("rows-per-second", "0")],
        vec![("fields.n.min", "5"), ("fields.n.max", "4")],
        vec![("fields.n.max", "3000000000")],
        vec![("fields.n.kind", "sequence"), ("fields.n.start", "1")],
        vec![("fields.n.null-rate", "2")],
        vec![("fields.other.min", "2")],
    ] {
        let error =
            open_source("datagen", &table(&[("n", DataType::Int32)], options.clone())).err();
        assert_eq!(error.unwrap().kind(), ErrorKind::FixInput, "{options:?}");
    }
}
