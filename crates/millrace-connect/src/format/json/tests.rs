//! The fast way through lines of JSON against the slow one.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use millrace_core::SplitId;
use proptest::prelude::*;

use super::JsonFormat;
use super::decoder::JsonDecoder;
use crate::format::ReadSchema;
use crate::format::record::{CellErrors, Chunk, Decoded, Follows, RecordDecoder};

fn read_schema() -> ReadSchema {
    let fields = vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("n", DataType::Int32, true),
        Field::new("x", DataType::Float64, true),
        Field::new("ok", DataType::Boolean, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("must", DataType::Int64, false),
    ];
    let schema = Arc::new(Schema::new(fields));
    ReadSchema {
        table_name: "t".to_owned(),
        table: schema.clone(),
        projection: (0..schema.fields().len()).collect(),
        projected: schema,
    }
}

fn formats() -> Vec<JsonFormat> {
    let strict = JsonFormat { fail_on_missing_field: true, ..JsonFormat::default() };
    let lenient = JsonFormat { cell_errors: CellErrors::Null, ..JsonFormat::default() };
    vec![JsonFormat::default(), strict, lenient]
}

/// Decodes in both ways; last whether the fast way vouches for the bytes as one line.
fn both_ways(format: &JsonFormat, bytes: &[u8]) -> (Decoded, Decoded, bool) {
    let split = SplitId::new("s");
    let chunk = Chunk {
        bytes,
        follows: Follows::Nothing,
        split: &split,
        offset: 0,
        line: 1,
        max_record_bytes: 1 << 20,
    };
    let mut decoder = JsonDecoder::new(format.clone(), &read_schema());
    // Twice, so that what it remembers of a layout is tried too.
    let fast = (decoder.decode(&chunk, 1000).unwrap(), decoder.decode(&chunk, 1000).unwrap()).1;
    let vouched = decoder.vouches(bytes);
    let mut decoder = JsonDecoder::new(format.clone(), &read_schema());
    decoder.forget_the_fast_way();
    (fast, decoder.decode(&chunk, 1000).unwrap(), vouched)
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z ]{0,12}",
        Just("2026-11-21 08:00:00.123".to_owned()),
        Just("17".to_owned()),
        any::<String>(),
        "[\\\\\"\\n\\t/äß😀\u{0}]{0,4}",
    ]
}

fn values() -> impl Strategy<Value = String> {
    let quoted = |text: String| serde_json::to_string(&text).unwrap();
    let simple = prop_oneof![
        4 => texts().prop_map(quoted),
        4 => any::<i32>().prop_map(|number| number.to_string()),
        2 => any::<f64>().prop_map(|number| serde_json::to_string(&number).unwrap()),
        2 => prop::sample::select(vec!["null", "true", "false", "0", "-0", "1e3", "-1.50E-2", "{}", "[]"])
            .prop_map(str::to_owned),
    ];
    simple.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|all| format!("[{}]", all.join(" , "))),
            prop::collection::vec((names(), inner), 0..4).prop_map(object),
        ]
    })
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec!["name", "n", "x", "ok", "at", "must"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["", "nam", "names", "more", "\u{e4}"]).prop_map(str::to_owned),
        1 => texts(),
    ]
}

fn object(fields: Vec<(String, String)>) -> String {
    let field = |(name, value): &(String, String)| {
        format!("{}: {value}", serde_json::to_string(name).unwrap())
    };
    format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
}

/// Lines, most of which are what a producer writes.
fn lines() -> impl Strategy<Value = String> {
    let plain = (texts(), any::<i32>(), any::<f32>(), any::<bool>(), any::<i64>());
    let plain = plain.prop_map(|(name, n, x, ok, must)| {
        let name = serde_json::to_string(&name).unwrap();
        format!("{{\"name\":{name},\"n\":{n},\"x\":{x:?},\"ok\":{ok},\"at\":\"2026-11-21 01:02:03\",\"must\":{must}}}")
    });
    prop_oneof![3 => plain, 1 => prop::collection::vec((names(), values()), 0..8).prop_map(object)]
}

fn same(format: &JsonFormat, bytes: &[u8]) -> Result<bool, TestCaseError> {
    let (fast, slow, vouched) = both_ways(format, bytes);
    let shown = String::from_utf8_lossy(bytes).into_owned();
    prop_assert_eq!(&fast.rows, &slow.rows, "rows of {}", shown);
    prop_assert_eq!(&fast.bad, &slow.bad, "bad records of {}", shown);
    prop_assert_eq!(fast.nulled_cells, slow.nulled_cells, "nulled cells of {}", shown);
    Ok(vouched)
}

proptest! {
    #[test]
    fn the_fast_way_says_what_the_slow_way_says(lines in prop::collection::vec(lines(), 1..6)) {
        for format in formats() {
            same(&format, lines.join("\n").as_bytes())?;
        }
    }

    #[test]
    fn broken_lines_are_judged_alike(
        lines in prop::collection::vec(lines(), 1..4),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..4),
    ) {
        let mut bytes = lines.join("\n").into_bytes();
        for (place, byte, how) in places {
            if bytes.is_empty() {
                break;
            }
            let at = place.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes.insert(at, b"{}[]\",:0\\-."[byte as usize % 11]),
                _ => drop(bytes.remove(at)),
            }
        }
        for format in formats() {
            same(&format, &bytes)?;
        }
    }
}

#[test]
fn plain_lines_and_texts_with_escapes_take_the_fast_way() {
    let line =
        br#" {"name":"a\"b\u00e4","more":{"a":[1,{"b":"\n"}],"c":{}},"n":-7,"x":1.5e3,"must":1} "#;
    assert!(same(&JsonFormat::default(), line).unwrap());
    for hard in [
        &br#"{"must":1,"n":1,"n":2}"#[..],
        br#"{"must":01}"#,
        br#"{"must":1}{}"#,
        br#"{"must":1,}"#,
        br#"{"must":1,"name":{"a":1}}"#,
        b"{\"must\":1,\"name\":\"a\tb\"}",
        b"{\"must\":1,\"name\":\"\xff\"}",
        br#"{"must":1"#,
        br#"{"must":1,"name":"\ud800"}"#,
    ] {
        let shown = String::from_utf8_lossy(hard);
        assert!(!same(&JsonFormat::default(), hard).unwrap(), "{shown} took the fast way");
    }
}
