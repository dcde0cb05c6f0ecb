//! One file of batches.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::time::UNIX_EPOCH;

use super::index::{Entry, Index};
use super::lock;
use super::records::BatchHeader;
use crate::{LogError, Result};

/// A segment: its file, its index, and what is known of its records.
///
/// One writer appends under the lock of its partition; any number of readers read below the size
/// that the partition has shown them. A segment that was deleted goes on serving those who still
/// hold it.
#[derive(Debug)]
pub(super) struct Segment {
    pub base_offset: i64,
    path: PathBuf,
    file: File,
    content: RwLock<Content>,
}

/// What the batches of a segment amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// Bytes of whole batches.
    pub size_bytes: u64,
    /// The offset behind the last record.
    pub next_offset: i64,
    /// The largest time stamp; `i64::MIN` when there is none.
    pub max_timestamp_ms: i64,
    /// The base offset of the batch that has it.
    pub max_timestamp_batch: i64,
    /// The first batch's largest time stamp, by which segments are rolled.
    pub first_timestamp_ms: Option<i64>,
    /// Where batches are.
    pub index: Index,
}

impl Content {
    pub fn empty(base_offset: i64) -> Self {
        Content {
            size_bytes: 0,
            next_offset: base_offset,
            max_timestamp_ms: i64::MIN,
            max_timestamp_batch: base_offset,
            first_timestamp_ms: None,
            index: Index::default(),
        }
    }

    /// Takes in the batch that stands at the end.
    pub fn add(&mut self, segment_base: i64, header: &BatchHeader, interval_bytes: u32) {
        let entry = Entry {
            // A segment is rolled before either could pass 32 bits.
            offset_delta: (header.base_offset - segment_base) as u32,
            position: self.size_bytes as u32,
            max_timestamp_before_ms: self.max_timestamp_ms,
        };
        self.index.note(entry, interval_bytes);
        if header.max_timestamp_ms > self.max_timestamp_ms {
            self.max_timestamp_ms = header.max_timestamp_ms;
            self.max_timestamp_batch = header.base_offset;
        }
        self.first_timestamp_ms.get_or_insert(header.max_timestamp_ms);
        self.size_bytes += header.size_bytes as u64;
        self.next_offset = header.next_offset();
    }
}

/// The file of the segment that begins at this offset.
pub(super) fn segment_path(dir: &Path, base_offset: i64, extension: &str) -> PathBuf {
    dir.join(format!("{base_offset:020}.{extension}"))
}

impl Segment {
    /// Begins a new, empty segment.
    pub fn create(dir: &Path, base_offset: i64) -> Result<Self> {
        let path = segment_path(dir, base_offset, "log");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(LogError::io("create", &path))?;
        Ok(Self::of(file, path, base_offset, Content::empty(base_offset)))
    }

    pub fn of(file: File, path: PathBuf, base_offset: i64, content: Content) -> Self {
        Segment { base_offset, path, file, content: RwLock::new(content) }
    }

    /// Looks at what the segment holds.
    pub fn with<T>(&self, look: impl FnOnce(&Content) -> T) -> T {
        look(&lock::read(&self.content))
    }

    pub fn size_bytes(&self) -> u64 {
        self.with(|content| content.size_bytes)
    }

    pub fn next_offset(&self) -> i64 {
        self.with(|content| content.next_offset)
    }

    /// Writes `parts` at the end. Only what holds the partition's lock for appends may call it, and
    /// must [`Segment::added`] the batches then.
    ///
    /// # Errors
    /// Those of the file. It is cut back to its last whole batch before; should even that fail, the
    /// second flag of the error says so.
    pub fn write(&self, parts: &mut [IoSlice<'_>]) -> Result<(), WriteError> {
        let end = self.size_bytes();
        write_all(&self.file, parts).map_err(|source| {
            let restored = self.truncate(end);
            WriteError { error: self.error("write", source), restored: restored.is_ok() }
        })
    }

    /// Cuts the file and sets the writer to its end.
    pub fn truncate(&self, size_bytes: u64) -> io::Result<()> {
        self.file.set_len(size_bytes)?;
        (&self.file).seek(SeekFrom::Start(size_bytes)).map(drop)
    }

    /// Takes in batches that were written.
    pub fn added(&self, headers: &[BatchHeader], index_interval_bytes: u32) {
        let mut content = lock::write(&self.content);
        for header in headers {
            content.add(self.base_offset, header, index_interval_bytes);
        }
    }

    /// Reads up to `bytes` bytes from `position` on; fewer only at the end of the file.
    pub fn read(&self, position: u64, bytes: usize) -> Result<Vec<u8>> {
        read_at(&self.file, position, bytes).map_err(|source| self.error("read", source))
    }

    /// Forces what was written to the disk.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|source| self.error("sync", source))
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// When the file was last changed, in milliseconds since 1970, if the system knows.
    pub fn modified_ms(&self) -> Option<i64> {
        let modified = self.file.metadata().ok()?.modified().ok()?;
        let since = modified.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    }

    /// Takes the file out of its directory; who holds the segment can go on reading it.
    pub fn remove(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.error("remove", error))
            }
            _ => Ok(()),
        }
    }

    pub fn error(&self, action: &'static str, source: io::Error) -> LogError {
        LogError::Io { action, path: self.path.clone(), source }
    }

    /// The error for a byte that can't be what was written.
    pub fn damaged(&self, position: u64, reason: impl ToString) -> LogError {
        LogError::Damaged { path: self.path.clone(), position, reason: reason.to_string() }
    }
}

/// A write that failed.
#[derive(Debug)]
pub(super) struct WriteError {
    pub error: LogError,
    /// Whether the file ends with its last whole batch again.
    pub restored: bool,
}

fn write_all(mut file: &File, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !parts.is_empty() {
        match file.write_vectored(parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut parts, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads up to `bytes` bytes at `position` into memory that need not be cleared first.
pub(super) fn read_at(file: &File, position: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(bytes);
    while buffer.len() < bytes {
        let at = position + buffer.len() as u64;
        let spare = rustix::buffer::spare_capacity(&mut buffer);
        match rustix::io::pread(file, spare, at) {
            Ok(0) => break,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    buffer.truncate(bytes);
    Ok(buffer)
}
