//! Connections that are encrypted. The certificates in `certificates` are for these tests alone: `ca.pem`
//! has signed `server.pem`, which is for 127.0.0.1 and lives until 2126.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kafka_protocol::messages::ApiVersionsRequest;
use millrace_log::{BrokerConfig, TlsFiles};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, IpAddr, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::client::{Log, frame};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/certificates").join(name)
}

async fn encrypted() -> Log {
    Log::start_with(|config: &mut BrokerConfig| {
        let (certificate, key) = (file("server.pem"), file("server.key"));
        config.tls = Some(TlsFiles { certificate, key });
    })
    .await
}

/// A connection of a client that trusts one certificate.
async fn connect(
    log: &Log,
    trusted: &str,
    version: &'static SupportedProtocolVersion,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file(trusted)).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address = log.server.address();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::IpAddress(IpAddr::from(address.ip()));
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn requests_and_answers_of_any_size_pass_through_tls() {
    let log = encrypted().await;
    for version in [&TLS12, &TLS13] {
        let mut stream = connect(&log, "ca.pem", version).await.unwrap();
        // Many in a row, whose answers are more than the buffers of TLS hold.
        let request = frame(0, 7, &ApiVersionsRequest::default());
        stream.write_all(&request.repeat(500)).await.unwrap();
        for _ in 0..500 {
            let length = stream.read_i32().await.unwrap();
            let mut answer = vec![0; usize::try_from(length).unwrap()];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer[..6], [0, 0, 0, 7, 0, 0]);
        }
    }
}

#[tokio::test]
async fn who_does_not_trust_the_certificate_leaves_and_harms_nobody() {
    let log = encrypted().await;
    // It was not signed by itself.
    assert!(connect(&log, "server.pem", &TLS13).await.is_err());
    let mut plain = log.client().await;
    plain.write(0, &ApiVersionsRequest::default()).await;
    // At most an alert, and then the end.
    let mut rest = Vec::new();
    let _ = plain.stream.read_to_end(&mut rest).await;
    assert!(rest.len() < 100 && rest.first().is_none_or(|first| *first == 21), "{rest:?}");
    assert!(connect(&log, "ca.pem", &TLS12).await.is_ok());
}
