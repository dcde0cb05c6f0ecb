//! One connection to a broker.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ApiVersionsRequest, RequestHeader, ResponseHeader, SaslAuthenticateRequest,
    SaslHandshakeRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use millrace_core::Error;
use millrace_core::seam::Clock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
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

/// What bytes go through, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

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
        let stream: Box<dyn Stream> = match &security.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(encrypted(stream, tls, address, &*clock).await?),
        };
        let mut connection = Connection {
            stream,
            address: address.to_owned(),
            versions: BTreeMap::new(),
            next_correlation: 0,
            clock,
        };
        connection.agree().await?;
        if let Some(login) = &security.login {
            connection.log_in(login).await?;
        }
        Ok(connection)
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
            return Err(refused_login(&self.address, &login.username, None).caused_by(code).into());
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
    let connected = within(clock, connector.connect(name, stream)).await;
    connected.map_err(|cause| {
        // What TLS itself refuses, such as a certificate, it will refuse again.
        match cause.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
            false => lost(address, cause),
            true => Error::fix_input(format!("no encrypted connection to the broker `{address}`"))
                .hint(
                    "does it speak TLS there, and is what has signed its certificate in \
                     `properties.ssl.ca.location`?",
                )
                .caused_by(cause)
                .into(),
        }
    })
}

fn refused_login(address: &str, username: &str, why: Option<String>) -> Error {
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    Error::fix_input(format!("`{address}` refuses the login of `{username}`{why}"))
}

fn lost(address: &str, cause: io::Error) -> Fault {
    Fault::Passing(Error::retry(format!("the broker `{address}` does not answer")).caused_by(cause))
}

async fn within<T>(clock: &dyn Clock, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::select! {
        done = work => done,
        () = clock.sleep(ANSWER_LIMIT) => Err(io::ErrorKind::TimedOut.into()),
    }
}
