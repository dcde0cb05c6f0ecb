use std::collections::{BTreeMap, BTreeSet};

use millrace_core::seam::Random as _;
use millrace_core::{DropReason, ErrorKind};
use millrace_runtime::{JobReport, Outcome as JobOutcome};
use millrace_sim::{Fault, SimRandom, Simulation, Trace, for_each_seed, run};

use super::model::{Outcome, expected};
use super::scenario::{FAULTS, Outside, Scenario, Setup};
use super::sink::{hidden, visible};
use super::source::Row;

const PACKAGE: &str = "millrace-sim";

/// Compares what came out with the model.
fn check(scenario: &Scenario, outside: &Outside, report: &JobReport) {
    let expected = expected(&scenario.splits, scenario.windows, scenario.delay_ms);
    let mut late = visible(&outside.late);
    late.sort_unstable();
    assert_eq!(late, expected.late, "late rows");

    let mut results = visible(&outside.results);
    results.sort_unstable();
    if scenario.windows.allowed_lateness > 0 {
        // A window that fires again for late rows gives one more result, of more rows each time.
        let fired = results.len();
        let mut last: BTreeMap<(u8, i64), Outcome> = BTreeMap::new();
        results.dedup_by_key(|&mut (key, begin, count, _)| (key, begin, count));
        assert_eq!(results.len(), fired, "a result came out twice");
        for result in results {
            last.insert((result.0, result.1), result);
        }
        results = last.into_values().collect();
    }
    assert_eq!(results, expected.results, "results");

    assert_eq!((hidden(&outside.results), hidden(&outside.late)), (vec![], vec![]));
    let line = |id: &str| {
        let lines = &report.ledger.lines;
        lines.iter().find(|line| line.id.as_str() == id).unwrap().counts.clone()
    };
    assert_eq!(line("source").rows_in, scenario.rows());
    assert_eq!(line("window").dropped(DropReason::Late), expected.late.len() as u64);
    assert_eq!(line("window").dropped(DropReason::OutsideWindows), expected.outside_windows);
    assert_eq!(line("results").passed, visible(&outside.results).len() as u64);
    assert_eq!(line("late").passed, expected.late.len() as u64);
}

/// One run without crashes.
fn undisturbed(seed: u64) -> (Scenario, Outside, JobReport, Trace) {
    let random = SimRandom::new(seed, "scenario");
    let scenario = Scenario::of(&random);
    let setup = Setup::of(&random, &scenario);
    let outside = Outside::default();
    let (report, trace) = run(seed, |seams| scenario.run(setup, outside.clone(), seed, seams));
    (scenario, outside, report.unwrap(), trace)
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    for_each_seed(PACKAGE, "a_seed_gives_the_same_run_twice", 20, |seed| {
        let (_, outside, report, trace) = undisturbed(seed);
        let (_, again, _, trace_again) = undisturbed(seed);
        assert_eq!(trace.difference(&trace_again), None);
        assert_eq!(trace.hash(), trace_again.hash());
        assert_eq!(visible(&outside.results), visible(&again.results), "even the order of rows");
        assert_eq!(report.outcome, JobOutcome::Finished);
    });
}

#[test]
fn an_undisturbed_run_gives_what_the_model_gives() {
    for_each_seed(PACKAGE, "an_undisturbed_run_gives", 150, |seed| {
        let (scenario, outside, report, _) = undisturbed(seed);
        check(&scenario, &outside, &report);
    });
}

#[test]
fn a_job_that_is_killed_at_random_steps_gives_every_row_exactly_once() {
    for_each_seed(PACKAGE, "a_job_that_is_killed_at_random_steps", 150, |seed| {
        let random = SimRandom::new(seed, "crashes");
        let scenario = Scenario::of(&random);
        let outside = Outside::default();
        let mut crashes = random.below(8);
        let report = loop {
            let setup = Setup::of(&random, &scenario).with_faults(FAULTS, 30);
            let run_seed = random.next_u64();
            let mut simulation = Simulation::new(run_seed);
            if crashes > 0 {
                crashes -= 1;
                // Some die young, some after the end.
                simulation = simulation.crash_after(1 << random.below(13));
            }
            let simulated =
                simulation.run(|seams| scenario.run(setup, outside.clone(), run_seed, seams));
            if let Some(report) = simulated.output {
                break report.unwrap();
            }
        };
        check(&scenario, &outside, &report);
    });
}

#[test]
fn a_job_that_is_stopped_and_goes_on_gives_every_row_exactly_once() {
    for_each_seed(PACKAGE, "a_job_that_is_stopped_and_goes_on", 150, |seed| {
        let random = SimRandom::new(seed, "stops");
        let scenario = Scenario::of(&random);
        let outside = Outside::default();
        let mut stops = random.below(6);
        let report = loop {
            let mut setup = Setup::of(&random, &scenario);
            if stops > 0 {
                stops -= 1;
                setup = setup.stopped_after_ms(random.below(400));
            }
            let run_seed = random.next_u64();
            let (report, _) =
                run(run_seed, |seams| scenario.run(setup, outside.clone(), run_seed, seams));
            let report = report.unwrap();
            if report.outcome != JobOutcome::Stopped {
                break report;
            }
            assert_eq!((hidden(&outside.results), hidden(&outside.late)), (vec![], vec![]));
        };
        check(&scenario, &outside, &report);
    });
}

#[test]
fn a_job_whose_checkpoints_are_damaged_may_repeat_rows_but_loses_none() {
    for_each_seed(PACKAGE, "a_job_whose_checkpoints_are_damaged", 150, |seed| {
        let random = SimRandom::new(seed, "damage");
        let scenario = Scenario::of(&random);
        let outside = Outside::default();
        let mut crashes = 1 + random.below(5);
        loop {
            let setup = Setup::of(&random, &scenario).with_faults(&[Fault::Corrupt], 60);
            let run_seed = random.next_u64();
            let mut simulation = Simulation::new(run_seed);
            if crashes > 0 {
                crashes -= 1;
                simulation = simulation.crash_after(1 << (6 + random.below(7)));
            }
            let simulated =
                simulation.run(|seams| scenario.run(setup, outside.clone(), run_seed, seams));
            match simulated.output {
                None => {}
                Some(Ok(_)) => break,
                // No checkpoint is whole: it says so, and is not taken for a first start.
                Some(Err(error)) => {
                    assert_eq!(error.kind(), ErrorKind::Restore, "{}", error.full_report());
                    return;
                }
            }
        }
        let expected = expected(&scenario.splits, scenario.windows, scenario.delay_ms);
        let results: BTreeSet<Outcome> = visible(&outside.results).into_iter().collect();
        assert!(expected.results.iter().all(|result| results.contains(result)), "lost results");
        let late: BTreeSet<Row> = visible(&outside.late).into_iter().collect();
        assert!(late.into_iter().eq(BTreeSet::from_iter(expected.late)), "late rows");
    });
}
