//! Manifests and stores to test with.

use std::collections::BTreeMap;

use futures::executor::block_on;
use millrace_checkpoint::{
    CheckpointKind, CheckpointStore, FileRef, Manifest, OperatorEntry, SplitEntry, SubtaskEntry,
};
use millrace_core::{
    CheckpointId, Committable, DropReason, LedgerCounts, OperatorId, Prepared, Split, SplitId,
    Timestamp,
};
use serde_json::json;

/// A manifest that uses every field, with this state of one window operator.
pub fn manifest(checkpoint: u64, state: Vec<FileRef>) -> Manifest {
    let mut read = LedgerCounts { rows_in: 10, passed: 9, ..LedgerCounts::default() };
    read.add_dropped(DropReason::Skipped, 1);
    read.rows_out = vec![9, 0];
    let split =
        Split { id: SplitId::new("flights.csv"), position: json!({"line": 11, "byte": 400}) };
    let source = SubtaskEntry {
        splits: vec![SplitEntry {
            split,
            watermark: Timestamp::from_millis(1_357_034_220_007),
            finished: false,
        }],
        ..SubtaskEntry::default()
    };
    let window = SubtaskEntry { state, ..SubtaskEntry::default() };
    let prepared = Prepared {
        committables: vec![Committable { payload: json!({"hidden": ".p-0"}), rows: 3 }],
        state: json!({"next": 1}),
    };
    let sink = SubtaskEntry { prepared: Some(prepared), ..SubtaskEntry::default() };
    let entry = |name: &str, subtask: SubtaskEntry, ledger: LedgerCounts| OperatorEntry {
        name: name.to_owned(),
        subtasks: vec![subtask],
        ledger,
    };
    Manifest {
        version: 1,
        job: "hourly".to_owned(),
        checkpoint: CheckpointId(checkpoint),
        kind: CheckpointKind::Periodic,
        triggered: Timestamp::from_millis(1_700_000_000_000),
        duration_ms: 12,
        max_parallelism: 128,
        attempts: 2,
        operators: BTreeMap::from([
            (OperatorId::new("source-flights"), entry("flights", source, read)),
            (OperatorId::new("window"), entry("TUMBLE(1 h)", window, LedgerCounts::default())),
            (OperatorId::new("sink-out"), entry("out", sink, LedgerCounts::default())),
        ]),
    }
}

/// Writes a complete checkpoint whose state is `parts` of an earlier checkpoint and a new one.
pub async fn write_checkpoint(
    store: &CheckpointStore,
    checkpoint: u64,
    shared: &[FileRef],
) -> FileRef {
    let part = write_part(store, checkpoint).await;
    let state = shared.iter().cloned().chain([part.clone()]).collect();
    store.write_manifest(&manifest(checkpoint, state)).await.unwrap();
    part
}

/// Writes a part and no manifest.
pub async fn write_part(store: &CheckpointStore, checkpoint: u64) -> FileRef {
    let bytes = format!("state of {checkpoint}").into_bytes();
    let operator = OperatorId::new("window");
    store.write_part(CheckpointId(checkpoint), &operator, 0, 1, bytes).await.unwrap()
}

/// The numbers of the readable checkpoints.
pub fn listed(store: &CheckpointStore) -> Vec<u64> {
    let listed = block_on(store.list()).unwrap();
    listed.into_iter().filter(|one| one.summary.is_ok()).map(|one| one.checkpoint.0).collect()
}

/// The number of the newest whole checkpoint.
pub fn newest(store: &CheckpointStore) -> Option<u64> {
    block_on(store.newest()).unwrap().manifest.map(|manifest| manifest.checkpoint.0)
}
