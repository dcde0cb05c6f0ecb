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
    /// The buffer can hold no more: a record that fills it and has no end is too long.
    Limit,
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
}

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
}

/// What was made of the head of a chunk.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// The good records, of the projected schema.
    pub rows: Option<RecordBatch>,
    /// The bad ones, in their order.
    pub bad: Vec<BadRecord>,
    /// How many bytes are done with. With [`Follows::More`], 0 asks for more bytes; with
    /// [`Follows::Limit`], 0 says that the first record has no end within the limit.
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
