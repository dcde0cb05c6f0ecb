//! From a row's key to the number of its group.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use millrace_core::{Error, Result};
use millrace_state::codec::{Reader, Writer};
use millrace_state::{ByteKeys, DenseIndex, read_byte_keys};

use crate::operators::key_hash::hash_keys;
use crate::operators::row_layout::{
    KeyForm, column_of_bytes, column_of_words, columns_of_rows, rows_of, words_of,
};

/// The keys of a batch's rows, hashed and laid out once for all panes that the batch touches.
pub struct BatchKeys {
    form: KeyForm,
    hashes: Vec<u64>,
    words: Vec<u64>,
    arena: Vec<u8>,
    ends: Vec<usize>,
    /// The column of a key of one column.
    column: Option<ArrayRef>,
    nulls: Option<NullBuffer>,
}

impl BatchKeys {
    /// For keys of these types.
    pub fn new(types: &[DataType]) -> Self {
        BatchKeys {
            form: KeyForm::of(types),
            hashes: Vec::new(),
            words: Vec::new(),
            arena: Vec::new(),
            ends: Vec::new(),
            column: None,
            nulls: None,
        }
    }

    /// Takes the keys of a batch.
    ///
    /// # Errors
    /// `Report` for a column that cannot be a key.
    pub fn set(&mut self, batch: &RecordBatch, keys: &[usize]) -> Result<()> {
        let columns: Vec<ArrayRef> = keys.iter().map(|&key| batch.column(key).clone()).collect();
        self.set_columns(&columns, batch.num_rows())
    }

    fn set_columns(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        hash_keys(columns, rows, &mut self.hashes)?;
        self.column = columns.first().cloned();
        self.nulls = match columns {
            [column] => column.nulls().filter(|nulls| nulls.null_count() > 0).cloned(),
            _ => None,
        };
        match self.form {
            KeyForm::Nothing => {
                self.words.clear();
                self.words.resize(rows, 0);
                Ok(())
            }
            KeyForm::Word => words_of(&columns[0], &mut self.words),
            KeyForm::Text => Ok(()),
            KeyForm::Row => {
                // One decimal that is null is a row like any other: it says so itself.
                self.nulls = None;
                rows_of(columns, rows, &mut self.arena, &mut self.ends)
            }
        }
    }
}

/// The keys of a pane, numbered in the order in which they first came.
pub struct GroupKeys {
    types: Vec<DataType>,
    form: KeyForm,
    index: DenseIndex,
    /// Words with their hashes.
    words: Vec<(u64, u64)>,
    bytes: ByteKeys,
    /// The group of the null, for keys of one column.
    null_group: Option<u32>,
}

const NO_GROUP: u64 = u64::MAX;

impl GroupKeys {
    /// No keys yet, of these types.
    pub fn new(types: &[DataType]) -> Self {
        GroupKeys {
            types: types.to_vec(),
            form: KeyForm::of(types),
            index: DenseIndex::default(),
            words: Vec::new(),
            bytes: ByteKeys::default(),
            null_group: None,
        }
    }

    /// The groups of the rows with these numbers, in their order.
    pub fn intern(&mut self, batch: &BatchKeys, rows: &[u32], groups: &mut Vec<u32>) {
        groups.clear();
        match self.form {
            KeyForm::Nothing | KeyForm::Word => self.intern_words(batch, rows, groups),
            KeyForm::Text => {
                let column = batch.column.as_ref().expect("a key of one column");
                match column.data_type() {
                    DataType::Utf8 => {
                        let texts = column.as_string::<i32>();
                        let text = |row: usize| texts.value(row).as_bytes();
                        self.intern_bytes(batch, rows, groups, text);
                    }
                    _ => {
                        let values = column.as_binary::<i32>();
                        self.intern_bytes(batch, rows, groups, |row| values.value(row));
                    }
                }
            }
            KeyForm::Row => {
                let (arena, ends) = (&batch.arena, &batch.ends);
                self.intern_bytes(batch, rows, groups, |row| {
                    let begin = if row == 0 { 0 } else { ends[row - 1] };
                    &arena[begin..ends[row]]
                });
            }
        }
    }

    fn intern_words(&mut self, batch: &BatchKeys, rows: &[u32], groups: &mut Vec<u32>) {
        let GroupKeys { index, words, null_group, .. } = self;
        let mut intern = |word: u64, hash: u64| {
            let (group, new) = index.find_or_insert(
                hash,
                |group| words[group as usize] == (word, hash),
                |group| words[group as usize].1,
            );
            if new {
                words.push((word, hash));
            }
            group
        };
        match &batch.nulls {
            None => {
                groups.extend(
                    rows.iter()
                        .map(|&row| intern(batch.words[row as usize], batch.hashes[row as usize])),
                );
            }
            Some(nulls) => groups.extend(rows.iter().map(|&row| {
                let (row, hash) = (row as usize, batch.hashes[row as usize]);
                if nulls.is_valid(row) {
                    return intern(batch.words[row], hash);
                }
                *null_group.insert(intern(0, hash))
            })),
        }
    }

