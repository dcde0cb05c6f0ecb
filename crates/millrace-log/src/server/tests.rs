//! What is hard to bring about from outside: a handler that panics, and minutes that pass.

use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::{ApiKey, EnvelopeRequest};
use kafka_protocol::protocol::HeaderVersion;
use millrace_core::Timestamp;
use millrace_core::seam::{Clock, Seams};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::dispatch::Api;
use super::*;
use crate::config::BrokerConfig;

/// A request that is served in tests alone.
pub(super) const PANICKING: Api = Api {
    key: ApiKey::Envelope,
    min_version: 0,
    max_version: 0,
    request_header_version: EnvelopeRequest::header_version,
    serve: |_| Box::pin(async { panic!("a handler that panics") }),
};

const PANIC: [u8; 15] = [0, 0, 0, 11, 0, 58, 0, 0, 0, 0, 0, 7, 0, 0, 0];
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 9, 0, 0];

/// A clock that goes on when the test says so.
struct ManualClock(watch::Sender<Duration>);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    fn elapsed(&self) -> Duration {
        *self.0.borrow()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut elapsed = self.0.subscribe();
        let until = *elapsed.borrow() + duration;
        Box::pin(async move {
            let _ = elapsed.wait_for(|elapsed| *elapsed >= until).await;
        })
    }
}

struct Running {
    server: Server,
    clock: Arc<ManualClock>,
    _dir: TempDir,
}

async fn start() -> Running {
    let dir = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock(watch::Sender::new(Duration::ZERO)));
    let seams = Seams { clock: clock.clone(), ..Seams::system() };
    let broker = Broker::open(BrokerConfig::new(dir.path()), seams).unwrap();
    Running { server: Server::start(broker).await.unwrap(), clock, _dir: dir }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.address()).await.unwrap()
    }

    /// Lets time pass until the connection is closed, and says how much it took.
    async fn closed_after(&self, stream: &mut TcpStream, drain: bool) -> Duration {
        let start = self.clock.elapsed();
        loop {
            let mut buffer = [0; 4096];
            let pause = Seams::system().clock.sleep(Duration::from_millis(10));
            if drain {
                tokio::select! {
                    read = stream.read(&mut buffer) => {
                        if matches!(read, Ok(0) | Err(_)) {
                            return self.clock.elapsed() - start;
                        }
                    }
                    () = pause => {}
                }
            } else {
                pause.await;
                if stream.try_write(&[0]).is_err_and(|e| e.kind() != ErrorKind::WouldBlock) {
                    return self.clock.elapsed() - start;
                }
            }
            let step = Duration::from_secs(5);
            self.clock.0.send_modify(|elapsed| *elapsed += step);
            assert!(self.clock.elapsed() < Duration::from_secs(3_600), "it is never closed");
        }
    }
}

async fn is_well(stream: &mut TcpStream) -> bool {
    if stream.write_all(&API_VERSIONS).await.is_err() {
        return false;
    }
    let Ok(length) = stream.read_i32().await else { return false };
    let mut answer = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut answer).await.is_ok() && answer[..4] == [0, 0, 0, 9]
}

#[tokio::test]
async fn a_handler_that_panics_closes_its_own_connection_only() {
    let running = start().await;
    let mut other = running.connect().await;
    assert!(is_well(&mut other).await);
    for _ in 0..3 {
        let mut bad = running.connect().await;
        bad.write_all(&PANIC).await.unwrap();
        let mut rest = Vec::new();
        let _ = bad.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
        assert!(is_well(&mut other).await);
    }
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_ten_minutes() {
    let running = start().await;
    let mut silent = running.connect().await;
    assert!(is_well(&mut silent).await);
    let after = running.closed_after(&mut silent, true).await;
    assert!((IDLE_TIMEOUT..IDLE_TIMEOUT * 2).contains(&after), "{after:?}");
}

#[tokio::test]
async fn a_request_that_does_not_come_to_its_end_closes_its_connection() {
    let running = start().await;
    let mut slow = running.connect().await;
    slow.write_all(&API_VERSIONS[..9]).await.unwrap();
    let after = running.closed_after(&mut slow, true).await;
    assert!(after >= Duration::from_secs(60) && after < IDLE_TIMEOUT, "{after:?}");
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answers_is_closed() {
    let running = start().await;
    let mut stuck = running.connect().await;
    // As many requests as the system takes before their answers fill all buffers.
    let requests = API_VERSIONS.repeat(1_000);
    loop {
        tokio::select! {
            written = stuck.write_all(&requests) => written.unwrap(),
            () = Seams::system().clock.sleep(Duration::from_millis(300)) => break,
        }
    }
    let after = running.closed_after(&mut stuck, false).await;
    assert!(after >= Duration::from_secs(60) && after < IDLE_TIMEOUT, "{after:?}");
}
