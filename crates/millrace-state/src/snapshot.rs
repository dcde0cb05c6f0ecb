//! Snapshots of panes: their bytes, and reading a chain of them.
//!
//! # Format, version 1
//!
//! ```text
//! magic "MRPS", version u16, kind u8 (0 full, 1 delta)
//! layout: blob (text that says what the tables hold; another operator's state is refused by it)
//! watermark i64
//! dropped panes: count u64, keys (i64, i64)
//! panes: count u64, each: key (i64, i64), blob (the table's own content)
//! crc32c of all before: u32
//! ```
//!
//! Numbers are little-endian, a blob has its length before it as `u64`. Dropped panes come first: a
//! delta may drop a pane and bring one of the same key.

use std::collections::BTreeMap;

use millrace_core::{Error, Result, Timestamp};

use crate::PaneKey;
use crate::codec::{Reader, Writer};

const MAGIC: &[u8; 4] = b"MRPS";
const VERSION: u16 = 1;

/// A table that a pane holds.
pub trait PaneTable {
    /// What is copied at a barrier, to be encoded elsewhere.
    type Copied: Send + 'static;

    /// How many keys it has.
    fn rows(&self) -> usize;

    /// Memory that it takes, in bytes, used or not.
    fn bytes(&self) -> usize;

    /// Whether it takes far more memory than it uses, so that it is not worth keeping for reuse.
    fn spare(&self) -> bool;

    /// About how many bytes [`PaneTable::copy`] would copy.
    fn copied_bytes(&self, full: bool) -> usize;

    /// Copies all rows, or what changed since the last copy: `None` when nothing did.
    fn copy(&mut self, full: bool) -> Option<Self::Copied>;

    /// Writes a copy.
    ///
    /// # Errors
    /// When a value can't be encoded.
    fn encode(copied: Self::Copied, writer: &mut Writer) -> Result<()>;

    /// Forgets all rows and keeps the memory.
    fn clear(&mut self);
}

/// A table as it is read back: rows without an index, since only some will be kept.
pub trait PaneRows {
    /// Adds what [`PaneTable::encode`] wrote: first of a full copy, then of differences.
    ///
    /// # Errors
    /// `Restore` when the bytes do not fit what came before.
    fn apply(&mut self, reader: &mut Reader<'_>) -> Result<()>;
}

/// What a chain of snapshots of one former subtask holds.
#[derive(Debug)]
pub struct RestoredPanes<R> {
    /// Event time at the subtask.
    pub watermark: Timestamp,
    /// Its panes.
    pub panes: BTreeMap<PaneKey, R>,
}

/// A snapshot whose bytes are still to be written.
pub(crate) struct Part<C> {
    pub full: bool,
    pub layout: String,
    pub watermark: Timestamp,
    pub dropped: Vec<PaneKey>,
    pub panes: Vec<(PaneKey, C)>,
}

impl<C> Part<C> {
    pub(crate) fn encode(self, encode: impl Fn(C, &mut Writer) -> Result<()>) -> Result<Vec<u8>> {
        let mut writer = Writer::default();
        writer.raw(MAGIC);
        writer.u16(VERSION);
        writer.u8(u8::from(!self.full));
        writer.bytes(self.layout.as_bytes());
        writer.i64(self.watermark.as_millis());
        writer.u64(self.dropped.len() as u64);
        for key in self.dropped {
            write_key(&mut writer, key);
        }
        writer.u64(self.panes.len() as u64);
        for (key, copied) in self.panes {
            write_key(&mut writer, key);
            writer.blob(|writer| encode(copied, writer))?;
        }
        let crc = crc32c::crc32c(writer.as_bytes());
        writer.u32(crc);
        Ok(writer.into_bytes())
    }
}

fn write_key(writer: &mut Writer, key: PaneKey) {
    writer.i64(key.pane);
    writer.i64(key.first);
}

fn read_key(reader: &mut Reader<'_>) -> Result<PaneKey> {
    Ok(PaneKey { pane: reader.i64()?, first: reader.i64()? })
}

/// Reads the chain of one former subtask: a full snapshot, then deltas. `layout` is what this
/// operator would write, `empty` makes a table without rows.
///
/// # Errors
/// `Restore` when the bytes are damaged, of a later version or of another operator.
pub fn read_chain<R: PaneRows>(
    parts: &[Vec<u8>],
    layout: &str,
    empty: impl Fn() -> R,
) -> Result<RestoredPanes<R>> {
    let mut state = RestoredPanes { watermark: Timestamp::MIN, panes: BTreeMap::new() };
    for (number, part) in parts.iter().enumerate() {
        read_part(part, number == 0, layout, &empty, &mut state).map_err(|error| {
            error.context(format_args!("part {} of {} of the state", number + 1, parts.len()))
        })?;
    }
    Ok(state)
}

fn read_part<R: PaneRows>(
    bytes: &[u8],
    first: bool,
    layout: &str,
    empty: &impl Fn() -> R,
    state: &mut RestoredPanes<R>,
) -> Result<()> {
    let mut reader = checked(bytes)?;
    let full = match reader.u8()? {
        0 => true,
        1 => false,
        other => return Err(reader.broken(format_args!("kind {other} is unknown"))),
    };
    if full != first {
        return Err(reader.broken("a chain is one full snapshot, then differences"));
    }
    let stored = reader.blob()?;
    if stored != layout.as_bytes() {
        return Err(Error::restore(format!(
            "the stored state is `{}` and the operator needs `{layout}`",
            String::from_utf8_lossy(stored)
        ))
        .hint("give the changed operator another uid, or start without the checkpoint"));
    }
    state.watermark = Timestamp::from_millis(reader.i64()?);
    for _ in 0..reader.count(16)? {
        let key = read_key(&mut reader)?;
        if state.panes.remove(&key).is_none() {
            return Err(reader.broken(format_args!("{key:?} is dropped and was not there")));
        }
    }
    let mut last = None;
    for _ in 0..reader.count(24)? {
        let key = read_key(&mut reader)?;
        if last.is_some_and(|last| last >= key) {
            return Err(reader.broken("panes are out of order"));
        }
        last = Some(key);
        let mut content = Reader::new(reader.blob()?, "pane");
        state.panes.entry(key).or_insert_with(empty).apply(&mut content)?;
        content.finish()?;
    }
    reader.finish()
}

/// A reader behind magic and version, without the checksum, which was found right.
fn checked(bytes: &[u8]) -> Result<Reader<'_>> {
    let mut reader = Reader::new(bytes, "snapshot of panes");
    if reader.take(MAGIC.len())? != MAGIC {
        return Err(reader.broken("it does not begin as a snapshot of panes does"));
    }
    let version = reader.u16()?;
    if version != VERSION {
        return Err(Error::restore(format!(
            "the state was written in format {version}; this program reads {VERSION}"
        ))
        .hint("run the version of Millrace that wrote it, or a later one"));
    }
    let left = reader.left();
    let Some(content) = left.checked_sub(size_of::<u32>()) else {
        return Err(reader.broken("it ends too early"));
    };
    let mut checksum = reader.clone();
    checksum.take(content)?;
    if checksum.u32()? != crc32c::crc32c(&bytes[..bytes.len() - size_of::<u32>()]) {
        return Err(reader.broken("its checksum is wrong"));
    }
    Ok(Reader::new(reader.take(content)?, "snapshot of panes"))
}
