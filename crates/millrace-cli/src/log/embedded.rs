//! The embedded log: its data directory, opened by this process or served by another.

use std::path::Path;
use std::time::Duration;

use millrace_core::Error;
use millrace_core::seam::Seams;
use millrace_log::{Broker, BrokerConfig, LogError, Server};
use serde::Deserialize;

use crate::failure::Failure;

/// How long another process may take from having the directory to listening.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether a command may make a data directory that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Making {
    Allowed,
    /// There would be nothing in it.
    Refused,
}

/// Finds the log of a data directory: served by another process, or else by this one from now on.
/// Gives the server in that case, and the address in any.
pub(super) async fn open(
    data: &Path,
    making: Making,
    seams: &Seams,
) -> Result<(Option<Server>, String), Failure> {
    if making == Making::Refused && !data.is_dir() {
        return Err(Failure::before_running(
            &Error::fix_input(format!("there is no log in `{}`", data.display()))
                .hint("name its directory with --data, or its address with --bootstrap"),
        ));
    }
    let began = seams.clock.elapsed();
    loop {
        match Broker::open(BrokerConfig::new(data), seams.clone()) {
            Ok(broker) => {
                let server = Server::start(broker).await.map_err(|error| failure(data, error))?;
                let address = server.address().to_string();
                return Ok((Some(server), address));
            }
            Err(LogError::InUse { .. }) if address_of_holder(data).is_some() => {
                return Ok((None, address_of_holder(data).unwrap_or_default()));
            }
            // It may be about to listen, or about to end.
            Err(LogError::InUse { .. })
                if seams.clock.elapsed().saturating_sub(began) < LISTEN_TIMEOUT =>
            {
                seams.clock.sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(failure(data, error)),
        }
    }
}

/// Where the process that has the directory listens, as it wrote down there.
fn address_of_holder(data: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Holder {
        address: Option<String>,
    }
    let text = std::fs::read_to_string(data.join("lock")).ok()?;
    serde_json::from_str::<Holder>(&text).ok()?.address
}

/// What to tell of an error of the embedded log.
pub(super) fn failure(data: &Path, error: LogError) -> Failure {
    let data = data.display();
    Failure::operation(&match error {
        LogError::InUse { .. } => Error::fix_input(error.to_string()).hint(
            "it is served there: give this one another --data, or use the one that is served",
        ),
        LogError::Damaged { .. } => Error::restore(format!("cannot open the log in `{data}`"))
            .caused_by(error)
            .hint("nothing was changed; a copy of the file, or moving its partition away, helps"),
        LogError::Io { .. } => {
            Error::retry(format!("cannot open the log in `{data}`")).caused_by(error)
        }
        error => Error::fix_input(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_holder_is_in_the_lock_file() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(address_of_holder(data.path()), None);
        let write = |text: &str| std::fs::write(data.path().join("lock"), text).unwrap();
        write(r#"{"pid":1,"address":null}"#);
        assert_eq!(address_of_holder(data.path()), None);
        write(r#"{"pid":1,"address":"127.0.0.1:9092"}"#);
        assert_eq!(address_of_holder(data.path()).as_deref(), Some("127.0.0.1:9092"));
        write(r#"{"pid":1,"addr"#);
        assert_eq!(address_of_holder(data.path()), None);
    }
}
