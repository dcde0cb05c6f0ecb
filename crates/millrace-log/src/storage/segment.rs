//! One file of batches.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::UNIX_EPOCH;

use super::index::{Entry, Index};
use super::index_file::SegmentFacts;
use super::lock;
use super::open_files::{OpenFiles, OpenSegment};
use super::records::BatchHeader;
use super::scan::{Found, Scan};
use crate::{LogError, Result};

/// Bytes between two entries of an index that has to be made again when it is needed.
const INDEX_INTERVAL_BYTES: u32 = 4096;

/// A segment: its file, its index, and what is known of its records.
///
/// One writer appends under the lock of its partition; any number of readers read below the size
/// that the partition has shown them. A segment that was deleted goes on serving those who still
/// hold it.
#[derive(Debug)]
pub(super) struct Segment {
    pub base_offset: i64,
    path: PathBuf,
    id: u64,
    files: Arc<OpenFiles>,
    handle: RwLock<Handle>,
    content: RwLock<Content>,
}

/// How a segment's file is kept.
#[derive(Debug)]
enum Handle {
    /// Open, as it is written to, not synced yet, or no longer in its directory.
    Pinned(Arc<OpenSegment>),
    /// Among the files that are open, or not.
    Cached,
    /// Another file may be in its place, and it was not open then.
    Gone,
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
}

impl Content {
    pub fn empty(base_offset: i64) -> Self {
        Content {
            size_bytes: 0,
            next_offset: base_offset,
            max_timestamp_ms: i64::MIN,
            max_timestamp_batch: base_offset,
            first_timestamp_ms: None,
        }
    }

