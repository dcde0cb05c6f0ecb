//! What is kept and what goes, on a store in memory.

use std::sync::Arc;

use futures::TryStreamExt as _;
use futures::executor::block_on;
use millrace_checkpoint::CheckpointStore;
use millrace_core::CheckpointId;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use proptest::prelude::*;

use crate::sample::{listed, newest, write_checkpoint, write_part};

fn open() -> (Arc<InMemory>, CheckpointStore) {
    let memory = Arc::new(InMemory::new());
    let store = CheckpointStore::with_object_store(memory.clone(), "memory:".to_owned());
    (memory, store)
}

/// The numbers of the checkpoints that parts were written for, one a part.
fn parts(memory: &InMemory) -> Vec<u64> {
    let objects: Vec<_> = block_on(memory.list(Some(&Path::from("parts"))).try_collect()).unwrap();
    let number = |path: &Path| path.parts().nth(1).unwrap().as_ref().parse().unwrap();
    let mut numbers: Vec<u64> = objects.iter().map(|object| number(&object.location)).collect();
    numbers.sort_unstable();
    numbers
}

fn damage(memory: &InMemory, checkpoint: u64) {
    let path = Path::from(format!("manifests/{checkpoint}.json"));
    block_on(memory.put(&path, "{".into())).unwrap();
}

#[test]
fn pruning_keeps_parts_that_a_kept_checkpoint_builds_upon() {
    let (memory, store) = open();
    let base = block_on(write_checkpoint(&store, 1, &[]));
    block_on(write_checkpoint(&store, 2, std::slice::from_ref(&base)));
    block_on(write_checkpoint(&store, 3, &[base]));
    block_on(store.prune(2)).unwrap();
    assert_eq!((listed(&store), parts(&memory)), (vec![2, 3], vec![1, 2, 3]));
    block_on(store.prune(0)).unwrap();
    assert_eq!((listed(&store), parts(&memory)), (vec![3], vec![1, 3]), "one is always kept");
    assert_eq!(newest(&store), Some(3));
}

#[test]
fn pruning_removes_leftovers_and_spares_the_checkpoint_that_is_being_written() {
    let (memory, store) = open();
    block_on(write_part(&store, 1));
    block_on(write_checkpoint(&store, 2, &[]));
    block_on(write_part(&store, 3));
    block_on(store.prune(3)).unwrap();
    assert_eq!(parts(&memory), [2, 3]);
}

#[test]
fn a_damaged_manifest_does_not_count_as_kept_and_its_parts_stay_while_it_does() {
    let (memory, store) = open();
    for checkpoint in 1..=4 {
        block_on(write_checkpoint(&store, checkpoint, &[]));
    }
    damage(&memory, 3);
    block_on(store.prune(2)).unwrap();
    assert_eq!((listed(&store), parts(&memory)), (vec![2, 4], vec![1, 2, 3, 4]));
    block_on(write_checkpoint(&store, 5, &[]));
    block_on(store.prune(2)).unwrap();
    assert_eq!((listed(&store), parts(&memory)), (vec![4, 5], vec![4, 5]));
}

#[test]
fn discarding_removes_one_checkpoint_and_clearing_all() {
    let (memory, store) = open();
    for checkpoint in 1..=2 {
        block_on(write_checkpoint(&store, checkpoint, &[]));
    }
    block_on(write_part(&store, 3));
    block_on(store.discard(CheckpointId(3))).unwrap();
    assert_eq!((listed(&store), parts(&memory)), (vec![1, 2], vec![1, 2]));
    block_on(store.discard(CheckpointId(2))).unwrap();
    assert_eq!((newest(&store), parts(&memory)), (Some(1), vec![1]));
    block_on(store.clear()).unwrap();
    assert_eq!((newest(&store), parts(&memory)), (None, vec![]));
    assert_eq!(block_on(store.next_checkpoint_id()).unwrap(), CheckpointId(1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever chain each checkpoint builds, after each prune the kept ones are whole and no part
    /// is left that none of them names.
    #[test]
    fn pruning_never_breaks_a_kept_checkpoint(
        chains in prop::collection::vec(any::<bool>(), 1..20),
        keep in 1usize..5,
    ) {
        let (memory, store) = open();
        let mut chain = Vec::new();
        let mut named: Vec<Vec<u64>> = Vec::new();
        for (checkpoint, full) in (1u64..).zip(chains) {
            if full {
                chain.clear();
            }
            let part = block_on(write_checkpoint(&store, checkpoint, &chain));
            chain.push(part);
            let first = checkpoint + 1 - chain.len() as u64;
            named.push((first..=checkpoint).collect());
            block_on(store.prune(keep)).unwrap();
            let kept = &named[named.len().saturating_sub(keep)..];
            prop_assert_eq!(listed(&store).len(), kept.len());
            for id in listed(&store) {
                block_on(store.load_verified(CheckpointId(id))).unwrap();
            }
            let mut expected: Vec<u64> = kept.concat();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(parts(&memory), expected);
        }
    }
}
