//! Finds records and their fields, with exact places.
//!
//! A record ends at a line end outside of quotes; `\r\n` counts as one. A field is quoted when it
//! begins with the quote character; within, the quote character is doubled or escaped. A quote
//! inside an unquoted field stands for itself.
//!
//! A record that is broken (text after a closing quote, a quote that never closes) or longer than
//! the limit ends with its first line, so that one broken line never swallows the rest of the file.
//! Whether a record is too long is decided by its length alone, not by how much of it was read, so
//! that it comes out the same however the bytes were cut into chunks.

use super::dialect::Dialect;
use crate::format::record::{Chunk, Follows};

/// Where a field's text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: u32,
    pub end: u32,
    /// The text is in [`Fields::unescaped`] rather than in the input.
    pub unescaped: bool,
}

/// The fields of one record.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// Each field in turn.
    pub spans: Vec<Span>,
    /// Texts that are not as they stand in the input; of all records since it was last cleared.
    pub unescaped: Vec<u8>,
}

/// What stands at the head of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A record, whose fields were put into [`Fields`].
    Whole(Extent),
    /// Nothing that counts: an empty line or a comment.
    Skipped(Extent),
    /// A record that can't be taken apart, up to the end of its first line.
    Broken(Extent, Fault),
    /// A record that is longer than it may be, up to the end of its first line.
    TooLong(Extent),
    /// The bytes end before the record does.
    Incomplete,
}

/// How far a record reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Where its text ends, without the line end.
    pub end: usize,
    /// Where the next record begins.
    pub next: usize,
    /// How many line ends it takes up.
    pub lines: u64,
}

/// Why a record is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where, in the bytes that were given.
    pub at: usize,
    /// How far one has to read to see it.
    pub found_at: usize,
    pub cause: String,
}

/// Takes text apart according to a dialect.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    dialect: Dialect,
    /// Blank lines count: the table has one column, and its empty text is an empty line.
    blank_lines_count: bool,
    /// Which bytes end the run of an unquoted field.
    stops: [bool; 256],
}

impl Tokenizer {
    pub fn new(dialect: Dialect, columns: usize) -> Self {
        let mut stops = [false; 256];
        for byte in [b'\n', dialect.delimiter].into_iter().chain(dialect.escape) {
            stops[usize::from(byte)] = true;
        }
        Tokenizer { dialect, blank_lines_count: columns == 1, stops }
    }

    /// Finds the record that begins at `start` of the chunk.
    pub fn record(&self, chunk: &Chunk<'_>, start: usize, fields: &mut Fields) -> Record {
        let unescaped_before = fields.unescaped.len();
        let Chunk { bytes, follows, max_record_bytes, .. } = *chunk;
        let found = self.scan(bytes, start, follows, fields);
        let too_long = match &found {
            Record::Whole(extent) | Record::Skipped(extent) => {
                extent.end - start > max_record_bytes
            }
            Record::Broken(_, fault) => fault.found_at - start > max_record_bytes,
            Record::Incomplete => chunk.exceeds_limit(start),
            Record::TooLong(_) => true,
        };
        if matches!(found, Record::Broken(..) | Record::Incomplete) || too_long {
            fields.unescaped.truncate(unescaped_before);
        }
        match line_extent(bytes, start, follows) {
            Some(extent) if too_long => Record::TooLong(extent),
            None if too_long => Record::Incomplete,
            _ => found,
        }
    }

    /// The same without the limit.
    pub fn scan(
        &self,
        bytes: &[u8],
        start: usize,
        follows: Follows,
        fields: &mut Fields,
    ) -> Record {
        fields.spans.clear();
        if let Some(skipped) = self.skipped(bytes, start, follows) {
            return skipped;
        }
        let mut at = start;
        let mut lines = 0;
        loop {
            let quoted = self.dialect.quote.is_some_and(|quote| bytes.get(at) == Some(&quote));
            let field = if quoted {
                self.quoted(bytes, at, &mut lines, fields)
            } else {
                self.unquoted(bytes, at, fields)
            };
            let end = match field {
                Ok(end) => end,
                Err(Trouble::OutOfBytes(_)) if follows == Follows::More => {
                    return Record::Incomplete;
                }
                Err(Trouble::Fault(fault) | Trouble::OutOfBytes(fault)) => {
                    return broken(bytes, start, follows, fault);
                }
            };
            match bytes.get(end) {
                Some(b'\n') => {
                    let text_end = without_carriage_return(bytes, start, end);
                    return Record::Whole(Extent {
                        end: text_end,
                        next: end + 1,
                        lines: lines + 1,
                    });
                }
                Some(_) => at = end + 1,
                None if follows == Follows::Nothing => {
                    return Record::Whole(Extent { end, next: end, lines });
                }
                None => return Record::Incomplete,
            }
        }
    }

    fn skipped(&self, bytes: &[u8], start: usize, follows: Follows) -> Option<Record> {
        let rest = &bytes[start..];
        let comment = self.dialect.comments && rest.first() == Some(&b'#');
        let blank = match rest {
            [] | [b'\n', ..] | [b'\r', b'\n', ..] => true,
            [b'\r'] => follows == Follows::Nothing,
            _ => false,
        };
        if comment || (blank && (!self.blank_lines_count || rest.is_empty())) {
            return Some(match line_extent(bytes, start, follows) {
                Some(extent) => Record::Skipped(extent),
                None => Record::Incomplete,
            });
        }
        None
    }

