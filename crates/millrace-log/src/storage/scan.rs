//! Reads the batches of a file one after the other.

use std::fs::File;
use std::io;

use super::records::{BatchError, BatchHeader, HEADER_BYTES};
use super::segment::read_at;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A walk over the batches of a file that checks their checksums.
pub(super) struct Scan<'a> {
    file: &'a File,
    /// Where `buffer` stands in the file.
    buffer_position: u64,
    buffer: Vec<u8>,
    position: u64,
    end: u64,
}

/// What stands at a place of a file.
pub(super) enum Found<'a> {
    /// A batch.
    Batch { position: u64, header: BatchHeader, batch: &'a [u8] },
    /// Something that is no batch.
    Broken { position: u64, reason: BatchError },
}

impl<'a> Scan<'a> {
    /// Walks from `position` to `end`.
    pub fn new(file: &'a File, position: u64, end: u64) -> Self {
        Scan { file, buffer_position: position, buffer: Vec::new(), position, end }
    }

    /// The next batch; `None` at the end, and behind what is broken.
    pub fn next(&mut self) -> io::Result<Option<Found<'_>>> {
        if self.position >= self.end {
            return Ok(None);
        }
        let position = self.position;
        self.fill(HEADER_BYTES)?;
        let parsed = BatchHeader::parse(self.rest());
        let header = match parsed {
            Ok(header) => header,
            Err(reason) => return Ok(Some(self.broken(reason))),
        };
        let left = usize::try_from(self.end - position).unwrap_or(usize::MAX);
        if header.size_bytes > left {
            let reason =
                BatchError::Truncated { needed_bytes: header.size_bytes, present_bytes: left };
            return Ok(Some(self.broken(reason)));
        }
        self.fill(header.size_bytes)?;
        if let Err(reason) = header.verify(self.rest()) {
            return Ok(Some(self.broken(reason)));
        }
        self.position += header.size_bytes as u64;
        let from = (position - self.buffer_position) as usize;
        let Some(batch) = self.buffer.get(from..from + header.size_bytes) else {
            // The file is shorter than it was when the walk began.
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        Ok(Some(Found::Batch { position, header, batch }))
    }

    fn broken(&mut self, reason: BatchError) -> Found<'static> {
        let position = self.position;
        self.position = self.end;
        Found::Broken { position, reason }
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[(self.position - self.buffer_position) as usize..]
    }

    /// Has `bytes` bytes from the position on in the buffer, or all up to the end.
    fn fill(&mut self, bytes: usize) -> io::Result<()> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        if self.rest().len() < bytes.min(left) {
            self.buffer = read_at(self.file, self.position, bytes.max(CHUNK_BYTES).min(left))?;
            self.buffer_position = self.position;
        }
        Ok(())
    }
}
