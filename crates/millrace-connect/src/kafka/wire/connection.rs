//! One connection to a broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ApiVersionsRequest, RequestHeader, ResponseHeader, SaslAuthenticateRequest,
    SaslHandshakeRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use millrace_core::Error;
use millrace_core::seam::Clock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::rustls;

use super::fault::Fault;
use super::scram;
use super::security::{Login, Mechanism, Security};
use super::tls::Tls;

/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// No answer to what is asked here is longer; a length beyond it is not Kafka's protocol.
const LONGEST_ANSWER_BYTES: usize = 128 << 20;
const CLIENT_ID: &str = "millrace";

/// TLS itself reads 4 KiB at a time.
const READ_AHEAD_BYTES: usize = 64 << 10;
/// The first two bytes of an alert of TLS, whatever its version.
const TLS_ALERT: i32 = 0x1503;

/// What bytes go through, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// Requests in turn, each with its answer.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    address: String,
    /// What the broker speaks, by API key; empty until it has said so.
    versions: BTreeMap<i16, (i16, i16)>,
    next_correlation: i32,
    clock: Arc<dyn Clock>,
}

impl Connection {
    /// Connects to `address`, agrees on versions and logs in.
    pub async fn open(
        address: &str,
        security: &Security,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Fault> {
        let connect = TcpStream::connect(address);
        let stream = within(&*clock, connect).await.map_err(|cause| lost(address, cause))?;
        // Each request waits for its answer; nothing is to be gathered.
        stream.set_nodelay(true).map_err(|cause| lost(address, cause))?;
        let mut connection = Self::encrypt(stream, address, security, clock).await?;
        connection.agree().await?;
        if let Some(login) = &security.login {
            connection.log_in(login).await?;
        }
        Ok(connection)
    }

    /// Makes of a connection to `address` one that somebody else may speak Kafka's protocol over:
    /// encrypted and logged in, as far as it has to be.
    pub async fn admit(
        stream: TcpStream,
        address: &str,
        security: &Security,
        clock: Arc<dyn Clock>,
    ) -> Result<Box<dyn Stream>, Fault> {
        let mut connection = Self::encrypt(stream, address, security, clock).await?;
        if let Some(login) = &security.login {
            connection.agree().await?;
            connection.log_in(login).await?;
        }
        Ok(connection.stream)
    }

    async fn encrypt(
        stream: TcpStream,
        address: &str,
        security: &Security,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Fault> {
        let stream: Box<dyn Stream> = match &security.tls {
            None => Box::new(stream),
            Some(tls) => match encrypted(stream, tls, address, &*clock).await {
                Ok(stream) => Box::new(stream),
                Err(Fault::Passing(_)) if Self::is_plain(address, Arc::clone(&clock)).await => {
                    return Err(speaks_plain(address).into());
                }
                Err(fault) => return Err(fault),
            },
        };
        Ok(Self::new(stream, address, clock))
    }

    fn new(stream: Box<dyn Stream>, address: &str, clock: Arc<dyn Clock>) -> Self {
        let address = address.to_owned();
        Connection { stream, address, versions: BTreeMap::new(), next_correlation: 0, clock }
    }

    /// Whether the broker at `address`, who does not agree on encryption, answers without.
    async fn is_plain(address: &str, clock: Arc<dyn Clock>) -> bool {
        let connected = within(&*clock, TcpStream::connect(address)).await;
        let Ok(stream) = connected else { return false };
        Self::new(Box::new(stream), address, clock).agree().await.is_ok()
    }

    async fn agree(&mut self) -> Result<(), Fault> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(CLIENT_ID))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let answer = self.exchange(&request, 3).await?;
        if let Some(code) = ResponseError::try_from_code(answer.error_code) {
            return Err(Fault::of(code, &format!("agree on versions with `{}`", self.address)));
        }
        self.versions = answer
            .api_keys
            .iter()
            .map(|api| (api.api_key, (api.min_version, api.max_version)))
            .collect();
        Ok(())
    }

