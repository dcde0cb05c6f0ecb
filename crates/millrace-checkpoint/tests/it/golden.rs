//! Files of every version of the manifest, which must be readable for ever. A file is never changed;
//! a new version brings a new one.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;
use millrace_checkpoint::{CheckpointStore, FileRef, Manifest};
use millrace_core::{CheckpointId, ErrorKind};
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::sample;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// What the golden files say.
fn expected() -> Manifest {
    let part = |path: &str, bytes, crc32c| FileRef { path: path.to_owned(), bytes, crc32c };
    sample::manifest(
        42,
        vec![
            part("parts/41/window-0-2.part", 1_000, 0x1234_5678),
            part("parts/42/window-0-2.part", 10, 0xffff_ffff),
        ],
    )
}

/// Reads a file as the manifest of checkpoint 42.
fn load(content: &[u8]) -> millrace_core::Result<Manifest> {
    let memory = Arc::new(InMemory::new());
    let payload = Bytes::copy_from_slice(content).into();
    block_on(memory.put(&Path::from("manifests/42.json"), payload)).unwrap();
    let store = CheckpointStore::with_object_store(memory, "memory:".to_owned());
    block_on(store.load(CheckpointId(42)))
}

/// `content` with a trailer that fits, as another program might write it.
fn sealed(content: &str) -> Vec<u8> {
    let crc32c = crc32c::crc32c(content.as_bytes());
    format!("{content}{{\"bytes\":{},\"crc32c\":{crc32c}}}\n", content.len()).into_bytes()
}

#[test]
fn version_1_is_read() {
    let file = std::fs::read(golden("manifest-v1.json")).unwrap();
    assert_eq!(load(&file).unwrap(), expected());
}

#[test]
fn version_1_is_what_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(directory.path().to_str().unwrap()).unwrap();
    block_on(store.write_manifest(&expected())).unwrap();
    let written = std::fs::read_to_string(directory.path().join("manifests/42.json")).unwrap();
    let golden = std::fs::read_to_string(golden("manifest-v1.json")).unwrap();
    assert_eq!(written, golden, "a changed format needs a new version and a new golden file");
}

#[test]
fn an_unknown_field_is_passed_over_and_a_newer_version_is_refused() {
    let file = std::fs::read_to_string(golden("manifest-v1.json")).unwrap();
    let content = &file[..file.trim_end().rfind('\n').unwrap() + 1];
    let extended = content.replacen('{', "{ \"colour\": \"blue\",", 1);
    assert_eq!(load(&sealed(&extended)).unwrap(), expected());

    let newer = content.replacen("\"version\": 1", "\"version\": 2", 1);
    let error = load(&sealed(&newer)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Restore);
    assert!(error.message().contains("has version 2"), "{error}");
    assert!(error.hint_text().unwrap().contains("newer Millrace"), "{error}");
}

#[test]
fn every_cut_and_every_flipped_bit_is_found() {
    let file = std::fs::read(golden("manifest-v1.json")).unwrap();
    for length in 0..file.len() {
        let error = load(&file[..length]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Restore, "cut to {length} bytes");
    }
    for index in 0..file.len() {
        let mut damaged = file.clone();
        damaged[index] ^= 1 << (index % 8);
        match load(&damaged) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Restore, "byte {index}"),
            // A flip in the trailer itself may hit what has no meaning (white space, say).
            Ok(manifest) => assert_eq!(manifest, expected(), "byte {index}"),
        }
    }
}
