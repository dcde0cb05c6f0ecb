//! The error that crosses the contracts of this crate.
//!
//! A crate keeps its own typed errors inside; at a contract's edge they become an [`Error`], whose
//! [`ErrorKind`] says what the caller must do.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// A result with the [`Error`] of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What whoever sees the error has to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The script, an option or the data is wrong: the same run would fail again, so the job does
    /// not restart.
    FixInput,
    /// Something outside failed and may work again: the job restarts from its last checkpoint.
    Retry,
    /// Stored state is damaged, missing or of another job: an older checkpoint is needed.
    Restore,
    /// Millrace broke one of its own invariants, or a function of the job panicked: a bug to report.
    /// The job restarts, unless it meets the very same bug again.
    Report,
}

/// An error with the thing it is about, its cause and the next step.
///
/// ```
/// use millrace_core::{Error, ErrorKind};
///
/// let io = std::io::Error::other("no space left on device");
/// let error = Error::retry("cannot write `out/part-0.csv`")
///     .caused_by(io)
///     .hint("free some space; the job resumes from its last checkpoint");
/// assert_eq!(error.kind(), ErrorKind::Retry);
/// assert_eq!(
///     error.full_report(),
///     "cannot write `out/part-0.csv`\n  cause: no space left on device\n  \
///      hint: free some space; the job resumes from its last checkpoint"
/// );
/// ```
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    hint: Option<String>,
}

impl Error {
    /// An error of this kind; the message is lower-case, names the thing and has no full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), cause: None, hint: None }))
    }

    /// The script, an option or the data is wrong.
    pub fn fix_input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::FixInput, message)
    }

    /// Something outside failed and may work again.
    pub fn retry(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Retry, message)
    }

    /// Stored state cannot be used.
    pub fn restore(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Restore, message)
    }

    /// An invariant of Millrace itself does not hold.
    pub fn report(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Report, message)
    }

    /// Adds what it came from.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Adds what the reader can do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Puts what was being done before the message: ``reading `a.csv`: bad header``.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.0.message = format!("{doing}: {}", self.0.message);
        self
    }

    /// The same error for who has to do something else about it: a password that was right before may
    /// be right again.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message alone, without cause and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What can be done about it, if something is known.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Whether it came of a pipe that nobody reads any more: then the program ends quietly.
    ///
    /// ```
    /// use std::io::{Error as IoError, ErrorKind};
    /// use millrace_core::Error;
    ///
    /// let closed = IoError::from(ErrorKind::BrokenPipe);
    /// assert!(Error::fix_input("rows cannot be printed").caused_by(closed).is_broken_pipe());
    /// assert!(!Error::fix_input("rows cannot be printed").is_broken_pipe());
    /// ```
    pub fn is_broken_pipe(&self) -> bool {
        let mut cause = StdError::source(self);
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                return io.kind() == io::ErrorKind::BrokenPipe;
            }
            cause = error.source();
        }
        false
    }

    /// Message, chain of causes and hint, a line each, as the command line prints it after
    /// `error: `.
    pub fn full_report(&self) -> String {
        let mut text = self.0.message.clone();
        let mut cause = self.0.cause.as_deref().map(|cause| cause as &dyn StdError);
        while let Some(error) = cause {
            text.push_str(&format!("\n  cause: {error}"));
            cause = error.source();
        }
        if let Some(hint) = &self.0.hint {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}