    /// Returns where the delimiter or line end behind the field stands, or the end of the bytes.
    fn unquoted(&self, bytes: &[u8], start: usize, fields: &mut Fields) -> Result<usize, Trouble> {
        let mut at = start;
        while at < bytes.len() && !self.stops[usize::from(bytes[at])] {
            at += 1;
        }
        if self.dialect.escape.is_some_and(|escape| bytes.get(at) == Some(&escape)) {
            return self.unquoted_escaped(bytes, start, fields);
        }
        let end = match bytes.get(at) {
            Some(b'\n') | None => without_carriage_return(bytes, start, at),
            _ => at,
        };
        fields.spans.push(Span { start: start as u32, end: end as u32, unescaped: false });
        Ok(at)
    }

    fn unquoted_escaped(
        &self,
        bytes: &[u8],
        start: usize,
        fields: &mut Fields,
    ) -> Result<usize, Trouble> {
        let from = fields.unescaped.len();
        let mut at = start;
        loop {
            match bytes.get(at) {
                Some(&byte) if Some(byte) == self.dialect.escape => {
                    match bytes.get(at + 1) {
                        Some(&next) if next != b'\n' => fields.unescaped.push(unescape(next)),
                        Some(_) => {
                            return Err(Trouble::fault(at, "nothing follows the escape character"));
                        }
                        None => {
                            return Err(Trouble::out(
                                at,
                                bytes,
                                "nothing follows the escape character",
                            ));
                        }
                    }
                    at += 2;
                }
                Some(&byte) if byte == b'\n' || byte == self.dialect.delimiter => break,
                Some(&byte) => {
                    fields.unescaped.push(byte);
                    at += 1;
                }
                None => break,
            }
        }
        if bytes.get(at) == Some(&b'\n') && bytes[at - 1] == b'\r' {
            fields.unescaped.pop();
        }
        self.push_unescaped(from, fields);
        Ok(at)
    }

    fn quoted(
        &self,
        bytes: &[u8],
        start: usize,
        lines: &mut u64,
        fields: &mut Fields,
    ) -> Result<usize, Trouble> {
        let quote = bytes[start];
        let text_start = start + 1;
        let from = fields.unescaped.len();
        let mut copied_to = text_start;
        let mut at = text_start;
        let close = loop {
            let Some(&byte) = bytes.get(at) else {
                return Err(Trouble::out(start, bytes, "a quote is opened and never closed"));
            };
            if byte == quote {
                if bytes.get(at + 1) != Some(&quote) {
                    break at;
                }
                // The first quote of the pair is kept, the second left out.
                fields.unescaped.extend_from_slice(&bytes[copied_to..=at]);
                at += 2;
                copied_to = at;
            } else if Some(byte) == self.dialect.escape {
                fields.unescaped.extend_from_slice(&bytes[copied_to..at]);
                let Some(&next) = bytes.get(at + 1) else {
                    return Err(Trouble::out(start, bytes, "a quote is opened and never closed"));
                };
                fields.unescaped.push(unescape(next));
                *lines += u64::from(next == b'\n');
                at += 2;
                copied_to = at;
            } else {
                *lines += u64::from(byte == b'\n');
                at += 1;
            }
        };
        if copied_to == text_start {
            fields.spans.push(Span {
                start: text_start as u32,
                end: close as u32,
                unescaped: false,
            });
        } else {
            fields.unescaped.extend_from_slice(&bytes[copied_to..close]);
            self.push_unescaped(from, fields);
        }
        self.behind_quote(bytes, close + 1)
    }

    /// Only blanks may stand between a closing quote and the field's end.
    fn behind_quote(&self, bytes: &[u8], mut at: usize) -> Result<usize, Trouble> {
        loop {
            match bytes.get(at) {
                None => return Ok(at),
                Some(&byte) if byte == self.dialect.delimiter || byte == b'\n' => return Ok(at),
                Some(b' ' | b'\t' | b'\r') => at += 1,
                Some(_) => {
                    return Err(Trouble::fault(at, "text follows a closing quote"));
                }
            }
        }
    }

    fn push_unescaped(&self, from: usize, fields: &mut Fields) {
        fields.spans.push(Span {
            start: from as u32,
            end: fields.unescaped.len() as u32,
            unescaped: true,
        });
    }
}

enum Trouble {
    Fault(Fault),
    /// More bytes might have helped; if there are none, this is the fault.
    OutOfBytes(Fault),
}

impl Trouble {
    fn fault(at: usize, cause: &str) -> Self {
        Trouble::Fault(Fault { at, found_at: at, cause: cause.to_owned() })
    }

    fn out(at: usize, bytes: &[u8], cause: &str) -> Self {
        Trouble::OutOfBytes(Fault { at, found_at: bytes.len(), cause: cause.to_owned() })
    }
}

/// A broken record ends with its first line.
fn broken(bytes: &[u8], start: usize, follows: Follows, fault: Fault) -> Record {
    match line_extent(bytes, start, follows) {
        Some(extent) => Record::Broken(extent, Fault { at: fault.at.min(extent.end), ..fault }),
        None => Record::Incomplete,
    }
}

/// The line that begins at `start`; `None` when its end is not among the bytes.
pub(crate) fn line_extent(bytes: &[u8], start: usize, follows: Follows) -> Option<Extent> {
    match bytes[start..].iter().position(|&byte| byte == b'\n') {
        Some(length) => {
            let end = start + length;
            let text_end = without_carriage_return(bytes, start, end);
            Some(Extent { end: text_end, next: end + 1, lines: 1 })
        }
        None if follows == Follows::Nothing => {
            Some(Extent { end: bytes.len(), next: bytes.len(), lines: 0 })
        }
        None => None,
    }
}

fn without_carriage_return(bytes: &[u8], start: usize, end: usize) -> usize {
    if end > start && bytes[end - 1] == b'\r' { end - 1 } else { end }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'0' => 0,
        other => other,
    }
}
