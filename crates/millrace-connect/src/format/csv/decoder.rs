//! CSV text to rows: finds the fields of many records first, then parses column by column.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use millrace_core::{BadRecord, Error, Result, SplitId};

use super::dialect::Dialect;
use super::tokenizer::{Fields, Record, Span, Tokenizer};
use crate::format::ReadSchema;
use crate::format::cells::{self, Cells};
use crate::format::message::{DecodedMessages, MessageDecoder, Messages};
use crate::format::parse::TimestampStyle;
use crate::format::record::{CellErrors, Chunk, Decoded, Follows, RecordDecoder, without_rows};

/// Reads one file's records.
pub(crate) struct CsvDecoder {
    tokenizer: Tokenizer,
    dialect: Dialect,
    table: String,
    schema: SchemaRef,
    /// For each projected column, which field of the file it is.
    fields: Vec<usize>,
    /// How many fields a record has.
    arity: usize,
    scratch: Scratch,
}

/// What is found in one call of `decode`, kept for the next one's use of the memory.
#[derive(Default)]
struct Scratch {
    found: Fields,
    /// `fields.len()` spans for each record.
    spans: Vec<Span>,
    records: Vec<Place>,
}

/// Where a record stands in the chunk.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    end: usize,
    lines_above: u64,
}

impl CsvDecoder {
    pub fn new(dialect: Dialect, read: &ReadSchema) -> Self {
        let columns = read.table.fields().len();
        CsvDecoder {
            tokenizer: Tokenizer::new(dialect.clone(), columns),
            dialect,
            table: read.table_name.clone(),
            schema: read.projected.clone(),
            fields: read.projection.clone(),
            arity: columns,
            scratch: Scratch::default(),
        }
    }

    /// Finds records until there are `max_rows`; returns what was consumed and the broken ones.
    fn find_records(&mut self, chunk: &Chunk<'_>, max_rows: usize) -> Decoded {
        let Scratch { found, spans, records } = &mut self.scratch;
        found.unescaped.clear();
        spans.clear();
        records.clear();
        let mut decoded = Decoded::default();
        while records.len() + decoded.bad.len() < max_rows && decoded.bytes < chunk.bytes.len() {
            let start = decoded.bytes;
            let record = self.tokenizer.record(chunk, start, found);
            let extent = match record {
                Record::Incomplete => break,
                Record::Skipped(extent) => extent,
                Record::TooLong(extent) => {
                    let line = &chunk.bytes[start..extent.end];
                    decoded.bad.push(chunk.overlong(start, decoded.lines, line));
                    extent
                }
                Record::Broken(extent, fault) => {
                    decoded.bad.push(chunk.bad_record(
                        start,
                        decoded.lines,
                        Some((fault.at - start) as u64 + 1),
                        fault.cause,
                        &chunk.bytes[start..extent.end],
                    ));
                    extent
                }
                Record::Whole(extent) if found.spans.len() != self.arity => {
                    let raw = &chunk.bytes[start..extent.end];
                    let (column, cause) = wrong_arity(&found.spans, self.arity, start, raw.len());
                    decoded.bad.push(chunk.bad_record(start, decoded.lines, column, cause, raw));
                    extent
                }
                Record::Whole(extent) => {
                    spans.extend(self.fields.iter().map(|&field| found.spans[field]));
                    let place = Place { start, end: extent.end, lines_above: decoded.lines };
                    records.push(place);
                    extent
                }
            };
            decoded.bytes = extent.next;
            decoded.lines += extent.lines;
        }
        decoded
    }

    /// Takes each message as one record.
    fn find_messages(&mut self, messages: &Messages, split: &SplitId) -> Decoded {
        let Scratch { found, spans, records } = &mut self.scratch;
        found.unescaped.clear();
        spans.clear();
        records.clear();
        let mut decoded = Decoded::default();
        let whole = messages.chunk(split);
        for message in messages.contents() {
            let chunk = Chunk { bytes: &whole.bytes[..message.end], ..whole };
            let (start, end) = (message.start, message.end);
            let raw = &whole.bytes[start..end];
            let fault = match self.tokenizer.record(&chunk, start, found) {
                Record::Whole(extent) if extent.next < end => Some((
                    Some((extent.next - start) as u64 + 1),
                    "the message goes on behind its record".into(),
                )),
                Record::Whole(_) if found.spans.len() != self.arity => {
                    Some(wrong_arity(&found.spans, self.arity, start, raw.len()))
                }
                Record::Whole(extent) => {
                    spans.extend(self.fields.iter().map(|&field| found.spans[field]));
                    records.push(Place { start, end: extent.end, lines_above: 0 });
                    None
                }
                Record::Broken(_, fault) => {
                    Some((Some((fault.at - start) as u64 + 1), fault.cause))
                }
                Record::Skipped(_) | Record::Incomplete | Record::TooLong(_) => {
                    Some((None, "the message has no record".into()))
                }
            };
            if let Some((column, cause)) = fault {
                decoded.bad.push(chunk.bad_record(start, 0, column, cause, raw));
            }
        }
        decoded
    }

