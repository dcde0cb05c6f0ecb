//! The contract of formats that read records from bytes (csv, json).

use arrow_array::BooleanArray;
use arrow_array::RecordBatch;
use arrow_select::filter::filter_record_batch;
use millrace_core::{BadRecord, Error, Result, SplitId};

/// What comes after the bytes of a [`Chunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// More bytes can be had: an incomplete record at the end is left alone.
    More,
    /// The split ends here: the last record needs no line end.
    Nothing,
}

/// Bytes that begin with a record, and where they stand in the (decompressed) split.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk<'a> {
    pub bytes: &'a [u8],
    pub follows: Follows,
    pub split: &'a SplitId,
    /// Where `bytes` begin, from 0.
    pub offset: u64,
    /// The line in which `bytes` begin, from 1.
    pub line: u64,
    /// A record that is longer is bad, and ends with its first line.
    pub max_record_bytes: usize,
}

/// How many bytes of a record that is too long are kept.
const OVERLONG_RAW_BYTES: usize = 1 << 10;

impl Chunk<'_> {
    /// A bad record that begins at `start` of the chunk's bytes, `lines` below its first line.
    pub fn bad_record(
        &self,
        start: usize,
        lines: u64,
        column: Option<u64>,
        cause: String,
        raw: &[u8],
    ) -> BadRecord {
        BadRecord {
            split: self.split.clone(),
            line: Some(self.line + lines),
            column,
            offset: self.offset + start as u64,
            cause,
            raw: raw.to_vec(),
        }
    }

    /// The bad record for one that begins at `start` and is longer than the limit. `line_text` is
    /// its first line, or as much of it as there is.
    pub fn overlong(&self, start: usize, lines: u64, line_text: &[u8]) -> BadRecord {
        // No more than is surely there, however much was read: a record looks the same each time.
        let kept = OVERLONG_RAW_BYTES.min(self.max_record_bytes).min(line_text.len());
        let limit = self.max_record_bytes;
        let cause = format!(
            "the record is longer than `max-record-bytes` ({limit}); its first {kept} bytes are kept"
        );
        self.bad_record(start, lines, None, cause, &line_text[..kept])
    }

    /// Whether the bytes from `start` on are too many to be one record. Two more are for its line
    /// end.
    pub fn exceeds_limit(&self, start: usize) -> bool {
        self.bytes.len() - start > self.max_record_bytes + 2
    }
}

/// What was made of the head of a chunk.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// The good records, of the projected schema.
    pub rows: Option<RecordBatch>,
    /// The bad ones, in their order.
    pub bad: Vec<BadRecord>,
    /// How many bytes are done with; 0 asks for more of them, or says that the first record has no
    /// line end within the limit.
    pub bytes: usize,
    /// How many line ends were among them.
    pub lines: u64,
    /// How many cells became NULL because they could not be parsed (`ignore-parse-errors`).
    pub nulled_cells: u64,
}

/// Turns bytes into rows. One for each split.
pub(crate) trait RecordDecoder: Send {
    /// Reads what stands before the first record; `None` asks for more bytes. Called once, at the
    /// beginning of the split, even when reading goes on further down.
    ///
    /// # Errors
    /// `FixInput` when the header does not fit the table.
    fn header(&mut self, chunk: &Chunk<'_>) -> Result<Option<Decoded>> {
        let _ = chunk;
        Ok(Some(Decoded::default()))
    }

    /// Decodes complete records from the head of `chunk`, `max_rows` at most, good and bad.
    ///
    /// # Errors
    /// Only for what is wrong with Millrace itself: bad records are part of the result.
    fn decode(&mut self, chunk: &Chunk<'_>, max_rows: usize) -> Result<Decoded>;
}

/// What to do with a cell that cannot be parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CellErrors {
    /// Its record is bad.
    #[default]
    BadRecord,
    /// It becomes NULL where the column may be NULL, as Flink's `ignore-parse-errors` wants it.
    Null,
}

/// Leaves out the rows that are marked in `bad`.
pub(crate) fn without_rows(batch: RecordBatch, bad: &[bool]) -> Result<RecordBatch> {
    if !bad.contains(&true) {
        return Ok(batch);
    }
    let keep = BooleanArray::from_iter(bad.iter().map(|bad| Some(!bad)));
    filter_record_batch(&batch, &keep)
        .map_err(|cause| Error::report("bad rows could not be left out").caused_by(cause))
}
