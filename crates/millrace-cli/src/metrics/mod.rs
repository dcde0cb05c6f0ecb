//! `--metrics ADDRESS`: what a running job tells the outside.

mod prometheus;
mod server;

pub(crate) use server::MetricsServer;
