//! Keys and values that are both bytes: the newest row of each key.

use millrace_core::{Error, Result};

use crate::ByteKeys;
use crate::byte_keys::{ByteKeysCopy, read_byte_keys};
use crate::codec::{Reader, Writer};
use crate::keyed_rows::KeyedRow;
use crate::snapshot::{PaneRows, PaneTable};

/// A dense table of byte rows by byte keys.
///
/// Values lie in one arena. What was overwritten or removed leaves a hole there until half of the
/// arena is holes; a removed key keeps its number until its owner makes the table anew
/// ([`RowTable::is_worn`]).
#[derive(Clone, Debug, Default)]
pub(crate) struct RowTable {
    keys: ByteKeys,
    arena: Vec<u8>,
    /// Where the value of each row lies; `None` where the key was removed.
    spans: Vec<Option<Span>>,
    /// How many keys have a value.
    live: usize,
    /// Bytes of the arena that no row has.
    hole_bytes: usize,
    /// The rows that changed since the last copy, each once.
    changed: Vec<u32>,
    is_changed: Vec<bool>,
    /// How many rows the last copy had.
    stored_rows: usize,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    length: u32,
}

impl Span {
    fn of(self, arena: &[u8]) -> &[u8] {
        &arena[self.start..self.start + self.length as usize]
    }
}

/// Tables with fewer removed keys are not made anew: it would not be worth it.
const FEW_ROWS: usize = 1_024;
/// Holes of fewer bytes are left.
const FEW_BYTES: usize = 64 << 10;

impl RowTable {
    /// The value of a key, if it is there. Equal keys have to come with equal hashes.
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<&[u8]> {
        let row = self.keys.find(hash, key)?;
        self.spans[row as usize].map(|span| span.of(&self.arena))
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// `FixInput` for a value that is longer than 4 GiB.
    pub fn insert(&mut self, hash: u64, key: &[u8], value: &[u8]) -> Result<()> {
        let length = u32::try_from(value.len())
            .map_err(|_| Error::fix_input("a row is longer than 4 GiB"))?;
        let row = self.keys.intern(hash, key);
        if row as usize == self.spans.len() {
            self.spans.push(None);
            self.is_changed.push(false);
        }
        match self.spans[row as usize] {
            // In its place, if it has as many bytes: of most rows only numbers change.
            Some(span) if span.length == length => {
                self.arena[span.start..span.start + value.len()].copy_from_slice(value);
                self.mark(row);
                return Ok(());
            }
            Some(span) => self.hole_bytes += span.length as usize,
            None => self.live += 1,
        }
        self.spans[row as usize] = Some(Span { start: self.arena.len(), length });
        self.arena.extend_from_slice(value);
        self.mark(row);
        self.close_holes();
        Ok(())
    }

    /// Removes a key with its value.
    pub fn remove(&mut self, hash: u64, key: &[u8]) {
        let Some(row) = self.keys.find(hash, key) else { return };
        let Some(span) = self.spans[row as usize].take() else { return };
        self.hole_bytes += span.length as usize;
        self.live -= 1;
        self.mark(row);
        self.close_holes();
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// All hashes, keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8], &[u8])> {
        let with_value = |(row, span): (usize, &Option<Span>)| {
            span.map(|span| (self.keys.hash(row), self.keys.get(row), span.of(&self.arena)))
        };
        self.spans.iter().enumerate().filter_map(with_value)
    }

    /// Whether most of its rows are of removed keys.
    pub fn is_worn(&self) -> bool {
        let removed = self.spans.len() - self.live;
        removed >= FEW_ROWS && removed > self.live
    }

    fn mark(&mut self, row: u32) {
        if !std::mem::replace(&mut self.is_changed[row as usize], true) {
            self.changed.push(row);
        }
    }

    fn close_holes(&mut self) {
        if self.hole_bytes < FEW_BYTES || self.hole_bytes <= self.arena.len() / 2 {
            return;
        }
        let mut arena = Vec::with_capacity(self.arena.len() - self.hole_bytes);
        for span in self.spans.iter_mut().flatten() {
            let start = arena.len();
            arena.extend_from_slice(span.of(&self.arena));
            span.start = start;
        }
        self.arena = arena;
        self.hole_bytes = 0;
    }
}

/// What was copied of a [`RowTable`] at a barrier.
#[derive(Debug)]
pub(crate) struct RowTableCopy {
    /// How many rows the part before has.
    before: usize,
    rows: usize,
    new_keys: ByteKeysCopy,
    /// The rows that changed, with the lengths of their values.
    changed: Vec<(u32, Option<u32>)>,
    values: Vec<u8>,
}

impl PaneTable for RowTable {
    type Copied = RowTableCopy;

