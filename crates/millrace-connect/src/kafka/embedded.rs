//! The embedded log: where a table goes that names no brokers.
//!
//! The first table of a process that uses a data directory starts a server for it on the loopback
//! interface, and all others join it. Where another process has the directory (`millrace log
//! serve`, another job), they join that one, at the address in its lock file. The server ends with
//! the last table that uses it.
//!
//! A process that is killed and started again may listen elsewhere. Whoever had joined it notices
//! that the lock file has another address ([`EmbeddedLog::moved_to`]) and fails, so that the job
//! restarts and asks anew; if nobody has the directory then, it serves the log itself.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use millrace_core::seam::Seams;
use millrace_core::{Error, Result};
use millrace_log::{Broker, BrokerConfig, LogError, Server};
use serde::Deserialize;
use tokio::sync::Mutex;

/// How long another process may take from having the directory to listening.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How often its lock file is looked at meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The servers of this process, by their directories.
static SERVERS: Mutex<Option<HashMap<PathBuf, Weak<Running>>>> = Mutex::const_new(None);

/// A log that runs as long as this.
#[derive(Clone)]
pub(crate) struct EmbeddedLog {
    address: String,
    directory: PathBuf,
    /// None where another process serves it.
    running: Option<Arc<Running>>,
}

struct Running {
    address: String,
    /// Ends when it is dropped. The lock only makes it one that can be shared.
    _server: std::sync::Mutex<Server>,
}

impl fmt::Debug for EmbeddedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLog").field("address", &self.address).finish_non_exhaustive()
    }
}

impl EmbeddedLog {
    /// Starts or joins the log that keeps its data in `data_dir`.
    ///
    /// # Errors
    /// `FixInput` when the directory cannot be used, `Retry` when the process that has it does not
    /// listen, `Restore` when the data is damaged.
    pub async fn open(data_dir: &Path, seams: &Seams) -> Result<Self> {
        let mut servers = SERVERS.lock().await;
        let servers = servers.get_or_insert_default();
        std::fs::create_dir_all(data_dir).map_err(|cause| unusable(data_dir).caused_by(cause))?;
        let directory =
            data_dir.canonicalize().map_err(|cause| unusable(data_dir).caused_by(cause))?;
        if let Some(running) = servers.get(&directory).and_then(Weak::upgrade) {
            let address = running.address.clone();
            return Ok(EmbeddedLog { address, directory, running: Some(running) });
        }
        let began = seams.clock.elapsed();
        loop {
            match Broker::open(BrokerConfig::new(&directory), seams.clone()) {
                Ok(broker) => {
                    let server = Server::start(broker).await;
                    let server = server.map_err(|cause| of_log(data_dir, cause))?;
                    let address = server.address().to_string();
                    let running = Arc::new(Running {
                        address: address.clone(),
                        _server: std::sync::Mutex::new(server),
                    });
                    servers.insert(directory.clone(), Arc::downgrade(&running));
                    return Ok(EmbeddedLog { address, directory, running: Some(running) });
                }
                Err(LogError::InUse { .. }) => {
                    if let Some(address) = address_of_holder(&directory) {
                        return Ok(EmbeddedLog { address, directory, running: None });
                    }
                    // It may be about to listen, or about to end.
                    if seams.clock.elapsed().saturating_sub(began) > LISTEN_TIMEOUT {
                        return Err(Error::retry(format!(
                            "another process has the log in `{}` and does not listen",
                            data_dir.display()
                        )));
                    }
                    seams.clock.sleep(LOOK_INTERVAL).await;
                }
                Err(error) => return Err(of_log(data_dir, error)),
            }
        }
    }

    /// Where it listens: `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether this process serves it.
    pub fn is_own(&self) -> bool {
        self.running.is_some()
    }

    /// Where the process that serves it listens now, if that is not where it was joined.
    pub fn moved_to(&self) -> Option<String> {
        if self.is_own() {
            return None;
        }
        address_of_holder(&self.directory).filter(|address| *address != self.address)
    }
}

fn unusable(data_dir: &Path) -> Error {
    Error::fix_input(format!("the log in `{}` cannot be used", data_dir.display())).hint(
        "name brokers by `properties.bootstrap.servers`, or another directory by `log.data-dir`",
    )
}

fn of_log(data_dir: &Path, error: LogError) -> Error {
    let doing = format!("the log in `{}` cannot be opened", data_dir.display());
    match error {
        LogError::Damaged { .. } => Error::restore(doing),
        LogError::Io { .. } => Error::retry(doing),
        _ => Error::fix_input(doing),
    }
    .caused_by(error)
}

/// Where the process that has the directory listens, as it wrote down there.
fn address_of_holder(data_dir: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Holder {
        address: Option<String>,
    }
    let text = std::fs::read_to_string(data_dir.join("lock")).ok()?;
    serde_json::from_str::<Holder>(&text).ok()?.address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tables_of_a_process_share_one_server_which_ends_with_the_last() {
        let directory = tempfile::tempdir().expect("a directory");
        let seams = Seams::system();
        let data = directory.path().join("log");
        let first = EmbeddedLog::open(&data, &seams).await.expect("it starts");
        let second = EmbeddedLog::open(&data, &seams).await.expect("it is joined");
        assert_eq!(first.address(), second.address());
        assert!(matches!(
            Broker::open(BrokerConfig::new(&data), seams.clone()),
            Err(LogError::InUse { .. })
        ));
        let written = address_of_holder(&data);
        assert_eq!(written.as_deref(), Some(first.address()));
        assert!(first.is_own() && second.is_own() && first.moved_to().is_none());
        drop((first, second));
        let again = EmbeddedLog::open(&data, &seams).await.expect("it starts again");
        assert!(std::net::TcpStream::connect(again.address()).is_ok());
    }

    #[tokio::test]
    async fn who_has_joined_another_process_sees_that_it_listens_elsewhere_now() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |address: &str| {
            let text = format!("{{\"pid\":1,\"address\":{address}}}");
            std::fs::write(directory.path().join("lock"), text).expect("it is written");
        };
        let joined = EmbeddedLog {
            address: "127.0.0.1:1".into(),
            directory: directory.path().to_owned(),
            running: None,
        };
        assert_eq!(joined.moved_to(), None, "there is no lock file");
        for (address, moved) in
            [("\"127.0.0.1:1\"", None), ("null", None), ("\"127.0.0.1:2\"", Some("127.0.0.1:2"))]
        {
            write(address);
            assert_eq!(joined.moved_to().as_deref(), moved);
        }
    }
}
