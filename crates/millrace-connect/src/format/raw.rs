//! The format `raw`: the whole message is the value of the only column.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Schema, SchemaRef};
use millrace_core::{Error, Result, SplitId};

use super::ReadSchema;
use super::message::{BadMessage, DecodedMessages, MessageDecoder, Messages};
use super::sql_type::sql_type;
use crate::Options;

/// The format with its options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawFormat {
    little_endian: bool,
}

impl RawFormat {
    pub fn from_options(options: &Options) -> Result<Self> {
        let charset = options.text("raw.charset").unwrap_or("UTF-8");
        if !charset.eq_ignore_ascii_case("UTF-8") && !charset.eq_ignore_ascii_case("UTF8") {
            return Err(Error::fix_input(format!("option `raw.charset` cannot be `{charset}`"))
                .hint("only `UTF-8` is supported; read BYTES and decode them in the query"));
        }
        match options.text("raw.endianness").unwrap_or("big-endian") {
            "big-endian" => Ok(RawFormat { little_endian: false }),
            "little-endian" => Ok(RawFormat { little_endian: true }),
            other => Err(Error::fix_input(format!("option `raw.endianness` cannot be `{other}`"))
                .hint("use `big-endian` or `little-endian`")),
        }
    }

    /// # Errors
    /// `FixInput` when there is not exactly one column, or its type is not one of bytes.
    pub fn check(self, schema: &Schema) -> Result<()> {
        let [field] = schema.fields().as_ref() else {
            return Err(Error::fix_input(format!(
                "format `raw` has one column, not {}",
                schema.fields().len()
            )));
        };
        match field.data_type() {
            DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
            | DataType::Utf8
            | DataType::Binary => Ok(()),
            other => Err(Error::fix_input(format!(
                "format `raw` does not support the type {} of column `{}`",
                sql_type(other),
                field.name()
            ))),
        }
    }

    pub fn decoder(self, read: &ReadSchema) -> Box<dyn MessageDecoder> {
        Box::new(RawDecoder { format: self, schema: read.projected.clone() })
    }
}

#[cfg(feature = "kafka")]
mod encoder {
    use std::io;
    use std::ops::Range;

    use arrow_array::cast::AsArray;
    use arrow_array::types::{
        ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    };
    use arrow_array::{Array, RecordBatch};
    use arrow_schema::DataType;

    use super::RawFormat;
    use crate::format::message_encoder::MessageEncoder;

    impl RawFormat {
        pub fn message_encoder(self) -> Box<dyn MessageEncoder> {
            Box::new(RawMessages { little_endian: self.little_endian })
        }
    }

    /// NULL is a message without content.
    struct RawMessages {
        little_endian: bool,
    }

    impl RawMessages {
        fn numbers<T: ArrowPrimitiveType, const N: usize>(
            &self,
            column: &dyn Array,
            bytes: fn(T::Native) -> [u8; N],
            put: &mut dyn FnMut(Option<&[u8]>),
        ) {
            for value in column.as_primitive::<T>() {
                let bytes = value.map(|value| {
                    let mut bytes = bytes(value);
                    if self.little_endian {
                        bytes.reverse();
                    }
                    bytes
                });
                put(bytes.as_ref().map(<[u8; N]>::as_slice));
            }
        }
    }

