//! Ctrl-C once and twice.

use crate::harness::{Running, pause, script_command};

const ENDLESS: &str = "CREATE TABLE numbers (n BIGINT) WITH (
    'connector' = 'datagen', 'rows-per-second' = '100000000',
    'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000000000');
SELECT n FROM numbers;";

#[test]
fn the_first_interrupt_stops_the_job_and_loses_no_row_that_was_read() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = "--output csv --metrics 127.0.0.1:0";
    let mut running = Running::start(&mut script_command(directory.path(), ENDLESS, arguments));
    running.wait_for("metrics at");
    running.signal("INT");
    let ended = running.end().expect(0);
    let rows: Vec<u64> = ended.stdout.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    assert!(rows.iter().copied().eq(1..=rows.len() as u64), "rows are missing or out of order");
    assert!(ended.stderr.contains("stopped: read"), "{}", ended.stderr);
    assert!(ended.stderr.contains("in memory, gone with this process"), "{}", ended.stderr);
}

#[test]
fn the_second_interrupt_ends_a_job_that_cannot_stop() {
    // Nobody reads its output, so its last checkpoint waits behind rows that can't be printed.
    let directory = tempfile::tempdir().unwrap();
    let arguments = "--output csv --metrics 127.0.0.1:0";
    let mut running = Running::start(&mut script_command(directory.path(), ENDLESS, arguments));
    running.wait_for("metrics at");
    pause(300);
    running.signal("INT");
    running.wait_for("once more to stop at once");
    running.signal("INT");
    running.end_unread().expect(130);
}
