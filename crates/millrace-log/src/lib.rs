//! An embedded log that speaks the Kafka protocol.
//!
//! A [`broker`](config::BrokerConfig) keeps topics of partitions in one directory of one machine,
//! and serves them to any Kafka client over TCP. It is a single node: no replication, no
//! controller quorum, one coordinator for all groups and transactions. Past one machine, run Kafka
//! or Redpanda and change the address.
//!
//! From the bottom up:
//! - [`storage`]: a partition is a directory of segments. Batches are stored as they came, with
//!   sparse indexes beside them; recovery, retention and compaction work on these files.
//! - groups and transactions: each keeps what it must remember in an internal topic, through the
//!   same storage, and is rebuilt from it at the start.
//! - the server: connections, limits, authentication, and one file for each request of the
//!   protocol.

pub mod broker;
pub mod config;
pub mod error;
mod group;
mod limits;
mod queue;
pub mod security;
pub mod server;
pub mod storage;
pub mod transaction;

pub use broker::Broker;
pub use config::{BrokerConfig, FsyncPolicy, TlsFiles};
pub use error::{LogError, RejectedRecord, Result};
pub use limits::Limits;
pub use security::{SaslMechanism, Users};
pub use server::Server;
