//! Input that cannot be read or decoded: a clear message, exit code 1, and nothing lost.

use std::fs;
use std::path::Path;

use crate::harness::{Ended, run_script};

fn job(directory: &Path, options: &str) -> Ended {
    let script = format!(
        "CREATE TABLE numbers (n BIGINT, word STRING) WITH (
            'connector' = 'filesystem', 'path' = 'in.csv', 'format' = 'csv'{options}
         );
         SELECT n, word FROM numbers;"
    );
    run_script(directory, &script, "--output csv")
}

fn broken_line() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("in.csv"), "1,one\n2x,two\n3,three\n").unwrap();
    directory
}

#[test]
fn an_input_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let ended = job(directory.path(), "").expect(1);
    assert!(ended.stderr.contains("in.csv"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}

#[test]
fn a_broken_line_fails_the_job_with_its_place() {
    let directory = broken_line();
    let ended = job(directory.path(), "").expect(1);
    assert!(ended.stderr.contains("in.csv:2:1"), "{}", ended.stderr);
    assert!(ended.stderr.contains("`2x`"), "{}", ended.stderr);
    assert!(
        !ended.stderr.contains("starts again"),
        "a restart would meet it again: {}",
        ended.stderr
    );
}

#[test]
fn a_broken_line_can_be_skipped_and_is_counted() {
    let directory = broken_line();
    let ended = job(directory.path(), ", 'bad-records' = 'skip'").expect(0);
    assert_eq!(ended.stdout, "n,word\n1,one\n3,three\n");
    assert!(ended.stderr.contains("3 read = 2 passed on + 1 skipped"), "{}", ended.stderr);
}

#[test]
fn a_broken_line_can_go_to_a_file_with_its_cause() {
    let directory = broken_line();
    let ended =
        job(directory.path(), ", 'bad-records' = 'dead-letter', 'bad-records.path' = 'dead'")
            .expect(0);
    assert_eq!(ended.stdout, "n,word\n1,one\n3,three\n");
    assert!(ended.stderr.contains("3 read = 2 passed on + 1 dead-lettered"), "{}", ended.stderr);
    let files: Vec<_> = fs::read_dir(directory.path().join("dead"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let line = fs::read_to_string(&files[0]).unwrap();
    let record: serde_json::Value = serde_json::from_str(line.trim_end()).unwrap();
    assert_eq!(record["line"], 2, "{line}");
    assert!(line.contains("2x"), "{line}");
}
