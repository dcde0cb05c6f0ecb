//! `millrace log` against the embedded log: whole outputs.

mod access;
mod groups;
mod mirror;
mod secure;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Ended, Running, millrace, root, run};

/// A served log in a directory of its own.
pub struct Log {
    pub server: Running,
    pub address: String,
    pub directory: tempfile::TempDir,
}

impl Log {
    pub fn serve() -> Log {
        let directory = tempfile::tempdir().unwrap();
        let (server, address) = serve(directory.path());
        Log { server, address, directory }
    }

    /// A command against it; the words are cut at spaces.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = millrace(&format!("log {arguments}"));
        command.env("MILLRACE_BOOTSTRAP", &self.address).current_dir(self.directory.path());
        command
    }

    pub fn run(&self, arguments: &str) -> Ended {
        run(&mut self.command(arguments))
    }

    /// Runs a command with lines as its standard input.
    pub fn feed(&self, arguments: &str, lines: &str) -> Ended {
        feed(&mut self.command(arguments), lines)
    }
}

fn serve(directory: &Path) -> (Running, String) {
    serve_with(directory, "")
}

fn serve_with(directory: &Path, options: &str) -> (Running, String) {
    let mut command = millrace(&format!("log serve --listen 127.0.0.1:0 --data data {options}"));
    let mut server = Running::start(command.current_dir(directory));
    let line = server.wait_for("listening on");
    let address = line.trim().rsplit_once(' ').unwrap().1.to_owned();
    (server, address)
}

fn feed(command: &mut Command, lines: &str) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that refuses its arguments does not read.
    let _ = stdin.write_all(lines.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap().into()
}

#[test]
fn wrong_arguments_are_misuse() {
    for arguments in [
        "log",
        "log serve --fsync sometimes",
        "log serve --max-request 1MB",
        "log serve --config group.max.size=0",
        "log serve --config retention.ms=1",
        "log topic create",
        "log topic create t --partitions 0",
        "log topic alter t",
        "log topic list --bootstrap a:1 --data d",
        "log produce",
        "log produce t --format xml",
        "log produce t --format json --key-separator :",
        "log produce t --transaction --acks 1",
        "log produce t no-such-file",
        "log consume",
        "log consume t --pattern t",
        "log consume t --from soon",
        "log consume t --group g --from 5",
        "log consume t u --group g",
        "log consume t --group g --partition 0",
        "log groups reset g",
        "log topic list --data no-such-directory",
        "log mirror --from a:1",
        "log mirror --from a:1 --to b:1 --name a/b",
        "log mirror --from a:1 --to b:1 --topics (",
    ] {
        let ended = run(&mut millrace(arguments)).expect(2);
        assert_eq!(ended.stdout, "", "{arguments}");
        assert!(!ended.stderr.is_empty(), "{arguments}");
    }
}

#[test]
fn an_address_where_nobody_listens_is_named() {
    let ended = run(&mut millrace("log topic list --bootstrap 127.0.0.1:1")).expect(1);
    assert_eq!(
        ended.stderr,
        "error: nobody answers at `127.0.0.1:1`\n  cause: Connection refused (os error 111)\n  \
         hint: start a log with `millrace log serve`, or name another one with --bootstrap\n"
    );
}

#[test]
fn a_directory_or_port_that_is_in_use_is_named() {
    let log = Log::serve();
    let again = log.run("serve --listen 127.0.0.1:0 --data data").expect(1);
    assert!(again.stderr.contains("`data` is in use by another process"), "{}", again.stderr);
    assert!(again.stderr.contains(&log.address), "{}", again.stderr);

    let taken = log.run(&format!("serve --listen {} --data other", log.address)).expect(1);
    let error = format!("error: cannot listen on `{}`: Address already in use", log.address);
    assert!(taken.stderr.contains(&error), "{}", taken.stderr);
    assert!(taken.stderr.contains("hint: give --listen"), "{}", taken.stderr);
}

#[test]
fn limits_that_contradict_each_other_are_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let options = "--data data --config group.min.session.timeout.ms=10 --config \
                   group.max.session.timeout.ms=9";
    let mut serve = millrace(&format!("log serve --listen 127.0.0.1:0 {options}"));
    let refused = run(serve.current_dir(directory.path())).expect(1);
    assert_eq!(
        refused.stderr,
        "error: --config: `group.min.session.timeout.ms` is 10, and \
         `group.max.session.timeout.ms` is 9: it must be as large at least\n"
    );
    assert!(!directory.path().join("data").exists());
}

