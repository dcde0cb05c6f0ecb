//! How columns of keys and of rows are laid out in state, and how they become columns again.
//!
//! A key of one column of at most eight bytes a value is a *word*. All else is *bytes*: a key of
//! one string or binary column is the value itself; several columns are written one behind the
//! other, each as a byte that says whether there is a value, then the value, little-endian, with a
//! length of four bytes before strings; a map is the number of its entries, in four bytes, and each
//! entry a row of key and value with its length before it. The layout is stored in snapshots.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, MapArray, PrimitiveArray, StringArray,
    StructArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use millrace_core::{Error, Result};

use super::key_hash::is_key_type;

use millrace_state::codec::{Reader, Writer};

/// Calls `$action::<T>($($argument),*)` for the Arrow type `T` of `$data_type`.
macro_rules! by_primitive {
    ($data_type:expr, $action:ident ( $($argument:expr),* ), $other:expr) => {
        match $data_type {
            DataType::Int8 => $action::<Int8Type>($($argument),*),
            DataType::Int16 => $action::<Int16Type>($($argument),*),
            DataType::Int32 => $action::<Int32Type>($($argument),*),
            DataType::Int64 => $action::<Int64Type>($($argument),*),
            DataType::Float32 => $action::<Float32Type>($($argument),*),
            DataType::Float64 => $action::<Float64Type>($($argument),*),
            DataType::Date32 => $action::<Date32Type>($($argument),*),
            DataType::Decimal128(_, _) => $action::<Decimal128Type>($($argument),*),
            DataType::Time32(TimeUnit::Second) => $action::<Time32SecondType>($($argument),*),
            DataType::Time32(_) => $action::<Time32MillisecondType>($($argument),*),
            DataType::Timestamp(TimeUnit::Second, _) => {
                $action::<TimestampSecondType>($($argument),*)
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                $action::<TimestampMillisecondType>($($argument),*)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                $action::<TimestampMicrosecondType>($($argument),*)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                $action::<TimestampNanosecondType>($($argument),*)
            }
            _ => $other,
        }
    };
}
pub(super) use by_primitive;

/// A native value as the 64 bits of a word, and back.
pub trait Word: Copy {
    fn to_word(self) -> u64;
    fn of_word(word: u64) -> Self;
}

macro_rules! words {
    ($($number:ty),*) => {$(
        impl Word for $number {
            #[inline(always)]
            fn to_word(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn of_word(word: u64) -> Self {
                word as Self
            }
        }
    )*};
}
words!(i8, i16, i32, i64);

impl Word for f32 {
    #[inline(always)]
    fn to_word(self) -> u64 {
        u64::from(self.to_bits())
    }
    #[inline(always)]
    fn of_word(word: u64) -> Self {
        f32::from_bits(word as u32)
    }
}

impl Word for f64 {
    #[inline(always)]
    fn to_word(self) -> u64 {
        self.to_bits()
    }
    #[inline(always)]
    fn of_word(word: u64) -> Self {
        f64::from_bits(word)
    }
}

/// Never reached: decimals are kept as bytes.
impl Word for i128 {
    fn to_word(self) -> u64 {
        self as u64
    }
    fn of_word(word: u64) -> Self {
        i128::from(word)
    }
}

/// How keys of these columns are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// No columns: one key, for all rows.
    Nothing,
    /// One column of at most eight bytes a value.
    Word,
    /// One string or binary column.
    Text,
    /// Anything else.
    Row,
}

impl KeyForm {
    /// The form of keys of these types.
    pub fn of(types: &[DataType]) -> Self {
        match types {
            [] => KeyForm::Nothing,
            [DataType::Utf8 | DataType::Binary] => KeyForm::Text,
            [DataType::Decimal128(_, _)] => KeyForm::Row,
            [_] => KeyForm::Word,
            _ => KeyForm::Row,
        }
    }
}

/// The words of a column, one a row; what stands at a null is not said.
pub fn words_of(column: &ArrayRef, words: &mut Vec<u64>) -> Result<()> {
    fn primitive<T: ArrowPrimitiveType<Native: Word>>(column: &ArrayRef, words: &mut Vec<u64>) {
        words.extend(column.as_primitive::<T>().values().iter().map(|value| value.to_word()));
    }
    words.clear();
    if let Some(booleans) = column.as_boolean_opt() {
        words.extend(booleans.values().iter().map(u64::from));
        return Ok(());
    }
    by_primitive!(
        column.data_type(),
        primitive(column, words),
        return Err(unknown(column.data_type()))
    );
    Ok(())
}

