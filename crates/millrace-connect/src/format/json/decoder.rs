//! Lines of JSON to rows.
//!
//! `arrow-json` takes the lines apart, or, where all columns are simple and all lines plainly good,
//! a scan of our own that is faster. Columns of simple types are had as texts, which then are parsed
//! as in csv: so numbers and timestamps have one set of rules, and a value that does not fit is
//! found with its place; so are the values of maps. Other nested columns are left to `arrow-json`.
//! Where it refuses a batch, each line is tried alone, to find the bad ones.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow_json::ReaderBuilder;
use arrow_json::reader::Decoder;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use millrace_core::{BadRecord, Error, Result, SplitId};

use super::flat::{FlatCells, FlatScanner};
use super::scan::field_value;
use super::{JsonFormat, maps};
use crate::format::ReadSchema;
use crate::format::cells::{self, Cells};
use crate::format::message::{DecodedMessages, MessageDecoder, Messages};
use crate::format::record::{CellErrors, Chunk, Decoded, Follows, RecordDecoder, without_rows};

/// Reads one file's lines.
pub(crate) struct JsonDecoder {
    format: JsonFormat,
    schema: SchemaRef,
    /// The projected columns, simple ones as texts.
    texts: SchemaRef,
    /// Room for so many rows, with the decoder that has it.
    decoder: Option<(usize, Decoder)>,
    /// None with nested columns.
    flat: Option<FlatScanner>,
    lines: Vec<Line>,
}

/// Where a line stands in the chunk.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub start: usize,
    pub end: usize,
    pub lines_above: u64,
}

impl JsonDecoder {
    pub fn new(format: JsonFormat, read: &ReadSchema) -> Self {
        let fields = read.projected.fields().iter().map(|field| {
            let data_type = match field.data_type() {
                DataType::Map(..) => maps::of_texts(),
                other if is_nested(other) => other.clone(),
                _ => DataType::Utf8,
            };
            Field::new(field.name(), data_type, true)
        });
        let fields_read = read.projected.fields();
        let simple = fields_read.iter().all(|field| !is_nested(field.data_type()));
        let flat = simple.then(|| FlatScanner::new(fields_read.iter().map(|f| f.name().as_str())));
        JsonDecoder {
            format,
            flat,
            schema: read.projected.clone(),
            texts: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            decoder: None,
            lines: Vec::new(),
        }
    }

    /// Takes the decoder out, with room for `rows`; put back only when all went well.
    fn take_decoder(&mut self, rows: usize) -> Result<Decoder> {
        match self.decoder.take() {
            Some((room, decoder)) if room >= rows => Ok(decoder),
            _ => self.new_decoder(rows),
        }
    }

    fn new_decoder(&self, rows: usize) -> Result<Decoder> {
        ReaderBuilder::new(self.texts.clone())
            // One more, so that a second object in the last line is noticed.
            .with_batch_size(rows + 1)
            .with_coerce_primitive(true)
            .with_ignore_type_conflicts(self.format.cell_errors == CellErrors::Null)
            .build_decoder()
            .map_err(|cause| {
                Error::fix_input("format `json` does not support the table's columns")
                    .caused_by(cause)
            })
    }

    /// Finds up to `max_rows` lines.
    fn find_lines(&mut self, chunk: &Chunk<'_>, max_rows: usize) -> Decoded {
        self.lines.clear();
        let mut decoded = Decoded::default();
        while self.lines.len() + decoded.bad.len() < max_rows && decoded.bytes < chunk.bytes.len() {
            let start = decoded.bytes;
            let rest = &chunk.bytes[start..];
            let (end, next, lines) = match rest.iter().position(|&byte| byte == b'\n') {
                Some(length) => (start + length, start + length + 1, 1),
                None if chunk.follows == Follows::Nothing => {
                    (chunk.bytes.len(), chunk.bytes.len(), 0)
                }
                None => break,
            };
            let text = &chunk.bytes[start..end];
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if text.len() > chunk.max_record_bytes {
                decoded.bad.push(chunk.overlong(start, decoded.lines, text));
            } else if !text.trim_ascii().is_empty() {
                let end = start + text.len();
                self.lines.push(Line { start, end, lines_above: decoded.lines });
            }
            decoded.bytes = next;
            decoded.lines += lines;
        }
        decoded
    }

    /// All lines at once; `None` when at least one is bad.
    fn decode_together(&mut self, bytes: &[u8], lines: &[Line]) -> Result<Option<RecordBatch>> {
        let mut decoder = self.take_decoder(lines.len())?;
        for (index, line) in lines.iter().enumerate() {
            let text = &bytes[line.start..line.end];
            let taken = decoder.decode(text);
            let whole = taken.is_ok_and(|taken| taken == text.len())
                && decoder.len() == index + 1
                && !decoder.has_partial_record();
            if !whole {
                return Ok(None);
            }
        }
        match decoder.flush() {
            Ok(Some(batch)) if batch.num_rows() == lines.len() => {
                self.decoder = Some((lines.len(), decoder));
                Ok(Some(batch))
            }
            _ => Ok(None),
        }
    }

