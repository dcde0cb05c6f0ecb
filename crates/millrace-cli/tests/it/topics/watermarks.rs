//! Event time of topics: a watermark for each partition, against a recomputation of the windows.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::ChildStdout;

use serde_json::Value;

use super::with_log;
use crate::harness::{Running, pause, script_command};
use crate::log::Log;

/// A record: its second within the hour and its number.
type Row = (i64, i64);

/// Numbers, one in five seconds from `seconds` on, each up to 700 ms of disorder off.
fn rows(seconds: std::ops::Range<i64>, first: i64) -> Vec<Row> {
    seconds.step_by(5).enumerate().map(|(index, second)| (second, first + index as i64)).collect()
}

/// Closes all windows of the hour.
const LAST: Row = (3_600, 0);

fn feed(log: &Log, partition: u32, rows: &[Row]) {
    let line = |&(second, n): &Row| {
        let at = format!(
            "2026-01-01 {:02}:{:02}:{:02}.{:03}",
            10 + second / 3_600,
            second / 60 % 60,
            second % 60,
            (n * 37) % 700
        );
        format!("{{\"n\":{n},\"at\":\"{at}\"}}\n")
    };
    let lines: String = rows.iter().map(line).collect();
    log.feed(&format!("produce t -q --partition {partition}"), &lines).expect(0);
}

/// Count and sum of each minute.
fn recomputed(rows: &[Row]) -> BTreeMap<i64, (i64, i64)> {
    let mut windows = BTreeMap::new();
    for (second, n) in rows.iter().filter(|row| **row != LAST) {
        let window: &mut (i64, i64) = windows.entry(second / 60).or_default();
        *window = (window.0 + 1, window.1 + n);
    }
    windows
}

/// A job that counts by minute, and what it has said so far.
struct Windows {
    job: Running,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    closed: BTreeMap<i64, (i64, i64)>,
    late: Vec<i64>,
}

impl Windows {
    fn start(log: &Log, idle_timeout: &str, options: &str) -> Windows {
        let script = format!(
            "SET 'table.exec.source.idle-timeout' = '{idle_timeout}';
             CREATE TABLE t (n BIGINT, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '1' SECOND)
             WITH (@, 'topic' = 't', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset'{options});
             SELECT EXTRACT(MINUTE FROM window_start) AS m, COUNT(*) AS c, SUM(n) AS s
             FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(at), INTERVAL '1' MINUTE))
             GROUP BY window_start, window_end;
             SELECT n AS late FROM `t$late`;"
        );
        let arguments = "--output json --checkpoint-interval 100ms --parallelism 2 --batch-rows 5";
        let mut command = script_command(log.directory.path(), &with_log(log, &script), arguments);
        let mut job = Running::start(&mut command);
        let lines = BufReader::new(job.stdout()).lines();
        Windows { job, lines, closed: BTreeMap::new(), late: Vec::new() }
    }

    /// Takes the next line; false at the end.
    fn take(&mut self) -> bool {
        let Some(line) = self.lines.next() else { return false };
        let row: Value = serde_json::from_str(&line.unwrap()).unwrap();
        match row["late"].as_i64() {
            Some(n) => self.late.push(n),
            None => {
                let number = |name: &str| row[name].as_i64().unwrap();
                let before = self.closed.insert(number("m"), (number("c"), number("s")));
                assert_eq!(before, None, "a window was closed twice: {row}");
            }
        }
        true
    }

    fn await_windows(&mut self, count: usize) {
        while self.closed.len() < count {
            assert!(self.take(), "the job ended with {:?}", self.closed);
        }
    }

    /// Ends the job and takes what it still says.
    fn stop(mut self) -> (BTreeMap<i64, (i64, i64)>, Vec<i64>) {
        self.job.signal("INT");
        while self.take() {}
        self.job.end().expect(0);
        (self.closed, self.late)
    }
}

