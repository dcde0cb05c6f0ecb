//! The `csv.` options.

use millrace_core::{Error, Result};

use crate::Options;
use crate::format::record::CellErrors;

/// How values stand in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub delimiter: u8,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
    /// The text that is NULL, quoted or not.
    pub null_literal: Option<Vec<u8>>,
    /// Lines that begin with `#` are none.
    pub comments: bool,
    /// The first line names the columns.
    pub header: bool,
    pub cell_errors: CellErrors,
}

impl Default for Dialect {
    fn default() -> Self {
        Dialect {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            null_literal: None,
            comments: false,
            header: false,
            cell_errors: CellErrors::BadRecord,
        }
    }
}

impl Dialect {
    /// Takes the options from a table.
    ///
    /// # Errors
    /// `FixInput` for characters that are not one ASCII character or have two meanings.
    pub fn from_options(options: &Options) -> Result<Self> {
        let mut dialect = Dialect {
            null_literal: options.text("csv.null-literal").map(|text| text.as_bytes().to_vec()),
            comments: options.get("csv.allow-comments")?.unwrap_or(false),
            header: options.get("csv.header")?.unwrap_or(false),
            escape: character(options, "csv.escape-character")?,
            ..Dialect::default()
        };
        if let Some(delimiter) = character(options, "csv.field-delimiter")? {
            dialect.delimiter = delimiter;
        }
        let quote = character(options, "csv.quote-character")?;
        let disabled = options.get("csv.disable-quote-character")?.unwrap_or(false);
        match (quote, disabled) {
            (Some(_), true) => {
                return Err(Error::fix_input(
                    "options `csv.quote-character` and `csv.disable-quote-character` exclude each \
                     other",
                ));
            }
            (_, true) => dialect.quote = None,
            (Some(quote), false) => dialect.quote = Some(quote),
            (None, false) => {}
        }
        if options.get("csv.ignore-parse-errors")?.unwrap_or(false) {
            dialect.cell_errors = CellErrors::Null;
        }
        dialect.check()?;
        Ok(dialect)
    }

    fn check(&self) -> Result<()> {
        let mut special = vec![b'\n', b'\r', self.delimiter];
        for byte in self.quote.into_iter().chain(self.escape) {
            if special.contains(&byte) {
                return Err(Error::fix_input(format!(
                    "the character `{}` has two meanings in the csv options",
                    char::from(byte).escape_default()
                )));
            }
            special.push(byte);
        }
        if matches!(self.delimiter, b'\n' | b'\r') {
            return Err(Error::fix_input("option `csv.field-delimiter` cannot be a line end"));
        }
        Ok(())
    }
}

/// An option whose value is one ASCII character, or `\t` and other escapes as Java writes them.
fn character(options: &Options, name: &str) -> Result<Option<u8>> {
    let Some(text) = options.text(name) else {
        return Ok(None);
    };
    let byte = match text {
        "\\t" => Some(b'\t'),
        "\\\\" => Some(b'\\'),
        text if text.len() == 6 && text.starts_with("\\u") => {
            u8::from_str_radix(&text[2..], 16).ok()
        }
        text => <[u8; 1]>::try_from(text.as_bytes()).ok().map(|[byte]| byte),
    };
    match byte {
        Some(byte) if byte.is_ascii() => Ok(Some(byte)),
        _ => Err(Error::fix_input(format!("option `{name}` cannot be `{text}`"))
            .hint("it has to be one ASCII character; a tab can be written `\\t`")),
    }
}
