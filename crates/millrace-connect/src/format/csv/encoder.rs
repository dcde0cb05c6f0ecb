//! Rows to csv text.

use std::io;

use arrow_array::{Array, RecordBatch};

use super::dialect::Dialect;
use crate::format::display::{TextStyle, ValueWriter, value_writer};
use crate::format::encoder::Lines;

/// Writes a line for each row. Texts are quoted where they would be read as something else.
pub(crate) struct CsvLines {
    dialect: Dialect,
    /// Written before the first row, if the dialect has a header.
    header: Option<Vec<String>>,
    cell: Vec<u8>,
}

impl CsvLines {
    pub fn new(dialect: Dialect, names: Vec<String>) -> Self {
        let header = dialect.header.then_some(names);
        CsvLines { dialect, header, cell: Vec::new() }
    }

    fn null_literal(&self) -> &[u8] {
        self.dialect.null_literal.as_deref().unwrap_or_default()
    }

    /// Appends a value that is not NULL.
    fn put(&self, text: &[u8], first_of_line: bool, out: &mut Vec<u8>) -> io::Result<()> {
        let dialect = &self.dialect;
        let special = |byte: &u8| {
            matches!(*byte, b'\n' | b'\r')
                || *byte == dialect.delimiter
                || Some(*byte) == dialect.quote
                || Some(*byte) == dialect.escape
        };
        let comment = first_of_line && dialect.comments && text.first() == Some(&b'#');
        // A line of one empty text would be an empty line.
        let needs_quotes = comment || text.is_empty() || text.iter().any(special);
        if !needs_quotes {
            out.extend_from_slice(text);
            return Ok(());
        }
        let Some(quote) = dialect.quote else {
            return self.put_unquoted(text, out);
        };
        out.push(quote);
        for &byte in text {
            if Some(byte) == dialect.escape {
                out.push(byte);
            } else if byte == quote {
                out.push(quote);
            }
            out.push(byte);
        }
        out.push(quote);
        Ok(())
    }

    fn put_unquoted(&self, text: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let dialect = &self.dialect;
        for &byte in text {
            let special =
                matches!(byte, b'\n' | b'\r') || byte == dialect.delimiter || byte == b'#';
            match dialect.escape {
                Some(escape) if special || byte == escape => {
                    out.push(escape);
                    // A line end must not follow the escape character as such.
                    out.push(match byte {
                        b'\n' => b'n',
                        b'\r' => b'r',
                        byte => byte,
                    });
                }
                None if special && byte != b'#' => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        format!(
                            "the text `{}` needs quotes, which the table's options rule out",
                            String::from_utf8_lossy(text)
                        ),
                    ));
                }
                _ => out.push(byte),
            }
        }
        Ok(())
    }

    fn put_header(&self, names: &[String], out: &mut Vec<u8>) -> io::Result<()> {
        for (index, name) in names.iter().enumerate() {
            if index > 0 {
                out.push(self.dialect.delimiter);
            }
            self.put(name.as_bytes(), index == 0, out)?;
        }
        out.push(b'\n');
        Ok(())
    }
}

impl Lines for CsvLines {
    fn append(
        &mut self,
        rows: &RecordBatch,
        out: &mut Vec<u8>,
        on_line: &mut dyn FnMut(usize),
    ) -> io::Result<()> {
        if let Some(names) = self.header.take() {
            self.put_header(&names, out)?;
        }
        let writers = rows
            .columns()
            .iter()
            .map(|column| value_writer(column, TextStyle::Sql))
            .collect::<Result<Vec<Box<dyn ValueWriter>>, _>>()
            .map_err(io::Error::other)?;
        let mut cell = std::mem::take(&mut self.cell);
        for row in 0..rows.num_rows() {
            for (index, (column, writer)) in rows.columns().iter().zip(&writers).enumerate() {
                if index > 0 {
                    out.push(self.dialect.delimiter);
                }
                if column.is_null(row) {
                    out.extend_from_slice(self.null_literal());
                    continue;
                }
                cell.clear();
                writer.write(row, &mut cell);
                self.put(&cell, index == 0, out)?;
            }
            out.push(b'\n');
            on_line(out.len());
        }
        self.cell = cell;
        Ok(())
    }
}
