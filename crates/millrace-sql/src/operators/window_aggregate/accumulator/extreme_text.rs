//! `MIN` and `MAX` of strings.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use millrace_core::{Error, Result};
use millrace_state::codec::{Reader, Writer};

use super::{Accumulator, Rows, same};

/// The smallest or largest string of each group, compared byte by byte as in Flink. A group keeps
/// its buffer when its string is replaced.
#[derive(Default)]
pub struct TextExtreme<const MIN: bool> {
    texts: Vec<Option<String>>,
    /// The length of all buffers together, in bytes.
    text_bytes: usize,
}

impl<const MIN: bool> TextExtreme<MIN> {
    fn add(&mut self, group: usize, text: &str) {
        let kept = &mut self.texts[group];
        match kept {
            None => {
                self.text_bytes += text.len();
                *kept = Some(text.to_owned());
            }
            Some(kept) if if MIN { text < kept.as_str() } else { text > kept.as_str() } => {
                let before = kept.capacity();
                kept.clear();
                kept.push_str(text);
                self.text_bytes += kept.capacity() - before;
            }
            Some(_) => {}
        }
    }
}

impl<const MIN: bool> Accumulator for TextExtreme<MIN> {
    fn grow(&mut self, groups: usize) {
        self.texts.resize(groups, None);
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let column = rows.argument()?.as_string_opt::<i32>();
        let column = column.ok_or_else(|| Error::report("MIN or MAX of text got other values"))?;
        for (&group, &row) in rows.groups.iter().zip(rows.rows) {
            self.add(group as usize, column.value(row as usize));
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator, from: &[u32], into: &[u32]) -> Result<()> {
        let other: &Self = same(other)?;
        for (&from, &into) in from.iter().zip(into) {
            if let Some(text) = &other.texts[from as usize] {
                self.add(into as usize, text);
            }
        }
        Ok(())
    }

    fn finish(&self, groups: Range<usize>) -> Result<ArrayRef> {
        Ok(Arc::new(self.texts[groups].iter().map(Option::as_deref).collect::<StringArray>()))
    }

    fn write(&mut self, groups: &[Range<usize>], _full: bool, writer: &mut Writer) -> Result<()> {
        for text in groups.iter().flat_map(|range| &self.texts[range.clone()]) {
            writer.u8(u8::from(text.is_some()));
            if let Some(text) = text {
                writer.bytes(text.as_bytes());
            }
        }
        Ok(())
    }

    fn read(&mut self, groups: &[Range<usize>], reader: &mut Reader<'_>) -> Result<()> {
        for text in groups.iter().flat_map(Range::clone) {
            let read = match reader.u8()? {
                0 => None,
                _ => {
                    let bytes = reader.blob()?;
                    let text = std::str::from_utf8(bytes);
                    Some(text.map_err(|cause| reader.broken("not text").caused_by(cause))?)
                }
            };
            self.texts[text] = read.map(str::to_owned);
        }
        self.text_bytes = self.texts.iter().flatten().map(String::capacity).sum();
        Ok(())
    }

    fn clear(&mut self) {
        self.texts.clear();
        self.text_bytes = 0;
    }

    fn bytes(&self) -> usize {
        self.texts.capacity() * size_of::<Option<String>>() + self.text_bytes
    }

    fn written_bytes(&self, groups: usize, _full: bool) -> usize {
        groups * (1 + size_of::<u64>()) + self.text_bytes * groups / self.texts.len().max(1)
    }
}