/// A column from words; a null where `valid` says so.
pub fn column_of_words(
    data_type: &DataType,
    words: impl Iterator<Item = u64>,
    valid: Option<NullBuffer>,
) -> Result<ArrayRef> {
    fn primitive<T: ArrowPrimitiveType<Native: Word>>(
        data_type: &DataType,
        words: impl Iterator<Item = u64>,
        valid: Option<NullBuffer>,
    ) -> ArrayRef {
        let values = words.map(T::Native::of_word).collect();
        Arc::new(PrimitiveArray::<T>::new(values, valid).with_data_type(data_type.clone()))
    }
    if *data_type == DataType::Boolean {
        let values: BooleanBuffer = words.map(|word| word != 0).collect();
        return Ok(Arc::new(BooleanArray::new(values, valid)));
    }
    Ok(by_primitive!(data_type, primitive(data_type, words, valid), return Err(unknown(data_type))))
}

/// A column of strings or bytes; `None` is a null.
///
/// # Errors
/// `Restore` when bytes that should be text are not UTF-8.
pub fn column_of_bytes<'a>(
    data_type: &DataType,
    values: impl Iterator<Item = Option<&'a [u8]>>,
) -> Result<ArrayRef> {
    if *data_type == DataType::Binary {
        return Ok(Arc::new(values.collect::<BinaryArray>()));
    }
    let texts = values.map(|value| value.map(std::str::from_utf8).transpose());
    let texts: StringArray = texts
        .collect::<Result<_, _>>()
        .map_err(|cause| Error::restore("stored text is not UTF-8").caused_by(cause))?;
    Ok(Arc::new(texts))
}

/// Whether [`rows_of`] takes columns of this type.
pub fn is_supported(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(entry, _) => match entry.data_type() {
            DataType::Struct(fields) => fields.iter().all(|field| is_supported(field.data_type())),
            _ => false,
        },
        other => is_key_type(other),
    }
}

/// Writes rows of several columns to an arena; row `i` is `ends[i - 1]..ends[i]`.
pub fn rows_of(
    columns: &[ArrayRef],
    rows: usize,
    arena: &mut Vec<u8>,
    ends: &mut Vec<usize>,
) -> Result<()> {
    let fields = columns.iter().map(Field::of).collect::<Result<Vec<_>>>()?;
    ends.clear();
    let mut writer = Writer::after(std::mem::take(arena));
    writer.clear();
    for row in 0..rows {
        for field in &fields {
            field.write(row, &mut writer)?;
        }
        ends.push(writer.len());
    }
    *arena = writer.into_bytes();
    Ok(())
}

