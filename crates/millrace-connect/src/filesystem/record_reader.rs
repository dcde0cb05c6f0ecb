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

/// A file, its decoder, and the bytes in between. Reading blocks the task for the time of one read
/// of 256 KiB; for a local file that is less than decoding them takes.
pub(crate) struct RecordReader {
    path: PathBuf,
    input: Input,
    window: Window,
    decoder: Box<dyn RecordDecoder>,
    batch_rows: usize,
    reported_bytes: u64,
    nulled_cells: u64,
}

/// What was read and not decoded, and where it stands.
struct Window {
    split: SplitId,
    /// From `taken` on; what is before was decoded.
    buffer: Vec<u8>,
    taken: usize,
    /// Nothing follows in the file.
    ended: bool,
    /// Where `buffer[taken]` stands in the decompressed content.
    offset: u64,
    line: u64,
    max_record_bytes: usize,
}

impl Window {
    fn chunk(&self) -> Chunk<'_> {
        Chunk {
            bytes: &self.buffer[self.taken..],
            follows: if self.ended { Follows::Nothing } else { Follows::More },
            split: &self.split,
            offset: self.offset,
            line: self.line,
            max_record_bytes: self.max_record_bytes,
        }
    }

    /// Reads more behind what is there.
    fn fill(&mut self, input: &mut Input) -> Result<()> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        // As much again as an incomplete record already has, so that a long one isn't searched
        // for its end too often; but never far beyond the limit.
        let pending = self.buffer.len();
        let count = pending.clamp(READ_BYTES, self.max_record_bytes.max(READ_BYTES));
        self.ended = input.read_into(&mut self.buffer, count)? == 0;
        Ok(())
    }

    fn pass(&mut self, bytes: usize, lines: u64) {
        self.taken += bytes;
        self.offset += bytes as u64;
        self.line += lines;
    }

    /// Leaves out a record that has no end within the limit, up to its line end.
    fn skip_overlong(&mut self, input: &mut Input) -> Result<BadRecord> {
        let chunk = self.chunk();
        let bad = chunk.overlong(0, 0, chunk.bytes);
        loop {
            let rest = &self.buffer[self.taken..];
            match rest.iter().position(|&byte| byte == b'\n') {
                Some(length) => {
                    self.pass(length + 1, 1);
                    return Ok(bad);
                }
                None => self.pass(rest.len(), 0),
            }
            if self.ended {
                return Ok(bad);
            }
            self.fill(input)?;
        }
    }

    /// Goes forward to a position.
    fn go_to(&mut self, position: Position, input: &mut Input) -> Result<()> {
        let buffered = (self.buffer.len() - self.taken) as u64;
        if position.offset < self.offset {
            // A checkpoint taken before the first record stands at the file's beginning.
            return Ok(());
        }
        let ahead = position.offset - self.offset;
        if ahead <= buffered {
            self.taken += ahead as usize;
        } else {
            input.skip_to(position.offset, self.offset + buffered)?;
            self.buffer.clear();
            self.taken = 0;
        }
        self.offset = position.offset;
        self.line = position.line;
        Ok(())
    }
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
        let window = Window {
            split: split.id.clone(),
            buffer: Vec::new(),
            taken: 0,
            ended: false,
            offset: 0,
            line: 1,
            max_record_bytes,
        };
        let mut reader = RecordReader {
            path,
            input,
            window,
            decoder,
            batch_rows: batch_rows.max(1),
            reported_bytes: 0,
            nulled_cells: 0,
        };
        reader.read_header()?;
        if let Some(position) = position {
            reader.window.go_to(position, &mut reader.input)?;
        }
        Ok(reader)
    }

    fn read_header(&mut self) -> Result<()> {
        loop {
            match self.decoder.header(&self.window.chunk())? {
                Some(header) => {
                    self.window.pass(header.bytes, header.lines);
                    return Ok(());
                }
                None => self.window.fill(&mut self.input)?,
            }
        }
    }

    fn read(&mut self) -> Result<Read> {
        loop {
            let chunk = self.window.chunk();
            if !chunk.bytes.is_empty() {
                let too_long = chunk.exceeds_limit(0);
                let mut decoded = self.decoder.decode(&chunk, self.batch_rows)?;
                self.window.pass(decoded.bytes, decoded.lines);
                self.nulled_cells += decoded.nulled_cells;
                if decoded.bytes == 0 && too_long {
                    decoded.bad.push(self.window.skip_overlong(&mut self.input)?);
                }
                if decoded.rows.is_some() || !decoded.bad.is_empty() {
                    return Ok(Read::Rows(self.give(decoded)));
                }
                if decoded.bytes > 0 {
                    continue;
                }
                if self.window.ended {
                    return Err(Error::report(format!(
                        "the decoder makes no progress at byte {} of `{}`",
                        self.window.offset,
                        self.path.display()
                    )));
                }
            } else if self.window.ended {
                self.tell_nulled_cells();
                return Ok(Read::End);
            }
            self.window.fill(&mut self.input)?;
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
                self.window.split
            );
            self.nulled_cells = 0;
        }
    }
}

#[async_trait]
impl SplitReader for RecordReader {
    async fn next(&mut self) -> Result<Read> {
        self.read()
    }

    fn position(&self) -> Value {
        Position::new(self.input.length(), self.window.offset, self.window.line).to_json()
    }
}
