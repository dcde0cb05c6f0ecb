//! Where a reader stands in a file, as a checkpoint keeps it.

use std::path::Path;

use millrace_core::{Error, Result, Split};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version that this program writes.
const VERSION: u32 = 1;

/// The point behind the last record that was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    version: u32,
    /// The file's length on disk, to notice that it is another file by now.
    pub file_bytes: u64,
    /// Text formats: the next byte of the decompressed content, from 0. Parquet: 0.
    pub offset: u64,
    /// Text formats: the line of that byte, from 1. Parquet: the next row, from 1.
    pub line: u64,
}

impl Position {
    pub fn new(file_bytes: u64, offset: u64, line: u64) -> Self {
        Position { version: VERSION, file_bytes, offset, line }
    }

    /// The position in `split`; `None` is the beginning.
    ///
    /// # Errors
    /// `Restore` when it cannot be understood.
    pub fn of(split: &Split) -> Result<Option<Self>> {
        if split.position.is_null() {
            return Ok(None);
        }
        let unreadable = |why: String| {
            Error::restore(format!("the position in `{}` cannot be understood: {why}", split.id))
        };
        match split.position.get("version").and_then(Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => return Err(unreadable(format!("its version is {version}"))),
            None => return Err(unreadable("it has no version".into())),
        }
        let position: Position = serde_json::from_value(split.position.clone())
            .map_err(|cause| unreadable(cause.to_string()))?;
        if position.line == 0 {
            return Err(unreadable("lines count from 1".into()));
        }
        Ok(Some(position))
    }

    pub fn to_json(self) -> Value {
        serde_json::to_value(self).expect("numbers can be written as JSON")
    }

    /// Checks that the file is still the one that the position is about.
    ///
    /// # Errors
    /// `Restore` when its length is another.
    pub fn check_file(&self, path: &Path, length: u64) -> Result<()> {
        if length == self.file_bytes {
            return Ok(());
        }
        let change = if length < self.file_bytes { "shorter" } else { "longer" };
        Err(Error::restore(format!(
            "`{}` became {change} since the checkpoint: {} bytes then, {length} bytes now",
            path.display(),
            self.file_bytes
        ))
        .hint("a file must not change while a job reads it; `--fresh` begins anew"))
    }
}
