//! The fast way through lines of JSON whose wanted columns are all simple.
//!
//! One pass over a line finds where each wanted value stands; nothing is copied but texts with
//! escapes in them. The scan accepts only what the JSON grammar allows without doubt. At anything
//! else (a bad line, a field given twice, a nested value in a simple column, a control character in
//! a text) it gives up the batch, and the slow way decides what that means: so there is one set of
//! rules, and this is only a shortcut to what they say of good lines.

use std::borrow::Cow;
use std::collections::HashMap;

use super::decoder::Line;
use crate::format::cells::Cells;

/// An object in a value that is skipped may stand so deep.
const DEEPEST: usize = 64;

/// What is remembered of a line's layout is bounded, whatever the lines are.
const LAYOUT_FIELDS: usize = 256;
const LAYOUT_NAME_BYTES: usize = 256;

/// Where the values of many lines stand, by column.
#[derive(Debug, Default)]
pub(crate) struct FlatScanner {
    numbers: HashMap<Vec<u8>, usize>,
    columns: Vec<Vec<Span>>,
    /// The fields of the last line in their order: the next line most likely has the same.
    layout: Vec<Expected>,
    /// How many bytes there are beside the unescaped texts.
    bytes: usize,
    /// Texts that had escapes in them, behind the lines as it were.
    unescaped: Vec<u8>,
}

/// A range of the lines' bytes, or, from their end on, of the unescaped texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    const NULL: Span = Span { start: u32::MAX, end: 0 };
}

#[derive(Debug, Default)]
struct Expected {
    /// The name with its quotes and the colon; empty when nothing is known yet.
    name: Vec<u8>,
    column: Option<usize>,
}

/// The line is not one that the scan can vouch for.
struct GiveUp;

type Scanned<T> = Result<T, GiveUp>;

impl FlatScanner {
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let numbers: HashMap<_, _> =
            names.enumerate().map(|(number, name)| (name.as_bytes().to_vec(), number)).collect();
        let columns = vec![Vec::new(); numbers.len()];
        FlatScanner { numbers, columns, ..FlatScanner::default() }
    }

    /// Finds the values of `lines`. False when one of them has to be looked at in the slow way.
    pub fn scan(&mut self, bytes: &[u8], lines: &[Line]) -> bool {
        self.bytes = bytes.len();
        self.unescaped.clear();
        for column in &mut self.columns {
            column.clear();
            column.reserve(lines.len());
        }
        let fits = u32::try_from(bytes.len()).is_ok();
        fits && std::str::from_utf8(bytes).is_ok()
            && lines.iter().enumerate().all(|(row, line)| self.line(bytes, *line, row).is_ok())
    }

    /// The texts of a column, of the lines that were scanned last.
    pub fn cells<'a>(&'a self, bytes: &'a [u8], column: usize) -> FlatCells<'a> {
        FlatCells { bytes, unescaped: &self.unescaped, spans: &self.columns[column] }
    }

    fn line(&mut self, bytes: &[u8], line: Line, row: usize) -> Scanned<()> {
        let mut at = Cursor { bytes: &bytes[..line.end], at: line.start };
        at.skip_blanks();
        at.expect(b'{')?;
        at.skip_blanks();
        let mut number = 0;
        if !at.take(b'}') {
            loop {
                let column = self.name(&mut at, number)?;
                at.skip_blanks();
                match column {
                    Some(column) if self.columns[column].len() == row => {
                        let span = self.value(&mut at)?;
                        self.columns[column].push(span);
                    }
                    // Which of two counts is not for this way to say.
                    Some(_) => return Err(GiveUp),
                    None => at.skip_value(0)?,
                }
                number += 1;
                at.skip_blanks();
                if !at.take(b',') {
                    break;
                }
                at.skip_blanks();
            }
            at.expect(b'}')?;
        }
        at.skip_blanks();
        for column in &mut self.columns {
            if column.len() == row {
                column.push(Span::NULL);
            }
        }
        if at.at == line.end { Ok(()) } else { Err(GiveUp) }
    }

    /// Takes the name of the line's field `number` with its colon, and says which column it is.
    fn name(&mut self, at: &mut Cursor<'_>, number: usize) -> Scanned<Option<usize>> {
        if let Some(expected) = self.layout.get(number)
            && !expected.name.is_empty()
            && at.rest().starts_with(&expected.name)
        {
            at.at += expected.name.len();
            return Ok(expected.column);
        }
        let start = at.at;
        let (name, escaped) = at.text()?;
        if escaped {
            return Err(GiveUp);
        }
        let column = self.numbers.get(&at.bytes[name]).copied();
        at.skip_blanks();
        at.expect(b':')?;
        let name = &at.bytes[start..at.at];
        if number < LAYOUT_FIELDS && name.len() < LAYOUT_NAME_BYTES {
            self.layout.resize_with(self.layout.len().max(number + 1), Expected::default);
            self.layout[number] = Expected { name: name.to_vec(), column };
        }
        Ok(column)
    }

    fn value(&mut self, at: &mut Cursor<'_>) -> Scanned<Span> {
        let start = at.at;
        let (start, end) = match at.peek() {
            Some(b'"') => {
                let (text, escaped) = at.text()?;
                if escaped {
                    return self.unescape(&at.bytes[start..at.at]);
                }
                (text.start, text.end)
            }
            Some(b'n') => {
                at.literal(b"null")?;
                return Ok(Span::NULL);
            }
            Some(b't') => (start, at.literal(b"true")?),
            Some(b'f') => (start, at.literal(b"false")?),
            Some(b'-' | b'0'..=b'9') => (start, at.number()?),
            _ => return Err(GiveUp),
        };
        // No more bytes than `u32` counts were let in.
        Ok(Span { start: start as u32, end: end as u32 })
    }

    /// Puts a text without its escapes behind those of the lines before.
    fn unescape(&mut self, quoted: &[u8]) -> Scanned<Span> {
        let text = without_escapes(quoted)?;
        let start = self.bytes + self.unescaped.len();
        self.unescaped.extend_from_slice(text.as_bytes());
        let end = u32::try_from(start + text.len()).map_err(|_| GiveUp)?;
        Ok(Span { start: start as u32, end })
    }
}

