use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use millrace_core::seam::{Seams, Task};
use millrace_core::{Error, Result};
use millrace_runtime::{JobState, JobWatch};
use serde_json::json;
use tokio::net::TcpListener;

use super::prometheus::exposition;

/// Serves `/metrics`, `/ledger` and `/health` until it is dropped.
pub(crate) struct MetricsServer {
    address: SocketAddr,
    task: Box<dyn Task>,
}

impl MetricsServer {
    /// Listens at `address`, such as `127.0.0.1:9090`; port 0 takes a free one.
    ///
    /// # Errors
    /// `FixInput` when that is no address or is taken.
    pub(crate) async fn start(address: &str, watch: JobWatch, seams: &Seams) -> Result<Self> {
        let listener = TcpListener::bind(address).await.map_err(|cause| {
            Error::fix_input(format!("cannot serve metrics at `{address}`"))
                .caused_by(cause)
                .hint("give an address of this machine and a free port, such as `127.0.0.1:9090`")
        })?;
        let address = listener.local_addr().map_err(|cause| {
            Error::retry("cannot learn the address of the metrics").caused_by(cause)
        })?;
        let routes = Router::new()
            .route("/metrics", get(metrics))
            .route("/ledger", get(ledger))
            .route("/health", get(health))
            .with_state(watch);
        let serve = async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::warn!("metrics are no longer served: {error}");
            }
        };
        let task = seams.spawner.spawn("metrics", Box::pin(serve));
        Ok(MetricsServer { address, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn metrics(State(watch): State<JobWatch>) -> Response {
    let text =
        exposition(&watch.operators(), &watch.checkpoints(), watch.state(), watch.restarts());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// The ledger as of the newest checkpoint; 404 before the first.
async fn ledger(State(watch): State<JobWatch>) -> Response {
    match watch.ledger() {
        Some(ledger) => as_json(StatusCode::OK, &json!(ledger)),
        None => {
            as_json(StatusCode::NOT_FOUND, &json!({ "error": "no checkpoint is complete yet" }))
        }
    }
}

/// 200 while the job is at work or has done it, 503 while it is not.
async fn health(State(watch): State<JobWatch>) -> Response {
    let (state, well) = match watch.state() {
        JobState::Created => ("created", true),
        JobState::Restoring => ("restoring", true),
        JobState::Running => ("running", true),
        JobState::Restarting => ("restarting", false),
        JobState::Finished => ("finished", true),
        JobState::Stopped => ("stopped", true),
        JobState::Cancelled => ("cancelled", true),
        JobState::Failed => ("failed", false),
    };
    let code = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    as_json(code, &json!({ "state": state }))
}

fn as_json(code: StatusCode, value: &serde_json::Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
