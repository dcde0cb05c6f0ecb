//! A door before a plain log: it encrypts by TLS, may ask clients for certificates, and shuts
//! connections when it is told to.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use millrace_core::seam::Seams;
use millrace_log::{Broker, BrokerConfig, Server};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::broker::file;

/// The door at 127.0.0.1, and the log behind it at the same port of 127.0.0.2.
pub struct Front {
    pub address: String,
    pub connections: Arc<Connections>,
    accepting: JoinHandle<()>,
    _log: Server,
    _directory: tempfile::TempDir,
}

/// The connections that came through a door.
#[derive(Default)]
pub struct Connections {
    accepted: AtomicUsize,
    open: Mutex<Vec<JoinHandle<()>>>,
}

impl Front {
    /// A door with this certificate, which asks clients for one that `client_ca` has signed.
    pub async fn start(certificate: &str, client_ca: Option<&str>) -> Front {
        let directory = tempfile::tempdir().unwrap();
        let mut config = BrokerConfig::new(directory.path());
        config.listen = "127.0.0.2:0".to_owned();
        config.advertised_host = Some("127.0.0.1".to_owned());
        config.default_partitions = 2;
        let log = Server::start(Broker::open(config, Seams::system()).unwrap()).await.unwrap();
        let inner = log.address();
        let address = format!("127.0.0.1:{}", inner.port());
        let listener = TcpListener::bind(&address).await.unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server_config(certificate, client_ca)));
        let connections = Arc::new(Connections::default());
        let shared = Arc::clone(&connections);
        #[expect(clippy::disallowed_methods, reason = "a server of tests")]
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                let acceptor = acceptor.clone();
                let passing = tokio::spawn(async move {
                    let _ = pass(stream, acceptor, &inner.to_string()).await;
                });
                let mut open = shared.open.lock().unwrap();
                open.retain(|connection| !connection.is_finished());
                open.push(passing);
            }
        });
        Front { address, connections, accepting, _log: log, _directory: directory }
    }
}

impl Connections {
    /// How many came.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Shuts all, in the middle of whatever is said. Gives how many there were.
    pub fn cut(&self) -> usize {
        let open = std::mem::take(&mut *self.open.lock().unwrap());
        open.iter().filter(|connection| !connection.is_finished()).map(JoinHandle::abort).count()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
        self.connections.cut();
    }
}

fn server_config(certificate: &str, client_ca: Option<&str>) -> ServerConfig {
    let read = |name: &str| {
        CertificateDer::pem_file_iter(file(name)).unwrap().map(|one| one.unwrap()).collect()
    };
    let chain: Vec<CertificateDer<'static>> = read(&format!("{certificate}.pem"));
    let key = PrivateKeyDer::from_pem_file(file(&format!("{certificate}-key.pem"))).unwrap();
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let mut roots = RootCertStore::empty();
            let trusted: Vec<CertificateDer<'static>> = read(name);
            roots.add_parsable_certificates(trusted);
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    builder.with_single_cert(chain, key).unwrap()
}

async fn pass(stream: TcpStream, acceptor: TlsAcceptor, inner: &str) -> io::Result<()> {
    let mut outer = acceptor.accept(stream).await?;
    let mut inner = TcpStream::connect(inner).await?;
    tokio::io::copy_bidirectional(&mut outer, &mut inner).await?;
    Ok(())
}