fn without_escapes(quoted: &[u8]) -> Scanned<Cow<'_, str>> {
    serde_json::from_slice(quoted).map_err(|_| GiveUp)
}

/// A place in a line.
struct Cursor<'a> {
    /// All bytes up to the line's end.
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Scanned<()> {
        if self.take(byte) { Ok(()) } else { Err(GiveUp) }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Takes a word, and says where it ends.
    fn literal(&mut self, word: &[u8]) -> Scanned<usize> {
        if !self.rest().starts_with(word) {
            return Err(GiveUp);
        }
        self.at += word.len();
        Ok(self.at)
    }

    /// Takes a text with its quotes; where it stands without them, and whether it has escapes.
    fn text(&mut self) -> Scanned<(std::ops::Range<usize>, bool)> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.rest().iter().position(|&byte| byte < b' ' || byte == b'"' || byte == b'\\')
            {
                None => return Err(GiveUp),
                Some(length) => self.at += length,
            }
            match self.bytes[self.at] {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                    if self.at > self.bytes.len() {
                        return Err(GiveUp);
                    }
                }
                _ => return Err(GiveUp),
            }
        }
        self.at += 1;
        Ok((start..self.at - 1, escaped))
    }

    /// Takes a number, and says where it ends.
    fn number(&mut self) -> Scanned<usize> {
        self.take(b'-');
        // A zero stands alone.
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(self.at)
    }

    fn digits(&mut self) -> Scanned<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(GiveUp) }
    }

    /// Takes a value of any kind that nobody wants.
    fn skip_value(&mut self, depth: usize) -> Scanned<()> {
        match self.peek() {
            Some(b'"') => self.skip_text(),
            Some(b't') => self.literal(b"true").map(drop),
            Some(b'f') => self.literal(b"false").map(drop),
            Some(b'n') => self.literal(b"null").map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(open @ (b'{' | b'[')) if depth < DEEPEST => {
                self.at += 1;
                let (close, named) = if open == b'{' { (b'}', true) } else { (b']', false) };
                self.skip_blanks();
                if self.take(close) {
                    return Ok(());
                }
                loop {
                    if named {
                        self.skip_text()?;
                        self.skip_blanks();
                        self.expect(b':')?;
                        self.skip_blanks();
                    }
                    self.skip_value(depth + 1)?;
                    self.skip_blanks();
                    if !self.take(b',') {
                        return self.expect(close);
                    }
                    self.skip_blanks();
                }
            }
            _ => Err(GiveUp),
        }
    }

    /// Takes a text whose content nobody wants.
    fn skip_text(&mut self) -> Scanned<()> {
        let start = self.at;
        let (_, escaped) = self.text()?;
        if escaped {
            without_escapes(&self.bytes[start..self.at])?;
        }
        Ok(())
    }
}

/// The values of one column.
#[derive(Debug)]
pub(crate) struct FlatCells<'a> {
    bytes: &'a [u8],
    unescaped: &'a [u8],
    spans: &'a [Span],
}

impl Cells for FlatCells<'_> {
    fn len(&self) -> usize {
        self.spans.len()
    }

    fn get(&self, row: usize) -> Option<&[u8]> {
        let span = self.spans[row];
        if span == Span::NULL {
            return None;
        }
        let (start, end) = (span.start as usize, span.end as usize);
        Some(match start.checked_sub(self.bytes.len()) {
            None => &self.bytes[start..end],
            Some(start) => &self.unescaped[start..end - self.bytes.len()],
        })
    }
}
