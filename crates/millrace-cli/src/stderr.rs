//! Standard error: what a command says besides its data.
//!
//! Nothing hangs on it. Where it can't be written (its reader went away, its disk is full) there is
//! nobody to tell, and the command goes on: `eprintln!` would panic there, and end a job with it.

use std::fmt::Arguments;
use std::io::{self, Write};

/// Writes a line to standard error, whole where that can be. Used by [`say!`].
pub(crate) fn line(text: Arguments<'_>) {
    // In one write, so that lines of several processes do not mix.
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Standard error for those who would complain there of what can't be written there.
pub(crate) struct Unfailing;

impl Write for Unfailing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As `eprintln!`, but never panics.
macro_rules! say {
    ($($text:tt)*) => { $crate::stderr::line(format_args!($($text)*)) };
}
pub(crate) use say;
