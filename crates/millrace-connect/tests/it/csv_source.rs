//! CSV files through the `filesystem` connector.

use std::fs;
use std::io::Write;
use std::path::Path;

use arrow_schema::DataType;
use millrace_core::{ErrorKind, Split};

use crate::harness::{Content, context, millis, open_source, read_all, table};

const FLIGHTS: &[(&str, DataType)] =
    &[("origin", DataType::Utf8), ("delay", DataType::Int32), ("distance", DataType::Float64)];

async fn read(
    text: &[u8],
    columns: &[(&str, DataType)],
    options: &[(&'static str, &'static str)],
) -> Content {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.csv");
    fs::write(&path, text).unwrap();
    let mut all = vec![("path", path.to_str().unwrap()), ("format", "csv")];
    all.extend_from_slice(options);
    let source = open_source("filesystem", &table(columns, all)).unwrap().source;
    let whole = read_all(&*source, 4096, || false).await.unwrap();
    for batch_rows in [1, 7] {
        let again = read_all(&*source, batch_rows, || true).await.unwrap();
        assert_eq!(again, whole, "in batches of {batch_rows}, resumed after each");
    }
    let prefix = format!("{}/", directory.path().display());
    let mut whole = whole;
    for bad in &mut whole.bad {
        bad.split = millrace_core::SplitId::new(bad.split.as_str().replace(&prefix, ""));
    }
    whole
}

#[tokio::test]
async fn rows_come_in_order_with_their_types() {
    let content =
        read(b"JFK,-3,1029.5\n\"Newark, NJ\",0,7\r\n\"say \"\"hi\"\"\",7,.5", FLIGHTS, &[]).await;
    assert_eq!(content.rows, ["JFK|-3|1029.5", "Newark, NJ|0|7.0", "say \"hi\"|7|0.5"]);
    assert_eq!(content.bad, []);
}

#[tokio::test]
async fn a_header_is_matched_by_name_and_extra_columns_are_ignored() {
    let text = b"tail,delay,distance,origin\nN1,5,1,JFK\nN2,6,2,EWR\n";
    let content = read(text, FLIGHTS, &[("csv.header", "true")]).await;
    assert_eq!(content.rows, ["JFK|5|1.0", "EWR|6|2.0"]);
}

#[tokio::test]
async fn bad_records_are_told_with_line_column_and_raw_text() {
    let text = b"JFK,1,1\nEWR,x1,2\nLGA,3\nLGA,3,3,3\n\"a\nb\",2,2\nJFK,\"9\"9,1\n\xff,1,1\n\"open,1,1\nJFK,8,8\n";
    let content = read(text, FLIGHTS, &[]).await;
    assert_eq!(content.rows, ["JFK|1|1.0", "a\nb|2|2.0", "JFK|8|8.0"]);
    assert_eq!(
        content.complaints(),
        [
            "in.csv:2:5: `x1` in column `delay` cannot be read as INT",
            "in.csv:3:6: 2 fields where 3 are expected",
            "in.csv:4:9: 4 fields where 3 are expected",
            "in.csv:7:8: text follows a closing quote",
            "in.csv:8:1: `\u{fffd}` in column `origin` cannot be read as STRING",
            "in.csv:9:1: a quote is opened and never closed",
        ]
    );
    assert_eq!(content.bad[0].offset, 8);
    assert_eq!(content.bad[0].raw, b"EWR,x1,2");
}

#[tokio::test]
async fn empty_text_is_null_only_by_the_null_literal() {
    let text = b"JFK,,1\n,2,2\n";
    let content = read(text, FLIGHTS, &[]).await;
    assert_eq!(content.rows, ["|2|2.0"]);
    assert_eq!(content.complaints(), ["in.csv:1:5: `` in column `delay` cannot be read as INT"]);
    let content = read(text, FLIGHTS, &[("csv.null-literal", "")]).await;
    assert_eq!(content.rows, ["JFK|NULL|1.0", "NULL|2|2.0"]);
}

#[tokio::test]
async fn ignore_parse_errors_makes_cells_null_and_skips_broken_rows() {
    let text = b"JFK,x,1\nEWR\nLGA,2,2\n";
    let content = read(text, FLIGHTS, &[("csv.ignore-parse-errors", "true")]).await;
    assert_eq!(content.rows, ["JFK|NULL|1.0", "LGA|2|2.0"]);
    assert_eq!(content.bad.len(), 1);
}

#[tokio::test]
async fn an_overlong_record_is_bad_and_the_next_one_is_read() {
    let mut text = b"JFK,1,1\n".to_vec();
    text.extend(std::iter::repeat_n(b'x', 600_000));
    text.extend_from_slice(b"\nLGA,2,2\n");
    let content = read(&text, FLIGHTS, &[("max-record-bytes", "1000")]).await;
    assert_eq!(content.rows, ["JFK|1|1.0", "LGA|2|2.0"]);
    assert_eq!(content.bad.len(), 1);
    assert_eq!((content.bad[0].line, content.bad[0].offset), (Some(2), 8));
}

