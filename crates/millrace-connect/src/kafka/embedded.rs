//! The embedded log: where a table goes that names no brokers.

use std::path::Path;

use millrace_core::{Error, Result};

/// The address of the log that keeps its data in `log_dir`.
///
/// # Errors
/// `FixInput`: brokers have to be named.
pub(crate) async fn address(log_dir: &Path) -> Result<String> {
    Err(Error::fix_input("option `properties.bootstrap.servers` is missing").hint(format!(
        "start a log with `millrace log serve --data {}` and name its address",
        log_dir.display()
    )))
}
