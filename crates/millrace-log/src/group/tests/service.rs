//! The state machine over a log that is closed and opened again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use millrace_core::seam::Seams;
use tempfile::TempDir;

use super::super::Groups;
use super::*;
use crate::FsyncPolicy;
use crate::storage::{PartitionLog, TopicConfig, TransactionOutcome};

fn open(dir: &Path) -> (Arc<PartitionLog>, Groups) {
    let config = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
    let config = TopicConfig::parse(&config).expect("a known config");
    let log = PartitionLog::open(dir, config, FsyncPolicy::Never, Seams::system());
    let log = Arc::new(log.expect("a log"));
    (log.clone(), Groups::open(log, Seams::system(), GroupConfig::default()).expect("groups"))
}

fn nobody() -> MemberRef {
    MemberRef { generation: -1, ..MemberRef::default() }
}

/// The offset that stands, or that there will be another.
fn look(groups: &Groups, partition: i32) -> Result<Option<i64>, ResponseError> {
    groups.with(|coordinator| {
        let Some(group) = coordinator.group(&text(GROUP)) else { return Ok(None) };
        Ok(group.committed(&place(partition), true)?.map(|committed| committed.offset))
    })
}

#[tokio::test]
async fn pending_offsets_are_rebuilt_and_end_with_their_transaction() {
    for outcome in [TransactionOutcome::Commit, TransactionOutcome::Abort] {
        let dir = TempDir::new().expect("a directory");
        let (_log, groups) = open(dir.path());
        let before = vec![(place(0), committed(5)), (place(1), committed(6))];
        assert_eq!(groups.commit(&text(GROUP), &nobody(), before).await, [Ok(()), Ok(())]);
        let offsets = vec![(place(0), committed(9))];
        let results = groups.txn_offset_commit(&text(GROUP), &nobody(), 77, 0, offsets).await;
        assert_eq!(results, [Ok(())]);
        assert_eq!(look(&groups, 0), Err(ResponseError::UnstableOffsetCommit));
        drop((groups, _log));

        let (log, groups) = open(dir.path());
        assert_eq!(look(&groups, 0), Err(ResponseError::UnstableOffsetCommit));
        assert_eq!(look(&groups, 1), Ok(Some(6)));
        log.append_marker(77, 0, 0, outcome).expect("a marker");
        groups.complete_transaction(77, outcome);
        let after = if outcome == TransactionOutcome::Commit { 9 } else { 5 };
        assert_eq!(look(&groups, 0), Ok(Some(after)));
        drop((groups, log));

        let (_log, groups) = open(dir.path());
        assert_eq!(look(&groups, 0), Ok(Some(after)), "the marker is replayed");
    }
}

#[tokio::test]
async fn what_does_not_fit_into_one_batch_is_written_in_several() {
    let dir = TempDir::new().expect("a directory");
    let (log, groups) = open(dir.path());
    let metadata = text(&"m".repeat(4_000));
    let big = Committed { metadata, ..committed(1) };
    let offsets = (0..1_000).map(|partition| (place(partition), big.clone())).collect();
    let results = groups.commit(&text(GROUP), &nobody(), offsets).await;
    assert!(results.len() == 1_000 && results.iter().all(Result::is_ok));
    drop((groups, log));
    let (_log, groups) = open(dir.path());
    assert_eq!((look(&groups, 0), look(&groups, 999)), (Ok(Some(1)), Ok(Some(1))));
    assert_eq!(groups.delete(&text(GROUP)).await, Ok(()));
    drop((groups, _log));
    let (_log, groups) = open(dir.path());
    assert_eq!(look(&groups, 999), Ok(None));
}