    fn rows(&self) -> usize {
        self.spans.len()
    }

    fn bytes(&self) -> usize {
        self.keys.bytes()
            + self.arena.capacity()
            + self.spans.capacity() * size_of::<Option<Span>>()
            + self.changed.capacity() * size_of::<u32>()
            + self.is_changed.capacity()
    }

    fn spare(&self) -> bool {
        self.bytes() > 4 * (self.keys.key_bytes() + self.arena.len() + 32 * self.spans.len())
    }

    fn copied_bytes(&self, full: bool) -> usize {
        if full {
            return self.keys.key_bytes() + self.arena.len() - self.hole_bytes
                + self.spans.len() * 3 * size_of::<u32>();
        }
        let value = |row: &u32| {
            let length = self.spans[*row as usize].map_or(0, |span| span.length as usize);
            length + 2 * size_of::<u32>()
        };
        self.changed.iter().map(value).sum()
    }

    fn copy(&mut self, full: bool) -> Option<RowTableCopy> {
        if !full && self.changed.is_empty() {
            return None;
        }
        let rows = self.spans.len();
        let before = if full { 0 } else { self.stored_rows };
        let all = 0..if full { rows as u32 } else { 0 };
        let some = if full { &[][..] } else { &self.changed };
        let mut copy = RowTableCopy {
            before,
            rows,
            new_keys: self.keys.copy(before..rows),
            changed: Vec::new(),
            values: Vec::new(),
        };
        for row in all.chain(some.iter().copied()) {
            let span = self.spans[row as usize];
            copy.changed.push((row, span.map(|span| span.length)));
            copy.values.extend_from_slice(span.map_or(&[], |span| span.of(&self.arena)));
        }
        self.changed.drain(..).for_each(|row| self.is_changed[row as usize] = false);
        self.stored_rows = rows;
        Some(copy)
    }

    /// ```text
    /// rows before u64, rows u64
    /// keys of the new rows: blob of lengths (u32 each), blob of bytes
    /// changed rows: count u64, each: row u32, 0 or 1 + length of the value u32
    /// values: blob
    /// ```
    fn encode(copied: RowTableCopy, writer: &mut Writer) -> Result<()> {
        writer.u64(copied.before as u64);
        writer.u64(copied.rows as u64);
        copied.new_keys.encode(writer)?;
        writer.u64(copied.changed.len() as u64);
        for (row, length) in copied.changed {
            writer.u32(row);
            writer.u8(u8::from(length.is_some()));
            writer.u32(length.unwrap_or(0));
        }
        writer.bytes(&copied.values);
        Ok(())
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.arena.clear();
        self.spans.clear();
        self.changed.clear();
        self.is_changed.clear();
        (self.live, self.hole_bytes, self.stored_rows) = (0, 0, 0);
    }
}

/// A key and its value, if it has one.
type StoredRow = (Box<[u8]>, Option<Box<[u8]>>);

/// The rows of a [`RowTable`] as they are read back.
#[derive(Debug, Default)]
pub(crate) struct StoredRows {
    rows: Vec<StoredRow>,
}

impl StoredRows {
    /// Keys and values of those that have one.
    pub fn into_entries(self) -> impl Iterator<Item = KeyedRow> {
        self.rows.into_iter().filter_map(|(key, value)| Some((key, value?)))
    }
}

impl PaneRows for StoredRows {
    fn apply(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let (before, rows) = (reader.u64()?, reader.u64()?);
        if before != self.rows.len() as u64 {
            return Err(reader.broken(format_args!(
                "a difference from {before} rows follows {}",
                self.rows.len()
            )));
        }
        let new_keys = read_byte_keys(reader)?;
        self.rows.extend(new_keys.into_iter().map(|key| (key.into(), None)));
        if rows != self.rows.len() as u64 {
            return Err(reader.broken(format_args!("{} keys of {rows}", self.rows.len())));
        }
        let count = reader.count(2 * size_of::<u32>() + 1)?;
        let mut changed = Vec::with_capacity(count);
        for _ in 0..count {
            changed.push((reader.u32()?, reader.u8()?, reader.u32()?));
        }
        let mut values = Reader::new(reader.blob()?, "values");
        for (row, there, length) in changed {
            let value = match (there, length) {
                (0, 0) => None,
                (1, length) => Some(values.take(length as usize)?.into()),
                _ => return Err(reader.broken("a row says neither that it is there nor gone")),
            };
            let Some(place) = self.rows.get_mut(row as usize) else {
                return Err(reader.broken(format_args!("row {row} of {rows} has changed")));
            };
            place.1 = value;
        }
        values.finish()
    }
}
