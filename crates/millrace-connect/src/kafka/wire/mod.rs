//! A small client for what librdkafka cannot do: end a transaction that another producer began.
//!
//! A producer that died between `prepare` and `commit` leaves an open transaction behind. Kafka
//! lets anybody who names its transactional id, producer id and epoch end it, but librdkafka only
//! ends transactions that it began itself. So the few requests that recovery takes are spoken here,
//! over `kafka-protocol`: one request at a time over one connection a broker, the versions agreed
//! with each broker by `ApiVersions`.
//!
//! Connections are plain or encrypted by TLS, and log in with SASL PLAIN or SCRAM if they have to.
//! librdkafka's own connections become so here too, see [`super::relay`].

mod client;
mod connection;
mod coordinators;
mod fault;
mod refusal;
mod scram;
mod security;
mod settings;
#[cfg(test)]
mod tests;
mod tls;
mod transactions;
mod witness;

pub(crate) use self::client::WireClient;
pub(crate) use self::connection::{Connection, Stream, lost, within};
pub(crate) use self::fault::Fault;
pub use self::refusal::{Refusal, TopicChange};
pub(crate) use self::security::Security;
pub(crate) use self::settings::{Called, SecuritySettings};
pub(crate) use self::transactions::End;
pub(crate) use self::witness::{Outcome, Witness};
