//! `--metrics`, as a scraper sees it.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::{Running, pause, run_script, script_command};

const ENDLESS: &str = "CREATE TABLE numbers (n BIGINT) WITH (
    'connector' = 'datagen', 'rows-per-second' = '10000',
    'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000000000');
CREATE TABLE nowhere (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nowhere SELECT n FROM numbers WHERE n > 100;";

/// The status line and the body.
fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn a_scraper_sees_every_operator_and_the_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = "--parallelism 2 --checkpoint-interval 100ms --metrics 127.0.0.1:0";
    let mut running = Running::start(&mut script_command(directory.path(), ENDLESS, arguments));
    let line = running.wait_for("metrics at http://");
    let address = line.trim().trim_start_matches("metrics at http://").trim_end_matches("/metrics");

    let ledger = loop {
        let (status, body) = get(address, "/ledger");
        if status.contains("200") {
            break serde_json::from_str::<Value>(&body).unwrap();
        }
        assert!(status.contains("404"), "{status}");
        pause(20);
    };
    assert!(ledger["checkpoint"].as_u64().unwrap() >= 1, "{ledger}");
    let (status, text) = get(address, "/metrics");
    assert!(status.contains("200"), "{status}");
    for metric in ["rows_in_total", "busy_seconds_total", "watermark_seconds", "state_bytes"] {
        let lines = text.lines().filter(|line| line.starts_with(&format!("millrace_{metric}{{")));
        assert!(lines.count() >= 2, "{metric} is not in\n{text}");
    }
    assert!(text.contains("millrace_checkpoints_completed_total "), "{text}");
    assert!(get(address, "/health").1.contains("running"));
    assert!(get(address, "/").0.contains("404"));
    running.signal("INT");
    running.end().expect(0);
}

#[test]
fn an_address_that_cannot_be_served_is_misuse() {
    let directory = tempfile::tempdir().unwrap();
    let ended = run_script(directory.path(), ENDLESS, "--metrics nonsense").expect(2);
    assert!(ended.stderr.contains("`nonsense`"), "{}", ended.stderr);
}
