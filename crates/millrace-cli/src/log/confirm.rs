use std::io::{BufRead, IsTerminal};

use crate::failure::{Failure, paint};
use crate::stderr::say;

/// Goes on if the user agrees to what will be lost: by `--yes`, or by an answer if somebody is
/// there to give one.
///
/// # Errors
/// Misuse, if nobody agreed.
pub(super) fn confirm(deed: &str, lost: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        say!("{} this {deed} {lost}. Go on? [y/N]", paint("warning:", "1;33"));
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
    }
    Err(Failure::misuse(format!("this {deed} {lost}\n  hint: say --yes to do so")))
}
