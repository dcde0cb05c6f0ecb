//! The contract of formats that write files.

use std::fs::File;
use std::io::{self, Write};

use arrow_array::RecordBatch;

/// How much text is held back before it is written.
const BUFFER_BYTES: usize = 64 << 10;

/// Writes rows to one file.
pub(crate) trait Encoder: Send {
    /// Appends rows.
    fn write(&mut self, rows: &RecordBatch) -> io::Result<()>;

    /// About how long the file would be if it were finished now, in bytes.
    fn bytes(&self) -> u64;

    /// Writes what is held back, and gives the file back.
    fn finish(self: Box<Self>) -> io::Result<File>;
}

/// Turns rows into lines of text.
pub(crate) trait Lines: Send {
    /// Appends a line for each row, and tells `on_line` where each ends in `out`, behind its line
    /// end.
    fn append(
        &mut self,
        rows: &RecordBatch,
        out: &mut Vec<u8>,
        on_line: &mut dyn FnMut(usize),
    ) -> io::Result<()>;
}

/// Writes lines to a file.
pub(crate) struct LineEncoder<L> {
    lines: L,
    file: File,
    buffer: Vec<u8>,
    written_bytes: u64,
}

impl<L> LineEncoder<L> {
    pub fn new(lines: L, file: File) -> Self {
        LineEncoder { lines, file, buffer: Vec::new(), written_bytes: 0 }
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.written_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl<L: Lines> Encoder for LineEncoder<L> {
    fn write(&mut self, rows: &RecordBatch) -> io::Result<()> {
        self.lines.append(rows, &mut self.buffer, &mut |_| {})?;
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_out()?;
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.written_bytes + self.buffer.len() as u64
    }

    fn finish(mut self: Box<Self>) -> io::Result<File> {
        self.write_out()?;
        Ok(self.file)
    }
}
