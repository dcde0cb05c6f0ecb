//! Headers of records as columns of maps, and back.
//!
//! A record may have several headers of one name, and headers without a value; a map has each key
//! once. As in Flink, the last one of a name counts when headers are read, and entries whose value
//! is NULL are left out when they are written.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, MapArray, StringArray, StructArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::DataType;
use millrace_core::{Error, Result};

use super::fetched::RecordHeaders;
use crate::{map_entry, map_type};

/// The types that a column of headers can be declared with, Flink's own first. Where texts are
/// asked for, bytes that are no UTF-8 are replaced, as by a cast to STRING.
pub(crate) fn types() -> [DataType; 4] {
    use DataType::{Binary, Utf8};
    [map_type(Utf8, Binary), map_type(Utf8, Utf8), map_type(Binary, Binary), map_type(Binary, Utf8)]
}

/// The headers of each record as a map of this type, one of [`types`].
///
/// # Errors
/// `Report` for another type.
pub(crate) fn to_column(records: &[RecordHeaders], data_type: &DataType) -> Result<ArrayRef> {
    let DataType::Map(entries, sorted) = data_type else { return Err(no_type(data_type)) };
    let (key, value) = map_entry(data_type).ok_or_else(|| no_type(data_type))?;
    let DataType::Struct(fields) = entries.data_type() else { return Err(no_type(data_type)) };
    let kept: Vec<Vec<usize>> = records.iter().map(last_of_each_name).collect();
    let chosen = || {
        let rows = records.iter().zip(&kept);
        rows.flat_map(|(headers, kept)| kept.iter().map(|&index| &headers[index]))
    };
    let keys = bytes_as(key, chosen().map(|(name, _)| Some(name.as_bytes())))?;
    let values = bytes_as(value, chosen().map(|(_, value)| value.as_deref()))?;
    let broken = |cause| Error::report("headers do not fit their column").caused_by(cause);
    let pairs = StructArray::try_new(fields.clone(), vec![keys, values], None).map_err(broken)?;
    let offsets = OffsetBuffer::from_lengths(kept.iter().map(Vec::len));
    let maps = MapArray::try_new(Arc::clone(entries), offsets, pairs, None, *sorted);
    Ok(Arc::new(maps.map_err(broken)?))
}

fn no_type(data_type: &DataType) -> Error {
    Error::report(format!("headers cannot be {data_type}"))
}

/// The places of the headers that count, in their order.
fn last_of_each_name(headers: &RecordHeaders) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<usize> =
        (0..headers.len()).rev().filter(|&index| seen.insert(&headers[index].0)).collect();
    kept.reverse();
    kept
}

fn bytes_as<'a>(
    data_type: &DataType,
    items: impl Iterator<Item = Option<&'a [u8]>>,
) -> Result<ArrayRef> {
    match data_type {
        DataType::Binary => Ok(Arc::new(items.collect::<BinaryArray>())),
        DataType::Utf8 => {
            let texts = items.map(|item| item.map(String::from_utf8_lossy));
            Ok(Arc::new(texts.collect::<StringArray>()))
        }
        other => Err(no_type(other)),
    }
}

/// The headers that each row's map stands for; none for NULL.
///
/// # Errors
/// `FixInput` for a name that is not UTF-8, `Report` for a column that is no map of [`types`].
pub(crate) fn of_column(column: &ArrayRef) -> Result<Vec<RecordHeaders>> {
    let maps = column.as_map_opt().ok_or_else(|| no_type(column.data_type()))?;
    let row = |row: usize| {
        if maps.is_null(row) {
            return Ok(RecordHeaders::new());
        }
        let entries = maps.value(row);
        let (names, values) = (entries.column(0), entries.column(1));
        let mut headers = RecordHeaders::with_capacity(entries.len());
        for entry in 0..entries.len() {
            let Some(value) = bytes_at(values, entry)? else { continue };
            let name = bytes_at(names, entry)?.unwrap_or_default();
            let name = std::str::from_utf8(name).map_err(|cause| {
                Error::fix_input(format!(
                    "a header cannot be named `{}`: it is not UTF-8",
                    String::from_utf8_lossy(name)
                ))
                .caused_by(cause)
            })?;
            headers.push((name.to_owned(), Some(value.to_vec())));
        }
        Ok(headers)
    };
    (0..maps.len()).map(row).collect()
}

fn bytes_at(array: &ArrayRef, index: usize) -> Result<Option<&[u8]>> {
    if array.is_null(index) {
        return Ok(None);
    }
    match array.data_type() {
        DataType::Binary => Ok(Some(array.as_binary::<i32>().value(index))),
        DataType::Utf8 => Ok(Some(array.as_string::<i32>().value(index).as_bytes())),
        other => Err(no_type(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: Option<&str>) -> (String, Option<Vec<u8>>) {
        (name.to_owned(), value.map(|value| value.as_bytes().to_vec()))
    }

    #[test]
    fn of_headers_with_one_name_the_last_counts_and_null_values_are_read_but_not_written() {
        let records = vec![
            vec![header("a", Some("1")), header("b", None), header("a", Some("2"))],
            vec![],
            vec![header("", Some("empty name")), header("c", Some(""))],
        ];
        for data_type in types() {
            let column = to_column(&records, &data_type).unwrap();
            assert_eq!(column.data_type(), &data_type);
            let first = column.as_map().value(0);
            assert_eq!((first.len(), first.column(1).is_null(0)), (2, true));
            let written = of_column(&column).unwrap();
            assert_eq!(
                written,
                [
                    vec![header("a", Some("2"))],
                    vec![],
                    vec![header("", Some("empty name")), header("c", Some(""))],
                ]
            );
        }
    }

    #[test]
    fn bytes_that_are_no_text_stay_bytes_and_are_replaced_only_where_a_text_is_asked_for() {
        let records = vec![vec![("a".to_owned(), Some(vec![0xff, b'x']))]];
        let column = to_column(&records, &map_type(DataType::Utf8, DataType::Binary)).unwrap();
        assert_eq!(of_column(&column).unwrap(), records);
        let column = to_column(&records, &map_type(DataType::Utf8, DataType::Utf8)).unwrap();
        assert_eq!(of_column(&column).unwrap()[0][0].1.as_deref(), Some("\u{fffd}x".as_bytes()));
    }

    #[test]
    fn a_name_that_is_no_text_is_refused() {
        let entries = map_type(DataType::Binary, DataType::Binary);
        let column = to_column(&[vec![header("name", Some("v"))]], &entries).unwrap();
        let maps = column.as_map();
        let (field, offsets, pairs, nulls, sorted) = maps.clone().into_parts();
        let names: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"\xff"]));
        let pairs =
            StructArray::new(pairs.fields().clone(), vec![names, pairs.column(1).clone()], None);
        let column: ArrayRef = Arc::new(MapArray::new(field, offsets, pairs, nulls, sorted));
        let error = of_column(&column).unwrap_err();
        assert!(error.message().contains("not UTF-8"), "{error}");
    }
}
