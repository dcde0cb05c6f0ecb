use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;

/// How a task ended that did not return.
#[derive(Debug)]
pub enum JoinError {
    /// It was aborted.
    Aborted,
    /// It panicked, with this message.
    Panicked(String),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Aborted => f.write_str("the task was aborted"),
            JoinError::Panicked(message) => write!(f, "the task panicked: {message}"),
        }
    }
}

impl std::error::Error for JoinError {}

impl JoinError {
    /// From what `catch_unwind` caught.
    pub fn from_panic(payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        JoinError::Panicked(message)
    }
}

/// A spawned task: a future of its end, and a way to abort it.
pub trait Task: Future<Output = Result<(), JoinError>> + Send + Unpin {
    /// Drops the task's future where it next waits. The task then ends with
    /// [`JoinError::Aborted`].
    fn abort(&self);
}

/// Starts tasks.
pub trait Spawner: Send + Sync {
    /// Runs `future` beside the caller. A panic in it ends this task alone.
    fn spawn(&self, name: &str, future: BoxFuture<'static, ()>) -> Box<dyn Task>;

    /// Runs `work` where it may block, and completes when it has.
    fn spawn_blocking(
        &self,
        work: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'static, Result<(), JoinError>>;
}

/// Tasks on the tokio runtime that the caller runs in.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioSpawner;

struct TokioTask(tokio::task::JoinHandle<()>);

impl Future for TokioTask {
    type Output = Result<(), JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|result| result.map_err(join_error))
    }
}

impl Task for TokioTask {
    fn abort(&self) {
        self.0.abort();
    }
}

fn join_error(error: tokio::task::JoinError) -> JoinError {
    match error.try_into_panic() {
        Ok(payload) => JoinError::from_panic(&*payload),
        Err(_) => JoinError::Aborted,
    }
}

impl Spawner for TokioSpawner {
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn spawn(&self, _name: &str, future: BoxFuture<'static, ()>) -> Box<dyn Task> {
        Box::new(TokioTask(tokio::spawn(future)))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn spawn_blocking(
        &self,
        work: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'static, Result<(), JoinError>> {
        let handle = tokio::task::spawn_blocking(work);
        Box::pin(async move { handle.await.map_err(join_error) })
    }
}

/// Lets other tasks run before the caller goes on, on any executor.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
