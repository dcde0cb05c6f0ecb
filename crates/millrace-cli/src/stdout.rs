//! Standard output of the commands that print once and end, and what its errors mean to all.

use std::io::{self, ErrorKind, Write};

use millrace_core::Error;

use crate::failure::Failure;

/// Prints; a reader that went away ends the command quietly.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(failure)
}

/// How a command ends whose standard output can't be written.
pub(crate) fn failure(cause: io::Error) -> Failure {
    match cause.kind() {
        ErrorKind::BrokenPipe => Failure::quietly(),
        _ => Failure::operation(&Error::retry("cannot write to standard output").caused_by(cause)),
    }
}
