//! The Prometheus text format, version 0.0.4.

use std::fmt::Write;

use millrace_core::Timestamp;
use millrace_core::metrics::MetricsReading;
use millrace_runtime::{CheckpointStats, JobState, OperatorStatus};

/// A job's metrics, as `/metrics` shows them.
pub(super) fn exposition(
    operators: &[OperatorStatus],
    checkpoints: &CheckpointStats,
    state: JobState,
    restarts: u32,
) -> String {
    let mut text = String::new();
    for metric in PER_SUBTASK {
        metric.describe(&mut text);
        for operator in operators {
            for (subtask, reading) in operator.subtasks.iter().enumerate() {
                let id = label(operator.id.as_str());
                let name = label(&operator.name);
                let value = (metric.value)(reading);
                let _ = writeln!(
                    text,
                    "millrace_{}{{operator=\"{id}\",name=\"{name}\",subtask=\"{subtask}\"}} {value}",
                    metric.name
                );
            }
        }
    }
    let last = checkpoints.last.map_or(0, |checkpoint| checkpoint.0);
    let seconds = checkpoints.last_duration.as_secs_f64();
    for (name, kind, help, value) in [
        (
            "checkpoints_completed_total",
            "counter",
            "Checkpoints that completed",
            checkpoints.completed.to_string(),
        ),
        (
            "checkpoints_failed_total",
            "counter",
            "Checkpoints that were given up",
            checkpoints.failed.to_string(),
        ),
        (
            "checkpoint_last_id",
            "gauge",
            "Number of the newest complete checkpoint, 0 for none",
            last.to_string(),
        ),
        (
            "checkpoint_last_duration_seconds",
            "gauge",
            "From its barriers to its manifest",
            seconds.to_string(),
        ),
        (
            "checkpoint_last_bytes",
            "gauge",
            "State that it newly wrote",
            checkpoints.last_bytes.to_string(),
        ),
        (
            "restarts_total",
            "counter",
            "Restarts after failures in this process",
            restarts.to_string(),
        ),
        (
            "running",
            "gauge",
            "1 while the job is at work",
            u8::from(state == JobState::Running).to_string(),
        ),
    ] {
        let _ = writeln!(
            text,
            "# HELP millrace_{name} {help}\n# TYPE millrace_{name} {kind}\nmillrace_{name} {value}"
        );
    }
    text
}

struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&MetricsReading) -> String,
}

impl Metric {
    fn describe(&self, text: &mut String) {
        let Metric { name, kind, help, .. } = self;
        let _ = writeln!(text, "# HELP millrace_{name} {help}\n# TYPE millrace_{name} {kind}");
    }
}

const fn counter(
    name: &'static str,
    help: &'static str,
    value: fn(&MetricsReading) -> String,
) -> Metric {
    Metric { name, kind: "counter", help, value }
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    value: fn(&MetricsReading) -> String,
) -> Metric {
    Metric { name, kind: "gauge", help, value }
}

const PER_SUBTASK: &[Metric] = &[
    counter("rows_in_total", "Rows received, or read by a source", |m| m.rows_in.to_string()),
    counter("rows_out_total", "Rows sent, at all outputs", |m| m.rows_out.to_string()),
    counter("bytes_in_total", "Bytes received in memory, or read by a source", |m| {
        m.bytes_in.to_string()
    }),
    counter("bytes_out_total", "Bytes sent in memory", |m| m.bytes_out.to_string()),
    counter("late_rows_total", "Rows too late for all their windows", |m| m.late_rows.to_string()),
    counter("dropped_rows_total", "Rows that went no further, late ones among them", |m| {
        m.dropped_rows.to_string()
    }),
    gauge("watermark_seconds", "Event time, in seconds since 1970 UTC", |m| watermark(m.watermark)),
    counter("busy_seconds_total", "Time spent computing", |m| m.busy.as_secs_f64().to_string()),
    counter("idle_seconds_total", "Time spent waiting for input", |m| {
        m.idle.as_secs_f64().to_string()
    }),
    counter("backpressured_seconds_total", "Time spent waiting for room in an output", |m| {
        m.backpressured.as_secs_f64().to_string()
    }),
    gauge("state_bytes", "Memory that the state takes", |m| m.state_bytes.to_string()),
    gauge("snapshot_seconds", "How long the last snapshot held up the operator", |m| {
        m.snapshot.as_secs_f64().to_string()
    }),
];

fn watermark(watermark: Timestamp) -> String {
    match watermark {
        Timestamp::MIN => "-Inf".to_owned(),
        Timestamp::MAX => "+Inf".to_owned(),
        watermark => (watermark.as_millis() as f64 / 1e3).to_string(),
    }
}

/// A label's value, escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use millrace_core::OperatorId;
    use millrace_core::metrics::SubtaskMetrics;
    use millrace_runtime::NodeRole;

    use super::*;

    #[test]
    fn each_metric_has_help_type_and_a_line_for_each_subtask() {
        let metrics = SubtaskMetrics::default();
        metrics.add_in(7, 70);
        metrics.set_watermark(Timestamp::from_millis(1_500));
        let operator = OperatorStatus {
            id: OperatorId::new("w\"1\""),
            name: "window".to_owned(),
            role: NodeRole::Operator,
            subtasks: vec![metrics.read(), SubtaskMetrics::default().read()],
        };
        let text = exposition(&[operator], &CheckpointStats::default(), JobState::Running, 0);
        for line in [
            "# TYPE millrace_rows_in_total counter",
            "millrace_rows_in_total{operator=\"w\\\"1\\\"\",name=\"window\",subtask=\"0\"} 7",
            "millrace_watermark_seconds{operator=\"w\\\"1\\\"\",name=\"window\",subtask=\"0\"} 1.5",
            "millrace_watermark_seconds{operator=\"w\\\"1\\\"\",name=\"window\",subtask=\"1\"} -Inf",
            "millrace_running 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let described = text.lines().filter(|line| line.starts_with("# HELP")).count();
        let typed = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!((described, typed), (PER_SUBTASK.len() + 7, PER_SUBTASK.len() + 7));
    }
}
