//! Rows to messages: the contract of formats that write single records.

use std::io;
use std::ops::Range;

use arrow_array::RecordBatch;

use super::encoder::Lines;

/// Turns rows into the keys or the values of messages.
pub(crate) trait MessageEncoder: Send {
    /// Appends the content of each row to `out`, and its place in `out` to `places`: `None` where
    /// the message has none (Kafka's null).
    fn encode(
        &mut self,
        rows: &RecordBatch,
        out: &mut Vec<u8>,
        places: &mut Vec<Option<Range<usize>>>,
    ) -> io::Result<()>;
}

/// A message for each line, without its line end.
pub(crate) struct LineMessages<L> {
    lines: L,
}

impl<L> LineMessages<L> {
    pub fn new(lines: L) -> Self {
        LineMessages { lines }
    }
}

impl<L: Lines> MessageEncoder for LineMessages<L> {
    fn encode(
        &mut self,
        rows: &RecordBatch,
        out: &mut Vec<u8>,
        places: &mut Vec<Option<Range<usize>>>,
    ) -> io::Result<()> {
        let mut start = out.len();
        self.lines.append(rows, out, &mut |end| {
            places.push(Some(start..end - 1));
            start = end;
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int32Array, StringArray};

    use super::*;
    use crate::Options;
    use crate::format::Format;

    fn messages(encoder: &mut dyn MessageEncoder, columns: &[ArrayRef]) -> Vec<Option<Vec<u8>>> {
        let named = columns.iter().enumerate().map(|(i, column)| (format!("c{i}"), column.clone()));
        let rows = RecordBatch::try_from_iter_with_nullable(named.map(|(n, c)| (n, c, true)));
        let (mut out, mut places) = (b"before".to_vec(), Vec::new());
        encoder.encode(&rows.unwrap(), &mut out, &mut places).unwrap();
        places.into_iter().map(|place| place.map(|place| out[place].to_vec())).collect()
    }

    #[test]
    fn a_message_has_its_line_ends_within_but_none_at_its_end() {
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("a\nb"), None, Some("c")]));
        let number: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
        let columns = [text, number];
        for (name, expected) in [
            ("csv", ["\"a\nb\",1", ",2", "c,3"]),
            ("json", [r#"{"c0":"a\nb","c1":1}"#, r#"{"c0":null,"c1":2}"#, r#"{"c0":"c","c1":3}"#]),
        ] {
            let format = Format::named(name, &Options::default()).unwrap();
            let schema = RecordBatch::try_from_iter([("c0", columns[0].clone())]).unwrap().schema();
            let mut encoder = format.message_encoder(&schema).unwrap();
            let expected = expected.map(|text| Some(text.as_bytes().to_vec()));
            assert_eq!(messages(&mut *encoder, &columns), expected, "{name}");
        }
    }
}