    /// Takes in the batch that stands at the end, here and in the index.
    pub fn add(
        &mut self,
        segment_base: i64,
        header: &BatchHeader,
        index: &mut Index,
        interval_bytes: u32,
    ) {
        let entry = Entry {
            // A segment is rolled before either could pass 32 bits.
            offset_delta: (header.base_offset - segment_base) as u32,
            position: self.size_bytes as u32,
            max_timestamp_before_ms: self.max_timestamp_ms,
        };
        index.note(entry, interval_bytes);
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
    /// Begins a new, empty segment, which stays open.
    pub fn create(dir: &Path, base_offset: i64, files: &Arc<OpenFiles>) -> Result<Self> {
        let path = segment_path(dir, base_offset, "log");
        remove_file(&path.with_extension("index"))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(LogError::io("create", &path))?;
        let index = Index::default();
        Ok(Self::open(file, path, Content::empty(base_offset), index, base_offset, files))
    }

    /// A segment whose file is open, and stays so until it is [released](Segment::release).
    pub fn open(
        file: File,
        path: PathBuf,
        content: Content,
        index: Index,
        base_offset: i64,
        files: &Arc<OpenFiles>,
    ) -> Self {
        let opened = Arc::new(OpenSegment { file, index: RwLock::new(index) });
        Self::with_handle(path, content, base_offset, files, Handle::Pinned(opened))
    }

    /// A closed segment that nobody has looked into yet.
    pub fn closed(
        path: PathBuf,
        content: Content,
        base_offset: i64,
        files: &Arc<OpenFiles>,
    ) -> Self {
        Self::with_handle(path, content, base_offset, files, Handle::Cached)
    }

    fn with_handle(
        path: PathBuf,
        content: Content,
        base_offset: i64,
        files: &Arc<OpenFiles>,
        handle: Handle,
    ) -> Self {
        Segment {
            base_offset,
            path,
            id: files.next_id(),
            files: files.clone(),
            handle: RwLock::new(handle),
            content: RwLock::new(content),
        }
    }

    /// Its file and its index, which are opened if they are not.
    pub fn opened(&self) -> Result<Arc<OpenSegment>> {
        if let Handle::Pinned(opened) = &*lock::read(&self.handle) {
            return Ok(opened.clone());
        }
        if let Some(opened) = self.files.get(self.id) {
            return Ok(opened);
        }
        // One opens it, and nobody may put another file in its place meanwhile.
        let handle = lock::write(&self.handle);
        match &*handle {
            Handle::Pinned(opened) => Ok(opened.clone()),
            Handle::Gone => Err(self.error("open", io::ErrorKind::NotFound.into())),
            Handle::Cached => match self.files.get(self.id) {
                Some(opened) => Ok(opened),
                None => {
                    let opened = Arc::new(self.open_file()?);
                    self.files.insert(self.id, opened.clone());
                    Ok(opened)
                }
            },
        }
    }

    fn open_file(&self) -> Result<OpenSegment> {
        let file = File::open(&self.path).map_err(|source| self.error("open", source))?;
        let index_path = self.path.with_extension("index");
        let index = match SegmentFacts::read_all(self.base_offset, &index_path) {
            Ok(facts) => facts.index,
            Err(why) => {
                let path = self.path.display();
                tracing::warn!(%path, %why, "the index of a segment was made anew from its batches");
                // The next opening of the log writes another.
                remove_file(&index_path)?;
                self.build_index(&file)?
            }
        };
        Ok(OpenSegment { file, index: RwLock::new(index) })
    }

    fn build_index(&self, file: &File) -> Result<Index> {
        let mut index = Index::default();
        let mut content = Content::empty(self.base_offset);
        let mut scan = Scan::new(file, 0, self.size_bytes());
        while let Some(found) = scan.next().map_err(|source| self.error("read", source))? {
            match found {
                Found::Batch { header, .. } => {
                    content.add(self.base_offset, &header, &mut index, INDEX_INTERVAL_BYTES);
                }
                Found::Broken { position, reason } => return Err(self.damaged(position, reason)),
            }
        }
        Ok(index)
    }

    /// The segment is closed and its batches need no sync any more: its file may be closed too.
    pub fn release(&self) {
        let mut handle = lock::write(&self.handle);
        if let Handle::Pinned(opened) = &*handle {
            self.files.insert(self.id, opened.clone());
            *handle = Handle::Cached;
        }
    }

    /// Another file takes its place, or none: who holds the segment goes on reading its own.
    pub fn pin(&self) {
        let mut handle = lock::write(&self.handle);
        if !matches!(*handle, Handle::Cached) {
            return;
        }
        let opened = self.files.get(self.id).map_or_else(|| self.open_file().map(Arc::new), Ok);
        *handle = match opened {
            Ok(opened) => Handle::Pinned(opened),
            Err(error) => {
                tracing::warn!(%error, "who still reads a segment that goes has to read again");
                Handle::Gone
            }
        };
        self.files.remove(self.id);
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
        let opened = self.opened().map_err(|error| WriteError { error, restored: true })?;
        self.files.disk().write(&opened.file, parts).map_err(|source| {
            let restored = self.truncate(end);
            WriteError { error: self.error("write", source), restored: restored.is_ok() }
        })
    }

    /// Cuts the file and sets the writer to its end.
    pub fn truncate(&self, size_bytes: u64) -> Result<()> {
        let opened = self.opened()?;
        let truncated = opened.file.set_len(size_bytes);
        truncated
            .and_then(|()| (&opened.file).seek(SeekFrom::Start(size_bytes)).map(drop))
            .map_err(|source| self.error("truncate", source))
    }

    /// Takes in batches that were written.
    pub fn added(&self, headers: &[BatchHeader], index_interval_bytes: u32) -> Result<()> {
        let opened = self.opened()?;
        let mut content = lock::write(&self.content);
        let mut index = lock::write(&opened.index);
        for header in headers {
            content.add(self.base_offset, header, &mut index, index_interval_bytes);
        }
        Ok(())
    }

    /// Reads up to `bytes` bytes from `position` on; fewer only at the end of the file.
    pub fn read(&self, opened: &OpenSegment, position: u64, bytes: usize) -> Result<Vec<u8>> {
        read_at(&opened.file, position, bytes).map_err(|source| self.error("read", source))
    }

    /// Forces what was written to the disk.
    pub fn sync(&self) -> Result<()> {
        let opened = self.opened()?;
        self.files.disk().sync(&opened.file).map_err(|source| self.error("sync", source))
    }

    /// When the file was last changed, in milliseconds since 1970, if the system knows.
    pub fn modified_ms(&self) -> Option<i64> {
        let modified = std::fs::metadata(&self.path).ok()?.modified().ok()?;
        let since = modified.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    }

    /// Writes what is known of the segment beside it. Without that the next opening reads it, and
    /// nothing is lost.
    pub fn write_facts(&self, facts: &SegmentFacts) {
        let path = self.path.with_extension("index");
        if let Err(error) = facts.write(self.base_offset, &path, self.files.disk()) {
            tracing::warn!(path = %path.display(), %error, "the index of a segment was not written");
        }
    }

    /// Takes the files out of their directory; who holds the segment can go on reading it.
    pub fn remove(&self) -> Result<()> {
        self.pin();
        // The index first: alone, it would be of no use.
        remove_file(&self.path.with_extension("index"))?;
        remove_file(&self.path)
    }

    pub fn error(&self, action: &'static str, source: io::Error) -> LogError {
        LogError::Io { action, path: self.path.clone(), source }
    }

    /// The error for a byte that can't be what was written.
    pub fn damaged(&self, position: u64, reason: impl ToString) -> LogError {
        LogError::Damaged { path: self.path.clone(), position, reason: reason.to_string() }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.files.remove(self.id);
    }
}

/// A write that failed.
#[derive(Debug)]
pub(super) struct WriteError {
    pub error: LogError,
    /// Whether the file ends with its last whole batch again.
    pub restored: bool,
}

/// Removes a file, if it is there.
fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LogError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
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