    /// Parses the columns of the records that were found.
    fn build(&self, chunk: &Chunk<'_>, decoded: &mut Decoded) -> Result<()> {
        let rows = self.scratch.records.len();
        if rows == 0 {
            return Ok(());
        }
        let mut bad_rows = vec![false; rows];
        let mut bad_records = Vec::new();
        let mut columns = Vec::with_capacity(self.fields.len());
        for (index, field) in self.schema.fields().iter().enumerate() {
            let cells = Column { decoder: self, bytes: chunk.bytes, index };
            let nullable = field.is_nullable();
            columns.push(cells::build(field, TimestampStyle::Sql, &cells, &mut |row, cause| {
                if self.dialect.cell_errors == CellErrors::Null && nullable {
                    decoded.nulled_cells += 1;
                } else if !bad_rows[row] {
                    bad_rows[row] = true;
                    bad_records.push(self.bad_cell(chunk, row, index, cause));
                }
            })?);
        }
        if !bad_records.is_empty() {
            decoded.bad.append(&mut bad_records);
            decoded.bad.sort_by_key(|record| record.offset);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        // The declared nullability is given back below, when the bad rows are gone.
        let lenient = Arc::new(nullable(&self.schema));
        let batch = RecordBatch::try_new_with_options(lenient, columns, &options)
            .map(|batch| without_rows(batch, &bad_rows))
            .map_err(|cause| Error::report("csv columns do not fit together").caused_by(cause))??;
        if batch.num_rows() > 0 {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
                .map_err(|cause| {
                Error::report("csv rows do not fit their schema").caused_by(cause)
            })?;
            decoded.rows = Some(batch);
        }
        Ok(())
    }

    fn bad_cell(&self, chunk: &Chunk<'_>, row: usize, index: usize, cause: String) -> BadRecord {
        let place = self.scratch.records[row];
        let raw = &chunk.bytes[place.start..place.end];
        let span = self.scratch.spans[row * self.fields.len() + index];
        let column = if span.unescaped {
            // Its text was moved; find the field again.
            let mut fields = Fields::default();
            self.field_start(raw, self.fields[index], &mut fields)
        } else {
            // The quote is part of the field.
            let start = span.start as usize;
            let quoted = start > place.start && Some(chunk.bytes[start - 1]) == self.dialect.quote;
            Some(start - usize::from(quoted) - place.start)
        };
        let column = column.map(|column| column as u64 + 1);
        chunk.bad_record(place.start, place.lines_above, column, cause, raw)
    }

    /// Where the given field begins in its record: behind the field before it.
    fn field_start(&self, raw: &[u8], field: usize, fields: &mut Fields) -> Option<usize> {
        let mut start = 0;
        for end in (0..raw.len()).filter(|&at| raw[at] == self.dialect.delimiter) {
            // A delimiter ends as many fields as the text before it has.
            let head = self.tokenizer.scan(&raw[..end], 0, Follows::Nothing, fields);
            if matches!(head, Record::Whole(_)) && fields.spans.len() == field {
                start = end + 1;
                break;
            }
        }
        (start > 0 || field == 0).then_some(start)
    }
}

impl RecordDecoder for CsvDecoder {
    fn header(&mut self, chunk: &Chunk<'_>) -> Result<Option<Decoded>> {
        if !self.dialect.header {
            return Ok(Some(Decoded::default()));
        }
        let mut fields = Fields::default();
        let mut decoded = Decoded::default();
        let extent = loop {
            if decoded.bytes == chunk.bytes.len() {
                match chunk.follows {
                    Follows::More => return Ok(None),
                    _ => return Err(self.no_header(chunk, "the file is empty")),
                }
            }
            let start = decoded.bytes;
            match self.tokenizer.record(chunk, start, &mut fields) {
                Record::Whole(extent) => break extent,
                Record::Skipped(extent) => {
                    decoded.bytes = extent.next;
                    decoded.lines += extent.lines;
                }
                Record::Broken(_, fault) => return Err(self.no_header(chunk, &fault.cause)),
                Record::Incomplete if !chunk.exceeds_limit(start) => return Ok(None),
                Record::Incomplete | Record::TooLong(_) => {
                    return Err(self.no_header(chunk, "its first line is too long"));
                }
            }
        };
        let names: Vec<String> = fields
            .spans
            .iter()
            .map(|&span| String::from_utf8_lossy(text(span, chunk.bytes, &fields.unescaped)).into())
            .collect();
        self.match_columns(chunk, &names)?;
        decoded.bytes = extent.next;
        decoded.lines += extent.lines;
        Ok(Some(decoded))
    }

