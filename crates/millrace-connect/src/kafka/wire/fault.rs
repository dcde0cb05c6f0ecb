//! Whether an error goes away by waiting.

use std::io;
use std::time::Duration;

use kafka_protocol::ResponseError;
use millrace_core::seam::Clock;
use millrace_core::{Error, ErrorKind, Result};

/// Why a request was not answered as hoped.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Worth asking again in a moment: a coordinator that moves or loads, a lost connection.
    Passing(Error),
    /// Asking again changes nothing.
    Lasting(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Retry => Fault::Passing(error),
            _ => Fault::Lasting(error),
        }
    }
}

impl Fault {
    /// Whether the other side closed the connection.
    pub fn is_closed(&self) -> bool {
        let (Fault::Passing(error) | Fault::Lasting(error)) = self;
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
        cause.map(io::Error::kind).is_some_and(|kind| {
            use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
            matches!(kind, BrokenPipe | ConnectionReset | UnexpectedEof)
        })
    }

    /// The fault for an error code of a broker's answer.
    pub fn of(code: ResponseError, doing: &str) -> Self {
        let error = |kind| Error::new(kind, format!("cannot {doing}")).caused_by(code);
        match code {
            code if code.is_retriable() => Fault::Passing(error(ErrorKind::Retry)),
            ResponseError::TransactionalIdAuthorizationFailed
            | ResponseError::TopicAuthorizationFailed
            | ResponseError::ClusterAuthorizationFailed => Fault::Lasting(
                error(ErrorKind::FixInput)
                    .hint("allow the user of this table to do it, by an ACL of the cluster"),
            ),
            ResponseError::InvalidTransactionTimeout | ResponseError::UnsupportedVersion => {
                Fault::Lasting(error(ErrorKind::FixInput))
            }
            _ => Fault::Lasting(error(ErrorKind::Retry)),
        }
    }
}

/// How long passing faults are put up with.
pub(crate) struct Patience<'a> {
    clock: &'a dyn Clock,
    until: Duration,
    pause: Duration,
}

impl<'a> Patience<'a> {
    const FIRST_PAUSE: Duration = Duration::from_millis(20);
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);

    pub fn new(clock: &'a dyn Clock, limit: Duration) -> Self {
        Patience { clock, until: clock.elapsed() + limit, pause: Self::FIRST_PAUSE }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// `error` itself once the limit is reached.
    pub async fn wait(&mut self, error: Error) -> Result<()> {
        if self.clock.elapsed() + self.pause > self.until {
            return Err(error);
        }
        self.clock.sleep(self.pause).await;
        self.pause = (self.pause * 2).min(Self::LONGEST_PAUSE);
        Ok(())
    }
}
