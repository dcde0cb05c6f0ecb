//! Checkpoints on storage that fails: whatever a write meets, the newest whole checkpoint is found.

use std::sync::Arc;
use std::time::Duration;

use millrace_checkpoint::{CheckpointKind, CheckpointStore, Manifest, OperatorEntry, SubtaskEntry};
use millrace_core::{CheckpointId, ErrorKind, LedgerCounts, OperatorId, Result, Timestamp};
use millrace_sim::{Fault, Faults, FaultyStore, for_each_seed, run};
use object_store::ObjectStore;
use object_store::memory::InMemory;

async fn write_checkpoint(store: &CheckpointStore, number: u64) -> Result<String> {
    let (checkpoint, operator) = (CheckpointId(number), OperatorId::new("window"));
    let mut state = Vec::new();
    for subtask in 0..2 {
        let bytes = format!("state of {subtask} at {number}").into_bytes();
        state.push(store.write_part(checkpoint, &operator, subtask, 1, bytes).await?);
    }
    let entry = OperatorEntry {
        name: "window".to_owned(),
        subtasks: vec![SubtaskEntry { state, ..SubtaskEntry::default() }],
        ledger: LedgerCounts::default(),
    };
    let manifest = Manifest {
        version: 1,
        job: "job".to_owned(),
        checkpoint,
        kind: CheckpointKind::Periodic,
        triggered: Timestamp::from_millis(0),
        duration_ms: 1,
        max_parallelism: 128,
        attempts: 1,
        operators: [(operator, entry)].into(),
    };
    store.write_manifest(&manifest).await
}

/// Writes two checkpoints with `fault` on a write of the second (1 and 2 are parts, 3 is the
/// manifest); returns how that went, the newest whole one, and those passed over.
fn second_with(fault: Fault, nth: u64) -> (Result<String>, u64, Vec<u64>) {
    let (outcome, _) = run(nth, |seams| async move {
        let faults = Faults::none().on_write(3 + nth, fault);
        let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let faulty = FaultyStore::new(memory, seams.clock, 1, faults);
        let store = CheckpointStore::with_object_store(Arc::new(faulty), "memory:".to_owned());
        write_checkpoint(&store, 1).await.unwrap();
        let written = write_checkpoint(&store, 2).await;
        let newest = store.newest().await.unwrap();
        let passed_over = newest.passed_over.iter().map(|(checkpoint, _)| checkpoint.0).collect();
        (written, newest.manifest.unwrap().checkpoint.0, passed_over)
    });
    outcome
}

#[test]
fn a_failed_write_leaves_the_checkpoint_before_it() {
    for nth in 1..=3 {
        for fault in [Fault::Fail, Fault::NoSpace] {
            let (written, newest, passed_over) = second_with(fault, nth);
            assert_eq!(written.unwrap_err().kind(), ErrorKind::Retry);
            assert_eq!((newest, passed_over), (1, vec![]), "{fault:?} on write {nth}");
        }
    }
}

#[test]
fn want_of_space_is_told_with_the_file_and_what_to_do() {
    let error = second_with(Fault::NoSpace, 1).0.unwrap_err();
    let report = error.full_report();
    assert!(report.starts_with("cannot write `memory:/parts/2/window-"), "{report}");
    assert!(report.contains("free some space"), "{report}");
}

#[test]
fn a_torn_or_corrupted_write_is_found_and_passed_over() {
    for nth in 1..=3 {
        for fault in [Fault::Torn { per_mille: 500 }, Fault::Torn { per_mille: 0 }, Fault::Corrupt]
        {
            let (written, newest, passed_over) = second_with(fault, nth);
            assert_eq!(written.is_ok(), fault == Fault::Corrupt);
            // A part that no manifest names is nobody's loss.
            let expected = if written.is_ok() || nth == 3 { vec![2] } else { vec![] };
            assert_eq!((newest, passed_over), (1, expected), "{fault:?} on write {nth}");
        }
    }
}

#[test]
fn a_manifest_whose_answer_got_lost_makes_a_checkpoint_all_the_same() {
    let (written, newest, passed_over) = second_with(Fault::AnswerLost, 3);
    assert_eq!(written.unwrap_err().kind(), ErrorKind::Retry);
    assert_eq!((newest, passed_over), (2, vec![]));
}

#[test]
fn a_delay_passes_in_virtual_time() {
    let (written, newest, _) = second_with(Fault::Delay(Duration::from_secs(86_400)), 3);
    assert_eq!((written.is_ok(), newest), (true, 2));
}

/// Random faults over many checkpoints, with pruning and discarding as a job does them.
#[test]
fn the_newest_acknowledged_checkpoint_is_found_whatever_else_failed() {
    for_each_seed("millrace-sim", "the_newest_acknowledged_checkpoint", 200, |seed| {
        let kinds =
            [Fault::Fail, Fault::NoSpace, Fault::AnswerLost, Fault::Torn { per_mille: 700 }];
        run(seed, |seams| async move {
            let faults = Faults::none().at_random(seed, 150, &kinds);
            let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let faulty = FaultyStore::new(memory, seams.clock, seed, faults);
            let store = CheckpointStore::with_object_store(Arc::new(faulty), "memory:".to_owned());
            let mut acknowledged = None;
            for _ in 0..20 {
                let next = store.next_checkpoint_id().await.unwrap();
                assert!(acknowledged.is_none_or(|last| next.0 > last));
                match write_checkpoint(&store, next.0).await {
                    Ok(_) => {
                        acknowledged = Some(next.0);
                        store.prune(2).await.unwrap();
                    }
                    Err(_) => store.discard(next).await.unwrap(),
                }
                let newest = store.newest().await.unwrap();
                let found = newest.manifest.map(|manifest| manifest.checkpoint.0);
                assert_eq!(found, acknowledged);
                assert!(newest.passed_over.is_empty());
            }
        });
    });
}