    /// By `arrow-json`: all lines at once, or one by one when some are bad.
    fn decode_slowly(
        &mut self,
        chunk: &Chunk<'_>,
        bad: &mut Vec<BadRecord>,
    ) -> Result<Option<RecordBatch>> {
        let lines = std::mem::take(&mut self.lines);
        let together = self.decode_together(chunk.bytes, &lines)?;
        self.lines = lines;
        match together {
            Some(texts) => Ok(Some(texts)),
            None => self.decode_one_by_one(chunk, bad),
        }
    }

    /// Leaves the bad lines out and tells them.
    fn decode_one_by_one(
        &mut self,
        chunk: &Chunk<'_>,
        bad: &mut Vec<BadRecord>,
    ) -> Result<Option<RecordBatch>> {
        let lines = std::mem::take(&mut self.lines);
        for line in lines {
            let text = &chunk.bytes[line.start..line.end];
            match self.decode_together(chunk.bytes, &[line])? {
                Some(_) => self.lines.push(line),
                None => {
                    let (column, cause) = self.what_is_wrong(text)?;
                    bad.push(chunk.bad_record(line.start, line.lines_above, column, cause, text));
                }
            }
        }
        if self.lines.is_empty() {
            return Ok(None);
        }
        let lines = std::mem::take(&mut self.lines);
        let batch = self.decode_together(chunk.bytes, &lines)?;
        self.lines = lines;
        match batch {
            Some(batch) => Ok(Some(batch)),
            None => Err(Error::report("JSON lines that are good one by one are bad together")),
        }
    }

    fn what_is_wrong(&self, text: &[u8]) -> Result<(Option<u64>, String)> {
        match serde_json::from_slice::<serde_json::Value>(text) {
            Err(error) => {
                let shown = error.to_string();
                let cause = shown.split(" at line ").next().unwrap_or_default();
                Ok((Some(error.column().max(1) as u64), format!("not JSON: {cause}")))
            }
            Ok(value) if !value.is_object() => {
                Ok((Some(1), "the line is not a JSON object".to_owned()))
            }
            Ok(value) => {
                for field in self.texts.fields() {
                    let nested =
                        value.get(field.name()).is_some_and(|v| v.is_object() || v.is_array());
                    if nested && !is_nested(field.data_type()) {
                        let column = field_value(text, field.name());
                        let cause = format!("column `{}` has a nested value", field.name());
                        return Ok((column.map(|range| range.start as u64 + 1), cause));
                    }
                }
                let mut decoder = self.new_decoder(1)?;
                let result = decoder.decode(text).and_then(|_| decoder.flush());
                let cause = match result {
                    Err(cause) => cause.to_string(),
                    Ok(_) => "it does not fit the table's columns".to_owned(),
                };
                let cause = cause.strip_prefix("Json error: ").unwrap_or(&cause).to_owned();
                Ok((None, cause))
            }
        }
    }