    impl MessageEncoder for RawMessages {
        fn encode(
            &mut self,
            rows: &RecordBatch,
            out: &mut Vec<u8>,
            places: &mut Vec<Option<Range<usize>>>,
        ) -> io::Result<()> {
            let column = rows.column(0);
            let put = &mut |content: Option<&[u8]>| {
                let start = out.len();
                out.extend_from_slice(content.unwrap_or_default());
                places.push(content.map(|_| start..out.len()));
            };
            match column.data_type() {
                DataType::Boolean => {
                    let bytes =
                        column.as_boolean().iter().map(|value| value.map(|one| [one.into()]));
                    bytes.for_each(|byte: Option<[u8; 1]>| {
                        put(byte.as_ref().map(<[u8; 1]>::as_slice))
                    });
                }
                DataType::Int8 => self.numbers::<Int8Type, 1>(column, i8::to_be_bytes, put),
                DataType::Int16 => self.numbers::<Int16Type, 2>(column, i16::to_be_bytes, put),
                DataType::Int32 => self.numbers::<Int32Type, 4>(column, i32::to_be_bytes, put),
                DataType::Int64 => self.numbers::<Int64Type, 8>(column, i64::to_be_bytes, put),
                DataType::Float32 => self.numbers::<Float32Type, 4>(column, f32::to_be_bytes, put),
                DataType::Float64 => self.numbers::<Float64Type, 8>(column, f64::to_be_bytes, put),
                DataType::Utf8 => {
                    column.as_string::<i32>().iter().for_each(|text| put(text.map(str::as_bytes)));
                }
                DataType::Binary => column.as_binary::<i32>().iter().for_each(put),
                other => {
                    return Err(io::Error::other(format!("{other} has no raw bytes")));
                }
            }
            Ok(())
        }
    }

    #[cfg(test)]
    mod tests {
        use std::sync::Arc;

        use arrow_array::Int16Array;

        use super::*;
        use crate::Options;

        #[test]
        fn numbers_are_written_as_they_are_read() {
            let format = RawFormat::from_options(&Options::default()).expect("the defaults");
            let column = Arc::new(Int16Array::from(vec![Some(258), None]));
            let rows = RecordBatch::try_from_iter_with_nullable([("x", column as _, true)]);
            let (mut out, mut places) = (Vec::new(), Vec::new());
            let rows = rows.expect("one column");
            format.message_encoder().encode(&rows, &mut out, &mut places).expect("it is supported");
            assert_eq!((out.as_slice(), places.as_slice()), (&[1, 2][..], &[Some(0..2), None][..]));
        }
    }
}

struct RawDecoder {
    format: RawFormat,
    /// No column or one.
    schema: SchemaRef,
}

impl RawDecoder {
    fn numbers<T: ArrowPrimitiveType, const N: usize>(
        &self,
        messages: &Messages,
        read: fn([u8; N]) -> T::Native,
        bad: &mut Vec<BadMessage>,
    ) -> ArrayRef {
        let mut builder = PrimitiveBuilder::<T>::with_capacity(messages.len());
        self.each(messages, bad, |content, bad| match content {
            None => builder.append_null(),
            Some(content) => match <[u8; N]>::try_from(content) {
                Ok(mut bytes) => {
                    if self.format.little_endian {
                        bytes.reverse();
                    }
                    builder.append_value(read(bytes));
                }
                Err(_) => *bad = Some(format!("{} bytes where {N} are expected", content.len())),
            },
        });
        Arc::new(builder.finish())
    }

    /// Hands on each message; where `take` gives a cause, it took nothing.
    fn each<'a>(
        &self,
        messages: &'a Messages,
        bad: &mut Vec<BadMessage>,
        mut take: impl FnMut(Option<&'a [u8]>, &mut Option<String>),
    ) {
        let nullable = self.schema.field(0).is_nullable();
        for index in 0..messages.len() {
            let content = messages.get(index);
            let mut cause = None;
            if content.is_none() && !nullable {
                let name = self.schema.field(0).name();
                cause = Some(format!("column `{name}` is NULL, but declared NOT NULL"));
            } else {
                take(content, &mut cause);
            }
            if let Some(cause) = cause {
                bad.push(BadMessage { index, column: None, cause });
            }
        }
    }

