//! The settings of a broker.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Result;
use crate::limits::Limits;
use crate::security::{SaslMechanism, tls};

/// When written batches are forced to the disk.
///
/// An acknowledged record survives the death of the process under each policy. They differ in what
/// a loss of power may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsyncPolicy {
    /// Before each acknowledgement; appends that wait at the same time share one. A loss of power
    /// takes nothing that was acknowledged, and consumers see nothing that it could take.
    Always,
    /// In the background, at most this long after the write: what a loss of power may take.
    Interval(Duration),
    /// When the system likes to.
    Never,
}

/// Files that a server proves itself with, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and one that clients trust.
    pub certificate: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Looks whether a server could use them, which [`crate::Server::start`] does too.
    ///
    /// # Errors
    /// [`crate::LogError::Config`] that names the file and says what is wrong with it.
    pub fn check(&self) -> Result<()> {
        tls::acceptor(self).map(drop)
    }
}

/// The settings of a broker; [`BrokerConfig::new`] has the defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BrokerConfig {
    /// Where topics are kept; made if it is not there.
    pub data_dir: PathBuf,
    /// The address to listen on; port 0 takes a free one.
    pub listen: String,
    /// The host that clients are told to connect to, if it is not that of `listen`.
    pub advertised_host: Option<String>,
    /// When written batches are forced to the disk.
    pub fsync: FsyncPolicy,
    /// Whether a topic that a client asks for comes into being.
    pub auto_create_topics: bool,
    /// Partitions of a topic whose creator names no number.
    pub default_partitions: i32,
    /// Connections beyond this number are closed at once.
    pub max_connections: usize,
    /// A request of more bytes closes its connection.
    pub max_request_bytes: usize,
    /// Bytes of requests and responses in work over all connections; reading waits beyond.
    pub max_in_flight_bytes: usize,
    /// How clients prove who they are before they may do anything else; empty: they need not.
    pub sasl_mechanisms: Vec<SaslMechanism>,
    /// What connections are encrypted with; none: they are not.
    pub tls: Option<TlsFiles>,
    /// Whether clients may do only what access control lists allow; else everybody may do
    /// everything.
    pub acls: bool,
    /// Users who may do everything, whatever the lists say.
    pub super_users: Vec<String>,
    /// What groups and transactions may be.
    pub limits: Limits,
}

impl BrokerConfig {
    /// The defaults for a data directory: a free port of the loopback address, fsync once a second.
    ///
    /// ```
    /// use millrace_log::BrokerConfig;
    ///
    /// let config = BrokerConfig::new("data");
    /// assert_eq!(config.listen, "127.0.0.1:0");
    /// ```
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        BrokerConfig {
            data_dir: data_dir.into(),
            listen: "127.0.0.1:0".to_owned(),
            advertised_host: None,
            fsync: FsyncPolicy::Interval(Duration::from_secs(1)),
            auto_create_topics: true,
            default_partitions: 1,
            max_connections: 1_000,
            max_request_bytes: 100 << 20,
            max_in_flight_bytes: 512 << 20,
            sasl_mechanisms: Vec::new(),
            tls: None,
            acls: false,
            super_users: Vec::new(),
            limits: Limits::default(),
        }
    }
}
