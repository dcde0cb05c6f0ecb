//! Objects as columns of `MAP<STRING, …>`.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, MapArray, StructArray, UInt32Array};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field};
use arrow_select::take::take;
use millrace_core::{Error, Result};

use super::decoder::TextCells;
use crate::format::cannot_write;
use crate::format::cells::{self, OnBadCell};
use crate::format::display::{self, TextStyle};
use crate::format::parse::TimestampStyle;
use crate::format::sql_type::sql_type;
use crate::{map_entry, map_type};

pub(super) fn is_map(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Map(..))
}

/// # Errors
/// `FixInput` for keys that are not STRING, and values that no text can be parsed as.
pub(super) fn check_readable(field: &Field) -> Result<()> {
    let entry = map_entry(field.data_type());
    let value = entry.filter(|(key, _)| **key == DataType::Utf8).map(|(_, value)| value);
    let check = |value: &DataType| cells::check_type("json", &Field::new("", value.clone(), true));
    match value.map(check) {
        Some(Ok(())) => Ok(()),
        _ => Err(Error::fix_input(format!(
            "format `json` does not support the type {} of column `{}`",
            sql_type(field.data_type()),
            field.name()
        ))
        .hint("the keys of an object are STRING")),
    }
}

/// # Errors
/// As for [`check_readable`].
pub(super) fn check_writable(field: &Field) -> Result<()> {
    match map_entry(field.data_type()) {
        Some((DataType::Utf8, value)) if display::is_supported(value, TextStyle::Sql) => Ok(()),
        _ => Err(cannot_write("json", field).hint("the keys of an object are STRING")),
    }
}

/// What `arrow-json` is asked for: all values as texts.
pub(super) fn of_texts() -> DataType {
    map_type(DataType::Utf8, DataType::Utf8)
}

/// Makes a map of values of the field's type. Of several with one key the last stays.
///
/// # Errors
/// `Report` for a type that [`check_readable`] refuses.
pub(super) fn build(
    field: &Field,
    style: TimestampStyle,
    texts: &MapArray,
    on_bad: OnBadCell<'_>,
) -> Result<ArrayRef> {
    let wrong = || Error::report(format!("column `{}` is no map", field.name()));
    let broken = |cause| Error::report("json maps do not fit together").caused_by(cause);
    let DataType::Map(entries, sorted) = field.data_type() else { return Err(wrong()) };
    let DataType::Struct(pair) = entries.data_type() else { return Err(wrong()) };
    let (kept, lengths) = last_of_each_key(texts);
    let pick = |array: &ArrayRef| take(array, &kept, None).map_err(broken);
    let (keys, values) = (pick(texts.keys())?, pick(texts.values())?);
    let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
    let values = {
        let value = Field::new(field.name(), pair[1].data_type().clone(), true);
        let row_of = |entry: usize| offsets.partition_point(|&start| start as usize <= entry) - 1;
        let mut on_bad_value = |entry: usize, cause: String| on_bad(row_of(entry), cause);
        cells::build(&value, style, &TextCells(values.as_string()), &mut on_bad_value)?
    };
    let pairs = StructArray::try_new(pair.clone(), vec![keys, values], None).map_err(broken)?;
    let nulls = texts.nulls().cloned();
    let map = MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted);
    Ok(Arc::new(map.map_err(broken)?))
}

/// The entries that stay, in their order, and how many each row has.
fn last_of_each_key(texts: &MapArray) -> (UInt32Array, Vec<usize>) {
    let keys = texts.keys().as_string::<i32>();
    let (mut kept, mut lengths) = (Vec::with_capacity(keys.len()), Vec::new());
    for row in 0..texts.len() {
        let (start, end) = (texts.value_offsets()[row], texts.value_offsets()[row + 1]);
        let before = kept.len();
        if texts.is_valid(row) {
            let mut seen = HashSet::new();
            let entries = (start as u32..end as u32).rev();
            kept.extend(entries.filter(|&entry| seen.insert(keys.value(entry as usize))));
            kept[before..].reverse();
        }
        lengths.push(kept.len() - before);
    }
    (UInt32Array::from(kept), lengths)
}
