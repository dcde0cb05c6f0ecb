//! The log over its network interface, through a client of the tests' own.

mod client;
mod connections;
mod records;
mod topics;
