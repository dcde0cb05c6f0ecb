//! Functions of strings. Positions and lengths are in characters, from 1.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Int32Type};
use arrow::error::ArrowError;

use super::kernel::Kernel;
use super::{Call, Typed};
use crate::error::Result;

type Kernelled = Result<ArrayRef, ArrowError>;

/// Computes a string for each row where no argument is null.
fn each_text(args: &[ArrayRef], compute: impl Fn(usize, &str) -> Option<String>) -> Kernelled {
    let texts = args[0].as_string::<i32>();
    let result: StringArray = (0..texts.len())
        .map(|row| {
            let present = args.iter().all(|arg| arg.is_valid(row));
            present.then(|| compute(row, texts.value(row))).flatten()
        })
        .collect();
    Ok(Arc::new(result))
}

fn int(args: &[ArrayRef], index: usize, row: usize) -> i64 {
    i64::from(args[index].as_primitive::<Int32Type>().value(row))
}

fn text(args: &[ArrayRef], index: usize, row: usize) -> &str {
    args[index].as_string::<i32>().value(row)
}

/// Checks a string followed by whole numbers of at most 32 bits.
fn text_and_ints(call: &mut Call) -> Result<()> {
    for (index, arg) in call.args.iter().enumerate() {
        let fits = match (index, &arg.data_type) {
            (_, DataType::Null) => true,
            (0, DataType::Utf8) => true,
            (0, _) => false,
            (_, other) => matches!(other, DataType::Int8 | DataType::Int16 | DataType::Int32),
        };
        if !fits {
            return Err(call.mismatch());
        }
    }
    let args = std::mem::take(&mut call.args).into_iter().enumerate();
    call.args = args
        .map(|(index, arg)| {
            arg.widened(if index == 0 { &DataType::Utf8 } else { &DataType::Int32 })
        })
        .collect();
    Ok(())
}

fn finish(
    call: &mut Call,
    name: &'static str,
    result: DataType,
    compute: super::kernel::Compute,
) -> Typed {
    let nullable = call.nullable();
    Kernel::call(name, std::mem::take(&mut call.args), result, nullable, compute)
}

/// `a || b`.
pub(super) fn concat_operator(mut call: Call) -> Result<Typed> {
    call.expect(2..=2)?;
    if call.args.iter().any(|arg| arg.data_type == DataType::Null) {
        return Err(call.mismatch());
    }
    call.texts()?;
    concat(call)
}

/// `CONCAT(a, …)`: null if any argument is.
pub(super) fn concat(mut call: Call) -> Result<Typed> {
    call.expect(1..)?;
    call.texts()?;
    Ok(finish(&mut call, "concat", DataType::Utf8, |args, _| {
        each_text(args, |row, _| {
            Some((0..args.len()).map(|index| text(args, index, row)).collect())
        })
    }))
}

/// `UPPER` and `LOWER`.
pub(super) fn change_case(mut call: Call) -> Result<Typed> {
    call.expect(1..=1)?;
    call.texts()?;
    Ok(match call.name {
        "UPPER" => finish(&mut call, "upper", DataType::Utf8, |args, _| {
            each_text(args, |_, text| Some(text.to_uppercase()))
        }),
        _ => finish(&mut call, "lower", DataType::Utf8, |args, _| {
            each_text(args, |_, text| Some(text.to_lowercase()))
        }),
    })
}

/// `CHAR_LENGTH`.
pub(super) fn length(mut call: Call) -> Result<Typed> {
    call.expect(1..=1)?;
    call.texts()?;
    Ok(finish(&mut call, "char_length", DataType::Int32, |args, _| {
        let lengths = args[0]
            .as_string::<i32>()
            .iter()
            .map(|text| text.map(|text| i32::try_from(text.chars().count()).unwrap_or(i32::MAX)));
        Ok(Arc::new(lengths.collect::<Int32Array>()))
    }))
}

/// `SUBSTRING(text, from [, length])`. A negative `from` counts from the end, 0 is 1; a negative
/// length gives null.
pub(super) fn substring(mut call: Call) -> Result<Typed> {
    call.expect(2..=3)?;
    text_and_ints(&mut call)?;
    let nullable = call.nullable() || call.args.len() == 3;
    let args = std::mem::take(&mut call.args);
    Ok(Kernel::call("substring", args, DataType::Utf8, nullable, |args, _| {
        each_text(args, |row, text| {
            let length = args.get(2).map_or(i64::MAX, |_| int(args, 2, row));
            cut(text, int(args, 1, row), length)
        })
    }))
}

