//! Reads a file of records: csv, json.

use std::path::PathBuf;

use async_trait::async_trait;
use millrace_core::{
    BadRecord, Batch, Columns, Error, Read, ReadBatch, Result, Split, SplitId, SplitReader,
};
use serde_json::Value;

use super::input::Input;
use super::position::Position;
use crate::format::record::{Chunk, Decoded, Follows, RecordDecoder};

/// How many bytes are read at a time.
const READ_BYTES: usize = 256 << 10;
/// How many bytes of a record that is too long go into its [`BadRecord`].
const OVERLONG_RAW_BYTES: usize = 1 << 10;

/// A file, its decoder, and the bytes in between. Reading blocks the task for the time of one read
/// of 256 KiB; for a local file that is less than decoding them takes.
pub(crate) struct RecordReader {
    path: PathBuf,
    split: SplitId,
    input: Input,
    decoder: Box<dyn RecordDecoder>,
    batch_rows: usize,
    max_record_bytes: usize,
    /// `buffer[taken..]` was read and not decoded.
    buffer: Vec<u8>,
    taken: usize,
    ended: bool,
    /// Where `buffer[taken]` stands in the decompressed content.
    offset: u64,
    line: u64,
    reported_bytes: u64,
    nulled_cells: u64,
}

impl RecordReader {
    /// Opens `path` at the split's position.
    ///
    /// # Errors
    /// As for [`millrace_core::Source::open`].
    pub fn open(
        path: PathBuf,
        split: &Split,
        decoder: Box<dyn RecordDecoder>,
        batch_rows: usize,
        max_record_bytes: usize,
    ) -> Result<Self> {
        let input = Input::open(&path)?;
        let position = Position::of(split)?;
        if let Some(position) = position {
            position.check_file(&path, input.length())?;
        }
        let mut reader = RecordReader {
            path,
            split: split.id.clone(),
            input,
            decoder,
            batch_rows: batch_rows.max(1),
            max_record_bytes,
            buffer: Vec::new(),
            taken: 0,
            ended: false,
            offset: 0,
            line: 1,
            reported_bytes: 0,
            nulled_cells: 0,
        };
        reader.read_header()?;
        if let Some(position) = position {
            reader.go_to(position)?;
        }
        Ok(reader)
    }

    fn read_header(&mut self) -> Result<()> {
        loop {
            let follows = self.follows();
            let chunk =
                chunk(&self.buffer, self.taken, follows, &self.split, self.offset, self.line);
            match self.decoder.header(&chunk)? {
                Some(header) => {
                    self.take(&header);
                    return Ok(());
                }
                None => self.fill()?,
            }
        }
    }

    fn go_to(&mut self, position: Position) -> Result<()> {
        let buffered = (self.buffer.len() - self.taken) as u64;
        if position.offset < self.offset {
            // A checkpoint taken before the first record stands at the file's beginning.
            return Ok(());
        }
        let ahead = position.offset - self.offset;
        if ahead <= buffered {
            self.taken += ahead as usize;
        } else {
            self.input.skip_to(position.offset, self.offset + buffered)?;
            self.buffer.clear();
            self.taken = 0;
        }
        self.offset = position.offset;
        self.line = position.line;
        Ok(())
    }

    fn follows(&self) -> Follows {
        if self.ended {
            Follows::Nothing
        } else if self.buffer.len() - self.taken > self.max_record_bytes {
            Follows::Limit
        } else {
            Follows::More
        }
    }

    /// Reads more behind what is buffered.
    fn fill(&mut self) -> Result<()> {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        // As much again as an incomplete record already has, so that a long one isn't searched
        // for its end too often; but never far beyond the limit.
        let pending = self.buffer.len();
        let count = pending.clamp(READ_BYTES, self.max_record_bytes.max(READ_BYTES));
        self.ended = self.input.read_into(&mut self.buffer, count)? == 0;
        Ok(())
    }

    fn take(&mut self, decoded: &Decoded) {
        self.taken += decoded.bytes;
        self.offset += decoded.bytes as u64;
        self.line += decoded.lines;
    }

    /// Leaves out a record that has no end within the limit, up to its line end.
    fn skip_overlong(&mut self) -> Result<BadRecord> {
        let raw = &self.buffer[self.taken..];
        let bad = BadRecord {
            split: self.split.clone(),
            line: Some(self.line),
            column: None,
            offset: self.offset,
            cause: format!(
                "the record is longer than `max-record-bytes` ({}); only its first {} bytes are \
                 kept",
                self.max_record_bytes,
                raw.len().min(OVERLONG_RAW_BYTES)
            ),
            raw: raw[..raw.len().min(OVERLONG_RAW_BYTES)].to_vec(),
        };
        loop {
            let rest = &self.buffer[self.taken..];
            let line_end = rest.iter().position(|&byte| byte == b'\n');
            let skipped = line_end.map_or(rest.len(), |at| at + 1);
            self.offset += skipped as u64;
            self.taken += skipped;
            if line_end.is_some() {
                self.line += 1;
                return Ok(bad);
            }
            if self.ended {
                return Ok(bad);
            }
            self.fill()?;
        }
    }

    fn read(&mut self) -> Result<Read> {
        loop {
            let follows = self.follows();
            let chunk =
                chunk(&self.buffer, self.taken, follows, &self.split, self.offset, self.line);
            if !chunk.bytes.is_empty() {
                let mut decoded = self.decoder.decode(&chunk, self.batch_rows)?;
                self.take(&decoded);
                self.nulled_cells += decoded.nulled_cells;
                if decoded.bytes == 0 && follows == Follows::Limit {
                    decoded.bad.push(self.skip_overlong()?);
                }
                if decoded.rows.is_some() || !decoded.bad.is_empty() {
                    return Ok(Read::Rows(self.give(decoded)));
                }
                if decoded.bytes > 0 {
                    continue;
                }
                if follows == Follows::Nothing {
                    return Err(Error::report(format!(
                        "the decoder makes no progress at byte {} of `{}`",
                        self.offset,
                        self.path.display()
                    )));
                }
            } else if self.ended {
                self.tell_nulled_cells();
                return Ok(Read::End);
            }
            self.fill()?;
        }
    }

    fn give(&mut self, decoded: Decoded) -> ReadBatch {
        let read = self.input.bytes_read();
        let bytes = read.saturating_sub(self.reported_bytes);
        self.reported_bytes = read;
        let rows = decoded.rows.map(|rows| Batch::new(Columns::new(rows)));
        ReadBatch { rows, bad: decoded.bad, bytes }
    }

    fn tell_nulled_cells(&mut self) {
        if self.nulled_cells > 0 {
            tracing::warn!(
                "{} values of `{}` could not be parsed and became NULL (ignore-parse-errors)",
                self.nulled_cells,
                self.split
            );
            self.nulled_cells = 0;
        }
    }
}

fn chunk<'a>(
    buffer: &'a [u8],
    taken: usize,
    follows: Follows,
    split: &'a SplitId,
    offset: u64,
    line: u64,
) -> Chunk<'a> {
    Chunk { bytes: &buffer[taken..], follows, split, offset, line }
}

#[async_trait]
impl SplitReader for RecordReader {
    async fn next(&mut self) -> Result<Read> {
        self.read()
    }

    fn position(&self) -> Value {
        Position::new(self.input.length(), self.offset, self.line).to_json()
    }
}
