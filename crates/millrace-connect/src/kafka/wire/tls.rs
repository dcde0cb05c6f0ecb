//! TLS with librdkafka's settings.
//!
//! What OpenSSL accepts there is to be accepted here too; hence a verifier of its own around the
//! checks of `rustls`: it also takes a server's certificate that is itself among the trusted ones (a
//! self-signed one), and can leave checks out.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use millrace_core::{Error, Result};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::settings::Called;

/// Where librdkafka looks for the system's trusted certificates.
const SYSTEM_BUNDLES: [&str; 10] = [
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/usr/local/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    "/etc/openssl/certs/ca-certificates.crt",
];

/// How connections are encrypted.
#[derive(Clone)]
pub(crate) struct Tls(Arc<ClientConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the settings, and the files that they name.
    ///
    /// # Errors
    /// `FixInput` naming a setting that is not supported or a file that cannot be used.
    pub fn of<'a>(called: Called, setting: impl Fn(&str) -> Option<&'a str>) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier::of(called, &setting, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| Error::report("TLS cannot be set up").caused_by(cause))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match own_certificate(called, &setting)? {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|cause| {
                Error::fix_input("the client's certificate and key do not fit").caused_by(cause)
            })?,
        };
        Ok(Tls(Arc::new(config)))
    }

    /// What encrypts a connection to `host`.
    ///
    /// # Errors
    /// `FixInput` when nothing can have this name.
    pub fn connector(&self, host: &str) -> Result<(TlsConnector, ServerName<'static>)> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|cause| {
            Error::fix_input(format!("no certificate can be for `{host}`")).caused_by(cause)
        })?;
        Ok((TlsConnector::from(Arc::clone(&self.0)), name))
    }
}

/// The certificate with which the client proves who it is, if it has one.
type OwnCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn own_certificate<'a>(
    called: Called,
    setting: impl Fn(&str) -> Option<&'a str>,
) -> Result<Option<OwnCertificate>> {
    let chain = match (setting("ssl.certificate.location"), setting("ssl.certificate.pem")) {
        (Some(path), _) => certificates_in(Path::new(path))?,
        (None, Some(text)) => certificates("ssl.certificate.pem", text.as_bytes())?,
        (None, None) => {
            let key = ["ssl.key.location", "ssl.key.pem"]
                .into_iter()
                .find(|&name| setting(name).is_some());
            return match key {
                Some(key) => Err(called.refused(key, "the certificate that it is for is missing")),
                None => Ok(None),
            };
        }
    };
    let bad = |what: String, cause: pem::Error| {
        Error::fix_input(format!("{what} holds no private key that can be used")).caused_by(cause)
    };
    let key = match (setting("ssl.key.location"), setting("ssl.key.pem")) {
        (Some(path), _) => {
            PrivateKeyDer::from_pem_file(path).map_err(|cause| bad(format!("`{path}`"), cause))
        }
        (None, Some(text)) => PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|cause| bad("`ssl.key.pem`".into(), cause)),
        (None, None) => {
            let missing = called.missing("ssl.key.location");
            Err(missing.hint("the client's certificate needs its key"))
        }
    };
    Ok(Some((chain, key?)))
}

fn certificates(what: &str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Error::fix_input(format!("`{what}` holds no certificate"))),
        Err(cause) => {
            Err(Error::fix_input(format!("`{what}` is no PEM of certificates")).caused_by(cause))
        }
    }
}

fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|cause| {
        Error::fix_input(format!("the certificates in `{shown}` cannot be read")).caused_by(cause)
    })?;
    certificates(&shown.to_string(), &text)
}

/// The certificates of a file, or of all files of a directory that hold some.
fn trusted_in(location: &str) -> Result<Vec<CertificateDer<'static>>> {
    let path = Path::new(location);
    if !path.is_dir() {
        return certificates_in(path);
    }
    let entries = std::fs::read_dir(path).map_err(|cause| {
        Error::fix_input(format!("the directory `{location}` cannot be read")).caused_by(cause)
    })?;
    let files = entries.flatten().map(|entry| entry.path());
    let found: Vec<_> = files.filter_map(|file| certificates_in(&file).ok()).flatten().collect();
    match found.is_empty() {
        true => Err(Error::fix_input(format!("the directory `{location}` holds no certificate"))),
        false => Ok(found),
    }
}

/// Looks at servers' certificates.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    roots: RootCertStore,
    /// The same as they were given.
    trusted: Vec<CertificateDer<'static>>,
    checks_chain: bool,
    checks_name: bool,
}

impl Verifier {
    fn of<'a>(
        called: Called,
        setting: impl Fn(&str) -> Option<&'a str>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self> {
        const CHECK: &str = "enable.ssl.certificate.verification";
        let checks_chain = match setting(CHECK).unwrap_or("true") {
            "true" => true,
            "false" => false,
            other => return Err(called.impossible(CHECK, other, "use `true` or `false`")),
        };
        const IDENTIFICATION: &str = "ssl.endpoint.identification.algorithm";
        let identification = setting(IDENTIFICATION).unwrap_or("https").to_ascii_lowercase();
        let checks_name = match identification.as_str() {
            "https" => true,
            // librdkafka writes `none`, the Java client nothing.
            "none" | "" => false,
            other => {
                return Err(called.impossible(IDENTIFICATION, other, "use `https` or `none`"));
            }
        };
        let trusted = match (setting("ssl.ca.location"), setting("ssl.ca.pem")) {
            _ if !checks_chain => Vec::new(),
            (Some(location), _) if location != "probe" => trusted_in(location)?,
            (_, Some(text)) => certificates("ssl.ca.pem", text.as_bytes())?,
            _ => {
                let bundle = SYSTEM_BUNDLES.into_iter().find(|path| Path::new(path).exists());
                let bundle = bundle.ok_or_else(|| {
                    Error::fix_input("the system has no trusted certificates")
                        .hint("name those of the brokers by `ssl.ca.location`")
                })?;
                certificates_in(Path::new(bundle))?
            }
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        Ok(Verifier {
            provider: Arc::clone(provider),
            roots,
            trusted,
            checks_chain,
            checks_name: checks_chain && checks_name,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if !self.checks_chain {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if !self.trusted.iter().any(|trusted| trusted == end_entity) {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &self.roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        if self.checks_name {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
