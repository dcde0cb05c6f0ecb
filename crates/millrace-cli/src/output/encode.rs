use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_json::writer::{LineDelimited, WriterBuilder};
use arrow_schema::{DataType, SchemaRef};
use millrace_core::{Error, Result};

use super::table::TableLayout;

/// Seconds, and as many digits of a fraction as it has.
const TIMESTAMP: &str = "%Y-%m-%d %H:%M:%S%.f";
/// The same for instants (`TIMESTAMP_LTZ`), which are shown in UTC.
const INSTANT: &str = "%Y-%m-%d %H:%M:%S%.fZ";
const TIME: &str = "%H:%M:%S%.f";

/// What `--output` chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OutputFormat {
    /// Aligned columns, for people.
    Table,
    /// An object a line.
    Json,
    /// RFC 4180 with a header; an empty field is NULL, `""` an empty string.
    Csv,
}

/// Turns rows of one `SELECT` into lines.
pub(crate) struct RowEncoder {
    format: OutputFormat,
    schema: SchemaRef,
    /// Known from the first rows on.
    layout: Option<TableLayout>,
}

impl RowEncoder {
    pub(crate) fn new(format: OutputFormat, schema: SchemaRef) -> Self {
        RowEncoder { format, schema, layout: None }
    }

    /// Appends a line for each row.
    ///
    /// # Errors
    /// `Report` for a type that cannot be shown; the planner gives none out.
    pub(crate) fn encode(&mut self, rows: &RecordBatch, out: &mut String) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let shown = match self.format {
            OutputFormat::Table => self.table(rows, out),
            OutputFormat::Csv => csv(rows, out),
            OutputFormat::Json => json(rows, out),
        };
        shown.map_err(|cause| Error::report("rows cannot be shown").caused_by(cause))
    }

    /// The lines that stand before the first row; empty for JSON. For a table, after the first
    /// rows were encoded: they have a say in the widths.
    pub(crate) fn header(&self) -> String {
        match (self.format, &self.layout) {
            (OutputFormat::Table, Some(layout)) => layout.header(),
            (OutputFormat::Table, None) | (OutputFormat::Json, _) => String::new(),
            (OutputFormat::Csv, _) => {
                let mut line = String::new();
                for (index, field) in self.schema.fields().iter().enumerate() {
                    if index > 0 {
                        line.push(',');
                    }
                    push_csv_text(field.name(), &mut line);
                }
                line.push('\n');
                line
            }
        }
    }

    fn table(
        &mut self,
        rows: &RecordBatch,
        out: &mut String,
    ) -> Result<(), arrow_schema::ArrowError> {
        let columns = formatters(rows, "NULL")?;
        let cells: Vec<Vec<String>> = columns
            .iter()
            .map(|column| {
                (0..rows.num_rows()).map(|row| printable(column.value(row).to_string())).collect()
            })
            .collect();
        let layout = self.layout.get_or_insert_with(|| TableLayout::of(&self.schema, &cells));
        for row in 0..rows.num_rows() {
            layout.push_row(cells.iter().map(|column| column[row].as_str()), out);
        }
        Ok(())
    }
}

fn formatters<'a>(
    rows: &'a RecordBatch,
    null: &'a str,
) -> Result<Vec<ArrayFormatter<'a>>, arrow_schema::ArrowError> {
    let options = FormatOptions::default()
        .with_null(null)
        .with_timestamp_format(Some(TIMESTAMP))
        .with_timestamp_tz_format(Some(INSTANT))
        .with_time_format(Some(TIME));
    rows.columns().iter().map(|column| ArrayFormatter::try_new(column, &options)).collect()
}

/// Data must not drive the terminal or break a line: control characters are shown escaped.
fn printable(text: String) -> String {
    if !text.chars().any(char::is_control) {
        return text;
    }
    let escape = |c: char| {
        if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
    };
    text.chars().map(escape).collect()
}

fn csv(rows: &RecordBatch, out: &mut String) -> Result<(), arrow_schema::ArrowError> {
    let columns = formatters(rows, "")?;
    for row in 0..rows.num_rows() {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            if rows.column(index).is_valid(row) {
                push_csv_text(&column.value(row).to_string(), out);
            }
        }
        out.push('\n');
    }
    Ok(())
}

/// Quoted where a reader would take it for something else; empty text is not NULL, so it is, too.
fn push_csv_text(text: &str, out: &mut String) {
    let plain = !text.is_empty() && !text.contains([',', '"', '\n', '\r']);
    if plain {
        out.push_str(text);
    } else {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    }
}

fn json(rows: &RecordBatch, out: &mut String) -> Result<(), arrow_schema::ArrowError> {
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format(TIMESTAMP.to_owned())
        .with_timestamp_tz_format(INSTANT.to_owned())
        .with_time_format(TIME.to_owned())
        .build::<_, LineDelimited>(&mut bytes);
    writer.write(rows)?;
    writer.finish()?;
    out.push_str(&String::from_utf8_lossy(&bytes));
    Ok(())
}

/// Whether a table has the column on the right, digit below digit.
pub(super) fn is_right_aligned(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int32Array, StringArray, TimestampMillisecondArray};

    use super::*;

    fn rows() -> RecordBatch {
        let columns: [(&str, ArrayRef); 4] = [
            (
                "at",
                Arc::new(TimestampMillisecondArray::from(vec![
                    1_357_020_000_000,
                    1_357_020_000_007,
                ])),
            ),
            ("place", Arc::new(StringArray::from(vec![Some("a,\"b\""), Some("")]))),
            ("mean", Arc::new(Float64Array::from(vec![Some(10.0), None]))),
            ("worst", Arc::new(Int32Array::from(vec![None, Some(-7)]))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))
            .unwrap()
    }

    fn encoded(format: OutputFormat) -> String {
        let rows = rows();
        let mut encoder = RowEncoder::new(format, rows.schema());
        let mut text = String::new();
        encoder.encode(&rows, &mut text).unwrap();
        encoder.header() + &text
    }

    #[test]
    fn csv_tells_null_from_an_empty_string() {
        assert_eq!(
            encoded(OutputFormat::Csv),
            "at,place,mean,worst\n\
             2013-01-01 06:00:00,\"a,\"\"b\"\"\",10.0,\n\
             2013-01-01 06:00:00.007,\"\",,-7\n"
        );
    }

    #[test]
    fn json_has_a_line_an_object_and_explicit_nulls() {
        assert_eq!(
            encoded(OutputFormat::Json),
            "{\"at\":\"2013-01-01 06:00:00\",\"place\":\"a,\\\"b\\\"\",\"mean\":10.0,\"worst\":null}\n\
             {\"at\":\"2013-01-01 06:00:00.007\",\"place\":\"\",\"mean\":null,\"worst\":-7}\n"
        );
    }

    #[test]
    fn a_table_aligns_numbers_on_the_right() {
        assert_eq!(
            encoded(OutputFormat::Table),
            "at                       place   mean  worst\n\
             -----------------------  -----  -----  -----\n\
             2013-01-01 06:00:00      a,\"b\"   10.0   NULL\n\
             2013-01-01 06:00:00.007          NULL     -7\n"
        );
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc".to_owned()), "a\\u{1b}[2Jb\\nc");
        assert_eq!(printable("näh".to_owned()), "näh");
    }
}