    async fn log_in(&mut self, login: &Login) -> Result<(), Fault> {
        let mechanism = StrBytes::from_static_str(login.mechanism.name());
        let handshake = SaslHandshakeRequest::default().with_mechanism(mechanism);
        let answer = self.call(&handshake, 1).await?;
        if let Some(code) = ResponseError::try_from_code(answer.error_code) {
            let why = match code {
                ResponseError::IllegalSaslState => "it wants no login there".to_owned(),
                _ => {
                    let taken: Vec<&str> = answer.mechanisms.iter().map(|name| &**name).collect();
                    format!("it takes {}, not {}", taken.join(", "), login.mechanism.name())
                }
            };
            let refused = refused_login(&self.address, &login.username, Some(why));
            return Err(refused.caused_by(code).into());
        }
        let Login { mechanism, username, password } = login;
        let hash = match mechanism {
            Mechanism::Plain => {
                self.authenticate(login, format!("\0{username}\0{password}")).await?;
                return Ok(());
            }
            Mechanism::Scram(hash) => *hash,
        };
        let address = self.address.clone();
        let refused = |why: String| Fault::from(refused_login(&address, username, Some(why)));
        let (awaiting, message) = scram::begin(hash, username, password).map_err(refused)?;
        let answer = self.authenticate(login, message).await?;
        let (awaiting, message) = awaiting.prove(&answer).map_err(refused)?;
        let answer = self.authenticate(login, message).await?;
        awaiting.check(&answer).map_err(refused)
    }

    /// Says a step of the login, and gives what the broker answers to it.
    async fn authenticate(&mut self, login: &Login, step: String) -> Result<String, Fault> {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(step));
        let answer = self.call(&request, 2).await?;
        match ResponseError::try_from_code(answer.error_code) {
            None => Ok(String::from_utf8_lossy(&answer.auth_bytes).into_owned()),
            Some(code) => {
                let why = answer.error_message.as_deref().map(str::to_owned);
                let refused = refused_login(&self.address, &login.username, why);
                Err(refused.caused_by(code).into())
            }
        }
    }

    /// Asks in the highest version that both sides speak, `highest` at most.
    pub async fn call<R: Request>(
        &mut self,
        request: &R,
        highest: i16,
    ) -> Result<R::Response, Fault> {
        let (oldest, newest) = self.versions.get(&R::KEY).copied().unwrap_or((0, -1));
        let version = newest.min(highest);
        if version < oldest.max(R::VERSIONS.min) {
            return Err(Fault::Lasting(
                Error::fix_input(format!(
                    "the broker `{}` does not speak API {} in a version up to {highest}",
                    self.address,
                    R::KEY
                ))
                .hint(
                    "exactly-once delivery needs Apache Kafka 3.0 or newer, or what speaks like it",
                ),
            ));
        }
        self.exchange(request, version).await
    }

    async fn exchange<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, Fault> {
        let correlation = self.next_correlation;
        self.next_correlation = self.next_correlation.wrapping_add(1);
        let frame = frame(request, version, correlation).map_err(Fault::Lasting)?;
        let clock = Arc::clone(&self.clock);
        let answer = within(&*clock, self.send_and_receive(&frame)).await;
        let mut answer = answer.map_err(|cause| lost(&self.address, cause))?;
        let header_version = R::Response::header_version(version);
        let header = ResponseHeader::decode(&mut answer, header_version);
        let header = header.map_err(|cause| self.nonsense(cause.to_string()))?;
        if header.correlation_id != correlation {
            return Err(self.nonsense("it answers another request".into()));
        }
        R::Response::decode(&mut answer, version).map_err(|cause| self.nonsense(cause.to_string()))
    }

    async fn send_and_receive(&mut self, frame: &[u8]) -> io::Result<Bytes> {
        self.stream.write_all(frame).await?;
        let length = self.stream.read_i32().await?;
        if length >> 16 == TLS_ALERT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, SpeaksTls));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > LONGEST_ANSWER_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the answer's length is not one of Kafka's protocol",
            ));
        }
        let mut answer = BytesMut::with_capacity(length.min(1 << 20));
        while answer.len() < length {
            let rest = length - answer.len();
            if (&mut self.stream).take(rest as u64).read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(answer.freeze())
    }

    fn nonsense(&self, why: String) -> Fault {
        Fault::Lasting(Error::retry(format!(
            "`{}` gave an answer that cannot be understood: {why}",
            self.address
        )))
    }
}