#[tokio::test]
async fn the_limit_of_a_record_does_not_hang_on_how_the_file_is_read() {
    // Longer than one read of the file, so that records lie across its end, and each restart
    // reads from another place.
    let columns = [("n", DataType::Int32), ("t", DataType::Utf8)];
    let mut text = String::new();
    let (mut good, mut bad) = (0, 0);
    for n in 0..20_000 {
        match n % 1_000 {
            // Of several lines, as long as can be, and one byte more.
            7 => text.push_str("1,\"ab\ncd\nef\nghijklm\"\n"),
            8 => text.push_str("1,\"ab\n1,cd\n1,ef\n1,ghij\"\n"),
            9 => text.push_str("1,abcdefghijklmnopqr\r\n"),
            10 => text.push_str("1,abcdefghijklmnopqrs\n"),
            _ => text.push_str("12,\"some\nlines\n\"\n"),
        }
        good += usize::from(!matches!(n % 1_000, 8 | 10));
        bad += usize::from(n % 1_000 == 10);
    }
    // A record that is too long ends with its first line; what follows is taken for records.
    (good, bad) = (good + 20 * 3, bad + 20);
    assert!(text.len() > 300_000);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.csv");
    fs::write(&path, text).unwrap();
    let options = [("path", path.to_str().unwrap()), ("format", "csv"), ("max-record-bytes", "20")];
    let source = open_source("filesystem", &table(&columns, options)).unwrap().source;
    let whole = read_all(&*source, 4096, || false).await.unwrap();
    assert_eq!((whole.rows.len(), whole.bad.len()), (good, bad), "{:?}", whole.bad.first());
    let mut batches = 0;
    let every_30th = || {
        batches += 1;
        batches % 30 == 0
    };
    assert_eq!(read_all(&*source, 7, every_30th).await.unwrap(), whole);
}

#[tokio::test]
async fn delimiters_quotes_escapes_and_comments_can_be_chosen() {
    let options = [
        ("csv.field-delimiter", "\\t"),
        ("csv.quote-character", "'"),
        ("csv.escape-character", "\\"),
        ("csv.allow-comments", "true"),
    ];
    let content =
        read(b"# note\n'a\tb'\t1\t1\nc\\\td\t2\t2\n'it\\'s'\tx\t3\n", FLIGHTS, &options).await;
    assert_eq!(content.rows, ["a\tb|1|1.0", "c\td|2|2.0"]);
    assert_eq!(content.complaints(), ["in.csv:4:9: `x` in column `delay` cannot be read as INT"]);
}

#[tokio::test]
async fn times_dates_decimals_booleans_and_bytes_are_read() {
    let columns = [
        ("at", millis()),
        ("day", DataType::Date32),
        ("price", DataType::Decimal128(10, 2)),
        ("yes", DataType::Boolean),
        ("raw", DataType::Binary),
    ];
    let text = b"2013-01-01 05:15:00.25,2013-1-31,12.345,TRUE,aGk=\n";
    let content = read(text, &columns, &[]).await;
    assert_eq!(content.rows, ["2013-01-01T05:15:00.250|2013-01-31|12.35|true|6869"]);
}

fn gzip(path: &Path, text: &[u8]) {
    let file = fs::File::create(path).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap();
}

#[tokio::test]
async fn files_of_a_directory_are_splits_and_hidden_ones_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("sub")).unwrap();
    fs::write(at("sub/b.csv"), "B,2,2\n").unwrap();
    gzip(&at("a.csv.gz"), b"A,1,1\n");
    fs::write(at("c.csv.zst"), zstd::encode_all(&b"C,3,3\n"[..], 1).unwrap()).unwrap();
    fs::write(at(".hidden.csv"), "no,0,0\n").unwrap();
    fs::write(at("_SUCCESS"), "").unwrap();
    let path = directory.path().to_str().unwrap();
    let spec = table(FLIGHTS, [("path", path), ("format", "csv")]);
    let source = open_source("filesystem", &spec).unwrap().source;
    let content = read_all(&*source, 10, || true).await.unwrap();
    assert_eq!(content.rows, ["A|1|1.0", "C|3|3.0", "B|2|2.0"]);

    let glob = format!("{path}/**/*.csv");
    let spec = table(FLIGHTS, [("path", glob.as_str()), ("format", "csv")]);
    let source = open_source("filesystem", &spec).unwrap().source;
    assert_eq!(read_all(&*source, 10, || false).await.unwrap().rows, ["B|2|2.0"]);
}

#[tokio::test]
async fn what_is_not_there_damaged_or_changed_is_told_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.csv.gz");
    let text = path.to_str().unwrap();
    let options = [("path", text), ("format", "csv"), ("csv.header", "true")];
    let source = open_source("filesystem", &table(FLIGHTS, options)).unwrap().source;
    let missing = source.discover().await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::FixInput);
    assert!(missing.message().contains(text), "{missing}");

    gzip(&path, b"origin,delay\nJFK,1\n");
    let column = read_all(&*source, 10, || false).await.unwrap_err();
    assert_eq!(column.kind(), ErrorKind::FixInput);
    assert!(column.message().contains("no column `distance`"), "{column}");

    gzip(&path, b"origin,delay,distance\nJFK,1,1\nJFK,2,2\n");
    let split = Split::new(text);
    let mut reader = source.open(&split, &context(1)).await.unwrap();
    reader.next().await.unwrap();
    let split = Split { position: reader.position(), ..split };
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let changed = source.open(&split, &context(1)).await.err().unwrap();
    assert_eq!(changed.kind(), ErrorKind::Restore);
    assert!(changed.message().contains("became shorter"), "{changed}");

    let damaged = read_all(&*source, 10, || false).await.unwrap_err();
    assert_eq!(damaged.kind(), ErrorKind::FixInput);
    assert!(damaged.message().contains(text), "{damaged}");
}
