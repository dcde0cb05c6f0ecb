//! What is wrong with a script, and where.

use std::error::Error as StdError;
use std::fmt;

use millrace_core::{Error, ErrorKind};
use sqlparser::tokenizer::Span;

/// An error in a script, with the place it is about.
///
/// It prints as compilers do:
///
/// ```text
/// error: ORDER BY is not supported on a stream
///   --> job.sql:12:3
///    |
/// 12 |   ORDER BY x
///    |   ^^^^^^^^
///   hint: ...
/// ```
#[derive(Debug)]
pub struct SqlError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    place: Option<Place>,
    cause: Option<String>,
    hint: Option<String>,
}

#[derive(Debug)]
struct Place {
    file: String,
    line: usize,
    column: usize,
    width: usize,
    text: String,
}

impl SqlError {
    /// The message alone.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What can be done about it, if something is known.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Line and column, from 1, if the error is about a place in the script.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.0.place.as_ref().map(|place| (place.line, place.column))
    }

    /// The whole message as the command line shows it, from `error: ` on, without a last line end.
    pub fn render(&self) -> String {
        let mut text = format!("error: {}", self.message_with_place());
        if let Some(cause) = &self.0.cause {
            text.push_str(&format!("\n  cause: {cause}"));
        }
        if let Some(hint) = &self.0.hint {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        text
    }

    fn message_with_place(&self) -> String {
        let Some(Place { file, line, column, width, text }) = &self.0.place else {
            return self.0.message.clone();
        };
        let gutter = " ".repeat(line.to_string().len());
        // Tabs stay tabs, so that the caret stands under its character.
        let indent: String =
            text.chars().take(column - 1).map(|c| if c == '\t' { c } else { ' ' }).collect();
        format!(
            "{message}\n{gutter}--> {file}:{line}:{column}\n{gutter} |\n{line} | {text}\n{gutter} | \
             {indent}{carets}",
            message = self.0.message,
            carets = "^".repeat(*width)
        )
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message_with_place())
    }
}

impl StdError for SqlError {}

/// The place goes into the message, so that `full_report` prints the same as [`SqlError::render`].
impl From<SqlError> for Error {
    fn from(error: SqlError) -> Self {
        let mut result = Error::new(error.0.kind, error.message_with_place());
        if let Some(cause) = error.0.cause {
            result = result.caused_by(cause);
        }
        match error.0.hint {
            Some(hint) => result.hint(hint),
            None => result,
        }
    }
}

/// An error while it travels inside this crate: it knows its span, but not yet the script's text.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    kind: ErrorKind,
    message: String,
    span: Span,
    cause: Option<String>,
    hint: Option<String>,
}

/// A result with a [`Fault`].
pub(crate) type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    /// Something in the script that its author has to change. An empty span says that the place is
    /// not known; [`Fault::or_at`] can tell it later.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Fault { kind: ErrorKind::FixInput, message: message.into(), span, cause: None, hint: None }
    }

    /// An invariant of the planner that does not hold.
    pub fn bug(message: impl Into<String>) -> Self {
        Fault { kind: ErrorKind::Report, ..Fault::new(Span::empty(), message) }
    }

    /// Adds what can be done about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the place, unless one is known.
    #[must_use]
    pub fn or_at(mut self, span: Span) -> Self {
        if self.span == Span::empty() {
            self.span = span;
        }
        self
    }

    /// Whether a place is known.
    pub fn has_place(&self) -> bool {
        self.span != Span::empty()
    }

    /// An error of a connector, at the place of the statement that made it.
    pub fn of(error: &Error, span: Span) -> Self {
        let cause = StdError::source(error).map(|mut cause| {
            let mut text = cause.to_string();
            while let Some(next) = cause.source() {
                text.push_str(&format!(": {next}"));
                cause = next;
            }
            text
        });
        Fault {
            kind: error.kind(),
            message: error.message().to_owned(),
            span,
            cause,
            hint: error.hint_text().map(str::to_owned),
        }
    }

    /// Joins the error with the script that it is about.
    pub fn in_script(self, text: &str, file: &str) -> SqlError {
        let place = (self.span != Span::empty()).then(|| Place::new(self.span, text, file));
        SqlError(Box::new(Inner {
            kind: self.kind,
            message: self.message,
            place,
            cause: self.cause,
            hint: self.hint,
        }))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// So that it can travel through DataFusion.
impl StdError for Fault {}

impl Place {
    fn new(span: Span, text: &str, file: &str) -> Self {
        let line = usize::try_from(span.start.line).unwrap_or(usize::MAX).max(1);
        let source = text.lines().nth(line - 1).unwrap_or("");
        let length = source.chars().count();
        let column = usize::try_from(span.start.column).unwrap_or(usize::MAX).clamp(1, length + 1);
        let behind = if span.end.line == span.start.line {
            usize::try_from(span.end.column).unwrap_or(usize::MAX).min(length + 1)
        } else {
            source.trim_end().chars().count() + 1
        };
        Place {
            file: file.to_owned(),
            line,
            column,
            width: behind.saturating_sub(column).max(1),
            text: source.trim_end().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlparser::tokenizer::Location;

    use super::*;

    fn span(line: u64, from: u64, to: u64) -> Span {
        Span::new(Location { line, column: from }, Location { line, column: to })
    }

    #[test]
    fn an_error_shows_its_line_with_a_caret_under_it() {
        let fault = Fault::new(span(2, 3, 11), "ORDER BY is not supported on a stream");
        let error =
            fault.hint("rows come in no order").in_script("SELECT x\n  ORDER BY x\n", "a.sql");
        assert_eq!(
            error.render(),
            "error: ORDER BY is not supported on a stream\n --> a.sql:2:3\n  |\n2 |   ORDER BY x\n  \
             |   ^^^^^^^^\n  hint: rows come in no order"
        );
        let core: Error = error.into();
        assert!(core.full_report().ends_with("^^^^^^^^\n  hint: rows come in no order"));
    }

    #[test]
    fn a_place_past_the_end_of_its_line_or_text_still_prints() {
        for (line, from, to) in [(1, 90, 95), (9, 1, 4), (1, 0, 0)] {
            let error = Fault::new(span(line, from, to), "odd").in_script("x\n", "a.sql");
            assert!(error.render().contains('^'), "{}", error.render());
        }
    }
}
