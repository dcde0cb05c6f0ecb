use arrow_schema::{DataType, SchemaRef};
use unicode_width::UnicodeWidthStr;

use super::encode::is_right_aligned;

const GAP: &str = "  ";
/// A longer cell pushes its row out of line instead of all rows into the next line.
const WIDEST: usize = 40;

/// Where the columns of a table stand. A stream's longest value is not known, so widths come from
/// the titles, the types and the first rows; a wider value later puts its own row out of line.
pub(super) struct TableLayout {
    columns: Vec<Column>,
}

struct Column {
    title: String,
    width: usize,
    right: bool,
}

impl TableLayout {
    /// A layout for these columns; `first` holds their first cells, column by column.
    pub(super) fn of(schema: &SchemaRef, first: &[Vec<String>]) -> Self {
        let columns = schema
            .fields()
            .iter()
            .zip(first)
            .map(|(field, cells)| {
                let widest = cells.iter().map(|cell| cell.width()).max().unwrap_or(0);
                let wanted = widest.max(usual_width(field.data_type())).min(WIDEST);
                Column {
                    title: field.name().clone(),
                    width: wanted.max(field.name().width()),
                    right: is_right_aligned(field.data_type()),
                }
            })
            .collect();
        TableLayout { columns }
    }

    /// The titles and a line below them.
    pub(super) fn header(&self) -> String {
        let mut text = String::new();
        self.push_row(self.columns.iter().map(|column| column.title.as_str()), &mut text);
        let rules: Vec<_> = self.columns.iter().map(|column| "-".repeat(column.width)).collect();
        self.push_row(rules.iter().map(String::as_str), &mut text);
        text
    }

    /// Appends a line with these cells.
    pub(super) fn push_row<'a>(&self, cells: impl Iterator<Item = &'a str>, out: &mut String) {
        let line = out.len();
        for (index, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            if index > 0 {
                out.push_str(GAP);
            }
            let padding = " ".repeat(column.width.saturating_sub(cell.width()));
            if column.right {
                out.push_str(&padding);
            }
            out.push_str(cell);
            if !column.right {
                out.push_str(&padding);
            }
        }
        let written = out[line..].trim_end_matches(' ').len();
        out.truncate(line + written);
        out.push('\n');
    }
}

/// What most values of the type need.
fn usual_width(data_type: &DataType) -> usize {
    match data_type {
        DataType::Timestamp(..) => "2013-01-01 06:00:00".len(),
        DataType::Date32 => "2013-01-01".len(),
        DataType::Boolean => "false".len(),
        data_type if data_type.is_numeric() => 5,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::{Field, Schema};

    use super::*;

    #[test]
    fn a_later_wider_value_moves_only_its_own_row() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("名前", DataType::Utf8, true),
            Field::new("n", DataType::Int64, true),
        ]));
        let layout = TableLayout::of(&schema, &[vec!["ab".into()], vec!["1".into()]]);
        let mut text = layout.header();
        layout.push_row(["abcdef", "123456"].into_iter(), &mut text);
        layout.push_row(["ab", "1"].into_iter(), &mut text);
        assert_eq!(text, "名前      n\n----  -----\nabcdef  123456\nab        1\n");
    }
}
