//! `millrace explain`: the plan, without running anything.

use serde_json::Value;

use crate::harness::{millrace, run};

#[test]
fn a_plan_names_source_window_exchange_and_sink() {
    let ended =
        run(&mut millrace("explain examples/flights/hourly_delays.sql --parallelism 3")).expect(0);
    let plan = ended.stdout.to_lowercase();
    for word in ["departures", "tumble", "hash", "late", "3"] {
        assert!(plan.contains(word), "`{word}` is not in\n{}", ended.stdout);
    }
}

#[test]
fn a_plan_is_to_be_had_as_json() {
    let ended = run(&mut millrace("explain examples/flights/hourly_delays.sql --json")).expect(0);
    let plan: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(plan.to_string().contains("departures"), "{plan}");
}

#[test]
fn a_wrong_script_has_no_plan() {
    let ended = run(&mut millrace("explain no-such-job.sql")).expect(2);
    assert_eq!(ended.stdout, "");
}
