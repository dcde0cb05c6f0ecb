use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;

use crate::security::session::Session;

/// Who sent a request.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The connection, counted from the server's start.
    pub(crate) connection: u64,
    /// Where it comes from.
    pub(crate) address: SocketAddr,
    /// The address of this server that it came to.
    pub(crate) reached: IpAddr,
    /// What the client calls itself in this request.
    pub(crate) client_id: Option<StrBytes>,
    /// Who it has proved to be.
    pub(crate) session: Arc<Session>,
}

impl Peer {
    /// The client's name, empty if it gave none.
    pub(crate) fn client_id(&self) -> &str {
        self.client_id.as_deref().unwrap_or_default()
    }

    /// The client's address as Kafka writes it in the members of a group: `/127.0.0.1`.
    pub(crate) fn host(&self) -> String {
        format!("/{}", self.address.ip())
    }
}