fn frame<R: Request>(request: &R, version: i16, correlation: i32) -> Result<BytesMut, Error> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)));
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    header
        .encode(&mut frame, R::header_version(version))
        .and_then(|()| request.encode(&mut frame, version))
        .map_err(|cause| Error::report(format!("a request cannot be encoded: {cause}")))?;
    let length = i32::try_from(frame.len() - 4)
        .map_err(|_| Error::report("a request is longer than 2 GiB"))?;
    (&mut frame[..4]).put_i32(length);
    Ok(frame)
}

/// Agrees on encryption.
async fn encrypted(
    stream: TcpStream,
    tls: &Tls,
    address: &str,
    clock: &dyn Clock,
) -> Result<impl Stream + use<>, Fault> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let (connector, name) = tls.connector(host)?;
    let stream = BufReader::with_capacity(READ_AHEAD_BYTES, stream);
    let connected = within(clock, connector.connect(name, stream)).await;
    connected.map_err(|cause| unencrypted(address, cause).into())
}

/// The error for an encrypted connection to `address` that failed.
pub(crate) fn unencrypted(address: &str, cause: io::Error) -> Error {
    let told = cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match told {
        // What TLS itself refuses, such as a certificate, it will refuse again.
        Some(rustls::Error::InvalidMessage(_)) => speaks_plain(address).caused_by(cause),
        Some(told) => {
            Error::fix_input(format!("no encrypted connection to the broker `{address}`"))
                .hint(hint_for(told))
                .caused_by(cause)
        }
        None if cause.kind() == io::ErrorKind::UnexpectedEof => Error::retry(format!(
            "the broker `{address}` closed the connection while encryption was agreed on"
        ))
        .hint("does it speak TLS there? `security.protocol` says what is spoken"),
        None => absent(address, cause),
    }
}

fn speaks_plain(address: &str) -> Error {
    Error::fix_input(format!("the broker `{address}` does not speak TLS there"))
        .hint("use `security.protocol` = `PLAINTEXT` or `SASL_PLAINTEXT`, or another port")
}

/// What a user does about what TLS says.
fn hint_for(told: &rustls::Error) -> &'static str {
    use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error};
    match told {
        Error::InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        ) => {
            "connect to a name that its certificate is for (brokers tell it by \
             `advertised.listeners`); `ssl.endpoint.identification.algorithm` = `none` takes any"
        }
        Error::InvalidCertificate(
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. },
        ) => "renew its certificate, or set the clock of this machine",
        Error::InvalidCertificate(_) => "name what signed its certificate by `ssl.ca.location`",
        Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnsupportedCertificate,
        ) => {
            "it wants another certificate of the client, or one at all: \
             `ssl.certificate.location` and `ssl.key.location`"
        }
        _ => "does what it has suit TLS 1.2 or 1.3 with the settings under `ssl.`?",
    }
}

/// An answer that is none of Kafka's, but one of TLS.
#[derive(Debug)]
struct SpeaksTls;

impl fmt::Display for SpeaksTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it answers with an alert of TLS")
    }
}

impl std::error::Error for SpeaksTls {}

fn refused_login(address: &str, username: &str, why: Option<String>) -> Error {
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    Error::fix_input(format!("`{address}` refuses the login of `{username}`{why}")).hint(
        "`security.protocol`, `sasl.mechanism`, `sasl.username` and `sasl.password` say who comes, \
         and how",
    )
}

/// The broker did not do what was asked, for a reason that may pass; or it speaks TLS.
pub(crate) fn lost(address: &str, cause: io::Error) -> Fault {
    match cause.get_ref() {
        Some(inner) if inner.is::<SpeaksTls>() => {
            Error::fix_input(format!("the broker `{address}` wants encryption"))
                .hint("use `security.protocol` = `SSL`, or `SASL_SSL` if it wants a login too")
                .caused_by(cause)
                .into()
        }
        Some(inner) if inner.is::<rustls::Error>() => unencrypted(address, cause).into(),
        _ => absent(address, cause).into(),
    }
}

fn absent(address: &str, cause: io::Error) -> Error {
    Error::retry(format!("the broker `{address}` does not answer")).caused_by(cause)
}

pub(crate) async fn within<T>(
    clock: &dyn Clock,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::select! {
        done = work => done,
        () = clock.sleep(ANSWER_LIMIT) => Err(io::ErrorKind::TimedOut.into()),
    }
}
