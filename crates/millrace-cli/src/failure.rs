//! How a command ends when it does not succeed.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use millrace_core::{Error, ErrorKind};

/// Why a command did not succeed, and the exit code that says so.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    /// What to tell the user; begins with `error: ` when it is printed.
    report: Option<String>,
}

impl Failure {
    /// Wrong arguments or a wrong script: exit code 2. Nothing was run.
    pub(crate) fn misuse(report: impl Into<String>) -> Self {
        Failure { code: 2, report: Some(report.into()) }
    }

    /// From an error before anything ran: misuse if the input is to be fixed.
    pub(crate) fn before_running(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::FixInput => Self::misuse(error.full_report()),
            _ => Self::operation(error),
        }
    }

    /// The operation failed: exit code 1.
    pub(crate) fn operation(error: &Error) -> Self {
        Failure { code: 1, report: Some(error.full_report()) }
    }

    /// The same failure with one more thing to know; without a report there is nothing to add to.
    #[cfg(feature = "kafka")]
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        if let Some(report) = &mut self.report {
            report.push_str("\n  hint: ");
            report.push_str(hint);
        }
        self
    }

    /// The reader of standard output went away (`| head`); nobody is left to tell.
    pub(crate) fn quietly() -> Self {
        Failure { code: 0, report: None }
    }

    /// The exit code of a process that a signal with this number ended.
    pub(crate) fn signal(number: u8) -> Self {
        Failure { code: 128 + number, report: None }
    }

    /// Whether a signal asked the process to end at once.
    pub(crate) fn is_signal(&self) -> bool {
        self.code > 128
    }

    /// Tells the user and gives the exit code.
    pub(crate) fn tell(&self) -> ExitCode {
        if let Some(report) = &self.report {
            let report = report.strip_prefix("error: ").unwrap_or(report);
            // Where this cannot be written nothing can be done about it.
            let _ = writeln!(std::io::stderr(), "{} {report}", paint("error:", "1;31"));
        }
        ExitCode::from(self.code)
    }
}

/// `text` in a colour (an SGR code) if standard error is a terminal and `NO_COLOR` is not set.
/// What it means never depends on the colour.
pub(crate) fn paint(text: &str, code: &str) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || !std::io::stderr().is_terminal();
    if plain { text.to_owned() } else { format!("\u{1b}[{code}m{text}\u{1b}[0m") }
}
