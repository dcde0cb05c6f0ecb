//! A broker that isn't there: told within seconds, whatever the brokers' time-out is.

use std::net::TcpListener;

use crate::harness::{Running, run_script, script_command};

const SCRIPT: &str = "CREATE TABLE orders (n BIGINT) WITH ('connector' = 'kafka',
    'topic' = 'orders', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset',
    'properties.bootstrap.servers' = '@');
SELECT n FROM orders;";

/// Starts a job on this address, and gives the first line with `told` once it was said. Then the
/// job is told to stop, and does so with nothing read.
fn told(address: &str, told: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let script = SCRIPT.replace('@', address);
    let mut running = Running::start(&mut script_command(directory.path(), &script, ""));
    let line = running.wait_for(told);
    running.signal("INT");
    let ended = running.end().expect(0);
    assert!(ended.stderr.contains("stopped: read 0 rows"), "{}", ended.stderr);
    line
}

#[test]
fn a_broker_that_refuses_is_told_while_the_job_tries_on() {
    let line = told("127.0.0.1:1", "cannot be reached");
    let wanted = "table `orders`: broker `127.0.0.1:1` cannot be reached: connection refused";
    assert!(line.contains(wanted), "{line}");
}

#[test]
fn a_name_that_is_not_known_is_told_while_the_job_tries_on() {
    // In words of the system that differ from one to another.
    told("no.such.host.invalid:9092", "broker `no.such.host.invalid:9092` cannot be reached: ");
}

#[test]
fn a_broker_that_says_nothing_is_told_while_the_job_tries_on() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    told(&address, "table `orders`: no broker has answered for 3 s");
}

#[test]
fn when_the_time_is_over_the_error_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let script =
        SCRIPT.replace("'@'", "'127.0.0.1:1', 'properties.default.api.timeout.ms' = '1500'");
    let script = format!("SET 'restart-strategy.type' = 'none';\n{script}");
    let ended = run_script(directory.path(), &script, "").expect(1);
    let wanted = "error: table `orders`: topic `orders` cannot be looked up\n  cause: broker \
        `127.0.0.1:1` cannot be reached: connection refused\n  hint: is a broker running at \
        `properties.bootstrap.servers`?\n";
    assert!(ended.stderr.ends_with(wanted), "{}", ended.stderr);
}
