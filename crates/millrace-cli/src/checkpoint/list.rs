use millrace_checkpoint::{CheckpointStore, Listed};
use serde_json::{Value, json};

use super::kind_name;
use crate::args::CheckpointArguments;
use crate::failure::Failure;
use crate::numbers::{bytes, lasting};
use crate::stdout;

/// Prints a line for each checkpoint, the oldest first. Damaged ones stand in the list with what is
/// wrong with their manifest.
pub(super) async fn list(arguments: &CheckpointArguments) -> Result<(), Failure> {
    let store = CheckpointStore::open_existing(&arguments.uri)
        .map_err(|error| Failure::before_running(&error))?;
    let listed = store.list().await.map_err(|error| Failure::operation(&error))?;
    if arguments.json {
        let all: Vec<Value> = listed.iter().map(as_json).collect();
        return stdout::print(&format!("{:#}\n", Value::Array(all)));
    }
    let mut text = format!(
        "{:>6}  {:8}  {:23}  {:>9}  {:>10}  {}\n",
        "number", "kind", "begun (UTC)", "took", "state", "job"
    );
    for checkpoint in &listed {
        text.push_str(&line(checkpoint));
    }
    stdout::print(&text)
}

fn line(listed: &Listed) -> String {
    match &listed.summary {
        Ok(summary) => format!(
            "{:>6}  {:8}  {:23}  {:>9}  {:>10}  {}\n",
            listed.checkpoint.0,
            kind_name(summary.kind),
            summary.triggered.to_string(),
            lasting(summary.duration),
            bytes(summary.bytes),
            summary.job
        ),
        Err(error) => format!("{:>6}  damaged: {}\n", listed.checkpoint.0, error.message()),
    }
}

fn as_json(listed: &Listed) -> Value {
    let mut value = json!({ "checkpoint": listed.checkpoint, "uri": listed.uri });
    let more = match &listed.summary {
        Ok(summary) => json!({
            "job": summary.job,
            "kind": summary.kind,
            "triggered_ms": summary.triggered,
            "duration_ms": u64::try_from(summary.duration.as_millis()).unwrap_or(u64::MAX),
            "state_bytes": summary.bytes,
        }),
        Err(error) => json!({ "damaged": error.full_report() }),
    };
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}
