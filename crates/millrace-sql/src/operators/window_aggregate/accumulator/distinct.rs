//! `COUNT(DISTINCT x)`, `SUM(DISTINCT x)`, `AVG(DISTINCT x)`: exact.
//!
//! The pairs of group and value that have come stand in a table that only grows; a pair that is
//! new is handed to the plain aggregate. A checkpoint holds the pairs alone: the plain aggregate is
//! computed from them again.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use millrace_core::{Error, Result};
use millrace_state::codec::{Reader, Writer};
use millrace_state::hash::{hash_bytes, hash_key};
use millrace_state::{ByteKeys, DenseIndex, read_byte_keys};

use super::{Accumulator, Rows, same};
use crate::operators::row_layout::{
    KeyForm, column_of_bytes, column_of_words, columns_of_rows, rows_of, words_of,
};

/// Values that each group has had, and the aggregate over them.
pub struct Distinct {
    argument: DataType,
    form: KeyForm,
    index: DenseIndex,
    /// Group and value, for values of at most eight bytes.
    words: Vec<(u32, u64)>,
    /// The group in four bytes, then the value; for all other values.
    bytes: ByteKeys,
    plain: Box<dyn Accumulator>,
    /// How many pairs the last snapshot had.
    stored: usize,
    scratch: Scratch,
}

/// Memory that is used again for each batch.
#[derive(Default)]
struct Scratch {
    words: Vec<u64>,
    arena: Vec<u8>,
    ends: Vec<usize>,
    key: Vec<u8>,
    groups: Vec<u32>,
    rows: Vec<u32>,
}

impl Distinct {
    /// Over values of type `argument`, for the aggregate `plain`.
    pub fn new(argument: &DataType, plain: Box<dyn Accumulator>) -> Self {
        Distinct {
            form: KeyForm::of(std::slice::from_ref(argument)),
            argument: argument.clone(),
            index: DenseIndex::default(),
            words: Vec::new(),
            bytes: ByteKeys::default(),
            plain,
            stored: 0,
            scratch: Scratch::default(),
        }
    }

    fn pairs(&self) -> usize {
        if self.form == KeyForm::Word { self.words.len() } else { self.bytes.rows() }
    }

    /// Adds the pair, if it is new.
    #[inline]
    fn insert_word(&mut self, group: u32, word: u64) -> bool {
        let Distinct { index, words, .. } = self;
        let (_, new) = index.find_or_insert(
            hash_key(&(group, word)),
            |pair| words[pair as usize] == (group, word),
            |pair| hash_key(&words[pair as usize]),
        );
        if new {
            words.push((group, word));
        }
        new
    }

    #[inline]
    fn insert_bytes(&mut self, group: u32, value: &[u8], key: &mut Vec<u8>) -> bool {
        key.clear();
        key.extend_from_slice(&group.to_le_bytes());
        key.extend_from_slice(value);
        let pairs = self.bytes.rows();
        self.bytes.intern(hash_bytes(key), key) as usize == pairs
    }

    fn group(&self, pair: usize) -> u32 {
        match self.form {
            KeyForm::Word => self.words[pair].0,
            _ => group_of(self.bytes.get(pair)),
        }
    }

    /// The values of some pairs, as a column.
    fn values(&self, pairs: Range<usize>) -> Result<ArrayRef> {
        match self.form {
            KeyForm::Word => {
                let words = self.words[pairs].iter().map(|&(_, word)| word);
                column_of_words(&self.argument, words, None)
            }
            KeyForm::Text => {
                let values = pairs.map(|pair| Some(&self.bytes.get(pair)[4..]));
                column_of_bytes(&self.argument, values)
            }
            KeyForm::Row | KeyForm::Nothing => {
                let rows = pairs.map(|pair| &self.bytes.get(pair)[4..]);
                let mut columns = columns_of_rows(std::slice::from_ref(&self.argument), rows)?;
                columns.pop().ok_or_else(|| Error::report("a value of no columns"))
            }
        }
    }

    /// Hands the pairs from number `from` on to the plain aggregate.
    fn add_pairs(&mut self, from: usize) -> Result<()> {
        let pairs = from..self.pairs();
        let groups: Vec<u32> = pairs.clone().map(|pair| self.group(pair)).collect();
        let rows: Vec<u32> = (0..groups.len() as u32).collect();
        let values = self.values(pairs)?;
        self.plain.update(Rows { groups: &groups, rows: &rows, argument: Some(&values) })
    }
}

fn group_of(key: &[u8]) -> u32 {
    u32::from_le_bytes(key[..4].try_into().expect("four bytes"))
}

