//! The log over its network interface, through a client of the tests' own.

mod access;
mod admin;
mod authentication;
mod client;
mod connections;
mod fuzz;
mod groups;
mod history;
mod kills;
mod markers;
mod queue_history;
mod records;
mod refusals;
mod tls;
mod topics;
