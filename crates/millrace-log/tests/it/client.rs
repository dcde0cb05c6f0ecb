//! A log in a directory of the test, and a client that sends one request at a time.

use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use millrace_core::seam::Seams;
use millrace_log::{Broker, BrokerConfig, Server};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server on a free port.
pub struct Log {
    pub server: Server,
    dir: TempDir,
}

impl Log {
    pub async fn start() -> Log {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut BrokerConfig)) -> Log {
        let dir = TempDir::new().unwrap();
        let server = serve(dir.path(), change).await;
        Log { server, dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.server.address()).await
    }

    /// Stops the server; its directory is there until what this gives is dropped.
    pub async fn stop(self) -> TempDir {
        self.server.shutdown().await.unwrap();
        self.dir
    }

    /// Stops the server and starts another on its directory.
    pub async fn restart(self) -> Log {
        self.server.shutdown().await.unwrap();
        Log { server: serve(self.dir.path(), |_| {}).await, dir: self.dir }
    }
}

async fn serve(dir: &Path, change: impl FnOnce(&mut BrokerConfig)) -> Server {
    let mut config = BrokerConfig::new(dir);
    change(&mut config);
    Server::start(Broker::open(config, Seams::system()).unwrap()).await.unwrap()
}

/// One connection.
pub struct Client {
    pub stream: TcpStream,
    correlation_id: AtomicI32,
}

impl Client {
    pub async fn connect(address: std::net::SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client::over(stream)
    }

    pub fn over(stream: TcpStream) -> Client {
        Client { stream, correlation_id: AtomicI32::new(0) }
    }

    /// Sends a request and takes its answer. Panics if the connection ends instead.
    pub async fn send<T: Request>(&mut self, version: i16, request: T) -> T::Response {
        let id = self.write::<T>(version, &request).await;
        self.read::<T>(version, id).await.expect("the connection was closed")
    }

    /// Sends a request and does not wait.
    pub async fn write<T: Request>(&mut self, version: i16, request: &T) -> i32 {
        self.try_write(version, request).await.unwrap()
    }

    /// As `write`, for a server that may be gone.
    pub async fn try_write<T: Request>(
        &mut self,
        version: i16,
        request: &T,
    ) -> std::io::Result<i32> {
        let id = self.correlation_id.fetch_add(1, Ordering::Relaxed);
        self.stream.write_all(&frame(version, id, request)).await?;
        Ok(id)
    }

    /// Takes the next answer, which must be that to `id`; none if the connection was closed.
    pub async fn read<T: Request>(&mut self, version: i16, id: i32) -> Option<T::Response> {
        let mut bytes = self.read_frame().await?;
        let header_version = T::Response::header_version(version);
        let header = ResponseHeader::decode(&mut bytes, header_version).unwrap();
        assert_eq!(header.correlation_id, id, "answers come in the order of the requests");
        let response = T::Response::decode(&mut bytes, version).unwrap();
        assert!(!bytes.has_remaining(), "{} bytes follow the answer", bytes.len());
        Some(response)
    }

    pub async fn read_frame(&mut self) -> Option<Bytes> {
        let length = self.stream.read_i32().await.ok()?;
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut bytes).await.ok()?;
        Some(Bytes::from(bytes))
    }
}

/// The bytes of a request.
pub fn frame<T: Request>(version: i16, id: i32, request: &T) -> BytesMut {
    try_frame(version, id, request).expect("a request that this version can say")
}

/// As `frame`; none if the version has no field for something.
pub fn try_frame<T: Request>(version: i16, id: i32, request: &T) -> Option<BytesMut> {
    let mut bytes = BytesMut::new();
    bytes.put_i32(0);
    RequestHeader::default()
        .with_request_api_key(T::KEY)
        .with_request_api_version(version)
        .with_correlation_id(id)
        .with_client_id(Some(text("test")))
        .encode(&mut bytes, T::header_version(version))
        .ok()?;
    request.encode(&mut bytes, version).ok()?;
    seal(&mut bytes);
    Some(bytes)
}

/// Puts the length of what follows into the first four bytes.
pub fn seal(frame: &mut [u8]) {
    let length = i32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&length.to_be_bytes());
}

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
