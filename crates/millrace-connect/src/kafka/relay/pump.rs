//! Passes bytes between librdkafka and a broker.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use millrace_core::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio_rustls::rustls;

use super::Shared;
use crate::kafka::wire::{Stream, lost};

/// What is passed at once, at most.
const BUFFER_BYTES: usize = 128 << 10;
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
        pass(&mut from_client, &mut to_broker, || ()).await?;
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
        // The broker is gone: the client hears it behind what was said, and closes.
        Some(ended) => {
            down.tell(ended);
            drop(to_client);
            tokio::select! {
                _ = &mut up => {}
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
        pass(broker, client, || {
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
        to.write_all(&buffer[..length]).await?;
        // What TLS could not send at once waits for this.
        to.flush().await?;
    }
}

async fn drain(from: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while from.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
}