    fn decode(&mut self, chunk: &Chunk<'_>, max_rows: usize) -> Result<Decoded> {
        let mut decoded = self.find_records(chunk, max_rows);
        self.build(chunk, &mut decoded)?;
        Ok(decoded)
    }
}

impl MessageDecoder for CsvDecoder {
    fn decode_messages(&mut self, messages: &Messages, split: &SplitId) -> Result<DecodedMessages> {
        let mut decoded = self.find_messages(messages, split);
        self.build(&messages.chunk(split), &mut decoded)?;
        Ok(messages.attribute(decoded))
    }
}

impl CsvDecoder {
    fn match_columns(&mut self, chunk: &Chunk<'_>, names: &[String]) -> Result<()> {
        self.arity = names.len();
        self.tokenizer = Tokenizer::new(self.dialect.clone(), names.len());
        // A byte order mark is no part of the first name.
        let plain = |name: &str| name.trim_start_matches('\u{feff}').trim().to_owned();
        let names: Vec<String> = names.iter().map(|name| plain(name)).collect();
        let mut fields = Vec::with_capacity(self.schema.fields().len());
        for column in self.schema.fields() {
            let mut places = (0..names.len()).filter(|&at| names[at] == *column.name());
            match (places.next(), places.next()) {
                (Some(place), None) => fields.push(place),
                (Some(_), Some(_)) => {
                    return Err(Error::fix_input(format!(
                        "`{}` has two columns named `{}`",
                        chunk.split,
                        column.name()
                    )));
                }
                (None, _) => {
                    return Err(Error::fix_input(format!(
                        "`{}` has no column `{}`, which table `{}` reads",
                        chunk.split,
                        column.name(),
                        self.table
                    ))
                    .hint(format!("its header names: {}", names.join(", "))));
                }
            }
        }
        self.fields = fields;
        Ok(())
    }

    fn no_header(&self, chunk: &Chunk<'_>, cause: &str) -> Error {
        Error::fix_input(format!("`{}` has no csv header: {cause}", chunk.split))
            .hint("set `csv.header` to `false` if the file has none")
    }
}

/// One column of the records in the scratch.
struct Column<'a> {
    decoder: &'a CsvDecoder,
    bytes: &'a [u8],
    index: usize,
}

impl Cells for Column<'_> {
    fn len(&self) -> usize {
        self.decoder.scratch.records.len()
    }

    fn get(&self, row: usize) -> Option<&[u8]> {
        let scratch = &self.decoder.scratch;
        let span = scratch.spans[row * self.decoder.fields.len() + self.index];
        let text = text(span, self.bytes, &scratch.found.unescaped);
        match &self.decoder.dialect.null_literal {
            Some(literal) if text == literal.as_slice() => None,
            _ => Some(text),
        }
    }
}

fn text<'a>(span: Span, bytes: &'a [u8], unescaped: &'a [u8]) -> &'a [u8] {
    let from = if span.unescaped { unescaped } else { bytes };
    &from[span.start as usize..span.end as usize]
}

fn wrong_arity(spans: &[Span], arity: usize, start: usize, length: usize) -> (Option<u64>, String) {
    let fields = |count| if count == 1 { "1 field".to_owned() } else { format!("{count} fields") };
    let cause = format!("{} where {arity} are expected", fields(spans.len()));
    let at = match spans.get(arity) {
        Some(extra) if extra.unescaped => None,
        Some(extra) => Some(extra.start as usize - start),
        None => Some(length),
    };
    (at.map(|at| at as u64 + 1), cause)
}

/// The same columns, all of which may be NULL.
fn nullable(schema: &SchemaRef) -> arrow_schema::Schema {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    arrow_schema::Schema::new(fields.collect::<Vec<_>>())
}
