//! Maps: `MAP[key, value, …]` and `map[key]`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, StructArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{interleave, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use millrace_connect::{map_entry, map_type};

use super::kernel::Kernel;
use super::{Call, Typed};
use crate::error::Result;

type Kernelled = Result<ArrayRef, ArrowError>;

/// `MAP[key, value, …]`: of several values for one key the last counts.
pub(super) fn constructor(mut call: Call) -> Result<Typed> {
    let count = call.args.len();
    let key = call.unify((0..count).step_by(2))?;
    let value = call.unify((1..count).step_by(2))?;
    if !matches!(key, DataType::Utf8 | DataType::Binary) || map_entry(&value).is_some() {
        return Err(call
            .fault("this MAP is not supported")
            .hint("keys are STRING or BYTES, values are no maps"));
    }
    if value == DataType::Null {
        return Err(call
            .fault("the values of this MAP have no type")
            .hint("write CAST(NULL AS type) for one of them"));
    }
    if call.args.iter().step_by(2).any(|key| key.nullable) {
        return Err(call
            .fault("the key of a MAP may be NULL here")
            .hint("give it another value: COALESCE(…, '')"));
    }
    let args = std::mem::take(&mut call.args);
    Ok(Kernel::call("map", args, map_type(key, value), false, build))
}

fn build(args: &[ArrayRef], result: &DataType) -> Kernelled {
    let DataType::Map(entries, sorted) = result else { return Err(no_map(result)) };
    let DataType::Struct(fields) = entries.data_type() else { return Err(no_map(result)) };
    let rows = args.first().map_or(0, |first| first.len());
    let keys: Vec<&dyn Array> = args.iter().step_by(2).map(AsRef::as_ref).collect();
    let values: Vec<&dyn Array> = args.iter().skip(1).step_by(2).map(AsRef::as_ref).collect();
    let (mut kept, mut lengths) = (Vec::new(), Vec::with_capacity(rows));
    for row in 0..rows {
        let before = kept.len();
        let mut last = BTreeMap::new();
        for (pair, key) in keys.iter().enumerate() {
            last.insert(bytes(*key, row)?, pair);
        }
        for (pair, key) in keys.iter().enumerate() {
            if last.get(bytes(*key, row)?) == Some(&pair) {
                kept.push((pair, row));
            }
        }
        lengths.push(kept.len() - before);
    }
    let (keys, values) = (interleave(&keys, &kept)?, interleave(&values, &kept)?);
    let pairs = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, None, *sorted)?))
}

/// `map[key]`: NULL if it is not there.
pub(super) fn item(mut call: Call) -> Result<Typed> {
    call.expect(2..=2)?;
    let Some((key, value)) = map_entry(&call.args[0].data_type) else {
        return Err(call.mismatch());
    };
    let (key, value) = (key.clone(), value.clone());
    if call.args[1].data_type != key {
        return Err(call.mismatch().hint(format!(
            "the keys are {0}: write CAST(… AS {0})",
            crate::types::type_name(&key)
        )));
    }
    let args = std::mem::take(&mut call.args);
    Ok(Kernel::call("item", args, value, true, look_up))
}

fn look_up(args: &[ArrayRef], _result: &DataType) -> Kernelled {
    let maps = args[0].as_map_opt().ok_or_else(|| no_map(args[0].data_type()))?;
    let find = |row: usize| {
        if maps.is_null(row) || args[1].is_null(row) {
            return Ok(None);
        }
        let wanted = bytes(&args[1], row)?;
        let (start, end) = (maps.value_offsets()[row], maps.value_offsets()[row + 1]);
        for entry in (start..end).rev() {
            if bytes(maps.keys(), entry as usize)? == wanted {
                return Ok(Some(entry as u32));
            }
        }
        Ok(None)
    };
    let places: UInt32Array = (0..maps.len()).map(find).collect::<Result<_, ArrowError>>()?;
    take(maps.values(), &places, None)
}

fn bytes(keys: &dyn Array, row: usize) -> Result<&[u8], ArrowError> {
    match keys.data_type() {
        DataType::Utf8 => Ok(keys.as_string::<i32>().value(row).as_bytes()),
        DataType::Binary => Ok(keys.as_binary::<i32>().value(row)),
        other => Err(no_map(other)),
    }
}

fn no_map(data_type: &DataType) -> ArrowError {
    ArrowError::SchemaError(format!("{data_type} is no map, nor the key of one"))
}
