//! Bad records on their way to the dead-letter directory.

use arrow_schema::DataType;
use millrace_core::{
    BadRecord, BadRecordPolicy, Batch, CheckpointId, ErrorKind, Records, SplitId, Timestamp,
};

use crate::harness::{all_files, open_source, open_writer, table};

#[tokio::test]
async fn dead_letters_are_json_lines_that_show_at_the_commit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bad");
    let options = [
        ("path", "in.csv"),
        ("format", "csv"),
        ("bad-records", "dead-letter"),
        ("bad-records.path", path.to_str().unwrap()),
    ];
    let source = open_source("filesystem", &table(&[("n", DataType::Int32)], options)).unwrap();
    assert_eq!(source.bad_records, BadRecordPolicy::DeadLetter);
    let sink = source.dead_letters.unwrap();
    let record = BadRecord {
        split: SplitId::new("in.csv"),
        line: Some(3),
        column: None,
        offset: 17,
        cause: "it is \"bad\"".into(),
        raw: b"x,y".to_vec(),
    };
    let not_text = BadRecord { column: Some(2), raw: vec![0xff, 0], ..record.clone() };
    let records = Records::new(vec![record, not_text], vec![Timestamp::MIN; 2]);
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    writer.write(Batch::new(records)).await.unwrap();
    let prepared = writer.prepare(CheckpointId(1)).await.unwrap();
    assert!(all_files(&path)[0].starts_with('.'));
    writer.commit(CheckpointId(1), &prepared).await.unwrap();
    let files = all_files(&path);
    assert!(files[0].starts_with("part-") && files[0].ends_with(".json"), "{files:?}");
    let common = r#"{"source_table":"t","split":"in.csv","line":3,"#;
    let cause = r#""offset":17,"cause":"it is \"bad\"","#;
    assert_eq!(
        std::fs::read_to_string(path.join(&files[0])).unwrap(),
        format!(
            "{common}{cause}\"raw\":\"x,y\"}}\n{common}\"column\":2,{cause}\"raw_base64\":\"/wA=\"}}\n"
        )
    );
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for options in [
        vec![("bad-records", "dead-letter")],
        vec![("bad-records.path", "bad")],
        vec![("bad-records", "fail"), ("csv.ignore-parse-errors", "true")],
        vec![("bad-records", "ignore")],
        vec![("sink.parallelism", "2")],
        vec![("format", "avro")],
        vec![("csv.field-delimiter", ";;")],
        vec![("csv.quote-character", ",")],
        vec![("source.monitor-interval", "0 s")],
    ] {
        let mut all = vec![("path", "in.csv")];
        if options[0].0 != "format" {
            all.push(("format", "csv"));
        }
        all.extend(options.clone());
        let error = open_source("filesystem", &table(&[("n", DataType::Int32)], all)).err();
        assert_eq!(error.unwrap().kind(), ErrorKind::FixInput, "{options:?}");
    }
}
