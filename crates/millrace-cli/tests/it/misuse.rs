//! Wrong arguments and wrong scripts: exit code 2, nothing on standard output, and a message that
//! says where and what next.

use crate::harness::{millrace, run, run_script};

#[test]
fn wrong_arguments_are_misuse() {
    for arguments in [
        "",
        "rum job.sql",
        "run",
        "run job.sql --parallelism 0",
        "run job.sql --checkpoint-interval 10",
        "run job.sql --set parallelism",
        "run job.sql --output xml",
        "checkpoint list",
    ] {
        let ended = run(&mut millrace(arguments)).expect(2);
        assert_eq!(ended.stdout, "", "{arguments}");
        assert!(!ended.stderr.is_empty(), "{arguments}");
    }
}

#[test]
fn a_script_that_is_not_there_is_named() {
    let ended = run(&mut millrace("run no-such-job.sql")).expect(2);
    assert_eq!(
        ended.stderr,
        "error: cannot read the script `no-such-job.sql`\n  cause: No such file or directory (os error 2)\n  \
         hint: paths are relative to the working directory\n"
    );
}

#[test]
fn a_checkpoint_directory_that_is_not_there_is_named_and_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none");
    let ended = run(&mut millrace(&format!("checkpoint list {}", path.display()))).expect(2);
    assert!(ended.stderr.contains(path.to_str().unwrap()), "{}", ended.stderr);
    assert!(!path.exists());
}

const TABLE: &str = "CREATE TABLE numbers (n BIGINT, at TIMESTAMP(3)) WITH (
    'connector' = 'datagen', 'number-of-rows' = '3',
    'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '3'
);
";

#[track_caller]
fn refused(script: &str, arguments: &str, place: &str, words: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let ended = run_script(directory.path(), script, arguments).expect(2);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("--> {place}")), "{}", ended.stderr);
    assert!(ended.stderr.contains('^'), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` is not in\n{}", ended.stderr);
    }
}

#[test]
fn a_syntax_error_points_at_its_place() {
    refused(&format!("{TABLE}SELECT n FROM numbers WHERE;"), "", "job.sql:5:", &["WHERE"]);
}

#[test]
fn an_unknown_column_is_named_with_its_place() {
    refused(&format!("{TABLE}SELECT n,\n  m FROM numbers;"), "", "job.sql:6:3", &["`m`"]);
}

#[test]
fn a_window_on_a_column_without_watermark_is_refused() {
    refused(
        &format!(
            "{TABLE}SELECT window_start, COUNT(*)\n\
             FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(at), INTERVAL '1' HOUR))\n\
             GROUP BY window_start, window_end;"
        ),
        "",
        "job.sql:6:",
        &["`at`", "WATERMARK"],
    );
}

#[test]
fn an_unknown_option_of_a_table_is_refused() {
    refused(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-row' = '3');\n\
         SELECT n FROM numbers;",
        "",
        "job.sql:",
        &["`number-of-row`"],
    );
}

#[test]
fn an_unknown_setting_on_the_command_line_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("{TABLE}SELECT n FROM numbers;");
    let ended = run_script(directory.path(), &script, "--set parallelism.defualt=2").expect(2);
    assert!(ended.stderr.contains("`parallelism.defualt`"), "{}", ended.stderr);
}

#[test]
fn fresh_does_not_delete_checkpoints_that_nobody_agreed_to_lose() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("{TABLE}SELECT n FROM numbers;");
    let run = |arguments: &str| run_script(directory.path(), &script, arguments);
    run("--checkpoint-dir ckpt").expect(0);
    let refused = run("--checkpoint-dir ckpt --fresh").expect(2);
    assert!(refused.stderr.contains("would delete 1 checkpoint"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
    assert_eq!(refused.stdout, "");

    let again = run("--checkpoint-dir ckpt").expect(0);
    assert!(again.stderr.contains("had finished before"), "{}", again.stderr);
    let fresh = run("--checkpoint-dir ckpt --fresh --yes --output csv").expect(0);
    assert_eq!(fresh.stdout, "n\n1\n2\n3\n");
}
