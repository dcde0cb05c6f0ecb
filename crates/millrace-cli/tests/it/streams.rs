//! Standard output and standard error: what goes where, and what happens when they end.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::harness::{Running, millrace, run, run_script, script_command};

fn numbers(rows: &str) -> String {
    format!(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', {rows}
            'rows-per-second' = '100000000',
            'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000000000');
         SELECT n, n * 2 AS twice FROM numbers;"
    )
}

#[test]
fn formats_print_the_same_rows() {
    let directory = tempfile::tempdir().unwrap();
    let script = numbers("'number-of-rows' = '2',");
    let shown = |format: &str| {
        run_script(directory.path(), &script, &format!("--output {format}")).expect(0).stdout
    };
    assert_eq!(shown("csv"), "n,twice\n1,2\n2,4\n");
    assert_eq!(shown("json"), "{\"n\":1,\"twice\":2}\n{\"n\":2,\"twice\":4}\n");
    assert_eq!(shown("table"), "    n  twice\n-----  -----\n    1      2\n    2      4\n");
}

#[test]
fn quiet_says_nothing_but_the_rows() {
    let directory = tempfile::tempdir().unwrap();
    let ended =
        run_script(directory.path(), &numbers("'number-of-rows' = '2',"), "--quiet --output csv");
    assert_eq!(ended.expect(0).stderr, "");
}

#[test]
fn a_script_may_come_from_standard_input() {
    let mut command = millrace("run - --output csv --quiet");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(numbers("'number-of-rows' = '2',").as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "n,twice\n1,2\n2,4\n");

    let mut command = millrace("run -");
    let ended = run(command.stdin(Stdio::null())).expect(2);
    assert!(ended.stderr.contains("error: "), "{}", ended.stderr);
}

#[test]
fn a_reader_that_goes_away_ends_the_job_quietly() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = script_command(directory.path(), &numbers(""), "--output csv");
    let mut running = Running::start(&mut command);
    let mut line = String::new();
    let mut pipe = BufReader::new(running.stdout());
    pipe.read_line(&mut line).unwrap();
    assert_eq!(line, "n,twice\n");
    drop(pipe);
    let ended = running.end().expect(0);
    assert!(!ended.stderr.contains("error"), "{}", ended.stderr);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_behind_standard_output_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = script_command(directory.path(), &numbers("'number-of-rows' = '2',"), "");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = run(command.stdout(full).stderr(Stdio::piped())).expect(1);
    assert!(ended.stderr.contains("cannot write to standard output"), "{}", ended.stderr);
    assert!(ended.stderr.to_lowercase().contains("no space left"), "{}", ended.stderr);
}

/// What takes nothing.
#[cfg(target_os = "linux")]
fn full() -> std::fs::File {
    std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// The end of a pipe whose other end is closed.
#[cfg(target_os = "linux")]
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Its own `eprintln!` panicked there, and so did the log of the engine.
#[test]
#[cfg(target_os = "linux")]
fn a_standard_error_that_cannot_be_written_ends_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let script = numbers("'number-of-rows' = '2',");
    for (stderr, level) in
        [(full().into(), "warn"), (full().into(), "debug"), (closed(), "warn"), (closed(), "debug")]
    {
        let mut command = script_command(directory.path(), &script, "--output csv");
        let ended = run(command.env("MILLRACE_LOG", level).stdout(Stdio::piped()).stderr(stderr));
        assert_eq!(ended.expect(0).stdout, "n,twice\n1,2\n2,4\n");
    }
    let ended = run(millrace("no-such-command").stderr(full())).expect(2);
    assert_eq!(ended.stdout, "");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_behind_standard_output_fails_every_command_that_prints() {
    let directory = tempfile::tempdir().unwrap();
    let printed = numbers("'number-of-rows' = '2',").replace(
        "SELECT n, n * 2 AS twice FROM numbers;",
        "CREATE TABLE p (n BIGINT) WITH ('connector' = 'print');
         INSERT INTO p SELECT n FROM numbers;",
    );
    std::fs::write(directory.path().join("job.sql"), &printed).unwrap();
    for arguments in ["run job.sql", "explain job.sql", "--help", "--version", "run --help"] {
        let mut command = millrace(arguments);
        let ended =
            run(command.current_dir(directory.path()).stdout(full()).stderr(Stdio::piped()));
        let ended = ended.expect(1);
        assert!(ended.stderr.to_lowercase().contains("no space left"), "{}", ended.stderr);
        assert_eq!(ended.stderr.matches("error: ").count(), 1, "{}", ended.stderr);
        assert!(!ended.stderr.contains("committed"), "{}", ended.stderr);
        // And where nobody reads any more, they end quietly.
        let mut command = millrace(arguments);
        let ended =
            run(command.current_dir(directory.path()).stdout(closed()).stderr(Stdio::piped()));
        assert_eq!(ended.expect(0).stderr, "", "{arguments}");
    }
}