/// A column with its type found out once.
enum Field<'a> {
    Words(Vec<u64>, &'a ArrayRef, usize),
    Decimals(&'a PrimitiveArray<Decimal128Type>),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    /// With the columns of its entries.
    Map(&'a MapArray, Vec<Field<'a>>),
}

impl<'a> Field<'a> {
    fn of(column: &'a ArrayRef) -> Result<Self> {
        Ok(match column.data_type() {
            DataType::Utf8 => Field::Text(column.as_string()),
            DataType::Binary => Field::Bytes(column.as_binary()),
            DataType::Decimal128(_, _) => Field::Decimals(column.as_primitive()),
            DataType::Map(_, _) => {
                let map = column.as_map();
                let entries = map.entries().columns().iter().map(Field::of);
                Field::Map(map, entries.collect::<Result<_>>()?)
            }
            data_type => {
                let mut words = Vec::with_capacity(column.len());
                words_of(column, &mut words)?;
                Field::Words(words, column, word_bytes(data_type))
            }
        })
    }

    #[inline]
    fn write(&self, row: usize, writer: &mut Writer) -> Result<()> {
        let valid = match self {
            Field::Words(_, column, _) => column.is_valid(row),
            Field::Decimals(column) => column.is_valid(row),
            Field::Text(column) => column.is_valid(row),
            Field::Bytes(column) => column.is_valid(row),
            Field::Map(column, _) => column.is_valid(row),
        };
        writer.u8(u8::from(valid));
        if !valid {
            return Ok(());
        }
        match self {
            Field::Words(words, _, bytes) => writer.raw(&words[row].to_le_bytes()[..*bytes]),
            Field::Decimals(column) => writer.i128(column.value(row)),
            Field::Text(column) => return sized(column.value(row).as_bytes(), writer),
            Field::Bytes(column) => return sized(column.value(row), writer),
            Field::Map(column, entries) => {
                let offsets = column.offsets();
                let range = offsets[row] as usize..offsets[row + 1] as usize;
                writer.u32(range.len() as u32);
                let mut entry = Writer::default();
                for place in range {
                    entry.clear();
                    entries.iter().try_for_each(|field| field.write(place, &mut entry))?;
                    sized(entry.as_bytes(), writer)?;
                }
            }
        }
        Ok(())
    }
}

fn sized(bytes: &[u8], writer: &mut Writer) -> Result<()> {
    let length =
        u32::try_from(bytes.len()).map_err(|_| Error::fix_input("a value is longer than 4 GiB"))?;
    writer.u32(length);
    writer.raw(bytes);
    Ok(())
}

fn word_bytes(data_type: &DataType) -> usize {
    data_type.primitive_width().unwrap_or(1).min(size_of::<u64>())
}

/// The columns of rows that [`rows_of`] wrote.
///
/// # Errors
/// `Restore` when the bytes are not such rows.
pub fn columns_of_rows<'a>(
    types: &[DataType],
    rows: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<Vec<ArrayRef>> {
    let mut readers: Vec<Reader<'_>> = rows.map(|row| Reader::new(row, "row")).collect();
    let columns = types.iter().map(|data_type| read_column(data_type, &mut readers));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    readers.into_iter().try_for_each(Reader::finish)?;
    Ok(columns)
}

fn read_column(data_type: &DataType, readers: &mut [Reader<'_>]) -> Result<ArrayRef> {
    let mut valid = Vec::with_capacity(readers.len());
    let present = |reader: &mut Reader<'_>| match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(reader.broken(format_args!("{other} says whether there is a value"))),
    };
    match data_type {
        DataType::Utf8 | DataType::Binary => {
            let mut values = Vec::with_capacity(readers.len());
            for reader in readers {
                let value = if present(reader)? {
                    let length = reader.u32()? as usize;
                    Some(reader.take(length)?)
                } else {
                    None
                };
                values.push(value);
            }
            column_of_bytes(data_type, values.into_iter())
        }
        DataType::Decimal128(_, _) => {
            let mut values = Vec::with_capacity(readers.len());
            for reader in readers {
                values.push(if present(reader)? { Some(reader.i128()?) } else { None });
            }
            let column: PrimitiveArray<Decimal128Type> = values.into_iter().collect();
            Ok(Arc::new(column.with_data_type(data_type.clone())))
        }
        DataType::Map(entry, _) => {
            let DataType::Struct(fields) = entry.data_type() else {
                return Err(unknown(data_type));
            };
            let (mut entries, mut lengths) = (Vec::new(), Vec::with_capacity(readers.len()));
            for reader in readers {
                valid.push(present(reader)?);
                let count = if valid[valid.len() - 1] { reader.u32()? } else { 0 };
                for _ in 0..count {
                    let length = reader.u32()? as usize;
                    entries.push(reader.take(length)?);
                }
                lengths.push(count as usize);
            }
            let types: Vec<DataType> =
                fields.iter().map(|field| field.data_type().clone()).collect();
            let columns = columns_of_rows(&types, entries.into_iter())?;
            let broken = |cause| Error::restore("a stored map is none").caused_by(cause);
            let entries = StructArray::try_new(fields.clone(), columns, None).map_err(broken)?;
            let offsets = OffsetBuffer::from_lengths(lengths);
            let nulls = Some(NullBuffer::from(valid));
            let map = MapArray::try_new(Arc::clone(entry), offsets, entries, nulls, false);
            Ok(Arc::new(map.map_err(broken)?))
        }
        _ => {
            let width = word_bytes(data_type);
            let mut words = Vec::with_capacity(readers.len());
            for reader in readers {
                let there = present(reader)?;
                let mut bytes = [0; size_of::<u64>()];
                if there {
                    bytes[..width].copy_from_slice(reader.take(width)?);
                }
                valid.push(there);
                words.push(u64::from_le_bytes(bytes));
            }
            column_of_words(data_type, words.into_iter(), Some(NullBuffer::from(valid)))
        }
    }
}

fn unknown(data_type: &DataType) -> Error {
    Error::report(format!("a column of type {data_type} cannot be kept in state"))
}
