//! Passes bytes between librdkafka and a broker.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use millrace_core::Error;
use millrace_core::seam::Clock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio_rustls::rustls;

use super::Shared;
use crate::kafka::wire::{Stream, lost};

/// What is passed at once, at most.
const BUFFER_BYTES: usize = 128 << 10;
/// A side that takes nothing for so long is given up, as librdkafka gives up requests long before
/// (`socket.timeout.ms`): else the connection to a broker that hangs would outlast its client.
const STALL_LIMIT: Duration = Duration::from_secs(300);
/// How long the other side may take to close, after one has.
const CLOSING_LIMIT: Duration = Duration::from_secs(5);

/// Passes bytes both ways until both sides have closed, and tells `shared` whether the broker called
/// `name` answers.
pub(super) async fn pump(
    shared: &Shared,
    client: StdUnixStream,
    broker: Box<dyn Stream>,
    name: &str,
) {
    let client = match UnixStream::from_std(client) {
        Ok(client) => client,
        Err(cause) => {
            tracing::warn!("librdkafka's connection to `{name}` cannot be served: {cause}");
            return;
        }
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_broker, mut to_broker) = tokio::io::split(broker);
    let mut down = Down { shared, name, answered: false };
    let mut up = std::pin::pin!(async {
        pass(&*shared.clock, &mut from_client, &mut to_broker, || ()).await?;
        to_broker.shutdown().await
    });
    let ended = {
        let mut down = std::pin::pin!(down.run(&mut from_broker, &mut to_client));
        tokio::select! {
            _ = &mut up => None,
            ended = &mut down => Some(ended),
        }
    };
    match ended {
        // The client is gone. What the broker still says is taken, or the system might reset the
        // connection and with it what the client said last.
        None => {
            drop(to_client);
            let rest = drain(&mut from_broker);
            tokio::select! {
                () = rest => {}
                () = shared.clock.sleep(CLOSING_LIMIT) => {}
            }
        }
        // The broker is gone: the client hears it behind what was said, and closes. Or it is the client
        // that takes nothing any more, and what it said before is still on its way.
        Some(ended) => {
            down.tell(ended);
            drop(to_client);
            let rest = async { tokio::join!(&mut up, drain(&mut from_broker)) };
            tokio::select! {
                _ = rest => {}
                () = shared.clock.sleep(CLOSING_LIMIT) => {}
            }
        }
    }
}

/// The way from the broker to the client.
struct Down<'a> {
    shared: &'a Shared,
    name: &'a str,
    /// Something has come.
    answered: bool,
}

impl Down<'_> {
    async fn run(
        &mut self,
        broker: &mut ReadHalf<Box<dyn Stream>>,
        client: &mut OwnedWriteHalf,
    ) -> io::Result<()> {
        pass(&*self.shared.clock, broker, client, || {
            if !self.answered {
                self.answered = true;
                self.shared.answered(self.name);
            }
        })
        .await
    }

    /// Tells how the broker ended it, if that is worth telling: brokers close idle connections all
    /// the time, but not before their first answer, and not with an alert.
    fn tell(&self, ended: io::Result<()>) {
        match ended {
            Err(cause) if cause.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
                let (super::Fault::Lasting(error) | super::Fault::Passing(error)) =
                    lost(self.name, cause);
                self.shared.note(self.name, error);
            }
            ended if !self.answered => {
                let error = Error::retry(format!(
                    "the broker `{}` closed the connection at the first request",
                    self.name
                ));
                let error = match ended {
                    Err(cause) => error.caused_by(cause),
                    Ok(()) => error,
                };
                self.shared.note(self.name, error);
            }
            Ok(()) => tracing::debug!("the broker `{}` closed the connection", self.name),
            Err(cause) => tracing::debug!("the broker `{}` is gone: {cause}", self.name),
        }
    }
}

