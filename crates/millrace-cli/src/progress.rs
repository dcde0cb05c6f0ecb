//! The line that shows on a terminal how a job goes on.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use millrace_core::Timestamp;
use millrace_runtime::{CheckpointStats, JobState, JobWatch, NodeRole, OperatorStatus};

use crate::numbers::{counted, lasting, rate};

/// How often the line is drawn anew.
pub(crate) const TICK: Duration = Duration::from_millis(200);

/// A line on standard error; hidden unless that is a terminal.
pub(crate) fn progress_line(quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    line.set_style(
        ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    line
}

/// What the line says, from one tick to the next.
#[derive(Default)]
pub(crate) struct Progress {
    rows: u64,
    at: Duration,
}

impl Progress {
    /// The text at `now` (a clock's `elapsed`).
    pub(crate) fn text(&mut self, watch: &JobWatch, now: Duration) -> String {
        let (rows, watermark) = read_so_far(&watch.operators());
        let speed = rate(rows.saturating_sub(self.rows), now.saturating_sub(self.at));
        (self.rows, self.at) = (rows, now);
        text(watch.state(), rows, &speed, watermark, &watch.checkpoints())
    }
}

/// Rows read by all sources, and how far their slowest subtask is.
fn read_so_far(operators: &[OperatorStatus]) -> (u64, Timestamp) {
    let sources = operators.iter().filter(|operator| operator.role == NodeRole::Source);
    let subtasks = sources.flat_map(|source| &source.subtasks);
    subtasks.fold((0, Timestamp::MAX), |(rows, watermark), reading| {
        (rows + reading.rows_in, watermark.min(reading.watermark))
    })
}

fn text(
    state: JobState,
    rows: u64,
    speed: &str,
    watermark: Timestamp,
    checkpoints: &CheckpointStats,
) -> String {
    let mut text = match state {
        JobState::Created | JobState::Restoring => return "starting".to_owned(),
        JobState::Restarting => "waiting to restart, ".to_owned(),
        _ => String::new(),
    };
    text.push_str(&format!("{} · {speed}", counted(rows, "row")));
    if watermark != Timestamp::MIN && watermark != Timestamp::MAX {
        text.push_str(&format!(" · watermark {watermark}"));
    }
    if let Some(checkpoint) = checkpoints.last {
        text.push_str(&format!(
            " · checkpoint {checkpoint} ({})",
            lasting(checkpoints.last_duration)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use millrace_core::CheckpointId;

    use super::*;

    #[test]
    fn the_line_leaves_out_what_is_not_known_yet() {
        let none = CheckpointStats::default();
        assert_eq!(text(JobState::Restoring, 0, "", Timestamp::MIN, &none), "starting");
        assert_eq!(
            text(JobState::Running, 1, "1 rows/s", Timestamp::MIN, &none),
            "1 row · 1 rows/s"
        );
        let stats = CheckpointStats {
            last: Some(CheckpointId(3)),
            last_duration: Duration::from_millis(12),
            ..none
        };
        assert_eq!(
            text(JobState::Running, 27_004, "2 M rows/s", Timestamp::from_millis(0), &stats),
            "27,004 rows · 2 M rows/s · watermark 1970-01-01 00:00:00.000 · checkpoint 3 (12 ms)"
        );
    }
}
