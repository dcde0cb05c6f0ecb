//! Jobs whose tables name no brokers: the log in the data directory, wherever it is served.

use std::io::{BufRead, BufReader};
use std::process::Command;

use crate::harness::{Running, millrace, run_script, script_command};

fn log_command(directory: &std::path::Path, arguments: &str) -> Command {
    let mut command = millrace(&format!("log {arguments}"));
    command.current_dir(directory);
    command
}

/// A log on a free port, another one at each start.
fn serve(directory: &std::path::Path) -> Running {
    let mut server =
        Running::start(&mut log_command(directory, "serve --listen 127.0.0.1:0 --data data"));
    server.wait_for("listening on");
    server
}

#[test]
fn a_job_that_has_joined_a_log_follows_it_to_another_address() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let write = |n: u32| {
        let script = format!(
            "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '1',
                'fields.n.kind' = 'sequence', 'fields.n.start' = '{n}', 'fields.n.end' = '{n}');
             CREATE TABLE t (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json',
                'log.data-dir' = 'data');
             INSERT INTO t SELECT n FROM numbers;"
        );
        std::fs::create_dir_all(directory.join("writer")).unwrap();
        let script = script.replace("'data'", "'../data'");
        run_script(&directory.join("writer"), &script, &format!("--checkpoint-dir ckpt-{n}"))
            .expect(0);
    };
    let server = serve(directory);
    write(1);
    let script = "CREATE TABLE t (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 't',
            'format' = 'json', 'log.data-dir' = 'data', 'scan.startup.mode' = 'earliest-offset');
        SELECT n FROM t;";
    let arguments = "--output csv --checkpoint-interval 100ms";
    let mut job = Running::start(&mut script_command(directory, script, arguments));
    let mut lines = BufReader::new(job.stdout()).lines();
    let mut next = || lines.next().expect("the job goes on").unwrap();
    assert_eq!((next(), next()), ("n".to_owned(), "1".to_owned()));
    server.signal("KILL");
    drop(server);
    let again = serve(directory);
    write(2);
    job.wait_for("is served at");
    // Rows since the last checkpoint are shown again.
    while next() != "2" {}
    job.signal("INT");
    job.end().expect(0);
    drop(again);
}