/// Passes on what comes, in its order, until there is no more.
async fn pass(
    clock: &dyn Clock,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut came: impl FnMut(),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        came();
        let taken = async {
            to.write_all(&buffer[..length]).await?;
            // What TLS could not send at once waits for this.
            to.flush().await
        };
        tokio::select! {
            biased;
            taken = taken => taken?,
            () = clock.sleep(STALL_LIMIT) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

async fn drain(from: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while from.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use millrace_core::seam::Seams;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::{JoinHandle, spawn_blocking};

    use super::*;
    use crate::kafka::relay::Relay;
    use crate::kafka::wire::Security;

    const LONG: usize = 20 << 20;

    /// A relay that passes bytes.
    struct Passing {
        relay: Relay,
        client: StdUnixStream,
        broker: TcpStream,
        ended: JoinHandle<()>,
    }

    #[expect(clippy::disallowed_methods, reason = "a test of tasks")]
    async fn passing() -> Passing {
        let relay = Relay::new(Some(Security::default()), |_| None).unwrap().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (broker, _) = listener.accept().await.unwrap();
        let (client, theirs) = StdUnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let shared = Arc::clone(&relay.0);
        let ended = tokio::spawn(async move { pump(&shared, theirs, Box::new(ours), "b:1").await });
        Passing { relay, client, broker, ended }
    }

    /// Bytes that tell their place.
    fn text() -> Vec<u8> {
        (0..LONG / 4).flat_map(|word| (word as u32).to_le_bytes()).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    #[expect(clippy::disallowed_methods, reason = "librdkafka's threads block")]
    async fn what_the_client_says_last_reaches_the_broker_though_it_closes_at_once() {
        let Passing { client, mut broker, ended, .. } = passing().await;
        let said = spawn_blocking(move || (&client).write_all(&text()).unwrap());
        let mut heard = Vec::new();
        let mut buffer = vec![0; 256 << 10];
        loop {
            let length = broker.read(&mut buffer).await.unwrap();
            if length == 0 {
                break;
            }
            heard.extend_from_slice(&buffer[..length]);
            // An answer, which nobody takes in the end.
            broker.write_all(&[7; 10]).await.unwrap();
            Seams::system().clock.sleep(Duration::from_millis(2)).await;
        }
        assert!(heard == text(), "{} bytes came", heard.len());
        said.await.unwrap();
        drop(broker);
        ended.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    #[expect(clippy::disallowed_methods, reason = "librdkafka's threads block")]
    async fn what_the_broker_says_last_reaches_the_client_though_it_closes_at_once() {
        let Passing { relay, mut client, mut broker, ended } = passing().await;
        let heard = spawn_blocking(move || {
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).unwrap();
            heard
        });
        broker.write_all(&text()).await.unwrap();
        drop(broker);
        assert!(heard.await.unwrap() == text());
        ended.await.unwrap();
        assert!(relay.trouble().is_none(), "brokers close connections all the time");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_broker_that_closes_before_it_answers_is_told_of() {
        let Passing { relay, client, broker, ended } = passing().await;
        drop(broker);
        let mut client = UnixStream::from_std({
            client.set_nonblocking(true).unwrap();
            client
        })
        .unwrap();
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
        let trouble = relay.trouble().expect("it is known before the client hears of the end");
        assert!(trouble.message().contains("closed the connection at the first request"));
        drop(client);
        ended.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    #[expect(clippy::disallowed_methods, reason = "librdkafka's threads block")]
    async fn a_broker_that_does_not_read_holds_up_the_client() {
        let Passing { client, mut broker, ended, .. } = passing().await;
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let saying = spawn_blocking(move || {
            for chunk in text().chunks(1 << 16) {
                (&client).write_all(chunk).unwrap();
                count.fetch_add(chunk.len(), Ordering::Relaxed);
            }
        });
        let clock = Seams::system().clock;
        // Until nothing has moved for a while.
        let mut before = usize::MAX;
        while before != written.load(Ordering::Relaxed) {
            before = written.load(Ordering::Relaxed);
            clock.sleep(Duration::from_millis(500)).await;
        }
        // The buffers of the system's sockets, and the relay's own.
        assert!(before < LONG * 3 / 4, "{before} bytes were taken of a client that nobody hears");
        let mut heard = Vec::new();
        broker.read_to_end(&mut heard).await.unwrap();
        assert!(heard == text());
        saying.await.unwrap();
        drop(broker);
        ended.await.unwrap();
    }
}