/// What the job's group has committed of the first partition; 0 before its first checkpoint.
fn committed(log: &Log) -> i64 {
    let described = log.run("groups describe g --json").stdout;
    let described: Value = serde_json::from_str(&described).unwrap_or_default();
    let partitions = described[0]["partitions"].as_array().cloned().unwrap_or_default();
    let first = partitions.iter().find(|partition| partition["partition"] == 0);
    first.and_then(|first| first["committed_offset"].as_i64()).unwrap_or(0)
}

/// Runs a job of which one partition has all its rows and the other only the first one, until
/// `far_enough` says so of what it has committed of the full one; then the other gets its rows too,
/// and the windows are compared.
fn lag(options: &str, far_enough: impl Fn(&Log)) {
    let log = Log::serve();
    log.run("topic create t --partitions 2").expect(0);
    let (ahead, behind) = (rows(0..600, 1), rows(2..600, 1_000));
    feed(&log, 0, &ahead);
    feed(&log, 0, &[LAST]);
    feed(&log, 1, &behind[..1]);
    let options = format!(", 'properties.group.id' = 'g'{options}");
    let mut job = Windows::start(&log, "0 s", &options);
    far_enough(&log);
    for part in behind[1..].chunks(30) {
        feed(&log, 1, part);
    }
    feed(&log, 1, &[LAST]);
    job.await_windows(10);
    assert_eq!(job.stop(), (recomputed(&[ahead, behind].concat()), Vec::new()));
}

#[test]
fn a_partition_that_lags_holds_windows_open_and_makes_no_row_late() {
    lag("", |log| {
        while committed(log) < 121 {
            pause(50);
        }
    });
}

#[test]
fn with_alignment_a_partition_that_runs_ahead_waits_in_the_topic() {
    let options = ", 'scan.watermark.alignment.group' = 'g', \
        'scan.watermark.alignment.max-drift' = '30 s'";
    lag(options, |log| {
        while committed(log) == 0 {
            pause(50);
        }
        pause(1_000);
        // A row each five seconds, 30 s of drift, and batches of five rows.
        let read = committed(log);
        assert!(read < 30, "{read} rows were read of the partition that is ahead");
    });
}

#[test]
fn a_silent_partition_holds_windows_open_until_the_time_out_and_its_rows_are_late_then() {
    let log = Log::serve();
    log.run("topic create t --partitions 2").expect(0);
    let (loud, silent) = (rows(0..600, 1), rows(0..10, 1_000));
    feed(&log, 0, &loud);
    feed(&log, 1, &silent);
    let mut job = Windows::start(&log, "700 ms", "");
    job.job.wait_for("`t-1` of `source t` is silent");
    feed(&log, 0, &[LAST]);
    job.await_windows(10);
    let closed = job.closed.clone();
    assert_eq!(closed, recomputed(&[loud, silent].concat()));
    // It speaks again, of windows that are closed.
    feed(&log, 1, &[(20, 2_000)]);
    while job.late.is_empty() {
        assert!(job.take(), "the late row is lost");
    }
    assert_eq!(job.stop(), (closed, vec![2_000]));
}

#[test]
fn a_partition_that_is_added_is_found_and_has_its_say() {
    let log = Log::serve();
    log.run("topic create t --partitions 1").expect(0);
    let first = rows(0..300, 1);
    feed(&log, 0, &first);
    let options = ", 'scan.topic-partition-discovery.interval' = '200 ms'";
    let mut job = Windows::start(&log, "0 s", options);
    job.await_windows(4);
    log.run("topic alter t --partitions 2").expect(0);
    job.job.wait_for("1 new split");
    let (old, new) = (rows(300..600, 100), rows(302..600, 1_000));
    // The new partition comes after all of the old one, and holds its windows open.
    feed(&log, 0, &old);
    feed(&log, 0, &[LAST]);
    pause(1_000);
    feed(&log, 1, &new);
    feed(&log, 1, &[LAST]);
    job.await_windows(10);
    assert_eq!(job.stop(), (recomputed(&[first, old, new].concat()), Vec::new()));
}
