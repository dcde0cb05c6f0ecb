//! The store on S3; `scripts/s3-test.sh` runs it against a server on this machine. The server's
//! address and a bucket come in `MILLRACE_S3_TEST_URI` and the usual `AWS_*` variables.

use millrace_checkpoint::CheckpointStore;
use millrace_core::{CheckpointId, ErrorKind};

use crate::sample::{manifest, write_checkpoint, write_part};

/// A store at a prefix of its own.
fn open(prefix: &str) -> CheckpointStore {
    let uri = std::env::var("MILLRACE_S3_TEST_URI")
        .expect("MILLRACE_S3_TEST_URI is not set: run scripts/s3-test.sh");
    CheckpointStore::open(&format!("{uri}/{prefix}")).unwrap()
}

#[tokio::test]
#[ignore = "needs an S3 server: scripts/s3-test.sh"]
async fn checkpoints_are_written_listed_verified_and_pruned() {
    let store = open("life");
    assert_eq!(store.next_checkpoint_id().await.unwrap(), CheckpointId(1));
    let base = write_checkpoint(&store, 1, &[]).await;
    write_checkpoint(&store, 2, std::slice::from_ref(&base)).await;
    write_checkpoint(&store, 3, &[]).await;
    write_part(&store, 4).await;
    let listed = store.list().await.unwrap();
    assert_eq!(listed.iter().map(|one| one.checkpoint.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(store.newest().await.unwrap().manifest.unwrap().checkpoint, CheckpointId(3));
    store.prune(2).await.unwrap();
    assert_eq!(store.read_part(&base).await.unwrap(), b"state of 1");
    store.prune(1).await.unwrap();
    assert_eq!(store.read_part(&base).await.unwrap_err().kind(), ErrorKind::Restore);
    assert_eq!(store.next_checkpoint_id().await.unwrap(), CheckpointId(5));
    store.discard(CheckpointId(4)).await.unwrap();
    store.clear().await.unwrap();
    assert!(store.newest().await.unwrap().manifest.is_none());
    assert_eq!(store.next_checkpoint_id().await.unwrap(), CheckpointId(1));
}

#[tokio::test]
#[ignore = "needs an S3 server: scripts/s3-test.sh"]
async fn a_manifest_is_written_once() {
    let store = open("once");
    let part = write_checkpoint(&store, 1, &[]).await;
    // The same again is a retried request; something else is another job's.
    let uri = store.write_manifest(&manifest(1, vec![part])).await.unwrap();
    assert!(uri.starts_with("s3://") && uri.ends_with("/once/manifests/1.json"), "{uri}");
    let error = store.write_manifest(&manifest(1, Vec::new())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Report);
}

#[tokio::test]
#[ignore = "needs an S3 server: scripts/s3-test.sh"]
async fn a_missing_bucket_is_an_error_with_its_name_and_not_an_empty_directory() {
    let store = CheckpointStore::open("s3://no-such-bucket-here/job").unwrap();
    let error = store.newest().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixInput, "{}", error.full_report());
    assert!(error.message().contains("s3://no-such-bucket-here/job"), "{error}");
    let error = store.write_manifest(&manifest(1, Vec::new())).await.unwrap_err();
    assert!(error.message().contains("s3://no-such-bucket-here/job"), "{error}");
}
