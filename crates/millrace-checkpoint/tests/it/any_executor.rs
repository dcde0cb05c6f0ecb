//! The store's futures run on any executor, with tokio's runtime around or without it.

use futures::executor::block_on;
use millrace_checkpoint::CheckpointStore;

use crate::sample::{manifest, write_part};

async fn life_of_a_checkpoint(store: &CheckpointStore) {
    let part = write_part(store, 1).await;
    store.write_manifest(&manifest(1, vec![part])).await.unwrap();
    assert_eq!(store.list().await.unwrap().len(), 1);
    assert!(store.newest().await.unwrap().manifest.is_some());
    store.prune(1).await.unwrap();
    store.clear().await.unwrap();
    assert!(store.list().await.unwrap().is_empty());
}

#[test]
fn without_a_tokio_runtime() {
    let directory = tempfile::tempdir().unwrap();
    let local = CheckpointStore::open(directory.path().to_str().unwrap()).unwrap();
    let memory = CheckpointStore::open("memory:").unwrap();
    assert!(!memory.is_durable());
    block_on(life_of_a_checkpoint(&local));
    block_on(life_of_a_checkpoint(&memory));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn within_a_tokio_runtime() {
    let directory = tempfile::tempdir().unwrap();
    let local = CheckpointStore::open(directory.path().to_str().unwrap()).unwrap();
    life_of_a_checkpoint(&local).await;
    life_of_a_checkpoint(&CheckpointStore::open("memory:").unwrap()).await;
}
