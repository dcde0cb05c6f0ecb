//! The server: connections, limits, and one file for each request of the protocol.
//!
//! A connection is one task. It reads frames, starts their handlers and writes the answers in the
//! order of the requests. A request that cannot be decoded, is too large or makes its handler panic
//! closes its own connection, with a line in the log, and touches no other.

pub(crate) mod access;
mod api;
mod connection;
pub(crate) mod decode;
mod dispatch;
mod fetch_frame;
mod frame;
mod outgoing;
pub(crate) mod peer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use millrace_core::seam::Task;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::broker::{Broker, upkeep};
use crate::error::{LogError, Result};
use crate::security::session::Session;
use crate::security::tls;
pub(crate) use api::fetch::MAX_BYTES as FETCH_MAX_BYTES;
use connection::Connection;
pub(crate) use connection::{FREE_BYTES, IDLE_TIMEOUT};
pub(crate) use peer::Peer;

/// A broker that listens.
///
/// Dropping it stops listening and closes the connections without waiting for what they do; use
/// [`Server::shutdown`] to wait.
pub struct Server {
    broker: Arc<Broker>,
    address: SocketAddr,
    stopping: watch::Sender<bool>,
    accepting: Box<dyn Task>,
}

/// What all connections share.
struct Shared {
    broker: Arc<Broker>,
    /// A permit for each connection that may yet come.
    connections: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
    tls: Option<TlsAcceptor>,
}

/// A connection must have agreed on its keys after this time.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

impl Server {
    /// Listens on the address of the broker's settings and serves its topics.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(broker: Arc<Broker>) -> Result<Server> {
        let listen = broker.config().listen.clone();
        let failed = |e| LogError::Config(format!("cannot listen on `{listen}`: {e}"));
        let tls = broker.config().tls.as_ref().map(tls::acceptor).transpose()?;
        let listener = TcpListener::bind(&listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        broker.listens_on(address)?;
        broker.groups().start_timer();
        let (stopping, stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            connections: Arc::new(Semaphore::new(broker.config().max_connections)),
            broker: broker.clone(),
            stopping: stopped,
            tls,
        });
        broker.transactions().start();
        upkeep::start(&broker, &shared.stopping);
        let accepting =
            broker.seams().spawner.spawn("log-accept", Box::pin(accept(listener, shared)));
        tracing::info!(%address, "the log listens");
        Ok(Server { broker, address, stopping, accepting })
    }

    /// Where it listens: with port 0 in the settings, the port that was free.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The broker that it serves.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Stops listening, lets the requests in work end for a moment, closes the connections and the
    /// broker with all its files.
    ///
    /// # Errors
    /// The files could not be brought to the disk.
    pub async fn shutdown(self) -> Result<()> {
        let _ = self.stopping.send(true);
        self.accepting.abort();
        // Connections and upkeep hold a receiver each, and drop it when they have ended.
        let grace = self.broker.seams().clock.sleep(Duration::from_secs(5));
        tokio::select! {
            () = self.stopping.closed() => {}
            () = grace => tracing::warn!("connections are still at work, and are left behind"),
        }
        self.broker.close()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stopping.send(true);
        self.accepting.abort();
    }
}

/// Takes connections until it is aborted.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut number = 0;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                number += 1;
                take(&shared, stream, address, number);
            }
            Err(error) => {
                // Out of file descriptors, most likely: others must be given up first.
                tracing::warn!(%error, "a connection could not be accepted");
                shared.broker.seams().clock.sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn take(shared: &Arc<Shared>, stream: TcpStream, address: SocketAddr, number: u64) {
    let Ok(permit) = shared.connections.clone().try_acquire_owned() else {
        tracing::warn!(%address, "closed: there are as many connections as there may be");
        return;
    };
    let reached = match stream.set_nodelay(true).and_then(|()| stream.local_addr()) {
        Ok(local) => local.ip(),
        Err(error) => {
            tracing::debug!(%address, %error, "closed before its first request");
            return;
        }
    };
    let peer = Peer {
        connection: number,
        address,
        reached,
        client_id: None,
        session: Arc::new(Session::new(shared.broker.security().mechanisms())),
    };
    let own = shared.clone();
    let broker = shared.broker.clone();
    let serve = async move {
        match &own.tls {
            None => {
                let connection = Connection::new(stream, peer, &own);
                drop(own);
                connection.serve().await;
            }
            Some(acceptor) => {
                if let Some(stream) = encrypt(&own, acceptor, stream, address).await {
                    let connection = Connection::new(stream, peer, &own);
                    drop(own);
                    connection.serve().await;
                }
            }
        }
        broker.queues().disconnected(&broker, number);
        drop(permit);
    };
    shared.broker.seams().spawner.spawn("log-connection", Box::pin(serve));
}

/// Agrees with the client on keys; none if it would not.
async fn encrypt(
    shared: &Shared,
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
) -> Option<TlsStream<TcpStream>> {
    let mut stopping = shared.stopping.clone();
    tokio::select! {
        encrypted = acceptor.accept(stream) => {
            if let Err(error) = &encrypted {
                tracing::warn!(%address, %error, "closed: no TLS came about");
            }
            encrypted.ok()
        }
        () = shared.broker.seams().clock.sleep(TLS_TIMEOUT) => {
            tracing::warn!(%address, "closed: no TLS came about in time");
            None
        }
        _ = stopping.wait_for(|stopping| *stopping) => None,
    }
}

#[cfg(test)]
mod tests;