#[test]
fn a_signal_stops_the_server_in_order() {
    for signal in ["INT", "TERM"] {
        let log = Log::serve();
        log.server.signal(signal);
        let ended = log.server.end().expect(0);
        assert!(
            ended.stderr.ends_with("stopping; once more to stop at once\nstopped\n"),
            "{}",
            ended.stderr
        );
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn topics_are_created_listed_and_deleted() {
    let log = Log::serve();
    let created = log.run("topic create b a --partitions 2").expect(0);
    assert_eq!(created.stderr, "created topic `b`\ncreated topic `a`\n");
    let again = log.run("topic create a").expect(1);
    assert_eq!(
        again.stderr,
        "error: cannot create topic `a`\n  cause: topic already exists\n  \
         hint: --if-not-exists leaves it as it is\n"
    );
    let left = log.run("topic create a --if-not-exists").expect(0);
    assert_eq!(left.stderr, "topic `a` exists already\n");
    assert_eq!(
        log.run("topic list").expect(0).stdout,
        "topic  partitions  replicas\na               2         1\nb               2         1\n"
    );
    let listed: serde_json::Value =
        serde_json::from_str(&log.run("topic list --json").expect(0).stdout).unwrap();
    assert_eq!(
        listed[0],
        serde_json::json!({ "topic": "a", "partitions": 2, "replicas": 1, "internal": false })
    );

    log.feed("produce a -q --partition 1", "x\ny\n").expect(0);
    let refused = log.run("topic delete a").expect(2);
    assert_eq!(
        refused.stderr,
        "error: this deletes topic `a` with up to 2 records\n  hint: say --yes to do so\n"
    );
    assert_eq!(log.run("topic delete a --yes").expect(0).stderr, "deleted topic `a`\n");
    let gone = log.run("topic delete a --yes").expect(1);
    assert!(gone.stderr.contains("topic `a` does not exist in"), "{}", gone.stderr);
}

#[test]
fn a_setting_that_a_topic_cannot_have_is_not_reset_in_silence() {
    let log = Log::serve();
    log.run("topic create t --config retention.ms=5").expect(0);
    let wrong = log.run("topic alter t --reset-config retention.ms --reset-config retentoin.ms");
    assert_eq!(
        wrong.expect(1).stderr,
        "error: topic `t` has no setting `retentoin.ms`\n  \
         hint: `millrace log topic describe --all` shows the settings of a topic\n"
    );
    assert!(log.run("topic describe t").expect(0).stdout.contains("retention.ms = 5"));
    log.run("topic alter t --reset-config retention.ms").expect(0);
}

/// The code alone says neither which setting was wrong nor what it may be.
#[test]
fn why_the_log_refuses_a_change_of_a_topic_is_told_in_its_own_words() {
    let log = Log::serve();
    let hint = "hint: `millrace log topic describe --all` shows the settings of a topic, and their \
                values\n";
    let soon = "cause: configuration is invalid: Invalid value soon for configuration \
                retention.ms: not a 64-bit number";
    let refused = log.run("topic create t --config retention.ms=soon").expect(1);
    assert_eq!(refused.stderr, format!("error: cannot create topic `t`\n  {soon}\n  {hint}"));
    log.run("topic create t --partitions 2").expect(0);
    let refused = log.run("topic alter t --config retention.ms=soon").expect(1);
    assert_eq!(
        refused.stderr,
        format!("error: cannot change the settings of topic `t`\n  {soon}\n  {hint}")
    );
    let refused = log.run("topic alter t --partitions 1").expect(1);
    let fewer = "The topic t currently has 2 partition(s); 1 would not be an increase";
    assert!(refused.stderr.contains(fewer), "{}", refused.stderr);
    assert_eq!(log.run("topic list").expect(0).stdout.lines().count(), 2);
}

#[test]
fn what_is_produced_is_consumed() {
    let log = Log::serve();
    // One of the records is older than the usual retention.
    log.run("topic create t u --partitions 2 --config retention.ms=-1").expect(0);
    let produced = log.feed("produce t --key-separator : --partition 0", "a:1\nb:2\r\nc:\n");
    assert!(produced.expect(0).stderr.starts_with("wrote 3 records, 5 B, in "));
    let line =
        r#"{"key":"d","value":{"n":1},"partition":1,"timestamp":5,"headers":{"h":"v","n":null}}"#;
    log.feed("produce t --format json -q", &format!("{line}\n")).expect(0);
    log.feed("produce t -q --partition 1 --null-marker - --header k=v", "-\n").expect(0);

    let of = |arguments: &str| log.run(&format!("consume t -q {arguments}")).expect(0).stdout;
    assert_eq!(of("--partition 0"), "1\n2\n\n");
    assert_eq!(of("--partition 0 --output key-value"), "a\t1\nb\t2\nc\t\n");
    assert_eq!(of("--partition 0 --from 1 --max 1"), "2\n");
    assert_eq!(of("--partition 0 --until 1"), "1\n");
    assert_eq!(of("--partition 0 --from latest"), "");
    assert_eq!(of("--partition 0 --from -1h"), "1\n2\n\n");
    assert_eq!(of("--partition 1 --until 2000-01-01T00:00:00Z"), "{\"n\":1}\n");
    assert_eq!(of("--partition 1 --output key-value"), "d\t{\"n\":1}\nnull\tnull\n");
    let json = of("--partition 1 --output json");
    assert_eq!(
        json.lines().next().unwrap(),
        r#"{"headers":[["h","v"],["n",null]],"key":"d","offset":0,"partition":1,"timestamp":5,"timestamp_type":"create","topic":"t","value":"{\"n\":1}"}"#
    );
    let ended = log.run("consume t").expect(0);
    assert!(ended.stderr.starts_with("read 5 records, "), "{}", ended.stderr);
    assert!(ended.stderr.contains("from 2 partitions"), "{}", ended.stderr);

    // What is printed as JSON can be written again as it is.
    log.feed("produce u --format json -q", &json).expect(0);
    let copied = log.run("consume u --partition 1 --output json -q").expect(0).stdout;
    assert_eq!(copied.replace("\"topic\":\"u\"", "\"topic\":\"t\""), json);
}

#[test]
fn a_line_that_cannot_be_written_is_named() {
    let log = Log::serve();
    log.run("topic create t").expect(0);
    let ended = log.feed("produce t --key-separator :", "a:1\nb\nc:3\n").expect(1);
    assert_eq!(
        ended.stderr,
        "error: line 2 of standard input was not written to `t`\n  \
         cause: it has no key: `:` is not in it\n  hint: written nonetheless: 1 other line\n"
    );
    let ended = log.feed("produce t --format json", "{\"valeu\":1}\n").expect(1);
    assert!(ended.stderr.contains("line 1 of standard input"), "{}", ended.stderr);
    assert!(ended.stderr.contains("`valeu` is not known in a record"), "{}", ended.stderr);
    let ended = log.feed("produce t --partition 7", "x\n").expect(1);
    assert!(ended.stderr.contains("unknown partition"), "{}", ended.stderr);
}

#[test]
fn topics_and_partitions_that_do_not_exist_are_named() {
    let log = Log::serve();
    log.run("topic create t").expect(0);
    let ended = log.run("consume nope").expect(1);
    assert_eq!(
        ended.stderr,
        format!(
            "error: topic `nope` does not exist in `{}`\n  \
             hint: `millrace log topic list` shows the topics there are\n",
            log.address
        )
    );
    let ended = log.run("consume t --partition 3").expect(1);
    assert_eq!(ended.stderr, "error: topic `t` has no partition 3: it has 1\n");
    let ended = log.run("consume --pattern x.*").expect(1);
    assert!(ended.stderr.contains("matches the pattern"), "{}", ended.stderr);
}

#[test]
fn following_ends_with_a_signal_and_counts() {
    let log = Log::serve();
    log.run("topic create t").expect(0);
    log.feed("produce t -q", "1\n").expect(0);
    let mut following = Running::start(&mut log.command("consume t --follow"));
    let mut pipe = std::io::BufReader::new(following.stdout());
    let mut line = String::new();
    let mut next = || {
        line.clear();
        std::io::BufRead::read_line(&mut pipe, &mut line).unwrap();
        line.clone()
    };
    assert_eq!(next(), "1\n");
    log.feed("produce t -q", "2\n").expect(0);
    assert_eq!(next(), "2\n");
    following.signal("INT");
    let ended = following.end().expect(0);
    assert!(
        ended.stderr.starts_with("stopped: read 2 records, 2 B, from 1 partition in "),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_reader_that_goes_away_ends_following_quietly_though_nothing_comes() {
    let log = Log::serve();
    log.run("topic create t").expect(0);
    log.feed("produce t -q", "1\n").expect(0);
    let mut following = Running::start(&mut log.command("consume t --follow"));
    let mut pipe = std::io::BufReader::new(following.stdout());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut pipe, &mut line).unwrap();
    drop(pipe);
    assert_eq!(following.end().expect(0).stderr, "");
}

#[test]
fn a_directory_is_used_without_a_server_and_through_one() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &str, lines: &str| {
        let mut command = millrace(&format!("log {arguments} --data data"));
        feed(command.current_dir(directory.path()), lines).expect(0)
    };
    run("topic create t", "");
    run("produce t -q", "1\n2\n");
    assert_eq!(run("consume t -q", "").stdout, "1\n2\n");
    // The same words, now that another process has the directory.
    let (_server, _address) = serve(directory.path());
    run("produce t -q", "3\n");
    assert_eq!(run("consume t -q", "").stdout, "1\n2\n3\n");
}

#[test]
fn records_are_there_again_after_the_server_was_killed() {
    let log = Log::serve();
    log.run("topic create t").expect(0);
    log.feed("produce t -q", "1\n2\n").expect(0);
    log.server.signal("KILL");
    let Log { server, directory, .. } = log;
    drop(server);
    let (server, address) = serve(directory.path());
    let log = Log { server, address, directory };
    assert_eq!(log.run("consume t -q").expect(0).stdout, "1\n2\n");
}

#[test]
fn the_commands_of_the_guide_give_the_rows_of_the_guide() {
    let mut script = Command::new("bash");
    script.arg(root().join("examples/clicks/run.sh"));
    script.env("MILLRACE", env!("CARGO_BIN_EXE_millrace")).stdin(Stdio::null());
    let ended = run(&mut script).expect(0);
    assert!(ended.stdout.ends_with("the rows are those of the guide\n"), "{}", ended.stdout);
}
