//! Reading topics: of the broker at `MILLRACE_KAFKA_BOOTSTRAP` if it is set, or else of an embedded
//! log.

mod cluster;
mod offsets;
mod rows;
mod transactions;
