//! TLS for the connections of clients.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use crate::config::TlsFiles;
use crate::error::{LogError, Result};

/// Reads certificate and key, which all connections are taken with from then on: TLS 1.2 and 1.3,
/// and no certificates of clients.
pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor> {
    let refused = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
        LogError::Config(format!("`{}` has no {what} that can be used: {error}", path.display()))
    };
    let bad_chain = |error| refused("certificate", &files.certificate, &error);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(bad_chain)?;
    if chain.is_empty() {
        return Err(refused("certificate", &files.certificate, &"there is none in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| refused("key", &files.key, &error))?;
    // The provider is named because a process may have several.
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(chain, key));
    let config = config.map_err(|error: rustls::Error| refused("key", &files.key, &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_there_or_hold_something_else_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let files = |name: &str| TlsFiles {
            certificate: dir.path().join(name),
            key: dir.path().join("key.pem"),
        };
        std::fs::write(dir.path().join("noise.pem"), "noise").unwrap();
        for name in ["missing.pem", "noise.pem"] {
            let error = acceptor(&files(name)).err().unwrap().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