impl Accumulator for Distinct {
    fn grow(&mut self, groups: usize) {
        self.plain.grow(groups);
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let argument = rows.argument()?.clone();
        let mut scratch = std::mem::take(&mut self.scratch);
        let Scratch { words, arena, ends, key, groups: new_groups, rows: new_rows } = &mut scratch;
        new_groups.clear();
        new_rows.clear();
        match self.form {
            KeyForm::Word => words_of(&argument, words)?,
            KeyForm::Text => {}
            _ => rows_of(std::slice::from_ref(&argument), argument.len(), arena, ends)?,
        }
        for (&group, &row) in rows.groups.iter().zip(rows.rows) {
            let at = row as usize;
            let new = match self.form {
                KeyForm::Word => self.insert_word(group, words[at]),
                KeyForm::Text => {
                    let value = match argument.as_string_opt::<i32>() {
                        Some(texts) => texts.value(at).as_bytes(),
                        None => argument.as_binary::<i32>().value(at),
                    };
                    self.insert_bytes(group, value, key)
                }
                _ => {
                    let begin = if at == 0 { 0 } else { ends[at - 1] };
                    self.insert_bytes(group, &arena[begin..ends[at]], key)
                }
            };
            if new {
                new_groups.push(group);
                new_rows.push(row);
            }
        }
        let fresh = Rows { groups: new_groups, rows: new_rows, argument: Some(&argument) };
        let result = self.plain.update(fresh);
        self.scratch = scratch;
        result
    }

    fn merge(&mut self, other: &dyn Accumulator, from: &[u32], into: &[u32]) -> Result<()> {
        let other: &Self = same(other)?;
        let most = from.iter().copied().max().map_or(0, |group| group as usize + 1);
        let mut targets = vec![u32::MAX; most];
        for (&from, &into) in from.iter().zip(into) {
            targets[from as usize] = into;
        }
        let before = self.pairs();
        let mut key = Vec::new();
        for pair in 0..other.pairs() {
            let target = targets.get(other.group(pair) as usize).copied();
            let Some(target) = target.filter(|&target| target != u32::MAX) else { continue };
            match self.form {
                KeyForm::Word => self.insert_word(target, other.words[pair].1),
                _ => self.insert_bytes(target, &other.bytes.get(pair)[4..], &mut key),
            };
        }
        self.add_pairs(before)
    }

    fn finish(&self, groups: Range<usize>) -> Result<ArrayRef> {
        self.plain.finish(groups)
    }

    fn write(&mut self, _groups: &[Range<usize>], full: bool, writer: &mut Writer) -> Result<()> {
        let from = if full { 0 } else { self.stored };
        writer.u64(from as u64);
        match self.form {
            KeyForm::Word => writer.blob(|writer| {
                for &(group, word) in &self.words[from..] {
                    writer.u32(group);
                    writer.u64(word);
                }
                Ok(())
            })?,
            _ => self.bytes.copy(from..self.bytes.rows()).encode(writer)?,
        }
        self.stored = self.pairs();
        Ok(())
    }

    fn read(&mut self, groups: &[Range<usize>], reader: &mut Reader<'_>) -> Result<()> {
        let before = self.pairs();
        if reader.u64()? != before as u64 {
            return Err(reader.broken("distinct values do not continue those before"));
        }
        let twice = || Error::restore("stored state holds a distinct value twice");
        match self.form {
            KeyForm::Word => {
                let mut pairs = Reader::new(reader.blob()?, "distinct values");
                while !pairs.is_empty() {
                    let (group, word) = (pairs.u32()?, pairs.u64()?);
                    self.insert_word(group, word).then_some(()).ok_or_else(twice)?;
                }
            }
            _ => {
                for key in read_byte_keys(reader)? {
                    let (group, value) = key
                        .split_at_checked(4)
                        .ok_or_else(|| reader.broken("a distinct value without its group"))?;
                    let new = self.insert_bytes(group_of(group), value, &mut Vec::new());
                    new.then_some(()).ok_or_else(twice)?;
                }
            }
        }
        // A pair comes with a change of its group, so its group is among those that changed.
        let known = groups.last().map_or(0, |range| range.end);
        if (before..self.pairs()).any(|pair| self.group(pair) as usize >= known) {
            return Err(reader.broken("a distinct value of a group that does not exist"));
        }
        self.add_pairs(before)
    }

    fn clear(&mut self) {
        self.index.clear();
        self.words.clear();
        self.bytes.clear();
        self.plain.clear();
        self.stored = 0;
    }

    fn bytes(&self) -> usize {
        self.index.bytes()
            + self.words.capacity() * size_of::<(u32, u64)>()
            + self.bytes.bytes()
            + self.plain.bytes()
    }

    fn written_bytes(&self, _groups: usize, full: bool) -> usize {
        let pairs = self.pairs() - if full { 0 } else { self.stored };
        let each = match self.form {
            KeyForm::Word => 12,
            _ => 4 + self.bytes.key_bytes() / self.pairs().max(1),
        };
        pairs * each
    }
}
