//! TLS and SASL for librdkafka's connections.
//!
//! # How it works
//!
//! librdkafka is built without OpenSSL and speaks plain text. Where the settings ask for encryption
//! or a login, its sockets are one end of a socket pair, and a task at the other end is the relay: it
//! connects to the broker, agrees on TLS and logs in as [`Connection::admit`] does it, and then passes
//! bytes both ways ([`pump`]). So there is one implementation of both, the one of the exactly-once
//! sink's own requests, and no OpenSSL to compile. What it costs stands in
//! `docs/adr/0010-a-relay-encrypts-what-librdkafka-says.md`.
//!
//! ```text
//! librdkafka ── socket pair ── task ── TLS, SASL ── broker
//! ```
//!
//! # What fails, and who hears of it
//!
//! librdkafka sees every failure as a connection that closes: it waits (`reconnect.backoff.ms`, twice
//! as long each time) and connects again. Why it closed is known to the relay alone, so it keeps that
//! by broker ([`Troubles`]) until the broker answers. Whoever waits for librdkafka asks the relay:
//!
//! - [`Relay::refusal`]: brokers turn this client away, by a certificate or a password, and will go on
//!   doing so. There is no use in waiting.
//! - [`Relay::trouble`]: the last failure of a broker that has not answered since.
//!
//! # When a connection ends
//!
//! The task ends with the connection. When librdkafka closes its end, what it said before goes to the
//! broker, and what the broker still says is read and dropped for a moment, so that the system has no
//! reason to reset the connection and throw away what is under way. When the broker closes, what it
//! said before goes to librdkafka, which then closes too. Each direction has one buffer of fixed size:
//! a side that does not read is not read for.

mod native;
mod pump;
mod troubles;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use millrace_core::seam::{Clock, Seams};
use millrace_core::{Error, ErrorKind, Result};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;

pub use self::native::{NativeClient, Relayed, create};
use self::troubles::Troubles;
use super::wire::{
    Called, Connection, Fault, Refusal, Security, SecuritySettings, Stream, TopicChange,
    WireClient, lost, within,
};

/// More threads than this are not used to encrypt, however many cores there are.
const MOST_THREADS: usize = 4;

/// Encrypts connections and logs them in, as the settings of a client say. Clones are the same.
#[derive(Clone)]
pub struct Relay(Arc<Shared>);

struct Shared {
    security: Security,
    sockets: SocketSettings,
    clock: Arc<dyn Clock>,
    /// The relay's ends of socket pairs that librdkafka has made and not connected yet, by its own.
    waiting: Mutex<HashMap<RawFd, UnixStream>>,
    troubles: Mutex<Troubles>,
    /// Something happened to `troubles`.
    changed: Condvar,
}

/// What librdkafka would do to the sockets that are the relay's.
#[derive(Clone, Copy, Debug, Default)]
struct SocketSettings {
    keepalive: bool,
    send_buffer_bytes: Option<u32>,
    receive_buffer_bytes: Option<u32>,
}

/// Names and values of a client's properties.
pub type ClientPairs = Vec<(String, String)>;

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("security", &self.0.security).finish_non_exhaustive()
    }
}

