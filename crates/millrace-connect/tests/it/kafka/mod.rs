//! Reading topics: of the broker at `MILLRACE_KAFKA_BOOTSTRAP` if it is set, or else of an embedded
//! log.

#![expect(clippy::disallowed_methods, reason = "the tests work on the real clock")]

pub mod cluster;
mod headers;
mod offsets;
mod rows;
mod transactions;
