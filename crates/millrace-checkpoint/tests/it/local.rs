//! Local directories: damage, leftovers, permissions, and two processes in one of them.

use std::fs;
use std::path::Path;

use futures::executor::block_on;
use millrace_checkpoint::CheckpointStore;
use millrace_core::{CheckpointId, ErrorKind, OperatorId};

use crate::sample::{listed, manifest, newest, write_checkpoint, write_part};

fn open(directory: &Path) -> CheckpointStore {
    CheckpointStore::open(directory.to_str().unwrap()).unwrap()
}

#[test]
fn a_missing_directory_is_created_for_writing_and_refused_for_reading() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("a/b c");
    let uri = directory.to_str().unwrap();
    let error = CheckpointStore::open_existing(uri).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixInput);
    assert!(error.message().contains(uri), "{error}");
    let store = CheckpointStore::open(uri).unwrap();
    assert!(store.is_durable() && directory.is_dir());
    block_on(write_checkpoint(&store, 1, &[]));
    let as_url = url::Url::from_directory_path(&directory).unwrap();
    assert_eq!(newest(&CheckpointStore::open_existing(as_url.as_str()).unwrap()), Some(1));
}

#[test]
fn a_checkpoint_comes_back_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let part = block_on(write_part(&store, 7));
    let uri = block_on(store.write_manifest(&manifest(7, vec![part.clone()]))).unwrap();
    assert_eq!(uri, format!("{}/manifests/7.json", directory.path().display()));
    assert!(Path::new(&uri).is_file());
    let store = open(directory.path());
    assert_eq!(block_on(store.newest()).unwrap().manifest, Some(manifest(7, vec![part.clone()])));
    assert_eq!(block_on(store.read_part(&part)).unwrap(), b"state of 7");
}

#[test]
fn a_manifest_is_written_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    block_on(write_checkpoint(&store, 1, &[]));
    let error = block_on(store.write_manifest(&manifest(1, Vec::new()))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Report);
    assert_eq!(block_on(store.load(CheckpointId(1))).unwrap().files().count(), 1);
}

#[test]
fn a_damaged_or_missing_part_makes_the_checkpoint_before_it_the_newest() {
    type Damage = fn(&Path);
    let cases: [(Damage, &str); 3] = [
        (|path| fs::remove_file(path).unwrap(), "is missing"),
        (|path| fs::write(path, "state").unwrap(), "has 5 bytes instead of 10"),
        (|path| fs::write(path, "State of 2").unwrap(), "its checksum is"),
    ];
    for (damage, message) in cases {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        block_on(write_checkpoint(&store, 1, &[]));
        let part = block_on(write_checkpoint(&store, 2, &[]));
        damage(&directory.path().join(&part.path));
        let found = block_on(store.newest()).unwrap();
        assert_eq!(found.manifest.unwrap().checkpoint, CheckpointId(1));
        let (checkpoint, error) = &found.passed_over[0];
        assert_eq!((*checkpoint, error.kind()), (CheckpointId(2), ErrorKind::Restore));
        assert!(error.message().contains(message) && error.message().contains(&part.path));
    }
}

#[test]
fn a_damaged_manifest_is_passed_over_listed_and_counted_by_the_next_number() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    block_on(write_checkpoint(&store, 1, &[]));
    block_on(write_checkpoint(&store, 2, &[]));
    fs::write(directory.path().join("manifests/2.json"), "{").unwrap();
    assert_eq!(newest(&store), Some(1));
    let all = block_on(store.list()).unwrap();
    assert_eq!(all.iter().map(|one| one.checkpoint.0).collect::<Vec<_>>(), [1, 2]);
    assert!(all[0].summary.is_ok() && all[1].summary.is_err());
    assert_eq!(block_on(store.next_checkpoint_id()).unwrap(), CheckpointId(3));
}

#[test]
fn a_directory_without_any_whole_checkpoint_is_not_taken_for_an_empty_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    assert_eq!(newest(&store), None);
    for checkpoint in 1..3 {
        let part = block_on(write_checkpoint(&store, checkpoint, &[]));
        fs::remove_file(directory.path().join(part.path)).unwrap();
    }
    let error = block_on(store.newest()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Restore);
    assert!(error.message().contains("none of the 2 checkpoints"), "{error}");
    assert!(error.hint_text().unwrap().contains("--fresh"));
}

#[test]
fn numbers_go_on_above_abandoned_leftovers() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    assert_eq!(block_on(store.next_checkpoint_id()).unwrap(), CheckpointId(1));
    block_on(write_checkpoint(&store, 3, &[]));
    block_on(write_part(&store, 9));
    assert_eq!(block_on(store.next_checkpoint_id()).unwrap(), CheckpointId(10));
}

#[test]
fn a_second_lock_is_refused_with_the_directory_and_its_holder() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let lock = store.lock().unwrap();
    let error = open(directory.path()).lock().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixInput);
    let holder = format!("is in use by process {}", std::process::id());
    assert!(error.message().contains(&holder), "{error}");
    assert!(error.message().contains(directory.path().to_str().unwrap()), "{error}");
    drop(lock);
    store.lock().unwrap();
}

#[test]
fn locking_sweeps_away_what_a_crashed_process_was_writing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    block_on(write_checkpoint(&store, 1, &[]));
    let staging = directory.path().join("staging");
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 0, "nothing is left of a finished write");
    fs::write(staging.join("1-1"), "half").unwrap();
    let _lock = store.lock().unwrap();
    assert!(!staging.exists());
    block_on(write_checkpoint(&store, 2, &[]));
    assert_eq!(listed(&store), [1, 2]);
}

#[test]
fn paths_in_a_manifest_stay_below_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("ckpt"));
    fs::write(directory.path().join("secret"), "state of 1").unwrap();
    let mut part = block_on(write_part(&store, 1));
    for path in ["../secret", "parts/../../secret", "/etc/passwd", "LOCK", ""] {
        part.path = path.to_owned();
        let error = block_on(store.read_part(&part)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Restore, "{path}: {error}");
        assert!(error.message().contains("is not the path of"), "{path}: {error}");
    }
}

#[test]
fn a_file_where_a_directory_must_be_is_the_users_to_fix() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = CheckpointStore::open(file.to_str().unwrap()).unwrap_err();
    assert!(error.message().contains(file.to_str().unwrap()), "{error}");
    assert_eq!(error.kind(), ErrorKind::FixInput);

    let store = open(&directory.path().join("ckpt"));
    fs::write(directory.path().join("ckpt/parts"), "").unwrap();
    let operator = OperatorId::new("window");
    let write = store.write_part(CheckpointId(1), &operator, 0, 1, vec![1]);
    let error = block_on(write).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixInput, "{}", error.full_report());
    assert!(error.message().contains("ckpt/parts/1/"), "{error}");
}
