//! What a run did, for people, when it is over.

use millrace_core::DropReason;
use millrace_runtime::{JobReport, Ledger, LedgerLine, NodeRole, Outcome};

use crate::numbers::{counted, grouped, lasting, rate};

/// The lines that `run` prints to standard error at its end. `durable` says whether the checkpoint
/// outlives the process.
pub(crate) fn summary(report: &JobReport, durable: bool) -> String {
    let ended = match report.outcome {
        Outcome::Finished => "finished",
        Outcome::Stopped => "stopped",
        Outcome::Cancelled => "cancelled",
        Outcome::AlreadyFinished => "had finished before",
    };
    let mut lines = vec![format!(
        "{ended}: read {} in {} ({}){}",
        counted(report.rows_read, "row"),
        lasting(report.elapsed),
        rate(report.rows_read, report.elapsed),
        match report.restarts {
            0 => String::new(),
            restarts => format!(", after {}", counted(u64::from(restarts), "restart")),
        }
    )];
    lines.extend(late(&report.ledger));
    lines.push("ledger, in rows since the job's first start:".to_owned());
    lines.extend(ledger(&report.ledger));
    lines.push(match &report.checkpoint {
        Some((checkpoint, uri)) if durable => format!("checkpoint {checkpoint}: {uri}"),
        Some((checkpoint, _)) => format!(
            "checkpoint {checkpoint}: in memory, gone with this process; --checkpoint-dir keeps them"
        ),
        None => "no checkpoint was taken".to_owned(),
    });
    lines.join("\n")
}

/// The late rows of all operators, and the part of what was read that they are.
fn late(ledger: &Ledger) -> Option<String> {
    let rows: u64 = ledger.lines.iter().map(|line| line.counts.dropped(DropReason::Late)).sum();
    let read = ledger.rows_read();
    (rows > 0).then(|| {
        let percent = rows as f64 / read.max(1) as f64 * 100.0;
        format!("late: {} ({percent:.1} % of those read)", counted(rows, "row"))
    })
}

/// A line for each node: `name  27,004 in = 24,333 kept in state + 2,671 late`.
fn ledger(ledger: &Ledger) -> Vec<String> {
    let names = ledger.lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
    let width =
        ledger.lines.iter().map(|line| grouped(line.counts.rows_in).len()).max().unwrap_or(0);
    let shown = ledger.lines.iter().map(|line| {
        let (arrived, fates) = fates(line);
        format!(
            "  {:names$}  {:>width$} {arrived} = {fates}",
            line.name,
            grouped(line.counts.rows_in)
        )
    });
    shown.collect()
}

fn fates(line: &LedgerLine) -> (&'static str, String) {
    let counts = &line.counts;
    let (arrived, passed, absorbed) = match line.role {
        NodeRole::Source => ("read", "passed on", "kept"),
        NodeRole::Operator => ("in", "passed on", "kept in state"),
        NodeRole::Sink => ("in", "committed", "pending"),
    };
    let mut terms = vec![(counts.passed, passed), (counts.absorbed, absorbed)];
    terms.extend(DropReason::ALL.map(|reason| (counts.dropped(reason), reason.name())));
    terms.retain(|(rows, _)| *rows > 0);
    if terms.is_empty() {
        terms.push((0, passed));
    }
    let terms: Vec<_> =
        terms.iter().map(|(rows, what)| format!("{} {what}", grouped(*rows))).collect();
    (arrived, terms.join(" + "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use millrace_core::{CheckpointId, LedgerCounts, OperatorId};

    use super::*;

    fn line(name: &str, role: NodeRole, counts: LedgerCounts) -> LedgerLine {
        LedgerLine { id: OperatorId::new(name), name: name.to_owned(), role, counts }
    }

    #[test]
    fn the_ledger_says_of_each_node_where_its_rows_went() {
        let mut window = LedgerCounts { rows_in: 27_004, absorbed: 24_333, ..Default::default() };
        window.add_dropped(DropReason::Late, 2_671);
        let report = JobReport {
            outcome: Outcome::Finished,
            ledger: Ledger {
                checkpoint: Some(CheckpointId(1)),
                lines: vec![
                    line(
                        "flights",
                        NodeRole::Source,
                        LedgerCounts { rows_in: 27_004, passed: 27_004, ..Default::default() },
                    ),
                    line("window", NodeRole::Operator, window),
                    line("print", NodeRole::Sink, LedgerCounts::default()),
                ],
            },
            elapsed: Duration::from_millis(500),
            rows_read: 27_004,
            restarts: 1,
            checkpoint: Some((CheckpointId(1), "ckpt/manifests/1.json".to_owned())),
        };
        assert_eq!(
            summary(&report, true),
            "finished: read 27,004 rows in 0.50 s (54,008 rows/s), after 1 restart\n\
             late: 2,671 rows (9.9 % of those read)\n\
             ledger, in rows since the job's first start:\n\
             \x20 flights  27,004 read = 27,004 passed on\n\
             \x20 window   27,004 in = 24,333 kept in state + 2,671 late\n\
             \x20 print         0 in = 0 committed\n\
             checkpoint 1: ckpt/manifests/1.json"
        );
        assert!(
            summary(&report, false)
                .ends_with("in memory, gone with this process; --checkpoint-dir keeps them")
        );
    }
}