impl Relay {
    /// Takes the settings of encryption and login out of the properties of a client, and gives the
    /// rest, which librdkafka may have. There is no relay if connections are neither encrypted nor
    /// logged in.
    ///
    /// # Errors
    /// `FixInput` naming a property that is not supported, or a file that cannot be used.
    pub fn of_properties(
        properties: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Option<Relay>, ClientPairs)> {
        let mut settings = SecuritySettings::new(Called::Property);
        let mut others = Vec::new();
        for (name, value) in properties {
            match SecuritySettings::has(&name) {
                true => settings.take(&name, value)?,
                false => others.push((name, value)),
            }
        }
        let find = |name: &str| {
            others.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        let relay = Relay::new(settings.read()?, find)?;
        Ok((relay, others))
    }

    /// A relay that does what `security` says, if it says anything; `setting` gives the client's other
    /// settings.
    ///
    /// # Errors
    /// `Retry` when the system has no threads for it.
    pub(crate) fn new<'a>(
        security: Option<Security>,
        setting: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Option<Relay>> {
        let Some(security) = security else { return Ok(None) };
        runtime().map_err(|cause| {
            Error::retry("there are no threads to encrypt connections").caused_by(cause)
        })?;
        // What is no number is refused by librdkafka, which gets these settings too.
        let size = |name: &str| setting(name).and_then(|text| text.parse().ok()).filter(|&n| n > 0);
        let sockets = SocketSettings {
            keepalive: setting("socket.keepalive.enable") == Some("true"),
            send_buffer_bytes: size("socket.send.buffer.bytes"),
            receive_buffer_bytes: size("socket.receive.buffer.bytes"),
        };
        Ok(Some(Relay(Arc::new(Shared {
            security,
            sockets,
            clock: Seams::system().clock,
            waiting: Mutex::default(),
            troubles: Mutex::default(),
            changed: Condvar::new(),
        }))))
    }

    pub(crate) fn security(&self) -> &Security {
        &self.0.security
    }

    /// Why brokers turn this client away, if they do: a certificate, a password. Before any broker
    /// has answered, one that refuses is enough, and the error is `FixInput`; later it has to have
    /// refused for some seconds, and is `Retry`.
    pub fn refusal(&self) -> Option<Error> {
        self.0.troubles().refusal()
    }

    /// Whether a broker has ever let this client in.
    pub(crate) fn has_answered(&self) -> bool {
        self.0.troubles().has_answered()
    }

    /// Why the last connection failed, to a broker that has not answered since.
    pub fn trouble(&self) -> Option<Error> {
        self.0.troubles().last()
    }

    /// Waits until a broker has answered, or a connection failed, or the time is over. Blocks.
    ///
    /// # Errors
    /// Why brokers turn this client away, if they do.
    pub fn await_answer(&self, limit: Duration) -> Result<()> {
        let troubles = self.0.troubles();
        let waited = self.0.changed.wait_timeout_while(troubles, limit, |now| now.is_unknown());
        let (troubles, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match troubles.refusal() {
            None => Ok(()),
            Some(refusal) => Err(refusal),
        }
    }

    /// Begins to relay between `client` and the broker called `name` (`HOST:PORT`) at `address`.
    fn connect(&self, client: UnixStream, address: SocketAddr, name: String) -> io::Result<()> {
        let shared = Arc::clone(&self.0);
        let task = async move {
            match shared.open(address, &name).await {
                Ok(broker) => pump::pump(&shared, client, broker, &name).await,
                // It is told before librdkafka hears that the connection is closed.
                Err(error) => {
                    shared.note(&name, error);
                    drop(client);
                }
            }
        };
        // It tells its end by closing what it has.
        drop(runtime()?.spawn(task));
        Ok(())
    }
}

impl Shared {
    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self, address: SocketAddr, name: &str) -> Result<Box<dyn Stream>> {
        let failed = |fault| match fault {
            Fault::Lasting(error) | Fault::Passing(error) => error,
        };
        let connect = async {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            socket.set_keepalive(self.sockets.keepalive)?;
            if let Some(size) = self.sockets.send_buffer_bytes {
                socket.set_send_buffer_size(size)?;
            }
            if let Some(size) = self.sockets.receive_buffer_bytes {
                socket.set_recv_buffer_size(size)?;
            }
            let stream = socket.connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = within(&*self.clock, connect).await;
        let stream = stream.map_err(|cause| failed(lost(name, cause)))?;
        let admitted = Connection::admit(stream, name, &self.security, Arc::clone(&self.clock));
        admitted.await.map_err(failed)
    }

    /// The broker `name` has failed.
    fn note(&self, name: &str, error: Error) {
        let now = self.clock.elapsed();
        let news = self.troubles().failed(name, error, now);
        self.changed.notify_all();
        if let Some(trouble) = news {
            tracing::warn!("{trouble}");
        }
    }

    /// The broker `name` has answered.
    fn answered(&self, name: &str) {
        self.troubles().answered(name);
        self.changed.notify_all();
    }
}

/// What relays run on: one for the process, made for the first of them, with threads of its own, since
/// librdkafka waits for it on threads of others.
fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(MOST_THREADS))
        .thread_name("kafka-relay")
        .enable_all()
        .build()?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// Connects to one of these brokers, to see whether it lets in a client with this relay, or without
/// one.
///
/// # Errors
/// Why not: `FixInput` when it turns the client away or speaks otherwise, `Retry` when none answers.
pub async fn try_out(bootstrap_servers: &str, relay: Option<&Relay>) -> Result<()> {
    let security = relay.map(|relay| relay.security().clone()).unwrap_or_default();
    let mut wire = WireClient::new(bootstrap_servers, security, Seams::system().clock);
    match wire.try_out().await {
        Ok(()) => Ok(()),
        Err(Fault::Lasting(error) | Fault::Passing(error)) => Err(error),
    }
}

/// Asks one of these brokers for a change of a topic, or only whether it could be. Gives the refusal
/// with its text, which librdkafka keeps to itself; `None` when it was done, or could be.
///
/// # Errors
/// Why there was no answer.
pub async fn change_topic(
    bootstrap_servers: &str,
    relay: Option<&Relay>,
    topic: &str,
    change: TopicChange<'_>,
    validate_only: bool,
) -> Result<Option<Refusal>> {
    let security = relay.map(|relay| relay.security().clone()).unwrap_or_default();
    let mut wire = WireClient::new(bootstrap_servers, security, Seams::system().clock);
    wire.change(topic, change, validate_only).await.map_err(|fault| match fault {
        Fault::Lasting(error) | Fault::Passing(error) => error,
    })
}

/// Finds out why brokers do not answer a client that neither encrypts nor logs in, if that is why.
/// Blocks.
pub(crate) fn diagnose(bootstrap_servers: &str) -> Option<Error> {
    let tried = runtime().ok()?.block_on(try_out(bootstrap_servers, None));
    tried.err().filter(|error| error.kind() == ErrorKind::FixInput)
}
