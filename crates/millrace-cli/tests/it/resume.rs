//! Checkpoints as a user sees them: going on, beginning elsewhere, looking inside.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Ended, Running, millrace, pause, run, run_script, script_command};

/// Numbers from 1 on, ten thousand a second, into files.
const COUNTING: &str = "CREATE TABLE numbers (n BIGINT) WITH (
    'connector' = 'datagen', 'rows-per-second' = '10000',
    'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000000000');
CREATE TABLE written (n BIGINT) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'csv');
INSERT INTO written SELECT n FROM numbers;";

fn stopped(directory: &Path, arguments: &str) -> Ended {
    let mut running = Running::start(&mut script_command(directory, COUNTING, arguments));
    running.wait_for("metrics at");
    pause(300);
    running.signal("INT");
    running.end().expect(0)
}

fn written(directory: &Path) -> Vec<u64> {
    let mut numbers = Vec::new();
    for file in fs::read_dir(directory.join("out")).unwrap() {
        let path = file.unwrap().path();
        if !path.file_name().unwrap().to_str().unwrap().starts_with(['.', '_']) {
            let text = fs::read_to_string(&path).unwrap();
            numbers.extend(text.lines().map(|line| line.parse::<u64>().unwrap()));
        }
    }
    numbers.sort_unstable();
    numbers
}

#[test]
fn a_stopped_job_goes_on_where_it_was_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = "--checkpoint-dir ckpt --metrics 127.0.0.1:0";
    let first = stopped(directory.path(), arguments);
    assert!(first.stderr.contains("stopping with a last checkpoint"), "{}", first.stderr);
    assert!(first.stderr.contains("stopped: read"), "{}", first.stderr);
    assert!(!first.stderr.contains("going on from"), "{}", first.stderr);
    let rows = written(directory.path()).len();
    assert!(rows > 0);

    let second = stopped(directory.path(), arguments);
    assert!(second.stderr.contains("going on from checkpoint "), "{}", second.stderr);
    assert!(second.stderr.contains("`ckpt`"), "{}", second.stderr);
    let numbers = written(directory.path());
    assert!(numbers.len() > rows);
    let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert!(numbers == expected, "a number is missing or there twice");
}

#[test]
fn a_second_process_is_kept_out_of_a_checkpoint_directory() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = "--checkpoint-dir ckpt --metrics 127.0.0.1:0";
    let mut running = Running::start(&mut script_command(directory.path(), COUNTING, arguments));
    running.wait_for("metrics at");
    let ended = run_script(directory.path(), COUNTING, arguments).expect(2);
    assert!(ended.stderr.contains("ckpt"), "{}", ended.stderr);
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn a_job_may_begin_from_a_checkpoint_of_another_directory() {
    let directory = tempfile::tempdir().unwrap();
    stopped(directory.path(), "--checkpoint-dir one --metrics 127.0.0.1:0");
    let arguments = "--checkpoint-dir two --restore one --metrics 127.0.0.1:0";
    let second = stopped(directory.path(), arguments);
    assert!(second.stderr.contains("going on from checkpoint "), "{}", second.stderr);
    assert!(second.stderr.contains("in `one`"), "{}", second.stderr);
    let numbers = written(directory.path());
    let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert!(numbers == expected, "a number is missing or there twice");

    let third = stopped(directory.path(), arguments);
    assert!(third.stderr.contains("not from --restore"), "{}", third.stderr);
    assert!(third.stderr.contains("in `two`"), "{}", third.stderr);
    let same = "--checkpoint-dir two --restore two";
    let refused = run_script(directory.path(), COUNTING, same).expect(2);
    assert!(refused.stderr.contains("same directory"), "{}", refused.stderr);
}

#[test]
fn checkpoints_can_be_listed_and_inspected() {
    let directory = tempfile::tempdir().unwrap();
    stopped(directory.path(), "--checkpoint-dir ckpt --metrics 127.0.0.1:0");
    let look = |arguments: &str| run(millrace(arguments).current_dir(directory.path()));
    let listed = look("checkpoint list ckpt").expect(0).stdout;
    assert!(listed.lines().any(|line| line.contains("stop")), "{listed}");
    let json: Value =
        serde_json::from_str(&look("checkpoint list ckpt --json").expect(0).stdout).unwrap();
    let newest = json.as_array().unwrap().last().unwrap();
    assert_eq!(newest["kind"], "stop");

    let manifest = newest["uri"].as_str().unwrap();
    let inspected = look(&format!("checkpoint inspect {manifest}")).expect(0).stdout;
    assert!(inspected.contains("kind            stop"), "{inspected}");
    assert!(inspected.contains("split "), "{inspected}");
    let json: Value =
        serde_json::from_str(&look("checkpoint inspect ckpt --json").expect(0).stdout).unwrap();
    assert_eq!(json["checkpoint"], newest["checkpoint"]);
}

#[test]
fn a_damaged_checkpoint_is_not_taken_for_a_good_one() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = "--checkpoint-dir ckpt --metrics 127.0.0.1:0 \
                     --set execution.checkpointing.num-retained=1";
    stopped(directory.path(), arguments);
    for file in fs::read_dir(directory.path().join("ckpt/manifests")).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() / 2]).unwrap();
    }
    let ended = run_script(directory.path(), COUNTING, arguments).expect(1);
    assert!(ended.stderr.contains("error: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("--fresh"), "{}", ended.stderr);
    let look = run(millrace("checkpoint list ckpt").current_dir(directory.path())).expect(0);
    assert!(look.stdout.contains("damaged"), "{}", look.stdout);
}
