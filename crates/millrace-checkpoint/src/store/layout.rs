//! Where the files of a checkpoint directory are:
//!
//! ```text
//! DIR/manifests/42.json                         checkpoint 42 is complete
//! DIR/parts/42/window-by-origin-9f…-0-1.part    state written for it: operator, subtask, attempt
//! DIR/staging/                                  local only: files that are being written
//! DIR/LOCK                                      local only: held by the process that writes here
//! ```
//!
//! A part may be named by later manifests too (a chain of a full snapshot and differences), so parts
//! do not lie beside the manifest. Anything else in the directory is left alone.

use millrace_core::{CheckpointId, OperatorId};
use object_store::path::Path;

pub(super) const MANIFESTS: &str = "manifests";
pub(super) const PARTS: &str = "parts";

/// The path of a checkpoint's manifest.
pub(super) fn manifest_path(root: &Path, checkpoint: CheckpointId) -> Path {
    root.clone().join(MANIFESTS).join(format!("{checkpoint}.json"))
}

/// The folder of the parts that were written for a checkpoint.
pub(super) fn parts_path(root: &Path, checkpoint: CheckpointId) -> Path {
    root.clone().join(PARTS).join(checkpoint.to_string())
}

/// A part's path below the checkpoint directory.
pub(super) fn part_name(
    checkpoint: CheckpointId,
    operator: &OperatorId,
    subtask: usize,
    attempt: u64,
) -> String {
    format!("{PARTS}/{checkpoint}/{}-{subtask}-{attempt}.part", file_stem(operator.as_str()))
}

/// The checkpoint whose manifest has this file name.
pub(super) fn manifest_id(file_name: &str) -> Option<CheckpointId> {
    plain_number(file_name.strip_suffix(".json")?)
}

/// The checkpoint whose parts are in the folder of this name.
pub(super) fn plain_number(text: &str) -> Option<CheckpointId> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).map(CheckpointId)
}

/// A file name that people can relate to the operator and that no other operator has: its id with
/// everything odd replaced, cut to a length that every file system takes, and a hash of the whole
/// id (FNV-1a, 64 bits).
fn file_stem(id: &str) -> String {
    let readable: String = id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
        .take(48)
        .collect();
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{readable}-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_named_after_its_operator_whatever_characters_that_has() {
        let name = |id: &str| part_name(CheckpointId(7), &OperatorId::new(id), 2, 5);
        assert_eq!(name("../../etc/x y"), "parts/7/------etc-x-y-f8e7ee32cd0d25c3-2-5.part");
        assert_ne!(name("a/b"), name("a-b"));
        assert!(name(&"ä".repeat(500)).len() < 120);
    }

    #[test]
    fn only_plain_numbers_are_checkpoints() {
        assert_eq!(manifest_id("42.json"), Some(CheckpointId(42)));
        for other in ["42", "+42.json", "x.json", ".json", "42.json#1", "99999999999999999999.json"]
        {
            assert_eq!(manifest_id(other), None, "{other}");
        }
    }
}