fn cut(text: &str, from: i64, length: i64) -> Option<String> {
    if length < 0 {
        return None;
    }
    let count = i64::try_from(text.chars().count()).ok()?;
    let start = match from {
        1.. => from - 1,
        0 => 0,
        _ => count + from,
    };
    let Ok(skip) = usize::try_from(start) else {
        // A start before the text finds nothing, as Flink has it.
        return Some(String::new());
    };
    let end = start.saturating_add(length).min(count);
    let take = usize::try_from((end - start).max(0)).ok()?;
    Some(text.chars().skip(skip).take(take).collect())
}

/// `LEFT` and `RIGHT`; a negative length gives the empty string.
pub(super) fn left_or_right(mut call: Call) -> Result<Typed> {
    call.expect(2..=2)?;
    text_and_ints(&mut call)?;
    Ok(match call.name {
        "LEFT" => finish(&mut call, "left", DataType::Utf8, |args, _| {
            each_text(args, |row, text| {
                let length = usize::try_from(int(args, 1, row)).unwrap_or(0);
                Some(text.chars().take(length).collect())
            })
        }),
        _ => finish(&mut call, "right", DataType::Utf8, |args, _| {
            each_text(args, |row, text| {
                let length = usize::try_from(int(args, 1, row)).unwrap_or(0);
                let skipped = text.chars().count().saturating_sub(length);
                Some(text.chars().skip(skipped).collect())
            })
        }),
    })
}

/// `TRIM([BOTH | LEADING | TRAILING] characters FROM text)`: all of these characters.
pub(super) fn trim(mut call: Call) -> Result<Typed> {
    call.expect(3..=3)?;
    call.texts()?;
    let place = call.args.remove(1);
    let strip: super::kernel::Compute = match place.as_text() {
        Some("LEADING") => |args, _| {
            each_text(args, |row, t| {
                Some(t.trim_start_matches(|c| text(args, 1, row).contains(c)).into())
            })
        },
        Some("TRAILING") => |args, _| {
            each_text(args, |row, t| {
                Some(t.trim_end_matches(|c| text(args, 1, row).contains(c)).into())
            })
        },
        _ => |args, _| {
            each_text(args, |row, t| {
                Some(t.trim_matches(|c| text(args, 1, row).contains(c)).into())
            })
        },
    };
    let name = match place.as_text() {
        Some("LEADING") => "trim_leading",
        Some("TRAILING") => "trim_trailing",
        _ => "trim",
    };
    Ok(finish(&mut call, name, DataType::Utf8, strip))
}

/// `REPLACE(text, what, by)`.
pub(super) fn replace(mut call: Call) -> Result<Typed> {
    call.expect(3..=3)?;
    call.texts()?;
    Ok(finish(&mut call, "replace", DataType::Utf8, |args, _| {
        each_text(args, |row, t| Some(t.replace(text(args, 1, row), text(args, 2, row))))
    }))
}

/// `REVERSE(text)`.
pub(super) fn reverse(mut call: Call) -> Result<Typed> {
    call.expect(1..=1)?;
    call.texts()?;
    Ok(finish(&mut call, "reverse", DataType::Utf8, |args, _| {
        each_text(args, |_, text| Some(text.chars().rev().collect()))
    }))
}

/// `POSITION(what IN text)`: 0 if it is not there.
pub(super) fn position(mut call: Call) -> Result<Typed> {
    call.expect(2..=2)?;
    call.texts()?;
    Ok(finish(&mut call, "position", DataType::Int32, |args, _| {
        let (whats, texts) = (args[0].as_string::<i32>(), args[1].as_string::<i32>());
        let places = whats.iter().zip(texts).map(|(what, text)| {
            let (what, text) = (what?, text?);
            let place = text.find(what).map_or(0, |at| text[..at].chars().count() + 1);
            i32::try_from(place).ok()
        });
        Ok(Arc::new(places.collect::<Int32Array>()))
    }))
}