    fn intern_bytes<'a>(
        &mut self,
        batch: &BatchKeys,
        rows: &[u32],
        groups: &mut Vec<u32>,
        bytes: impl Fn(usize) -> &'a [u8],
    ) {
        let GroupKeys { bytes: table, null_group, .. } = self;
        match &batch.nulls {
            None => groups.extend(rows.iter().map(|&row| {
                let row = row as usize;
                table.intern(batch.hashes[row], bytes(row))
            })),
            Some(nulls) => groups.extend(rows.iter().map(|&row| {
                let (row, hash) = (row as usize, batch.hashes[row as usize]);
                if nulls.is_valid(row) {
                    return table.intern(hash, bytes(row));
                }
                *null_group.insert(table.intern(hash, &[]))
            })),
        }
    }

    /// The groups that the keys `from` of another table have here; new ones are added.
    pub fn intern_from(&mut self, other: &GroupKeys, from: &[u32], groups: &mut Vec<u32>) {
        groups.clear();
        for &row in from {
            let hash = other.hash(row as usize);
            let group = match self.form {
                KeyForm::Nothing | KeyForm::Word => {
                    let GroupKeys { index, words, .. } = self;
                    let key = other.words[row as usize];
                    let (group, new) = index.find_or_insert(
                        hash,
                        |group| words[group as usize] == key,
                        |group| words[group as usize].1,
                    );
                    if new {
                        words.push(key);
                    }
                    group
                }
                KeyForm::Text | KeyForm::Row => {
                    self.bytes.intern(hash, other.bytes.get(row as usize))
                }
            };
            if other.null_group == Some(row) {
                self.null_group = Some(group);
            }
            groups.push(group);
        }
    }

    /// The hash of a group's key.
    pub fn hash(&self, group: usize) -> u64 {
        match self.form {
            KeyForm::Nothing | KeyForm::Word => self.words[group].1,
            KeyForm::Text | KeyForm::Row => self.bytes.hash(group),
        }
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        match self.form {
            KeyForm::Nothing | KeyForm::Word => self.words.len(),
            KeyForm::Text | KeyForm::Row => self.bytes.rows(),
        }
    }

    /// The keys of some groups, as columns.
    ///
    /// # Errors
    /// `Restore` when what was restored is not of the key's types.
    pub fn columns(&self, groups: Range<usize>) -> Result<Vec<ArrayRef>> {
        let null_group = self.null_group.map(|group| group as usize);
        match self.form {
            KeyForm::Nothing => Ok(Vec::new()),
            KeyForm::Word => {
                let valid = null_group
                    .filter(|group| groups.contains(group))
                    .map(|null| groups.clone().map(|group| group != null).collect::<NullBuffer>());
                let words = self.words[groups].iter().map(|&(word, _)| word);
                Ok(vec![column_of_words(&self.types[0], words, valid)?])
            }
            KeyForm::Text => {
                let value = |group| (Some(group) != null_group).then(|| self.bytes.get(group));
                Ok(vec![column_of_bytes(&self.types[0], groups.map(value))?])
            }
            KeyForm::Row => columns_of_rows(&self.types, groups.map(|group| self.bytes.get(group))),
        }
    }

    /// Writes the keys from group `from` on.
    pub fn write(&self, from: usize, writer: &mut Writer) -> Result<()> {
        writer.u64(self.null_group.map_or(NO_GROUP, u64::from));
        match self.form {
            KeyForm::Nothing | KeyForm::Word => writer.blob(|writer| {
                self.words[from..].iter().for_each(|&(word, _)| writer.u64(word));
                Ok(())
            }),
            KeyForm::Text | KeyForm::Row => self.bytes.copy(from..self.bytes.rows()).encode(writer),
        }
    }

    /// Adds keys that [`GroupKeys::write`] wrote, which must be new.
    ///
    /// # Errors
    /// `Restore` when the bytes are not such keys.
    pub fn read(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let before = self.len();
        let null_group = reader.u64()?;
        let mut batch = BatchKeys::new(&self.types);
        let mut added = GroupKeys::new(&self.types);
        match self.form {
            KeyForm::Nothing | KeyForm::Word => {
                let mut words = Reader::new(reader.blob()?, "keys");
                while !words.is_empty() {
                    added.words.push((words.u64()?, 0));
                }
            }
            KeyForm::Text | KeyForm::Row => {
                for (row, key) in read_byte_keys(reader)?.into_iter().enumerate() {
                    // Hashes that differ keep keys apart until the right ones are known.
                    added.bytes.intern(row as u64, key);
                }
            }
        }
        let count = added.len();
        // A null that came before has its group in the old part.
        if null_group != NO_GROUP {
            let group = usize::try_from(null_group).unwrap_or(usize::MAX);
            if self.form == KeyForm::Row || group >= before + count {
                return Err(reader.broken(format_args!("the null is group {group}")));
            }
            added.null_group = group.checked_sub(before).map(|group| group as u32);
        }
        let columns = added.columns(0..count)?;
        batch.set_columns(&columns, count)?;
        let rows: Vec<u32> = (0..count as u32).collect();
        let mut groups = Vec::new();
        self.intern(&batch, &rows, &mut groups);
        if groups.iter().enumerate().any(|(row, &group)| group as usize != before + row) {
            return Err(Error::restore("stored state holds a key twice"));
        }
        Ok(())
    }

    /// Forgets all keys and keeps the memory.
    pub fn clear(&mut self) {
        self.index.clear();
        self.words.clear();
        self.bytes.clear();
        self.null_group = None;
    }

    /// Memory that the keys take, in bytes.
    pub fn bytes(&self) -> usize {
        self.index.bytes() + self.words.capacity() * size_of::<(u64, u64)>() + self.bytes.bytes()
    }

    /// About how many bytes the keys from group `from` on take when copied.
    pub fn copied_bytes(&self, from: usize) -> usize {
        let added = self.len() - from;
        match self.form {
            KeyForm::Nothing | KeyForm::Word => added * size_of::<u64>(),
            KeyForm::Text | KeyForm::Row => {
                self.bytes.key_bytes() * added / self.len().max(1) + added * size_of::<u32>()
            }
        }
    }
}