    fn column(&self, messages: &Messages, bad: &mut Vec<BadMessage>) -> Result<ArrayRef> {
        Ok(match self.schema.field(0).data_type() {
            DataType::Int8 => self.numbers::<Int8Type, 1>(messages, i8::from_be_bytes, bad),
            DataType::Int16 => self.numbers::<Int16Type, 2>(messages, i16::from_be_bytes, bad),
            DataType::Int32 => self.numbers::<Int32Type, 4>(messages, i32::from_be_bytes, bad),
            DataType::Int64 => self.numbers::<Int64Type, 8>(messages, i64::from_be_bytes, bad),
            DataType::Float32 => self.numbers::<Float32Type, 4>(messages, f32::from_be_bytes, bad),
            DataType::Float64 => self.numbers::<Float64Type, 8>(messages, f64::from_be_bytes, bad),
            DataType::Boolean => {
                let mut builder = BooleanBuilder::with_capacity(messages.len());
                self.each(messages, bad, |content, bad| match content {
                    None => builder.append_null(),
                    Some([byte]) => builder.append_value(*byte != 0),
                    Some(other) => {
                        *bad = Some(format!("{} bytes where 1 is expected", other.len()));
                    }
                });
                Arc::new(builder.finish())
            }
            DataType::Utf8 => {
                let mut builder = StringBuilder::with_capacity(messages.len(), messages.bytes());
                self.each(messages, bad, |content, bad| match content.map(std::str::from_utf8) {
                    None => builder.append_null(),
                    Some(Ok(text)) => builder.append_value(text),
                    Some(Err(_)) => *bad = Some("the message is not UTF-8".to_owned()),
                });
                Arc::new(builder.finish())
            }
            DataType::Binary => {
                let mut builder = BinaryBuilder::with_capacity(messages.len(), messages.bytes());
                self.each(messages, bad, |content, _| builder.append_option(content));
                Arc::new(builder.finish())
            }
            other => {
                return Err(Error::report(format!("raw bytes were to be read as {other}")));
            }
        })
    }
}

impl MessageDecoder for RawDecoder {
    fn decode_messages(
        &mut self,
        messages: &Messages,
        _split: &SplitId,
    ) -> Result<DecodedMessages> {
        let mut bad = Vec::new();
        let mut columns = Vec::new();
        if !self.schema.fields().is_empty() {
            columns.push(self.column(messages, &mut bad)?);
        }
        let rows = messages.len() - bad.len();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|cause| Error::report("a raw column does not fit").caused_by(cause))?;
        Ok(DecodedMessages { rows: (rows.num_rows() > 0).then_some(rows), bad })
    }

    fn has_rows_for_nulls(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_schema::Field;

    use super::*;

    fn decode(data_type: DataType, contents: &[Option<&[u8]>]) -> DecodedMessages {
        let schema = Arc::new(Schema::new(vec![Field::new("x", data_type, true)]));
        let read = ReadSchema {
            table_name: "t".into(),
            table: schema.clone(),
            projection: vec![0],
            projected: schema,
        };
        let format = RawFormat::from_options(&Options::default()).unwrap();
        let mut messages = Messages::default();
        contents.iter().for_each(|content| messages.push(*content));
        format.decoder(&read).decode_messages(&messages, &SplitId::new("t-0")).unwrap()
    }

    #[test]
    fn numbers_are_big_endian_and_must_have_their_length() {
        let decoded = decode(
            DataType::Int32,
            &[Some(&[0, 0, 1, 2]), Some(&[1]), None, Some(&[255, 255, 255, 255])],
        );
        let rows = decoded.rows.unwrap();
        let column = rows.column(0).as_primitive::<Int32Type>();
        assert_eq!(column.iter().collect::<Vec<_>>(), [Some(258), None, Some(-1)]);
        assert_eq!(decoded.bad.len(), 1);
        assert_eq!(
            (decoded.bad[0].index, decoded.bad[0].cause.as_str()),
            (1, "1 bytes where 4 are expected")
        );
    }

    #[test]
    fn text_that_is_not_utf8_is_bad_and_bytes_are_anything() {
        let decoded = decode(DataType::Utf8, &[Some(b"a\nb"), Some(&[0xff])]);
        assert_eq!(decoded.rows.unwrap().column(0).as_string::<i32>().value(0), "a\nb");
        assert_eq!(decoded.bad[0].index, 1);
        let decoded = decode(DataType::Binary, &[Some(&[0xff, 0])]);
        assert_eq!(decoded.rows.unwrap().column(0).as_binary::<i32>().value(0), [0xff, 0]);
    }
}