    /// Makes the columns. Rows that turn out bad are left out and told.
    fn build(&self, chunk: &Chunk<'_>, found: &[Found<'_>], decoded: &mut Decoded) -> Result<()> {
        let rows = self.lines.len();
        let mut bad_rows = vec![false; rows];
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(found.len());
        for (field, found) in self.schema.fields().iter().zip(found) {
            let (bad, nulled) = (&mut decoded.bad, &mut decoded.nulled_cells);
            let mut on_bad = |row: usize, cause: String| {
                if self.format.cell_errors == CellErrors::Null && field.is_nullable() {
                    *nulled += 1;
                } else if !std::mem::replace(&mut bad_rows[row], true) {
                    bad.push(self.bad_cell(chunk, row, field.name(), cause));
                }
            };
            if self.format.fail_on_missing_field {
                self.check_missing(chunk, field.name(), found, &mut on_bad);
            }
            let style = self.format.style;
            columns.push(match found {
                Found::Flat(cells) => cells::build(field, style, cells, &mut on_bad)?,
                Found::Texts(cells) => cells::build(field, style, cells, &mut on_bad)?,
                Found::Made(array) => {
                    if !field.is_nullable() {
                        for row in (0..rows).filter(|&row| array.is_null(row)) {
                            let cause =
                                format!("column `{}` is NULL, but declared NOT NULL", field.name());
                            on_bad(row, cause);
                        }
                    }
                    match array.as_map_opt() {
                        Some(texts) => maps::build(field, style, texts, &mut on_bad)?,
                        None => (*array).clone(),
                    }
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let broken = |cause| Error::report("json columns do not fit together").caused_by(cause);
        let lenient = self.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let lenient = Arc::new(Schema::new(lenient.collect::<Vec<_>>()));
        let batch =
            RecordBatch::try_new_with_options(lenient, columns, &options).map_err(broken)?;
        let batch = without_rows(batch, &bad_rows)?;
        if batch.num_rows() > 0 {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
            decoded.rows = Some(batch.map_err(broken)?);
        }
        Ok(())
    }

    fn check_missing(
        &self,
        chunk: &Chunk<'_>,
        name: &str,
        found: &Found<'_>,
        on_bad: &mut dyn FnMut(usize, String),
    ) {
        for row in (0..self.lines.len()).filter(|&row| found.is_null(row)) {
            let line = self.lines[row];
            if field_value(&chunk.bytes[line.start..line.end], name).is_none() {
                on_bad(row, format!("field `{name}` is missing"));
            }
        }
    }

    fn bad_cell(&self, chunk: &Chunk<'_>, row: usize, name: &str, cause: String) -> BadRecord {
        let line = self.lines[row];
        let text = &chunk.bytes[line.start..line.end];
        let column = field_value(text, name).map(|range| range.start as u64 + 1);
        chunk.bad_record(line.start, line.lines_above, column, cause, text)
    }
}

#[cfg(test)]
impl JsonDecoder {
    /// Whether the fast way vouches for a line.
    pub fn vouches(&mut self, line: &[u8]) -> bool {
        let whole = Line { start: 0, end: line.len(), lines_above: 0 };
        self.flat.as_mut().is_some_and(|flat| flat.scan(line, &[whole]))
    }

    pub fn forget_the_fast_way(&mut self) {
        self.flat = None;
    }
}

impl RecordDecoder for JsonDecoder {
    fn decode(&mut self, chunk: &Chunk<'_>, max_rows: usize) -> Result<Decoded> {
        let decoded = self.find_lines(chunk, max_rows);
        self.decode_lines(chunk, decoded)
    }
}

impl MessageDecoder for JsonDecoder {
    fn decode_messages(&mut self, messages: &Messages, split: &SplitId) -> Result<DecodedMessages> {
        self.lines.clear();
        // A message may have line ends in it: it is a line all the same.
        let lines = messages.contents();
        self.lines.extend(lines.map(|span| Line {
            start: span.start,
            end: span.end,
            lines_above: 0,
        }));
        let decoded = self.decode_lines(&messages.chunk(split), Decoded::default())?;
        Ok(messages.attribute(decoded))
    }
}

impl JsonDecoder {
    /// Decodes the lines that were found.
    fn decode_lines(&mut self, chunk: &Chunk<'_>, mut decoded: Decoded) -> Result<Decoded> {
        if self.lines.is_empty() {
            return Ok(decoded);
        }
        if self.flat.as_mut().is_some_and(|flat| flat.scan(chunk.bytes, &self.lines))
            && let Some(flat) = &self.flat
        {
            let columns = 0..self.schema.fields().len();
            let found: Vec<_> =
                columns.map(|column| Found::Flat(flat.cells(chunk.bytes, column))).collect();
            self.build(chunk, &found, &mut decoded)?;
        } else if let Some(texts) = self.decode_slowly(chunk, &mut decoded.bad)? {
            let of = |(field, array): (&Arc<Field>, _)| Found::of(field, array);
            let found: Vec<_> = self.schema.fields().iter().zip(texts.columns()).map(of).collect();
            self.build(chunk, &found, &mut decoded)?;
        }
        decoded.bad.sort_by_key(|record| record.offset);
        Ok(decoded)
    }
}

/// What the lines have for a column.
enum Found<'a> {
    Flat(FlatCells<'a>),
    Texts(TextCells<'a>),
    /// The values themselves.
    Made(&'a ArrayRef),
}

impl<'a> Found<'a> {
    fn of(field: &Field, array: &'a ArrayRef) -> Self {
        match is_nested(field.data_type()) {
            true => Found::Made(array),
            false => Found::Texts(TextCells(array.as_string())),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Found::Flat(cells) => cells.get(row).is_none(),
            Found::Texts(cells) => cells.0.is_null(row),
            Found::Made(array) => array.is_null(row),
        }
    }
}

/// Whether `arrow-json` makes the column's values itself.
pub(crate) fn is_nested(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Struct(_) | DataType::List(_) | DataType::Map(..))
}

pub(super) struct TextCells<'a>(pub &'a StringArray);

impl Cells for TextCells<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, row: usize) -> Option<&[u8]> {
        (!self.0.is_null(row)).then(|| self.0.value(row).as_bytes())
    }
}
